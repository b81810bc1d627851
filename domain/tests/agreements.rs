//! What earlier agreements granted, and what the next one is to cost: neither is decided by the present plan.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use common::{
    credits, instant, metric, per_unit,
    vendor::{Vendor, percent, plain, template, variant},
};
use domain::{
    id::TemplateId,
    money::{Currency, Money},
    plan::{
        Offer,
        interval::Interval,
        template::{Expiry, GrantTemplate},
        variant::{Mode, Variant},
    },
    subscription::{
        Refused, contract::Contract, create::NewSubscription, fact::What, pause::When, state::State,
    },
    time::Timestamp,
};
use uuid::Uuid;

fn plan(number: u128, mode: Mode, fee: &str, template: GrantTemplate) -> Offer {
    let prepaid = mode == Mode::Prepaid && fee != "0";
    Offer {
        variant: Variant {
            fee: Some(Money::parse(fee, Currency::USD).unwrap()),
            renewal_due_days: if prepaid { 5 } else { 0 },
            grace_days: if prepaid { 10 } else { 0 },
            ..variant(number, mode)
        },
        templates: vec![template],
    }
}

fn rolling(number: u128, amount: &str, rollover: &str, cap: Option<&str>) -> GrantTemplate {
    GrantTemplate {
        rollover: percent(rollover),
        accumulation_cap: cap.map(credits),
        ..template(number, amount)
    }
}

fn daily(number: u128, amount: &str) -> GrantTemplate {
    GrantTemplate {
        every: Some(Interval::DAILY),
        ..template(number, amount)
    }
}

fn vendor(offers: Vec<Offer>, begin: &str) -> Vendor {
    let mut vendor = Vendor::new(offers, plain(), instant(begin));
    vendor.prices.insert(metric(1), per_unit("1"));
    vendor
}

fn told_at(vendor: &Vendor, name: &str) -> Vec<Timestamp> {
    let facts = vendor
        .facts
        .iter()
        .filter(|fact| fact.what.event().as_str().ends_with(name));
    facts.map(|fact| fact.at).collect()
}

/// In the middle of a month of 30 days, credits of half of it are taken back; what is left of the earned half rolls over when the cycle
/// ends, by the rules of the plan that granted it, however many changes ago that was.
#[test]
fn what_a_plan_granted_rolls_over_as_that_plan_says() {
    let plans = |number| match number {
        1 => plan(1, Mode::Postpaid, "0", rolling(1, "100", "50", None)),
        2 => plan(2, Mode::Postpaid, "0", rolling(2, "10", "100", None)),
        _ => plan(3, Mode::Postpaid, "0", template(3, "30")),
    };
    let mut once = vendor(vec![plans(1), plans(3)], "2026-04-01");
    once.until("2026-04-16");
    once.change(1, true).unwrap();
    once.until("2026-05-01");
    let end = "until 2026-06-01T00:00:00Z";
    assert_eq!(
        once.blocks(),
        [format!("ROLLOVER 25 {end}"), format!("PLAN_GRANT 30 {end}")]
    );

    let mut twice = vendor(vec![plans(1), plans(2), plans(3)], "2026-04-01");
    twice.until("2026-04-16");
    twice.change(1, true).unwrap();
    twice.until("2026-04-21");
    twice.change(2, true).unwrap();
    twice.until("2026-05-01");
    let mut blocks = twice.blocks();
    blocks.sort_unstable();
    // Half of the 50 that the first plan left, and all of the 5 × ⅓ that the second one did.
    assert_eq!(
        blocks,
        [
            format!("PLAN_GRANT 30 {end}"),
            format!("ROLLOVER 1.666667 {end}"),
            format!("ROLLOVER 25 {end}"),
        ]
    );
    // And again, two plans later.
    twice.until("2026-06-01");
    let kept = twice.blocks();
    assert!(
        kept.contains(&"ROLLOVER 12.5 until 2026-07-01T00:00:00Z".to_owned()),
        "{kept:?}"
    );
}

