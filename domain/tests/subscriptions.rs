//! The life of subscriptions, as the sources tell it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::collections::BTreeMap;

use common::{
    block, credits, graduated, instant, metric, per_unit,
    vendor::{Vendor, percent, plain, template, variant},
};
use domain::{
    amount::Credits,
    credit::block::{Billing, Block, Source},
    cycle::summary::{MetricUsage, Summary},
    money::{Currency, Money},
    plan::{
        Offer,
        interval::Interval,
        template::{Expiry, GrantTemplate, Recurrence},
        variant::{Mode, ShortCycle, Variant},
    },
    subscription::{
        Books, Refused, Subscription,
        contract::Contract,
        create::NewSubscription,
        deal::Deal,
        due::{Due, Task, World},
        fact::What,
        pause::When,
        state::{State, Step},
    },
    time::Period,
};

fn offer(variant: Variant, templates: Vec<GrantTemplate>) -> Offer {
    Offer { variant, templates }
}

fn monthly(mode: Mode, amount: &str) -> Offer {
    offer(variant(1, mode), vec![template(1, amount)])
}

fn period(start: &str, end: &str) -> Period {
    Period {
        start: instant(start),
        end: instant(end),
    }
}

/// A contract that begins with the subscription.
fn until(begin: &str, end: &str, notice_days: i32) -> NewSubscription {
    NewSubscription {
        contract: Some(Contract::new(None, instant(end), Some(notice_days), instant(begin)).unwrap()),
        ..plain()
    }
}

/// Source P4: a monthly budget of 100,000 credits of priority 10, 500 included once, a contract of a year.
fn p4() -> Vendor {
    let budget = GrantTemplate {
        priority: 10,
        ..template(1, "100000")
    };
    let plan = offer(variant(1, Mode::Postpaid), vec![budget]);
    let mut vendor = Vendor::new(
        vec![plan],
        until("2026-04-13", "2027-04-13", 30),
        instant("2026-04-13"),
    );
    let price = graduated(&[("10000", "1"), ("100000", "0.5"), ("∞", "0.1")]);
    vendor.prices.insert(metric(1), price);
    vendor
}

#[test]
fn the_full_cycle_of_p4() {
    let mut vendor = p4();
    assert_eq!(vendor.told(), ["created"]);
    assert_eq!(
        vendor.subscription.cycle.as_ref().unwrap().period,
        period("2026-04-13", "2026-05-13")
    );
    for day in 14..=30 {
        vendor.until(&format!("2026-04-{day}"));
        vendor.consume(1, "5000");
    }
    vendor.until("2026-05-12T23:59:59Z");
    assert_eq!(vendor.balance(), credits("52500"));
    vendor.until("2026-05-13");
    assert_eq!(vendor.blocks(), ["PLAN_GRANT 100000 until 2026-06-13T00:00:00Z"]);
    vendor.until("2026-05-13T00:01:00Z");
    let usage = MetricUsage {
        units: "85000".parse().unwrap(),
        credits: credits("47500"),
    };
    let summary = Summary {
        total_credits_consumed: credits("47500"),
        net_balance_at_cycle_start: credits("100000"),
        net_balance_at_cycle_end: credits("52500"),
        by_metric: BTreeMap::from([(metric(1), usage)]),
    };
    let renewed = What::Renewed {
        prior_period: Some(period("2026-04-13", "2026-05-13")),
        number: 2,
        new_period: period("2026-05-13", "2026-06-13"),
        credits_granted: credits("100000"),
        usage_summary: Some(summary),
    };
    assert_eq!(vendor.last(), &renewed);
}

