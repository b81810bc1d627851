//! What the invoice of a cycle is made of, whoever paid for the usage.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::too_many_lines,
    dead_code,
    missing_docs
)]

mod common;

use std::collections::{BTreeMap, HashMap};

use common::vendor;
use domain::{
    amount::{Credits, Quantity},
    credit::{
        block::Billing,
        draws::{Draw, Draws, Purse},
    },
    customer::Settlement,
    cycle::Cycle,
    id::{BlockId, MetricId, VariantId},
    invoice::{
        cycle::{Billed, CycleBill, CycleLines, Named},
        line::{Detail, Line},
        usage::BillError,
    },
    metering::{Graduated, Position, Price, Tier},
    money::{Currency, Money},
    plan::{
        money_price::{CreditPrice, MoneyPrice},
        variant::{Mode, ShortCycle, Variant},
    },
    subscription::MoneyLine,
    time::{Period, Timestamp},
    usage::{Counter, CounterKey},
};
use proptest::prelude::*;
use uuid::Uuid;

const BUDGET: BlockId = BlockId(Uuid::from_u128(1));
const PREPAID: BlockId = BlockId(Uuid::from_u128(2));
const CALLS: MetricId = MetricId(Uuid::from_u128(7));

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn credits(text: &str) -> Credits {
    text.parse().unwrap()
}

fn usd(minor: i64) -> Money {
    Money::of(minor, Currency::USD)
}

fn cycle() -> Cycle {
    let period = Period {
        start: at("2026-03-01"),
        end: at("2026-04-01"),
    };
    Cycle {
        number: 3,
        variant: VariantId(Uuid::from_u128(1)),
        period,
        natural_end: period.end,
        basis_seconds: period.seconds(),
        trial: false,
        paid: true,
        closes_at: period.end,
        granted: Credits::ZERO,
        ahead: Credits::ZERO,
        granted_from: period.start,
        granted_through: period.start,
        balance_at_start: Credits::ZERO,
        balance_at_end: Credits::ZERO,
    }
}

/// $20 a month, and a cent a credit.
fn pro() -> Variant {
    Variant {
        fee: Some(usd(2_000)),
        credit_price: Some(CreditPrice {
            currency: Currency::USD,
            per_credit: "0.01".parse().unwrap(),
        }),
        ..vendor::variant(1, Mode::Postpaid)
    }
}

/// Source P4: cents for the first ten thousand calls, half of that for the next ninety thousand, then a tenth.
fn p4() -> Variant {
    let tier = |up_to: Option<i64>, rate: &str| Tier {
        up_to: up_to.map(|units| Quantity::whole(units).unwrap()),
        credits_per_unit: rate.parse().unwrap(),
    };
    let tiers = vec![
        tier(Some(10_000), "0.01"),
        tier(Some(100_000), "0.005"),
        tier(None, "0.001"),
    ];
    let price = MoneyPrice {
        currency: Currency::USD,
        price: Price::Graduated(Graduated { tiers }),
    };
    Variant {
        money_prices: BTreeMap::from([(CALLS, price)]),
        ..vendor::variant(1, Mode::Postpaid)
    }
}

/// Usage of calls, and what paid for it.
fn used(units: i64, cost: &str, drawn: &[(Purse, &str)]) -> Vec<(CounterKey, Counter)> {
    let mut draws = Draws::default();
    for (from, amount) in drawn {
        draws
            .push(Draw {
                from: *from,
                credits: credits(amount),
            })
            .unwrap();
    }
    let key = CounterKey {
        metric: CALLS,
        line: None,
        period_start: at("2026-03-01"),
    };
    let count = Counter {
        position: Position {
            units: Quantity::whole(units).unwrap(),
            events: 1,
        },
        credits: credits(cost),
        draws,
    };
    vec![(key, count)]
}

struct Story {
    cycle: Cycle,
    variant: Variant,
    changes: Vec<MoneyLine>,
    counts: Vec<(CounterKey, Counter)>,
    settlement: Settlement,
    overdraft: &'static str,
}

impl Story {
    fn of(variant: Variant, counts: Vec<(CounterKey, Counter)>) -> Self {
        Self {
            cycle: cycle(),
            variant,
            changes: Vec::new(),
            counts,
            settlement: Settlement::NextInvoice,
            overdraft: "0",
        }
    }

