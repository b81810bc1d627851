//! Known answers of the sources, tables for every kind of price, and what holds for all of them.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    metering::{Flat, Package, PerUnit, Tier},
    time::Timestamp,
};

fn tiers(tiers: &[(&str, &str)]) -> Vec<Tier> {
    tiers
        .iter()
        .map(|&(up_to, price)| Tier {
            up_to: (up_to != "∞").then(|| up_to.parse().unwrap()),
            credits_per_unit: price.parse().unwrap(),
        })
        .collect()
}

/// The prices that the tables speak of.
fn price(name: &str) -> Price {
    match name {
        // Source P4: "tiered fiat pricing".
        "p4" => Price::Graduated(Graduated {
            tiers: tiers(&[("10000", "0.01"), ("100000", "0.005"), ("∞", "0.001")]),
        }),
        "thirds" => Price::Graduated(Graduated {
            tiers: tiers(&[("1", "0.335"), ("2", "0.335"), ("∞", "0.335")]),
        }),
        "volume" => Price::Volume(Volume {
            tiers: tiers(&[("1000", "0.02"), ("10000", "0.015"), ("∞", "0.01")]),
        }),
        "per 1000" => Price::Package(Package {
            size: "1000".parse().unwrap(),
            credits_per_package: "3".parse().unwrap(),
        }),
        "flat" => Price::Flat(Flat {
            credits: "0.25".parse().unwrap(),
        }),
        each => Price::PerUnit(PerUnit {
            credits_per_unit: each.parse().unwrap(),
        }),
    }
}

fn credits(text: &str) -> Credits {
    text.parse().unwrap()
}

fn period() -> Period {
    Period {
        start: Timestamp::MIN,
        end: Timestamp::MAX,
    }
}

/// Usage whose credits were covered, drawn from budgets, and overdrawn.
fn bill(units: &str, events: i64, parts: [&str; 3]) -> MetricBill {
    let [covered, budget, overdraft] = parts.map(credits);
    MetricBill {
        metric: MetricId(Uuid::nil()),
        name: "API calls".to_owned(),
        unit: "call".to_owned(),
        position: Position {
            units: units.parse().unwrap(),
            events,
        },
        credits: CreditsUsed {
            total: Credits::total([covered, budget, overdraft]).unwrap(),
            covered,
            budget,
            overdraft,
            written_off: Credits::ZERO,
        },
        money_price: None,
        credit_price: None,
    }
}

fn in_money(bill: MetricBill, currency: &str, name: &str) -> MetricBill {
    MetricBill {
        money_price: Some(MoneyPrice {
            currency: currency.parse().unwrap(),
            price: price(name),
        }),
        ..bill
    }
}

fn in_credits(bill: MetricBill, currency: &str, per_credit: &str) -> MetricBill {
    MetricBill {
        credit_price: Some(CreditPrice {
            currency: currency.parse().unwrap(),
            per_credit: per_credit.parse().unwrap(),
        }),
        ..bill
    }
}

/// The line and its usage.
fn made(bill: &MetricBill, currency: &str) -> (Line, Usage) {
    let line = line(bill, period(), currency.parse().unwrap()).unwrap();
    let Detail::Usage(usage) = line.detail.clone() else {
        panic!("{line:?}")
    };
    (line, usage)
}

/// `quantity × unit price = amount`, one for each part.
fn shown(usage: &Usage) -> Vec<String> {
    let part = |part: &Part| {
        format!(
            "{} × {} = {}",
            part.quantity,
            part.unit_price,
            part.amount.amount()
        )
    };
    usage.parts.iter().map(part).collect()
}

/// Source P4 prints $550 for this month; its own code gives $475.
#[test]
fn p4_invoice_of_85000_calls() {
    let bill = in_money(bill("85000", 85_000, ["0", "47500", "0"]), "USD", "p4");
    let (line, usage) = made(&bill, "USD");
    assert_eq!(line.amount.to_string(), "475.00 USD");
    assert_eq!(shown(&usage), ["10000 × 0.01 = 100.00", "75000 × 0.005 = 375.00"]);
    assert_eq!(usage.covered.minor, 0);
}