#[test]
fn the_contract_of_p4() {
    let mut vendor = p4();
    vendor.until("2027-03-13T23:59:59Z");
    assert!(!vendor.told().contains(&"contract_ending_soon"));
    vendor.until("2027-03-14");
    let contract_end = instant("2027-04-13");
    let soon = What::ContractEndingSoon {
        contract_end,
        days_remaining: 30,
    };
    assert_eq!(vendor.last(), &soon);
    vendor.until("2027-04-13");
    assert_eq!(
        (vendor.state(), vendor.last()),
        (State::ContractEnded, &What::ContractEnded { contract_end })
    );
    assert!(vendor.blocks().is_empty(), "the budget has ended");
    vendor.until("2027-12-31");
    assert_eq!(
        vendor.told().iter().filter(|name| **name == "renewed").count(),
        11
    );
    assert!(
        matches!(vendor.last(), What::CycleClosed { number: 12, .. }),
        "the final summary"
    );
    assert_eq!(vendor.due(), None);
    // The customer comes back.
    vendor.extend("2028-04-13").unwrap();
    assert_eq!(vendor.state(), State::Active);
    assert_eq!(
        vendor.subscription.cycle.as_ref().unwrap().period,
        period("2027-12-31", "2028-01-13")
    );
    assert_eq!(
        vendor.blocks(),
        ["PLAN_GRANT 100000 until 2028-01-13T00:00:00Z"],
        "what was missed is not granted"
    );
    vendor.until("2028-04-14");
    let soon = vendor
        .facts
        .iter()
        .filter(|fact| matches!(fact.what, What::ContractEndingSoon { .. }));
    assert_eq!(soon.count(), 2, "once per end");
    assert_eq!(vendor.state(), State::ContractEnded);
    let numbers: Vec<i64> = vendor.closed.iter().map(|closed| closed.cycle.number).collect();
    assert_eq!(numbers, (1..=16).collect::<Vec<_>>());
}

#[test]
fn a_contract_extended_in_time_goes_on_without_a_break() {
    let mut vendor = Vendor::new(
        vec![monthly(Mode::Postpaid, "100")],
        until("2026-01-01", "2026-02-15", 10),
        instant("2026-01-01"),
    );
    vendor.until("2026-02-10");
    assert_eq!(
        vendor.blocks(),
        ["PLAN_GRANT 100 until 2026-02-15T00:00:00Z"],
        "cut by the contract"
    );
    let (end, early) = (instant("2026-02-15"), instant("2026-02-15"));
    assert_eq!(vendor.extend("2026-02-15"), Err(Refused::NotLater(early)));
    vendor.extend("2026-06-15").unwrap();
    let extended = What::ContractExtended {
        from: end,
        to: instant("2026-06-15"),
        reactivated: false,
    };
    assert_eq!(vendor.last(), &extended);
    assert_eq!(
        vendor.blocks(),
        ["PLAN_GRANT 100 until 2026-03-01T00:00:00Z"],
        "blocks follow their cycle"
    );
    vendor.until("2026-07-01");
    let last = vendor.closed.last().unwrap();
    assert_eq!(last.cycle.period, period("2026-06-01", "2026-06-15"));
    let soon = vendor.facts.iter().filter_map(|fact| match fact.what {
        What::ContractEndingSoon { .. } => Some(fact.at),
        _ => None,
    });
    assert_eq!(
        soon.collect::<Vec<_>>(),
        [instant("2026-02-05"), instant("2026-06-05")]
    );
    let none =
        Vendor::new(vec![monthly(Mode::Postpaid, "1")], plain(), instant("2026-01-01")).extend("2027-01-01");
    assert_eq!(none, Err(Refused::NoContract));
}

