//! All subscriptions of a customer together: one order, one purse, and a gate that knows what is about to happen.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::collections::{BTreeMap, HashMap, HashSet};

use common::{
    block, block_id, cases, credits, instant, metric, micro,
    vendor::{plain, template, variant},
};
use domain::{
    amount::{Credits, Quantity},
    credit::{
        block::{Billing, Block, Source},
        burn::Funds,
    },
    customer::{AtZero, Settlement, Terms},
    cycle::late::Timeline,
    gate::{Question, Standing},
    id::{BlockId, EventId, SubscriptionId, VariantId},
    ledger::{Account, Entry, EntryKind, chain::EntryHash},
    metering::rule::{Properties, RuleBook},
    plan::{Offer, Offers, interval::Interval, template::GrantTemplate, variant::Mode},
    subscription::{
        Subscription,
        admission::Admission,
        create::NewSubscription,
        due::Task,
        portfolio::{Moved, Portfolio},
    },
    time::Timestamp,
    usage::{CustomerState, event::PendingEvent},
};
use proptest::prelude::*;
use uuid::Uuid;

fn offer(number: u128, templates: Vec<GrantTemplate>) -> Offer {
    Offer {
        variant: variant(number, Mode::Postpaid),
        templates,
    }
}

fn offers(all: Vec<Offer>) -> Offers {
    all.into_iter().map(|offer| (offer.variant.id, offer)).collect()
}

fn id(number: u128) -> SubscriptionId {
    SubscriptionId(Uuid::from_u128(number))
}

/// A customer without anything.
fn state(blocks: Vec<Block>, settlement: Settlement) -> CustomerState {
    CustomerState {
        customer: plain().customer,
        settlement,
        account: Account {
            sequence: 0,
            blocks: Credits::total(blocks.iter().map(|block| block.remaining)).unwrap(),
            overdraft: Credits::ZERO,
            head: EntryHash::NONE,
            watched_balance: None,
            low_balance: None,
        },
        funds: Funds::new(blocks, Credits::ZERO),
        counters: HashMap::new(),
        timeline: Timeline::default(),
    }
}

struct World<'a> {
    portfolio: Portfolio<'a>,
    entries: Vec<Entry>,
    names: u128,
}

impl<'a> World<'a> {
    fn new(offers: &'a Offers, blocks: Vec<Block>, settlement: Settlement) -> Self {
        Self {
            portfolio: Portfolio {
                state: state(blocks, settlement),
                agreements: Vec::new(),
                offers,
            },
            entries: Vec::new(),
            names: 1_000,
        }
    }

    fn name(names: &mut u128) -> impl FnMut() -> BlockId + '_ {
        || {
            *names += 1;
            block_id(*names)
        }
    }

    fn subscribe(&mut self, number: u128, to: u128, now: &str) {
        let offers = self.portfolio.offers;
        let to = &offers[&VariantId(Uuid::from_u128(to))];
        let new = NewSubscription {
            id: id(number),
            ..plain()
        };
        let balance = self.portfolio.state.account.balance();
        let decision = Subscription::create(new, to, balance, instant(now)).unwrap();
        let moved = self
            .portfolio
            .apply(decision, Self::name(&mut self.names))
            .unwrap();
        self.note(&moved);
    }

    fn note(&mut self, moved: &Moved) {
        self.entries.extend(moved.posted.entries.iter().cloned());
    }

    /// Takes all that is due by an instant.
    fn until(&mut self, text: &str) -> Vec<(Timestamp, Task, SubscriptionId)> {
        self.until_instant(instant(text))
    }

    fn until_instant(&mut self, until: Timestamp) -> Vec<(Timestamp, Task, SubscriptionId)> {
        let mut steps = Vec::new();
        while let Some((due, of)) = self
            .portfolio
            .next_due()
            .unwrap()
            .filter(|(due, _)| due.at <= until)
        {
            let moved = self.portfolio.take(of, due, Self::name(&mut self.names)).unwrap();
            self.note(&moved);
            steps.push((due.at, due.task, of));
        }
        steps
    }

    fn balance(&self) -> Credits {
        self.portfolio.state.account.balance()
    }
}

#[test]
fn subscriptions_of_one_customer_turn_in_the_order_of_their_age() {
    let offers = offers(vec![
        offer(1, vec![template(1, "10")]),
        offer(2, vec![template(2, "5")]),
    ]);
    let mut world = World::new(&offers, vec![], Settlement::NextPurchase);
    world.subscribe(7, 2, "2026-01-01");
    world.subscribe(3, 1, "2026-01-01T00:00:00.000001Z");
    assert_eq!(world.balance(), credits("15"));
    let turn = |at: &str, of| (instant(at), Task::Turn, id(of));
    let close = |at: &str, of| (instant(at), Task::Close, id(of));
    assert_eq!(
        world.until("2026-02-02"),
        [
            turn("2026-02-01", 7),
            turn("2026-02-01T00:00:00.000001Z", 3),
            close("2026-02-01T00:01:00Z", 7),
            close("2026-02-01T00:01:00.000001Z", 3),
        ]
    );
    assert_eq!(
        world.balance(),
        credits("15"),
        "each has its new grant, none has both"
    );
    assert_eq!(world.portfolio.barrier().unwrap(), Some(instant("2026-03-01")));
}