#[test]
fn a_longer_contract_moves_the_end_of_what_an_earlier_plan_granted() {
    let now = instant("2026-04-01");
    let new = NewSubscription {
        contract: Some(Contract::new(None, instant("2026-04-21"), None, now).unwrap()),
        ..plain()
    };
    let plans = vec![
        plan(1, Mode::Postpaid, "0", template(1, "100")),
        plan(2, Mode::Postpaid, "0", template(2, "30")),
    ];
    let mut vendor = Vendor::new(plans, new, now);
    vendor.until("2026-04-16");
    vendor.change(1, true).unwrap();
    vendor.extend("2027-01-01").unwrap();
    let ends = vendor
        .blocks()
        .into_iter()
        .map(|block| block.split(' ').next_back().unwrap().to_owned());
    assert_eq!(ends.collect::<Vec<_>>(), ["2026-05-01T00:00:00Z"; 2]);
}

/// Renewal goes by what the next cycle is to have.
#[test]
fn a_change_to_a_paid_plan_is_paid_before_it_begins() {
    let plans = || {
        vec![
            plan(1, Mode::Prepaid, "0", template(1, "1")),
            plan(2, Mode::Prepaid, "20", template(2, "20")),
        ]
    };
    let mut paid = vendor(plans(), "2026-04-01");
    assert_eq!(paid.renew(), Err(Refused::RenewsByItself));
    paid.change(1, false).unwrap();
    paid.until("2026-04-27");
    assert_eq!(told_at(&paid, "renewal_due"), [instant("2026-04-26")]);
    paid.renew().unwrap();
    paid.until("2026-05-01");
    assert_eq!((paid.state(), paid.balance()), (State::Active, credits("20")));

    let mut unpaid = vendor(plans(), "2026-04-01");
    unpaid.change(1, false).unwrap();
    unpaid.until("2026-05-01");
    assert_eq!((unpaid.state(), unpaid.balance()), (State::Overdue, credits("0")));
    unpaid.renew().unwrap();
    assert_eq!((unpaid.state(), unpaid.balance()), (State::Active, credits("20")));
}

#[test]
fn a_change_to_a_free_plan_takes_no_payment() {
    let mut vendor = vendor(
        vec![
            plan(1, Mode::Prepaid, "20", template(1, "20")),
            plan(2, Mode::Prepaid, "0", template(2, "1")),
        ],
        "2026-04-01",
    );
    vendor.change(1, false).unwrap();
    assert_eq!(vendor.renew(), Err(Refused::RenewsByItself));
    vendor.until("2026-05-02");
    assert!(told_at(&vendor, "renewal_due").is_empty());
    assert_eq!((vendor.state(), vendor.balance()), (State::Active, credits("1")));
}

/// Nothing is told as of an instant before what makes it so was agreed.
#[test]
fn renewal_is_due_at_the_earliest_when_it_was_agreed_that_a_cycle_follows() {
    let prepaid = || vec![plan(1, Mode::Prepaid, "20", template(1, "20"))];
    let mut back = vendor(prepaid(), "2026-04-01");
    back.until("2026-04-10");
    back.cancel(When::AtEnd).unwrap();
    back.until("2026-04-29");
    assert!(told_at(&back, "renewal_due").is_empty());
    back.resume().unwrap();
    back.until("2026-04-29T00:00:01Z");
    assert_eq!(told_at(&back, "renewal_due"), [instant("2026-04-29")]);

    let now = instant("2026-04-01");
    let new = NewSubscription {
        contract: Some(Contract::new(None, instant("2026-05-01"), None, now).unwrap()),
        ..plain()
    };
    let mut longer = Vendor::new(prepaid(), new, now);
    longer.until("2026-04-30");
    longer.extend("2027-05-01").unwrap();
    longer.until("2026-04-30T00:00:01Z");
    assert_eq!(told_at(&longer, "renewal_due"), [instant("2026-04-30")]);

    let mut changed = vendor(
        vec![
            plan(1, Mode::Prepaid, "0", template(1, "1")),
            plan(2, Mode::Prepaid, "20", template(2, "20")),
        ],
        "2026-04-01",
    );
    changed.until("2026-04-30");
    changed.change(1, false).unwrap();
    changed.until("2026-04-30T00:00:01Z");
    assert_eq!(told_at(&changed, "renewal_due"), [instant("2026-04-30")]);
}