#[test]
fn at_one_instant_there_is_one_result() {
    let free = Variant {
        fee: Some(Money::of(0, Currency::USD)),
        // The cycle even closes at that instant.
        late_seconds: 0,
        ..variant(1, Mode::Prepaid)
    };
    let rolling = GrantTemplate {
        rollover: percent("50"),
        ..template(1, "10")
    };
    let build = || {
        let mut vendor = Vendor::new(
            vec![offer(free.clone(), vec![rolling.clone()])],
            plain(),
            instant("2026-01-01"),
        );
        vendor.prices.insert(metric(1), per_unit("1"));
        vendor.own(Block {
            source: Source::Purchase,
            granted_at: instant("2026-01-01"),
            ..block(1, 7_000_000)
        });
        vendor
    };
    // Used just before the boundary: the old grant pays, and what is left of it rolls over.
    let mut before = build();
    before.until("2026-01-31T23:59:59.999999Z");
    before.consume(1, "4");
    before.until("2026-02-01");
    let next = "until 2026-03-01T00:00:00Z";
    assert_eq!(
        before.blocks(),
        [
            format!("ROLLOVER 3 {next}"),
            format!("PLAN_GRANT 10 {next}"),
            "PURCHASE 7".to_owned()
        ]
    );
    // Used at the very boundary: everything that is left rolls over first, and the new credits pay.
    let mut at = build();
    at.now = instant("2026-02-01");
    at.consume(1, "4");
    at.until("2026-02-01");
    assert_eq!(
        at.blocks(),
        [
            format!("ROLLOVER 1 {next}"),
            format!("PLAN_GRANT 10 {next}"),
            "PURCHASE 7".to_owned()
        ]
    );
    let cycle = at.subscription.cycle.clone().unwrap();
    let closed = &at.closed[0];
    assert_eq!(
        (cycle.balance_at_start, closed.cycle.balance_at_end),
        (credits("22"), credits("17"))
    );
    let spent = |vendor: &Vendor| vendor.closed[0].summary.total_credits_consumed;
    assert_eq!((spent(&before), spent(&at)), (credits("4"), credits("0")));
    let tasks: Vec<Task> = at.steps.iter().map(|due| due.task).collect();
    assert_eq!(tasks, [Task::Turn, Task::Close]);
    // The worker came months later: the same blocks, the same numbers.
    let mut late = build();
    late.now = instant("2026-02-01");
    late.consume(1, "4");
    late.until("2026-02-28T23:59:59Z");
    assert_eq!(late.blocks(), at.blocks());
}

#[test]
fn expiring_credits_burn_before_topups_and_nothing_rolls_over() {
    let free = Variant {
        fee: Some(Money::of(0, Currency::USD)),
        ..variant(1, Mode::Prepaid)
    };
    let plan = offer(free, vec![template(1, "5")]);
    let mut vendor = Vendor::new(vec![plan], plain(), instant("2026-01-01"));
    vendor.prices.insert(metric(1), per_unit("0.0004"));
    vendor.own(Block {
        source: Source::Purchase,
        granted_at: instant("2026-01-01"),
        ..block(1, 10_000_000)
    });
    vendor.until("2026-01-10");
    vendor.consume(1, "10000"); // ten thousand seconds, 4 credits
    vendor.until("2026-01-11");
    assert_eq!(
        vendor.blocks(),
        ["PLAN_GRANT 1 until 2026-02-01T00:00:00Z", "PURCHASE 10"]
    );
    vendor.until("2026-02-01");
    assert_eq!(
        vendor.blocks(),
        ["PLAN_GRANT 5 until 2026-03-01T00:00:00Z", "PURCHASE 10"]
    );
    vendor.consume(1, "20000");
    vendor.until("2026-03-01");
    assert_eq!(
        vendor.blocks(),
        ["PLAN_GRANT 5 until 2026-04-01T00:00:00Z", "PURCHASE 7"]
    );
}

#[test]
fn rollover_keeps_to_its_percentage_and_cap() {
    let rolling = GrantTemplate {
        rollover: percent("100"),
        accumulation_cap: Some(credits("250")),
        bonus: percent("10"),
        ..template(1, "100")
    };
    let mut vendor = Vendor::new(
        vec![offer(variant(1, Mode::Postpaid), vec![rolling])],
        plain(),
        instant("2026-01-01"),
    );
    let mut balances = Vec::new();
    for month in 1..=6 {
        vendor.until(&format!("2026-0{month}-02"));
        balances.push(vendor.balance().to_string());
    }
    // 110 a month, never more than 250 after a grant.
    assert_eq!(balances, ["110", "220", "250", "250", "250", "250"]);
    // Free credits are kept and burnt before the budget.
    let end = "until 2026-07-01T00:00:00Z";
    assert_eq!(
        vendor.blocks(),
        [
            format!("ROLLOVER 50 {end}"),
            format!("BONUS 10 {end}"),
            format!("ROLLOVER 90 {end}"),
            format!("PLAN_GRANT 100 {end}"),
        ]
    );
}

