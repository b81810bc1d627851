//! Changing the plan: at the boundary, or now, by the second.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use common::{
    cases, credits, instant, metric, per_unit,
    vendor::{Vendor, percent, plain, template, variant},
};
use domain::{
    amount::Credits,
    id::TemplateId,
    money::{Currency, Money},
    plan::{
        Offer,
        interval::Interval,
        template::{Expiry, GrantTemplate},
        variant::{Mode, Variant},
    },
    subscription::{
        Refused, contract::Contract, create::NewSubscription, due::Task, fact::What, state::State,
    },
};
use proptest::{option, prelude::*};
use uuid::Uuid;

fn plan(number: u128, fee: &str, amount: &str, bonus: &str) -> Offer {
    Offer {
        variant: Variant {
            fee: Some(Money::parse(fee, Currency::USD).unwrap()),
            ..variant(number, Mode::Postpaid)
        },
        templates: vec![GrantTemplate {
            bonus: percent(bonus),
            ..template(number, amount)
        }],
    }
}

/// Source P3's Starter, Pro and Pro+, in a month of 30 days.
fn vendor() -> Vendor {
    let yearly = |mut offer: Offer| {
        offer.variant.interval = Interval::YEARLY;
        offer
    };
    let plans = vec![
        plan(1, "5", "5", "0"),
        plan(2, "20", "20", "20"),
        plan(3, "300", "300", "20"),
        yearly(plan(4, "48", "60", "0")),
    ];
    let mut vendor = Vendor::new(plans, plain(), instant("2026-04-01"));
    vendor.prices.insert(metric(1), per_unit("1"));
    vendor
}

#[test]
fn with_the_next_cycle() {
    let mut vendor = vendor();
    vendor.until("2026-04-10");
    vendor.change(1, false).unwrap();
    assert_eq!(vendor.balance(), credits("5"));
    vendor.until("2026-05-01");
    assert_eq!(vendor.balance(), credits("24"));
    assert!(matches!(vendor.last(), What::PlanChanged { .. }));
    assert!(vendor.money.is_empty());
    // A change that is taken back.
    vendor.change(2, false).unwrap();
    vendor.change(1, false).unwrap();
    assert_eq!(vendor.change(1, false), Err(Refused::SameVariant));
    // To another interval: the billing day stays.
    vendor.change(3, false).unwrap();
    vendor.until("2026-06-01");
    let cycle = vendor.subscription.cycle.as_ref().unwrap();
    assert_eq!((cycle.number, cycle.period.end), (3, instant("2027-06-01")));
}

#[test]
fn now_by_the_second() {
    // Half of the month is over.
    let mut fresh = vendor();
    fresh.until("2026-04-16");
    fresh.change(1, true).unwrap();
    let end = "until 2026-05-01T00:00:00Z";
    let expected = [
        format!("PLAN_GRANT 2.5 {end}"),
        format!("BONUS 2 {end}"),
        format!("PLAN_GRANT 10 {end}"),
    ];
    let mut blocks = fresh.blocks();
    blocks.sort_unstable();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(blocks, expected);
    assert_eq!(fresh.money, ["-2.50 USD", "10.00 USD"]);
    fresh.until("2026-05-01");
    assert_eq!(fresh.balance(), credits("24"));
    // Everything was used already: the half that was used ahead of time is missing.
    let mut spent = vendor();
    spent.consume(1, "5");
    spent.until("2026-04-16");
    spent.change(1, true).unwrap();
    assert_eq!(spent.balance(), credits("9.5"));
    // Down: what was used stays used, the rest of the large grant goes back.
    let mut down = vendor();
    down.until("2026-04-16");
    down.change(2, true).unwrap();
    down.change(0, true).unwrap();
    assert_eq!(down.balance(), credits("5"), "to and fro creates nothing");
    assert_eq!(down.money, ["-2.50 USD", "150.00 USD", "-150.00 USD", "2.50 USD"]);
    assert_eq!(down.change(0, true), Err(Refused::SameVariant));
}