/// Source P0: usage by service in seconds, the unit price applied, and the total.
#[test]
fn p0_itemised_invoice() {
    let services = [
        ("STT", "54321.5", "0.0004", "21.73"),
        ("Pronunciation feedback", "1800", "0.0012", "2.16"),
    ];
    let mut total = Money::of(0, Currency::USD);
    for (name, seconds, each, amount) in services {
        let bill = MetricBill {
            name: name.to_owned(),
            unit: "second".to_owned(),
            ..in_money(bill(seconds, 40, ["0", "100", "0"]), "USD", each)
        };
        let (line, usage) = made(&bill, "USD");
        assert_eq!(line.description, name);
        assert_eq!(line.amount.amount(), amount);
        assert_eq!(shown(&usage), [format!("{seconds} × {each} = {amount}")]);
        assert_eq!(usage.unit, "second");
        total = total.plus(line.amount).unwrap();
    }
    assert_eq!(total.to_string(), "23.89 USD");
}

/// Source P1: usage is first deducted from the prepaid credits; what exceeds them is billed.
#[test]
fn what_is_billed() {
    for (what, parts, full, covered, billed) in [
        (
            "prepaid covers a part",
            ["6000", "0", "4000"],
            10_000,
            6_000,
            4_000,
        ),
        ("prepaid covers all", ["10000", "0", "0"], 10_000, 10_000, 0),
        ("budget only", ["0", "10000", "0"], 10_000, 0, 10_000),
        ("overdraft only", ["0", "0", "10000"], 10_000, 0, 10_000),
        ("of each", ["2500", "2500", "5000"], 10_000, 2_500, 7_500),
        ("cost no credits", ["0", "0", "0"], 10_000, 0, 10_000),
        (
            "rounded half to even",
            ["1", "0", "1.000000"],
            10_000,
            5_000,
            5_000,
        ),
        ("rounded", ["2", "0", "1"], 10_000, 6_667, 3_333),
    ] {
        let (line, usage) = made(&in_money(bill("10000", 9, parts), "USD", "0.01"), "USD");
        let found = (usage.full.minor, usage.covered.minor, line.amount.minor);
        assert_eq!(found, (full, covered, billed), "{what}");
    }
}

#[test]
fn usage_that_goes_by_credits() {
    for (what, parts, full, billed, part) in [
        (
            "overdraft",
            ["0", "0", "1500"],
            1_500,
            1_500,
            Some("1500 × 0.01 = 15.00"),
        ),
        (
            "covered in part",
            ["1000", "0", "500"],
            1_500,
            500,
            Some("1500 × 0.01 = 15.00"),
        ),
        ("no credits", ["0", "0", "0"], 0, 0, None),
    ] {
        let (line, usage) = made(&in_credits(bill("3", 3, parts), "USD", "0.01"), "USD");
        assert_eq!((usage.full.minor, line.amount.minor), (full, billed), "{what}");
        assert_eq!(shown(&usage), Vec::from_iter(part), "{what}");
    }
    // Rounded once: half a cent is none, although the full amount was rounded up to two.
    let small = in_credits(bill("3", 3, ["2", "0", "1"]), "USD", "0.005");
    let (line, usage) = made(&small, "USD");
    assert_eq!(
        (usage.full.minor, usage.covered.minor, line.amount.minor),
        (2, 2, 0)
    );
    // Its own price goes before that of credits.
    let both = in_credits(in_money(bill("2", 2, ["0", "0", "9"]), "USD", "3"), "USD", "1");
    assert_eq!(made(&both, "USD").0.amount.amount(), "6.00");
    // Without a price it is shown.
    let (line, usage) = made(&bill("2", 2, ["0", "0", "9"]), "JPY");
    assert_eq!(
        (line.amount.to_string().as_str(), usage.pricing),
        ("0 JPY", Pricing::Nothing)
    );
}

/// Price, units, events, currency, what is counted, parts.
type Row = (
    &'static str,
    &'static str,
    i64,
    &'static str,
    Counts,
    &'static [&'static str],
);