#[test]
fn an_outage_of_months_is_caught_up_one_cycle_at_a_time() {
    let mut vendor = p4();
    vendor.until("2026-04-20");
    vendor.consume(1, "100");
    vendor.until("2026-11-20");
    let turns = vendor.steps.iter().filter(|due| due.task == Task::Turn).count();
    assert_eq!((turns, vendor.closed.len()), (7, 7));
    assert!(vendor.steps.is_sorted_by_key(|due| due.at), "in order");
    assert_eq!(
        vendor.blocks(),
        ["PLAN_GRANT 100000 until 2026-12-13T00:00:00Z"],
        "missed cycles expired"
    );
    let mut patient = p4();
    patient.until("2026-04-20");
    patient.consume(1, "100");
    for month in 5..=11 {
        patient
            .until(&format!("2026-{month:02}-13"))
            .until(&format!("2026-{month:02}-14"));
    }
    patient.until("2026-11-20");
    assert_eq!(
        (patient.facts, patient.closed),
        (vendor.facts, vendor.closed),
        "as if there had been no outage"
    );
}

#[test]
fn included_credits_are_granted_once_and_archived_templates_no_more() {
    let included = GrantTemplate {
        recurrence: Recurrence::Once,
        source: Source::Included,
        expiry: Expiry::Never,
        ..template(2, "500")
    };
    let archived = GrantTemplate {
        archived_at: Some(instant("2026-03-01")),
        ..template(1, "10")
    };
    let later = GrantTemplate {
        created_at: instant("2026-02-15"),
        ..template(3, "20")
    };
    let plan = offer(variant(1, Mode::Postpaid), vec![archived, included, later]);
    let mut vendor = Vendor::new(vec![plan], plain(), instant("2026-01-01"));
    for (at, balance) in [
        ("2026-01-02", "510"),
        ("2026-02-20", "510"),
        ("2026-03-02", "520"),
        ("2026-09-02", "520"),
    ] {
        assert_eq!(vendor.until(at).balance(), credits(balance), "{at}");
    }
}

#[test]
fn a_yearly_plan_may_grant_every_month() {
    let every = GrantTemplate {
        every: Some(Interval::MONTHLY),
        rollover: percent("10"),
        ..template(1, "100")
    };
    let yearly = Variant {
        interval: Interval::YEARLY,
        ..variant(1, Mode::Postpaid)
    };
    let mut vendor = Vendor::new(vec![offer(yearly, vec![every])], plain(), instant("2026-01-31"));
    assert_eq!(vendor.blocks(), ["PLAN_GRANT 100 until 2026-02-28T00:00:00Z"]);
    vendor.until("2026-02-28");
    let end = "until 2026-03-31T00:00:00Z";
    assert_eq!(
        vendor.blocks(),
        [format!("ROLLOVER 10 {end}"), format!("PLAN_GRANT 100 {end}")]
    );
    vendor.until("2028-02-01");
    let grants = vendor.steps.iter().filter(|due| due.task == Task::Grant).count();
    assert_eq!((grants, vendor.closed.len()), (22, 2));
    assert_eq!(vendor.closed[1].cycle.granted, credits("1200"));
}