/// A payment that comes late brings no more than one in time.
#[test]
fn an_unpaid_cycle_keeps_room_for_its_grant() {
    let plans = || vec![plan(1, Mode::Prepaid, "20", rolling(1, "20", "100", Some("30")))];
    let (mut early, mut late) = (vendor(plans(), "2026-04-01"), vendor(plans(), "2026-04-01"));
    early.renew().unwrap();
    early.until("2026-05-02");
    late.until("2026-05-02");
    assert_eq!(late.blocks(), ["ROLLOVER 10 until 2026-06-01T00:00:00Z"]);
    late.renew().unwrap();
    assert_eq!(early.balance(), credits("30"));
    assert_eq!(late.blocks(), early.blocks());
}

/// What ends within a cycle ends there, also when nothing follows it, and does not come back with the next cycle.
#[test]
fn a_block_whose_template_grants_no_longer_ends_at_its_own_end() {
    let mut offers = vec![plan(
        1,
        Mode::Postpaid,
        "0",
        GrantTemplate {
            rollover: percent("100"),
            ..daily(1, "5")
        },
    )];
    offers[0].templates[0].archived_at = Some(instant("2026-04-02T12:00:00Z"));
    let mut vendor = vendor(offers, "2026-04-01");
    vendor.until("2026-04-02T23:00:00Z");
    assert_eq!(vendor.balance(), credits("10"));
    vendor.until("2026-04-03T00:00:01Z");
    assert_eq!(vendor.balance(), credits("0"));
    vendor.until("2026-05-02");
    assert_eq!(vendor.closed[0].summary.net_balance_at_cycle_end, credits("0"));
    assert!(vendor.blocks().is_empty());
}

/// What a change of plan takes back is what was granted, whatever has become of the catalog since.
#[test]
fn templates_that_came_or_went_within_the_cycle_change_nothing_of_what_was_granted() {
    let plans = |first: Vec<GrantTemplate>| {
        let mut one = plan(1, Mode::Postpaid, "0", template(1, "100"));
        one.templates = first;
        vec![one, plan(2, Mode::Postpaid, "0", template(2, "10"))]
    };
    let monthly = template(1, "100");
    let every_day = GrantTemplate {
        id: TemplateId(Uuid::from_u128(11)),
        expiry: Expiry::EndOfCycle,
        ..daily(11, "1")
    };
    // Daily grants within the cycle do not make it forget when the monthly ones were made.
    let archived = GrantTemplate {
        archived_at: Some(instant("2026-04-05T12:00:00Z")),
        ..monthly.clone()
    };
    let written = GrantTemplate {
        id: TemplateId(Uuid::from_u128(12)),
        created_at: instant("2026-04-05T12:00:00Z"),
        ..template(12, "1000")
    };
    let tables = [
        vec![monthly, every_day.clone()],
        vec![archived, every_day, written],
    ];
    for templates in tables {
        let mut vendor = vendor(plans(templates), "2026-04-01");
        vendor.until("2026-04-16");
        vendor.change(1, true).unwrap();
        // Half of 100 and of 10; the credit of a day that has just begun was taken back.
        assert_eq!(vendor.balance(), credits("55"), "{:?}", vendor.blocks());
        assert_eq!(vendor.subscription.cycle.as_ref().unwrap().ahead, credits("0"));
        assert!(matches!(vendor.last(), What::PlanChanged { .. }));
    }
}

/// A plan that somebody comes back to grants anew, or no more: what it granted the first time was settled when it was left.
#[test]
fn what_a_plan_granted_before_it_was_left_is_not_taken_back_twice() {
    let archived = GrantTemplate {
        archived_at: Some(instant("2026-04-05")),
        ..template(1, "100")
    };
    let plans = vec![
        plan(1, Mode::Postpaid, "0", archived),
        plan(2, Mode::Postpaid, "0", template(2, "10")),
        plan(3, Mode::Postpaid, "0", template(3, "30")),
    ];
    let mut vendor = vendor(plans, "2026-04-01");
    for (day, to, left) in [(4, 1, "19"), (10, 0, "12"), (20, 2, "23")] {
        vendor.until(&format!("2026-04-{day:02}"));
        vendor.change(to, true).unwrap();
        // Of 100 three days, of 10 six days, of 30 eleven days.
        assert_eq!(vendor.balance(), credits(left), "{:?}", vendor.blocks());
    }
}