#[rustfmt::skip]
const PARTS: &[Row] = &[
    ("0.002", "1250", 3, "USD", Counts::Units, &["1250 × 0.002 = 2.50"]),
    ("flat", "999", 3, "USD", Counts::Events, &["3 × 0.25 = 0.75"]),
    ("per 1000", "1000.5", 3, "USD", Counts::Packages, &["2 × 3 = 6.00"]),
    ("volume", "1000", 3, "USD", Counts::Units, &["1000 × 0.02 = 20.00"]),
    ("volume", "1001", 3, "USD", Counts::Units, &["1001 × 0.015 = 15.02"]),
    ("p4", "10000", 3, "USD", Counts::Units, &["10000 × 0.01 = 100.00"]),
    ("p4", "100001", 3, "USD", Counts::Units, &["10000 × 0.01 = 100.00", "90000 × 0.005 = 450.00", "1 × 0.001 = 0.00"]),
    // 0.335, 0.67 and 1.005 are rounded, and not the three parts: 0.34 each would be 1.02.
    ("thirds", "3", 3, "USD", Counts::Units, &["1 × 0.335 = 0.34", "1 × 0.335 = 0.33", "1 × 0.335 = 0.33"]),
    ("p4", "85000", 3, "JPY", Counts::Units, &["10000 × 0.01 = 100", "75000 × 0.005 = 375"]),
    ("0.0015", "333", 3, "JPY", Counts::Units, &["333 × 0.0015 = 0"]),
    ("0.0015", "333", 3, "KWD", Counts::Units, &["333 × 0.0015 = 0.500"]),
    ("p4", "10001", 3, "KWD", Counts::Units, &["10000 × 0.01 = 100.000", "1 × 0.005 = 0.005"]),
    ("p4", "0", 0, "USD", Counts::Units, &[]),
    ("volume", "0", 0, "USD", Counts::Units, &[]),
    ("flat", "0", 0, "USD", Counts::Events, &[]),
];

#[test]
fn parts_of_every_kind_of_price() {
    for &(name, units, events, currency, counts, parts) in PARTS {
        let bill = in_money(bill(units, events, ["0", "1", "0"]), currency, name);
        let (line, usage) = made(&bill, currency);
        assert_eq!(shown(&usage), parts, "{name} {units}");
        assert!(
            usage.parts.iter().all(|part| part.counts == counts),
            "{name} {units}"
        );
        let sum: i64 = usage.parts.iter().map(|part| part.amount.minor).sum();
        assert_eq!(sum, line.amount.minor, "{name} {units}");
    }
}

#[test]
fn where_tiers_begin_and_end() {
    let tier = |units| {
        made(&in_money(bill(units, 1, ["0", "1", "0"]), "USD", "volume"), "USD")
            .1
            .parts[0]
    };
    for (units, above, up_to) in [
        ("1000", "0", Some("1000")),
        ("1001", "1000", Some("10000")),
        ("20000", "10000", None),
    ] {
        let part = tier(units);
        let found = (part.above.to_string(), part.up_to.map(|end| end.to_string()));
        assert_eq!(found, (above.to_owned(), up_to.map(str::to_owned)), "{units}");
    }
}

#[test]
fn what_makes_no_line() {
    let good = in_money(bill("10", 1, ["1", "2", "3"]), "USD", "0.01");
    let make = |bill: &MetricBill| line(bill, period(), Currency::USD).map(|_| ());
    assert_eq!(make(&good), Ok(()));
    let mut wrong = good.clone();
    wrong.credits.total = credits("7");
    assert_eq!(make(&wrong), Err(BillError::DoesNotAddUp));
    let mut negative = good.clone();
    (negative.credits.covered, negative.credits.budget) = (credits("-1"), credits("4"));
    assert_eq!(make(&negative), Err(BillError::DoesNotAddUp));
    let foreign = in_money(good.clone(), "EUR", "0.01");
    assert_eq!(
        make(&foreign),
        Err(BillError::Money(MoneyError::Currencies(
            Currency::USD,
            Currency::EUR
        )))
    );
    let huge = in_money(bill("9000000000000", 1, ["0", "1", "0"]), "USD", "9000000");
    assert_eq!(make(&huge), Err(BillError::from(Overflow)));
}

fn any_price() -> impl Strategy<Value = Price> {
    let rate = || (0..2_000_000_000_000_i64).prop_map(Rate::from_raw);
    let tiers = || {
        (prop::collection::vec((1..9_000_000_i64, rate()), 0..4), rate()).prop_map(|(steps, last)| {
            let mut end = 0;
            let mut tiers: Vec<Tier> = steps
                .into_iter()
                .map(|(step, credits_per_unit)| {
                    end += step;
                    Tier {
                        up_to: Some(Quantity::from_raw(end)),
                        credits_per_unit,
                    }
                })
                .collect();
            tiers.push(Tier {
                up_to: None,
                credits_per_unit: last,
            });
            tiers
        })
    };
    prop_oneof![
        rate().prop_map(|credits| Price::Flat(Flat { credits })),
        rate().prop_map(|credits_per_unit| Price::PerUnit(PerUnit { credits_per_unit })),
        tiers().prop_map(|tiers| Price::Graduated(Graduated { tiers })),
        tiers().prop_map(|tiers| Price::Volume(Volume { tiers })),
        (1..5_000_000_i64, rate()).prop_map(|(size, credits_per_package)| {
            Price::Package(Package {
                size: Quantity::from_raw(size),
                credits_per_package,
            })
        }),
    ]
}