#[test]
fn an_unpaid_prepaid_subscription_is_overdue_and_expires() {
    let prepaid = Variant {
        renewal_due_days: 5,
        grace_days: 7,
        ..variant(1, Mode::Prepaid)
    };
    let build = || {
        Vendor::new(
            vec![offer(prepaid.clone(), vec![template(1, "10")])],
            plain(),
            instant("2026-01-01"),
        )
    };
    let mut vendor = build();
    vendor.until("2026-01-26T23:59:59Z");
    assert_eq!(vendor.told(), ["created"]);
    vendor.until("2026-01-27");
    assert_eq!(
        vendor.last(),
        &What::RenewalDue {
            number: 2,
            period_end: instant("2026-02-01")
        }
    );
    vendor.until("2026-02-01");
    assert_eq!(
        vendor.last(),
        &What::Overdue {
            expires_at: instant("2026-02-08")
        }
    );
    assert_eq!(
        (vendor.state(), vendor.blocks()),
        (State::Overdue, vec![]),
        "no grant before it is paid"
    );
    vendor.until("2026-02-08");
    assert_eq!(vendor.state(), State::Expired);
    vendor.until("2026-05-01");
    assert_eq!(
        vendor.told(),
        [
            "created",
            "renewal_due",
            "overdue",
            "cycle_closed",
            "expired",
            "cycle_closed"
        ]
    );
    let refused = Refused::NotInState {
        state: State::Expired,
        step: Step::Renew,
    };
    assert_eq!(vendor.renew(), Err(refused));

    // Paid within the grace days: the cycle that runs is granted now, the billing day stays.
    let mut late = build();
    late.until("2026-02-05T10:00:00Z");
    late.renew().unwrap();
    assert_eq!(
        (late.state(), late.blocks()),
        (
            State::Active,
            vec!["PLAN_GRANT 10 until 2026-03-01T00:00:00Z".to_owned()]
        )
    );
    assert!(matches!(
        late.last(),
        What::Renewed {
            usage_summary: Some(_),
            prior_period: Some(_),
            ..
        }
    ));
    assert_eq!(late.until("2026-03-01").state(), State::Overdue);

    // Paid in time, twice refused, and paid for one cycle only.
    let mut early = build();
    early.until("2026-01-28");
    early.renew().unwrap();
    assert_eq!(early.renew(), Err(Refused::AlreadyPaid));
    early.until("2026-02-01");
    assert_eq!((early.state(), early.balance()), (State::Active, credits("10")));
    early.until("2026-03-01");
    assert_eq!(early.state(), State::Overdue);
    assert_eq!(
        early.told(),
        ["created", "renewal_due", "renewed", "renewal_due", "overdue"]
    );

    // Paid within the seconds for late usage: the close tells of the renewal, once.
    let mut prompt = build();
    prompt.until("2026-02-01T00:00:30Z");
    prompt.renew().unwrap();
    prompt.until("2026-02-02");
    assert_eq!(prompt.told(), ["created", "renewal_due", "overdue", "renewed"]);
}

/// What was paid for stays, and what ends has no next plan.
#[test]
fn a_plan_changes_only_where_a_cycle_is_to_be_had() {
    let offers = || [1, 2].map(|number| offer(variant(number, Mode::Prepaid), vec![template(number, "10")]));
    let build = || Vendor::new(offers().to_vec(), plain(), instant("2026-01-01"));
    let mut paid = build();
    paid.renew().unwrap();
    for now in [true, false] {
        assert_eq!(paid.change(1, now), Err(Refused::PaidAhead));
    }
    paid.until("2026-02-01");
    paid.change(1, true).unwrap();

    let mut cancelled = build();
    cancelled.cancel(When::AtEnd).unwrap();
    assert_eq!(cancelled.change(1, false), Err(Refused::NothingFollows));
    cancelled.resume().unwrap();
    cancelled.change(1, false).unwrap();
}

#[test]
fn grace_may_outlast_a_cycle() {
    let daily = Variant {
        interval: Interval::DAILY,
        grace_days: 3,
        ..variant(1, Mode::Prepaid)
    };
    let mut vendor = Vendor::new(
        vec![offer(daily, vec![template(1, "10")])],
        plain(),
        instant("2026-01-01"),
    );
    vendor.until("2026-01-04T12:00:00Z");
    assert_eq!(
        (vendor.state(), vendor.subscription.last_number),
        (State::Overdue, 4)
    );
    vendor.renew().unwrap();
    assert_eq!(
        vendor.blocks(),
        ["PLAN_GRANT 10 until 2026-01-05T00:00:00Z"],
        "missed cycles are not granted"
    );
    vendor.until("2026-01-08");
    assert_eq!(vendor.state(), State::Expired);
}

#[test]
fn without_grace_it_expires_at_once_and_free_plans_never_do() {
    let mut vendor = Vendor::new(vec![monthly(Mode::Prepaid, "10")], plain(), instant("2026-01-01"));
    vendor.until("2026-02-01");
    assert_eq!(vendor.state(), State::Expired);
    let free = Variant {
        fee: Some(Money::of(0, Currency::EUR)),
        ..variant(1, Mode::Prepaid)
    };
    let mut free = Vendor::new(
        vec![offer(free, vec![template(1, "0.2")])],
        plain(),
        instant("2026-01-01"),
    );
    free.until("2027-01-02");
    assert_eq!((free.state(), free.closed.len()), (State::Active, 12));
    assert_eq!(free.renew(), Err(Refused::RenewsByItself));
}