#[test]
fn at_one_instant_the_older_subscription_comes_first() {
    let offers = offers(vec![offer(1, vec![template(1, "10")])]);
    let mut world = World::new(&offers, vec![], Settlement::NextPurchase);
    world.subscribe(9, 1, "2026-01-01");
    world.subscribe(4, 1, "2026-01-01");
    let of: Vec<_> = world.until("2026-02-01").into_iter().map(|(.., of)| of).collect();
    assert_eq!(of, [id(4), id(9)], "made at one instant, the smaller id");
}

#[test]
fn new_credits_repay_overdraft_by_the_terms_of_the_customer_and_budgets_never_do() {
    for (mode, settlement, left) in [
        (Mode::Prepaid, Settlement::NextPurchase, "7"),
        (Mode::Prepaid, Settlement::NextInvoice, "10"),
        (Mode::Postpaid, Settlement::NextPurchase, "10"),
    ] {
        let plan = Offer {
            variant: variant(1, mode),
            templates: vec![template(1, "10")],
        };
        let offers = offers(vec![plan]);
        let mut world = World::new(&offers, vec![], settlement);
        world.portfolio.state.account.overdraft = credits("3");
        world.portfolio.state.funds = Funds::new(vec![], credits("3"));
        world.subscribe(1, 1, "2026-01-01");
        let granted = &world.portfolio.agreements[0].blocks[0];
        assert_eq!(granted.remaining, credits(left), "{mode:?} {settlement:?}");
        assert_eq!(world.balance(), credits("7"));
        let repaid = world
            .entries
            .iter()
            .filter(|it| it.cause.kind == EntryKind::Repayment);
        assert_eq!(repaid.count(), usize::from(left == "7"));
    }
}

#[test]
fn what_runs_out_before_a_step_is_gone_by_then_and_what_runs_out_with_it_is_not() {
    let offers = offers(vec![offer(1, vec![template(1, "10")])]);
    for (expires, left) in [
        ("2026-01-31T23:59:59.999999Z", "10"),
        ("2026-02-01", "14"),
        ("2026-02-02", "14"),
    ] {
        let extra = Block {
            credits: credits("4"),
            remaining: credits("4"),
            expires_at: Some(instant(expires)),
            granted_at: instant("2026-01-01"),
            ..block(1, 0)
        };
        let mut world = World::new(&offers, vec![extra], Settlement::NextPurchase);
        world.subscribe(1, 1, "2026-01-01");
        let posted = world.portfolio.expire_before(instant("2026-02-01")).unwrap();
        assert_eq!(world.balance(), credits(left), "{expires}");
        assert_eq!(posted.changed.len(), usize::from(left == "10"));
        world.until("2026-02-01");
        let closing = &world.portfolio.agreements[0].subscription.closing[0];
        assert_eq!(closing.balance_at_end, credits(left), "{expires}");
    }
}

#[test]
fn a_change_of_plan_takes_back_by_lines_of_its_own() {
    let offers = offers(vec![
        offer(1, vec![template(1, "31")]),
        offer(2, vec![template(2, "62")]),
    ]);
    let mut world = World::new(&offers, vec![], Settlement::NextPurchase);
    world.subscribe(1, 1, "2026-01-01");
    let (now, to) = (instant("2026-01-11"), &offers[&VariantId(Uuid::from_u128(2))]);
    let names = World::name(&mut world.names);
    let moved = world
        .portfolio
        .ask(
            id(1),
            now,
            |it, deal, books| it.change_now(now, deal, to, books),
            names,
        )
        .unwrap();
    world.note(&moved);
    let lines: Vec<_> = world
        .entries
        .iter()
        .map(|it| (it.cause.kind, it.credits))
        .collect();
    assert_eq!(
        lines,
        [
            (EntryKind::Grant, credits("31")),
            (EntryKind::Proration, credits("-21")),
            (EntryKind::Grant, credits("42")),
        ]
    );
    assert_eq!(
        world.balance(),
        credits("52"),
        "ten days of the one, 21 of the other"
    );
}

fn used(number: u128, amount: i64, received: Timestamp) -> PendingEvent {
    PendingEvent {
        id: EventId(Uuid::from_u128(number)),
        metric: metric(1),
        units: Quantity::from_raw(amount),
        occurred_at: received,
        received_at: received,
        properties: Properties::new(),
    }
}

fn prices() -> RuleBook {
    common::book(vec![common::rule(1, 1, 1, common::per_unit("1"))])
}