/// A bill of usage in so many events.
fn any_bill(price: Price, currency: &str, events: &[i64], parts: (i64, i64, i64)) -> MetricBill {
    let start = in_money(bill("0", 0, ["0", "0", "0"]), currency, "1");
    let position = events.iter().try_fold(Position::default(), |position, &raw| {
        position.after(Quantity::from_raw(raw))
    });
    let [covered, budget, overdraft] = [parts.0, parts.1, parts.2].map(Credits::from_raw);
    MetricBill {
        position: position.unwrap(),
        credits: CreditsUsed {
            total: Credits::total([covered, budget, overdraft]).unwrap(),
            covered,
            budget,
            overdraft,
            written_off: Credits::ZERO,
        },
        money_price: start.money_price.map(|known| MoneyPrice { price, ..known }),
        ..start
    }
}

proptest! {
    /// Parts add up to the full amount; what is billed and what is covered do too; nothing is below zero.
    #[test]
    fn it_adds_up(
        price in any_price(),
        currency in prop::sample::select(vec!["USD", "JPY", "KWD", "CLF"]),
        events in prop::collection::vec(0..9_000_000_i64, 0..8),
        parts in (0..9_000_000_i64, 0..9_000_000_i64, 0..9_000_000_i64),
    ) {
        let bill = any_bill(price, currency, &events, parts);
        let (line, usage) = made(&bill, currency);
        let sum: i64 = usage.parts.iter().map(|part| part.amount.minor).sum();
        prop_assert_eq!(sum, usage.full.minor);
        prop_assert_eq!(line.amount.minor + usage.covered.minor, usage.full.minor);
        prop_assert!(line.amount.minor >= 0 && usage.covered.minor >= 0);
        prop_assert!(usage.parts.iter().all(|part| part.amount.minor >= 0 && part.quantity.is_positive()));
        let money = bill.money_price.unwrap();
        prop_assert_eq!(Ok(usage.full), money.cumulative(bill.position));
        if matches!(money.price, Price::Graduated(_)) {
            let units: i64 = usage.parts.iter().map(|part| part.quantity.raw()).sum();
            prop_assert_eq!(units, usage.units.raw());
        }
    }

    /// However the usage of a cycle was split and ordered, its line is the same; a flat price counts events, so only for it their number
    /// matters.
    #[test]
    fn splits_do_not_matter(
        price in any_price(),
        (events, shuffled) in prop::collection::vec(0..9_000_000_i64, 1..8).prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
        parts in (0..9_000_000_i64, 0..9_000_000_i64, 0..9_000_000_i64),
    ) {
        let amount = |events: &[i64]| made(&any_bill(price.clone(), "USD", events, parts), "USD").0.amount;
        prop_assert_eq!(amount(&events), amount(&shuffled));
        if !matches!(price, Price::Flat(_)) {
            prop_assert_eq!(amount(&events), amount(&[events.iter().sum()]));
        }
    }

    /// Usage that goes by credits costs what its billed credits cost.
    #[test]
    fn credits_add_up(rate in 0..9_000_000_000_000_i64, parts in (0..9_000_000_i64, 0..9_000_000_i64, 0..9_000_000_i64)) {
        let credit = CreditPrice { currency: Currency::USD, per_credit: Rate::from_raw(rate) };
        let bill = MetricBill { money_price: None, credit_price: Some(credit), ..any_bill(price("1"), "USD", &[5], parts) };
        let (line, usage) = made(&bill, "USD");
        prop_assert_eq!(Ok(line.amount), credit.of(Credits::from_raw(parts.1 + parts.2)));
        prop_assert_eq!(line.amount.minor + usage.covered.minor, usage.full.minor);
        prop_assert!(line.amount.minor >= 0 && usage.covered.minor >= 0);
        prop_assert_eq!(usage.parts.iter().map(|part| part.amount.minor).sum::<i64>(), usage.full.minor);
    }

    /// A line is kept as JSON.
    #[test]
    fn it_is_kept(price in any_price(), events in prop::collection::vec(0..9_000_000_i64, 0..8)) {
        let (line, _) = made(&any_bill(price, "KWD", &events, (1, 2, 3)), "KWD");
        let json = serde_json::to_string(&line).unwrap();
        prop_assert_eq!(serde_json::from_str::<Line>(&json).unwrap(), line);
    }
}