#[test]
fn a_trial_comes_before_the_first_cycle() {
    let trial = GrantTemplate {
        source: Source::Trial,
        ..template(2, "3")
    };
    let paid = GrantTemplate {
        in_trial: false,
        ..template(1, "10")
    };
    let postpaid = Variant {
        trial_days: 14,
        ..variant(1, Mode::Postpaid)
    };
    let both = vec![paid, trial];
    let mut vendor = Vendor::new(
        vec![offer(postpaid, both.clone())],
        plain(),
        instant("2026-01-01"),
    );
    assert_eq!(
        (vendor.state(), vendor.blocks()),
        (
            State::Trialing,
            vec!["TRIAL 3 until 2026-01-15T00:00:00Z".to_owned()]
        )
    );
    vendor.until("2026-01-15");
    assert_eq!(
        (vendor.state(), vendor.blocks()),
        (
            State::Active,
            vec!["PLAN_GRANT 10 until 2026-02-15T00:00:00Z".to_owned()]
        )
    );
    vendor.until("2026-01-16");
    assert_eq!(vendor.closed[0].cycle.number, 0);
    assert!(matches!(vendor.last(), What::Renewed { .. }));
    // Prepaid, the end of the trial has to be paid.
    let prepaid = Variant {
        trial_days: 14,
        renewal_due_days: 3,
        grace_days: 2,
        ..variant(1, Mode::Prepaid)
    };
    let mut unpaid = Vendor::new(
        vec![offer(prepaid.clone(), both.clone())],
        plain(),
        instant("2026-01-01"),
    );
    unpaid.until("2026-01-16");
    assert_eq!((unpaid.state(), unpaid.balance()), (State::Overdue, credits("0")));
    let mut paid = Vendor::new(vec![offer(prepaid, both)], plain(), instant("2026-01-01"));
    paid.until("2026-01-10");
    paid.renew().unwrap();
    assert_eq!(paid.until("2026-01-16").state(), State::Active);
    assert_eq!(paid.balance(), credits("10"));
}

#[test]
fn a_pause_keeps_the_billing_day_and_grants_nothing() {
    let mut vendor = Vendor::new(
        vec![monthly(Mode::Postpaid, "10")],
        plain(),
        instant("2026-01-10"),
    );
    vendor.until("2026-01-20");
    vendor.pause().unwrap();
    assert_eq!(vendor.balance(), credits("10"), "the cycle goes on to its end");
    vendor.until("2026-04-25");
    assert_eq!(
        (vendor.state(), vendor.blocks(), vendor.closed.len()),
        (State::Paused, vec![], 1)
    );
    vendor.resume().unwrap();
    assert_eq!(vendor.blocks(), ["PLAN_GRANT 10 until 2026-05-10T00:00:00Z"]);
    assert_eq!(
        vendor.subscription.cycle.as_ref().unwrap().period,
        period("2026-04-25", "2026-05-10")
    );
    vendor.until("2026-05-11");
    assert_eq!(
        vendor.told(),
        ["created", "paused", "cycle_closed", "resumed", "renewed"]
    );
    // Within the cycle nothing is lost.
    vendor.pause().unwrap();
    vendor.until("2026-05-20");
    vendor.resume().unwrap();
    assert_eq!(vendor.blocks(), ["PLAN_GRANT 10 until 2026-06-10T00:00:00Z"]);
    // Prepaid, a new cycle has to be paid first.
    let prepaid = Variant {
        grace_days: 5,
        ..variant(1, Mode::Prepaid)
    };
    let mut prepaid = Vendor::new(
        vec![offer(prepaid, vec![template(1, "10")])],
        plain(),
        instant("2026-01-10"),
    );
    prepaid.pause().unwrap();
    prepaid.until("2026-03-01");
    prepaid.resume().unwrap();
    assert_eq!(
        (prepaid.state(), prepaid.balance()),
        (State::Overdue, credits("0"))
    );
    prepaid.renew().unwrap();
    assert_eq!(prepaid.balance(), credits("10"));
    assert_eq!(
        prepaid.resume(),
        Err(Refused::NotInState {
            state: State::Active,
            step: Step::Resume
        })
    );
}