#[test]
fn now_to_another_interval_begins_a_new_cycle() {
    let mut vendor = vendor();
    vendor.until("2026-04-16");
    vendor.change(3, true).unwrap();
    assert_eq!(vendor.blocks(), ["PLAN_GRANT 60 until 2027-04-16T00:00:00Z"]);
    assert_eq!(vendor.money, ["-2.50 USD", "48.00 USD"]);
    vendor.until("2026-04-17");
    assert!(matches!(vendor.last(), What::Renewed { .. }));
    assert_eq!(vendor.closed[0].cycle.period.end, instant("2026-04-16"));
    vendor.until("2027-04-17");
    assert_eq!(vendor.balance(), credits("60"));
    // Two and a half credits were used ahead of time.
    let mut spent = self::vendor();
    spent.consume(1, "5");
    spent.until("2026-04-16");
    spent.change(3, true).unwrap();
    assert_eq!(spent.balance(), credits("57.5"));
}

#[test]
fn archived_plans_take_nobody_and_keep_whom_they_have() {
    let mut vendor = vendor();
    vendor.offers[1].variant.archived_at = Some(instant("2026-04-02"));
    vendor.until("2026-04-10");
    assert_eq!(vendor.change(1, false), Err(Refused::ArchivedVariant));
    assert_eq!(vendor.change(1, true), Err(Refused::ArchivedVariant));
    vendor.offers[0].variant.archived_at = Some(instant("2026-04-02"));
    vendor.until("2026-05-02");
    assert_eq!((vendor.state(), vendor.balance()), (State::Active, credits("5")));
}

#[test]
fn a_trial_changes_what_comes_after_it() {
    let mut plans = vec![plan(1, "5", "5", "0"), plan(2, "20", "20", "20")];
    plans[0].variant.trial_days = 10;
    let mut vendor = Vendor::new(plans, plain(), instant("2026-04-01"));
    vendor.until("2026-04-05");
    vendor.change(1, true).unwrap();
    assert_eq!(
        (vendor.state(), vendor.balance()),
        (State::Trialing, credits("0"))
    );
    vendor.until("2026-04-11");
    assert_eq!((vendor.state(), vendor.balance()), (State::Active, credits("24")));
    assert!(vendor.money.is_empty());
}

#[test]
fn a_change_that_was_agreed_survives_a_pause() {
    let mut vendor = vendor();
    vendor.change(3, false).unwrap();
    vendor.pause().unwrap();
    vendor.until("2026-06-10");
    vendor.resume().unwrap();
    assert_eq!(vendor.blocks(), ["PLAN_GRANT 60 until 2027-06-10T00:00:00Z"]);
    assert_eq!(vendor.subscription.next_variant, None);
}

#[derive(Debug, Clone)]
enum Move {
    Wait(i64),
    Use(u32),
    Change(usize),
    ChangeLater(usize),
    Pause,
    Resume,
    Cancel,
    Renew,
    Extend(i64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => (1..40_i64 * 86_400).prop_map(Move::Wait),
        3 => (0..30_u32).prop_map(Move::Use),
        2 => (0..4_usize).prop_map(Move::Change),
        1 => (0..4_usize).prop_map(Move::ChangeLater),
        1 => Just(Move::Pause),
        2 => Just(Move::Resume),
        1 => Just(Move::Cancel),
        2 => Just(Move::Renew),
        1 => (1..100_i64).prop_map(Move::Extend),
    ];
    proptest::collection::vec(one, 1..40)
}

/// Plans of every kind: prepaid with grace, a trial, monthly credits in a year, rollover with a cap, credits that stay.
fn all_kinds() -> Vec<Offer> {
    let mut offers = vec![
        plan(1, "5", "5", "0"),
        plan(2, "20", "20", "20"),
        plan(3, "300", "300", "20"),
        plan(4, "48", "60", "0"),
    ];
    offers[0].variant.trial_days = 3;
    offers[1].variant.mode = Mode::Prepaid;
    offers[1].variant.grace_days = 20;
    offers[1].variant.renewal_due_days = 4;
    offers[1].templates[0].rollover = percent("50");
    offers[1].templates[0].accumulation_cap = Some(credits("30"));
    offers[2].templates[0].expiry = Expiry::Never;
    offers[3].variant.interval = Interval::YEARLY;
    offers[3].templates[0].every = Some(Interval::MONTHLY);
    offers[3].templates.push(GrantTemplate {
        id: TemplateId(Uuid::from_u128(40)),
        rollover: percent("100"),
        ..template(40, "7")
    });
    offers
}