fn standing(world: &World<'_>) -> Standing {
    let terms = Terms::new(AtZero::Block, None, Settlement::NextPurchase).unwrap();
    Standing::new(terms, Admission::Admitted, world.portfolio.state.clone())
}

#[test]
fn the_gate_opens_at_the_first_instant_of_the_new_cycle() {
    let offers = offers(vec![offer(1, vec![template(1, "10")])]);
    let mut world = World::new(&offers, vec![], Settlement::NextPurchase);
    world.subscribe(1, 1, "2026-01-01");
    let boundary = instant("2026-02-01");
    let just_before = Timestamp::from_micros(boundary.micros() - 1);
    // All of the old cycle's credits are used just before its end, and one of the new ones at its beginning.
    let waiting = [used(1, 10_000_000, just_before), used(2, 1_000_000, boundary)];
    let question = Question {
        metric: metric(1),
        units: Quantity::from_raw(9_000_000),
        properties: &Properties::new(),
        known_at: boundary,
    };
    let foresee = |until| {
        let agreements = world.portfolio.agreements.clone();
        let waiting: Vec<_> = waiting
            .iter()
            .filter(|it| it.received_at <= until)
            .cloned()
            .collect();
        standing(&world)
            .foresee(agreements, &offers, &prices(), &waiting, until)
            .unwrap()
            .0
    };
    assert!(
        !foresee(just_before)
            .decide(question, &prices(), just_before)
            .allowed
    );
    let mut then = foresee(boundary);
    let decision = then.decide(question, &prices(), boundary);
    assert_eq!((decision.allowed, decision.available), (true, Some(credits("9"))));
    assert_eq!(then.undebited(), credits("11"));
}

proptest! {
    #![proptest_config(cases(300))]

    /// Whatever time does, entries are numbered, their effects are different, and the totals are those of the blocks.
    #[test]
    fn the_books_follow_the_steps(
        days in prop::collection::vec(0_i32..80, 1..6),
        intervals in prop::collection::vec(0_usize..4, 2),
        overdraft in 0_i64..20_000_000,
        next_purchase in any::<bool>(),
        late in 0_i32..400,
    ) {
        let every = [Interval::DAILY, Interval::WEEKLY, Interval::MONTHLY, Interval::QUARTERLY];
        let plan = |number: u128, interval: usize| {
            let mut plan = offer(number, vec![template(number, "10"), GrantTemplate {
                source: Source::Promotion,
                billed: Some(Billing::Free),
                rollover: common::vendor::percent("50"),
                ..template(number + 10, "3")
            }]);
            plan.variant.interval = every[interval];
            plan
        };
        let offers = offers(vec![plan(1, intervals[0]), plan(2, intervals[1])]);
        let settlement = if next_purchase { Settlement::NextPurchase } else { Settlement::NextInvoice };
        let mut world = World::new(&offers, vec![], settlement);
        world.portfolio.state.account.overdraft = micro(overdraft);
        world.portfolio.state.funds = Funds::new(vec![], micro(overdraft));
        world.subscribe(1, 1, "2026-01-31");
        world.until("2026-02-03T12:00:00Z");
        world.subscribe(2, 2, "2026-02-03T12:00:00Z");
        let mut now = instant("2026-02-03T12:00:00Z");
        for days in days {
            now = domain::zone::Zone::UTC.plus_days(now, days);
            world.until_instant(now);
            let state = &world.portfolio.state;
            prop_assert!(state.check().is_ok());
        }
        let sequence: Vec<i64> = world.entries.iter().map(|it| it.sequence).collect();
        prop_assert_eq!(sequence, (1..=world.entries.len() as i64).collect::<Vec<_>>());
        let effects: HashSet<_> = world.entries.iter().map(|it| &it.cause.effect_key).collect();
        prop_assert_eq!(effects.len(), world.entries.len(), "each effect once");
        let mut moved: BTreeMap<Option<BlockId>, i128> = BTreeMap::new();
        for entry in &world.entries {
            let change = i128::from(entry.credits.raw()) + i128::from(entry.overdraft_change.raw());
            *moved.entry(entry.block).or_default() += change;
        }
        for block in world.portfolio.state.funds.blocks() {
            prop_assert_eq!(moved[&Some(block.id)], i128::from(block.remaining.raw()));
        }
        // Coming late makes no difference.
        let mut other = World::new(&offers, vec![], settlement);
        other.portfolio.state.account.overdraft = micro(overdraft);
        other.portfolio.state.funds = Funds::new(vec![], micro(overdraft));
        other.subscribe(1, 1, "2026-01-31");
        other.until("2026-02-03T12:00:00Z");
        other.subscribe(2, 2, "2026-02-03T12:00:00Z");
        let much_later = domain::zone::Zone::UTC.plus_days(now, late);
        other.until_instant(much_later);
        world.until_instant(much_later);
        prop_assert_eq!(other.balance(), world.balance());
    }
}