#[test]
fn cancelling_ends_what_ends_with_the_cycle_and_keeps_what_was_bought() {
    let build = || {
        let mut vendor = Vendor::new(
            vec![monthly(Mode::Postpaid, "10")],
            plain(),
            instant("2026-01-01"),
        );
        vendor.own(Block {
            source: Source::Purchase,
            granted_at: instant("2026-01-01"),
            ..block(1, 7_000_000)
        });
        vendor.until("2026-01-15");
        vendor
    };
    let mut now = build();
    now.cancel(When::Now).unwrap();
    assert_eq!(
        (now.state(), now.blocks()),
        (State::Cancelled, vec!["PURCHASE 7".to_owned()])
    );
    now.until("2026-06-01");
    assert_eq!(now.closed[0].cycle.period, period("2026-01-01", "2026-01-15"));
    assert_eq!(now.told(), ["created", "cancelled", "cycle_closed"]);
    let mut at_end = build();
    at_end.cancel(When::AtEnd).unwrap();
    at_end.until("2026-01-31");
    assert_eq!((at_end.state(), at_end.balance()), (State::Active, credits("17")));
    at_end.until("2026-02-01");
    assert_eq!(
        (at_end.state(), at_end.balance()),
        (State::Cancelled, credits("7"))
    );
    let mut regretted = build();
    regretted.cancel(When::AtEnd).unwrap();
    regretted.resume().unwrap();
    assert_eq!(regretted.until("2026-02-01").state(), State::Active);
}

#[test]
fn a_short_first_cycle_brings_all_or_its_part() {
    let new = |day| NewSubscription {
        billing_day: Some(day),
        ..plain()
    };
    let prorated = |mode| Variant {
        short_cycle: ShortCycle::Prorated,
        ..variant(1, mode)
    };
    for (variant, day, amount) in [
        (variant(1, Mode::Postpaid), 16, "31"),
        (prorated(Mode::Postpaid), 16, "15"),
        (prorated(Mode::Postpaid), 1, "31"),
        (prorated(Mode::Postpaid), 2, "1"),
    ] {
        let mut vendor = Vendor::new(
            vec![offer(variant, vec![template(1, "31")])],
            new(day),
            instant("2026-01-01"),
        );
        assert_eq!(vendor.balance(), credits(amount), "{day}");
        vendor.until("2026-02-20");
        assert_eq!(vendor.balance(), credits("31"), "{day}");
    }
}

#[test]
fn a_first_cycle_that_is_paid_ahead_is_due_at_once() {
    let fee = Some(Money::of(3_100, Currency::USD));
    let priced = |mode| Variant {
        fee,
        short_cycle: ShortCycle::Prorated,
        ..variant(1, mode)
    };
    let trial = Variant {
        trial_days: 7,
        ..priced(Mode::Prepaid)
    };
    let free = variant(1, Mode::Prepaid);
    for (plan, day, first_cycle_paid, due) in [
        (priced(Mode::Prepaid), 1, false, vec![3_100]),
        // Half of January, by the second.
        (priced(Mode::Prepaid), 16, false, vec![1_500]),
        (priced(Mode::Prepaid), 1, true, vec![]),
        (priced(Mode::Postpaid), 1, false, vec![]),
        (trial, 1, false, vec![]),
        (free, 1, false, vec![]),
    ] {
        let new = NewSubscription {
            billing_day: Some(day),
            first_cycle_paid,
            ..plain()
        };
        let now = instant("2026-01-01");
        let decision = Subscription::create(new, &offer(plan, Vec::new()), Credits::ZERO, now).unwrap();
        let moneys: Vec<i64> = decision.money.iter().map(|line| line.amount.minor).collect();
        assert_eq!((decision.bills_at_once, moneys), (!due.is_empty(), due));
    }
}

#[test]
fn nothing_is_granted_that_has_expired_and_a_trial_is_free() {
    let gone = GrantTemplate {
        expiry: Expiry::At {
            at: instant("2026-02-01"),
        },
        in_trial: true,
        ..template(1, "10")
    };
    let plan = Variant {
        trial_days: 7,
        ..variant(1, Mode::Postpaid)
    };
    let mut vendor = Vendor::new(vec![offer(plan, vec![gone])], plain(), instant("2026-01-20"));
    assert_eq!(vendor.blocks(), ["PLAN_GRANT 10 until 2026-02-01T00:00:00Z"]);
    assert_eq!(vendor.billings(), [Billing::Free]);
    vendor.until("2026-01-27");
    assert_eq!(vendor.billings(), [Billing::Free, Billing::Budget]);
    vendor.until("2026-04-27");
    assert_eq!(vendor.billings().len(), 2, "after its instant nothing is granted");
}