    fn bill(&self) -> Result<CycleLines, BillError> {
        self.asked(|bill| bill.lines(bill.currency().unwrap()))
    }

    /// What is billed beyond earlier lines.
    fn late(&self, earlier: &[Line]) -> CycleLines {
        let billed = Billed::by(earlier);
        self.asked(|bill| bill.late_lines(&billed, bill.currency().unwrap()))
            .unwrap()
    }

    fn asked<T>(&self, ask: impl FnOnce(CycleBill<'_>) -> T) -> T {
        let named = Named {
            name: "API calls".to_owned(),
            unit: "call".to_owned(),
        };
        ask(CycleBill {
            cycle: &self.cycle,
            variant: &self.variant,
            plan: "Pro, monthly",
            changes: &self.changes,
            counts: &self.counts,
            metrics: &BTreeMap::from([(CALLS, named)]),
            blocks: &HashMap::from([(BUDGET, Billing::Budget), (PREPAID, Billing::Prepaid)]),
            settlement: self.settlement,
            overdraft: credits(self.overdraft),
        })
    }

    /// What the lines bill, and the credits that they settle.
    fn amounts(&self) -> (Vec<i64>, String) {
        let bill = self.bill().unwrap();
        let amounts = bill.lines.iter().map(|line| line.amount.minor);
        (amounts.collect(), bill.settles.to_string())
    }
}

#[test]
fn the_invoice_of_source_p4() {
    let counts = used(85_000, "47500", &[(Purse::Block(BUDGET), "47500")]);
    assert_eq!(Story::of(p4(), counts).amounts(), (vec![47_500], "0".to_owned()));
}

#[test]
fn what_was_paid_before_is_not_billed_again() {
    // Source P1: 1,000 credits of 1,500 were bought; source P2: the rest is on the next invoice, and settled with it.
    let counts = used(
        1_500,
        "1500",
        &[(Purse::Block(PREPAID), "1000"), (Purse::Overdraft, "500")],
    );
    let mut story = Story::of(pro(), counts);
    story.overdraft = "500";
    assert_eq!(story.amounts(), (vec![2_000, 500], "500".to_owned()));
    let Detail::Usage(usage) = story.bill().unwrap().lines[1].detail.clone() else {
        panic!("no usage");
    };
    assert_eq!((usage.full, usage.covered), (usd(1_500), usd(1_000)));
    // Half of it was put right by hand meanwhile.
    story.overdraft = "200";
    assert_eq!(story.amounts(), (vec![2_000, 200], "200".to_owned()));
    // More overdraft than this cycle's: the next cycle bills that.
    story.overdraft = "900";
    assert_eq!(story.amounts(), (vec![2_000, 500], "500".to_owned()));
    // Who pays with the next purchase, or by somebody's hand, is billed nothing.
    for settlement in [Settlement::NextPurchase, Settlement::Manual] {
        story.settlement = settlement;
        assert_eq!(story.amounts(), (vec![2_000, 0], "0".to_owned()));
    }
}

#[test]
fn what_was_written_off_is_billed_to_nobody() {
    // 1,500 credits: 1,000 were bought, 200 are owed, and 300 lay beyond the bound.
    let paid = [
        (Purse::Block(PREPAID), "1000"),
        (Purse::Overdraft, "200"),
        (Purse::WrittenOff, "300"),
    ];
    let mut story = Story::of(pro(), used(1_500, "1500", &paid));
    story.overdraft = "200";
    assert_eq!(story.amounts(), (vec![2_000, 200], "200".to_owned()));
    let billed = story.bill().unwrap().lines;
    let Detail::Usage(usage) = billed[1].detail.clone() else {
        panic!("no usage");
    };
    assert_eq!((usage.full, usage.covered), (usd(1_500), usd(1_300)));
    assert_eq!(
        (usage.credits.covered, usage.credits.written_off),
        (credits("1300"), credits("300"))
    );
    // Late usage beyond the bound changes nothing of what is asked for.
    let paid = [
        (Purse::Block(PREPAID), "1000"),
        (Purse::Overdraft, "200"),
        (Purse::WrittenOff, "800"),
    ];
    let late = Story::of(pro(), used(2_000, "2000", &paid)).late(&billed);
    assert_eq!((late.lines.len(), late.settles), (0, Credits::ZERO));
}

#[test]
fn fees_of_cycles_and_changes() {
    let mut story = Story::of(pro(), Vec::new());
    assert_eq!(story.amounts().0, [2_000]);
    let change = |variant, start: &str, minor| MoneyLine {
        variant: VariantId(Uuid::from_u128(variant)),
        period: Period {
            start: at(start),
            end: at("2026-04-01"),
        },
        amount: usd(minor),
    };
    // Another plan from the middle on, in the same cycle.
    story.changes = vec![
        change(1, "2026-03-16T12:00:00Z", -1_000),
        change(2, "2026-03-16T12:00:00Z", 2_500),
    ];
    assert_eq!(story.amounts().0, [2_000, -1_000, 2_500]);
    // A cycle that a change began: its share is among the changes.
    story.changes = vec![change(2, "2026-03-01", -700), change(1, "2026-03-01", 2_000)];
    assert_eq!(story.amounts().0, [-700, 2_000]);
    story.changes.clear();
    // A short cycle, by its seconds; one that the end of a contract cuts costs all the same.
    story.variant.short_cycle = ShortCycle::Prorated;
    story.cycle.basis_seconds = 2 * story.cycle.period.seconds();
    assert_eq!(story.amounts().0, [1_000]);
    story.cycle = Cycle {
        period: Period {
            end: at("2026-03-05"),
            ..cycle().period
        },
        ..cycle()
    };
    assert_eq!(story.amounts().0, [2_000]);
    story.cycle = Cycle {
        trial: true,
        ..cycle()
    };
    assert_eq!(story.amounts().0, Vec::<i64>::new());
}

#[test]
fn nothing_with_a_price_has_no_currency() {
    let free = vendor::variant(1, Mode::Postpaid);
    let bill = CycleBill {
        cycle: &cycle(),
        variant: &free,
        plan: "Free",
        changes: &[],
        counts: &[],
        metrics: &BTreeMap::new(),
        blocks: &HashMap::new(),
        settlement: Settlement::NextInvoice,
        overdraft: Credits::ZERO,
    };
    assert_eq!(bill.currency(), None);
}

#[test]
fn late_usage_is_settled_as_far_as_it_is_open() {
    let overdrawn = |amount: &'static str| used(1_000, amount, &[(Purse::Overdraft, amount)]);
    let first = Story {
        overdraft: "500",
        ..Story::of(pro(), overdrawn("500"))
    };
    let billed = first.bill().unwrap();
    assert_eq!(billed.settles, credits("500"));
    // Settled since, and overdrawn by 300 more, of which a purchase has repaid 100.
    let later = Story {
        overdraft: "200",
        ..Story::of(pro(), overdrawn("800"))
    };
    let late = later.late(&billed.lines);
    assert_eq!((late.lines[0].amount, late.settles), (usd(200), credits("200")));
    // What was taken back afterwards is a credit note's to give back.
    let fewer = Story::of(pro(), overdrawn("100")).late(&billed.lines);
    assert_eq!((fewer.lines.len(), fewer.settles), (0, Credits::ZERO));
}

proptest! {
    /// However often a cycle is billed while its usage goes on, the invoices come to what one at the end would have come to.
    #[test]
    fn in_any_number_of_invoices_usage_costs_the_same(uses in prop::collection::vec(0..40_000_i64, 1..6)) {
        let story = |units: i64| {
            let cost = units.to_string();
            Story::of(p4(), used(units, &cost, &[(Purse::Block(BUDGET), &cost)]))
        };
        let mut units = uses[0];
        let mut lines = story(units).bill().unwrap().lines;
        for more in &uses[1..] {
            units += more;
            let late = story(units).late(&lines);
            lines.extend(late.lines);
        }
        let whole: i64 = story(units).bill().unwrap().lines.iter().map(|line| line.amount.minor).sum();
        prop_assert_eq!(lines.iter().map(|line| line.amount.minor).sum::<i64>(), whole);
    }
}