fn play(vendor: &mut Vendor, moves: &[Move], patient: bool) {
    for step in moves {
        match step {
            Move::Wait(seconds) => {
                let to = vendor.now.plus_seconds(*seconds);
                // A patient worker looks every ten days, the other one comes at the end.
                while patient && vendor.now.plus_seconds(864_000) < to {
                    let next = vendor.now.plus_seconds(864_000).to_string();
                    vendor.until(&next);
                }
                vendor.until(&to.to_string());
            }
            Move::Use(amount) => vendor.consume(1, &amount.to_string()),
            Move::Change(to) => _ = vendor.change(*to, true),
            Move::ChangeLater(to) => _ = vendor.change(*to, false),
            Move::Pause => _ = vendor.pause(),
            Move::Resume => _ = vendor.resume(),
            Move::Cancel => _ = vendor.cancel(domain::subscription::pause::When::AtEnd),
            Move::Renew => _ = vendor.renew(),
            Move::Extend(days) => {
                let end = vendor.now.plus_seconds(days * 86_400).to_string();
                let _ = vendor.extend(&end);
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(96))]

    /// Whatever is asked in whatever order: effects and facts are unique, cycles close once and in order (the vendor asserts it), and
    /// an outage changes nothing.
    #[test]
    fn any_life_is_orderly_and_outages_change_nothing(first in 0..4_usize, ends in option::of(1..200_i64), moves in moves()) {
        let mut offers = all_kinds();
        offers.swap(0, first);
        let build = || {
            let now = instant("2026-01-31T10:30:00Z");
            let contract = ends.map(|days| Contract::new(None, now.plus_seconds(days * 86_400), Some(9), now).unwrap());
            let mut vendor = Vendor::new(offers.clone(), NewSubscription { contract, ..plain() }, now);
            vendor.prices.insert(metric(1), per_unit("1"));
            vendor
        };
        let (mut once, mut often) = (build(), build());
        play(&mut once, &moves, false);
        play(&mut often, &moves, true);
        prop_assert_eq!(&once.subscription, &often.subscription);
        prop_assert_eq!(once.blocks(), often.blocks());
        prop_assert_eq!(&once.facts, &often.facts);
        prop_assert_eq!(&once.closed, &often.closed);
        prop_assert!(once.steps.is_sorted_by_key(|due| due.at));
        let closes = once.steps.iter().filter(|due| due.task == Task::Close).count();
        prop_assert_eq!(closes, once.closed.len());
        // Every cycle that ended has closed or waits to.
        let running = usize::from(once.subscription.cycle.is_some());
        let trial = usize::from(once.closed.iter().any(|it| it.cycle.trial) || once.subscription.closing.iter().any(|it| it.trial));
        let begun = usize::try_from(once.subscription.last_number).unwrap();
        if once.subscription.cycle.as_ref().is_none_or(|cycle| !cycle.trial) {
            prop_assert_eq!(once.closed.len() + once.subscription.closing.len() + running, begun + trial);
        }
    }

    /// Changing to other plans and back at one instant leaves the balance as it was, or lower, whatever was used before.
    #[test]
    fn to_and_fro_creates_nothing(
        used in 0..30_u32,
        second in 1..2_591_999_i64,
        via in proptest::collection::vec(0..3_usize, 1..6),
        home in 0..3_usize,
    ) {
        let mut vendor = vendor();
        let _ = vendor.change(home, true);
        vendor.consume(1, &used.to_string());
        let at = vendor.now.plus_seconds(second).to_string();
        vendor.until(&at);
        let before = vendor.balance();
        for plan in via {
            let _ = vendor.change(plan, true);
        }
        let _ = vendor.change(home, true);
        let after = vendor.balance();
        prop_assert!(after <= before.plus(Credits::from_raw(9)).unwrap(), "{} then {}", before, after);
    }
}