#[test]
fn a_cycle_after_a_break_is_no_renewal() {
    let mut vendor = Vendor::new(
        vec![monthly(Mode::Postpaid, "10")],
        plain(),
        instant("2026-01-10"),
    );
    vendor.pause().unwrap();
    vendor.until("2026-02-10T00:00:30Z");
    vendor.resume().unwrap();
    vendor.until("2026-02-11");
    assert_eq!(vendor.told(), ["created", "paused", "resumed", "cycle_closed"]);
}

#[test]
fn a_short_contract_is_announced_at_once() {
    let vendor = |end| {
        let new = until("2026-01-01", end, 30);
        Vendor::new(vec![monthly(Mode::Postpaid, "10")], new, instant("2026-01-01"))
    };
    let mut short = vendor("2026-01-11");
    short.until("2026-01-01");
    let fact = short.facts.last().unwrap();
    assert_eq!(fact.at, instant("2026-01-01"));
    assert!(matches!(
        fact.what,
        What::ContractEndingSoon {
            days_remaining: 10,
            ..
        }
    ));
}

#[test]
fn a_cycle_that_is_the_last_needs_no_renewal() {
    let prepaid = Variant {
        renewal_due_days: 5,
        grace_days: 7,
        ..variant(1, Mode::Prepaid)
    };
    let plan = offer(prepaid, vec![template(1, "10")]);
    let contract = until("2026-01-01", "2026-02-01", 0);
    let mut ends = Vendor::new(vec![plan.clone()], contract, instant("2026-01-01"));
    ends.until("2026-01-30");
    assert_eq!(ends.renew(), Err(Refused::NothingFollows));
    ends.until("2026-02-02");
    assert_eq!(
        ends.told(),
        [
            "created",
            "contract_ending_soon",
            "contract_ended",
            "cycle_closed"
        ]
    );
    let mut cancelled = Vendor::new(vec![plan], plain(), instant("2026-01-01"));
    cancelled.cancel(When::AtEnd).unwrap();
    assert_eq!(cancelled.renew(), Err(Refused::NothingFollows));
    cancelled.until("2026-02-02");
    assert_eq!(
        cancelled.told(),
        ["created", "cancellation_scheduled", "cancelled", "cycle_closed"]
    );
    assert_eq!(cancelled.state(), State::Cancelled);
}

#[test]
fn a_step_is_taken_when_it_is_the_next_and_from_the_books_of_its_instant() {
    let vendor = Vendor::new(
        vec![monthly(Mode::Postpaid, "10")],
        plain(),
        instant("2026-01-01"),
    );
    let (subscription, offers) = (&vendor.subscription, vendor.offers());
    let due = vendor.due().unwrap();
    assert_eq!((due.at, due.task), (instant("2026-02-01"), Task::Turn));
    let take = |due: Due, debited_until| {
        let world = World {
            deal: Deal::of(subscription, &offers).unwrap(),
            books: Books {
                balance: credits("0"),
                blocks: &[],
                debited_until,
            },
            counts: &[],
        };
        subscription.take(due, &world).map(|_| ())
    };
    assert_eq!(take(due, due.at), Ok(()));
    for second in [-1, 1] {
        assert_eq!(take(due, due.at.plus_seconds(second)), Err(Refused::OtherBooks));
    }
    let behind = Err(Refused::Behind { due_at: due.at });
    for other in [
        Due {
            at: due.at.plus_seconds(1),
            ..due
        },
        Due {
            task: Task::Close,
            ..due
        },
    ] {
        assert_eq!(take(other, other.at), behind);
    }
}

#[test]
fn what_is_due_comes_before_what_is_wanted() {
    let mut vendor = Vendor::new(
        vec![monthly(Mode::Postpaid, "10")],
        plain(),
        instant("2026-01-01"),
    );
    vendor.now = instant("2026-02-01");
    let behind = Refused::Behind {
        due_at: instant("2026-02-01"),
    };
    assert_eq!(vendor.pause(), Err(behind));
    vendor.now = instant("2026-01-31");
    vendor.pause().unwrap();
}
