//! Subscriptions: begun, moved on by time alone, changed, ended; once, in order, however late and by however many.

use std::{pin::pin, time::Duration};

use app::{
    gate::{self, Check, Reason},
    job,
    subscription::{self, CreateSubscription, Wish},
};
use domain::{
    amount::Percent,
    credit::block::Source,
    id::{CustomerId, SubscriptionId, VariantId},
    metering::rule::Properties,
    money::{Currency, Money},
    plan::{
        interval::Interval,
        template::{Expiry, Recurrence},
        variant::Mode,
    },
    rejection::RejectionCode::{
        AlreadyExists, IdempotencyConflict, InvalidInput, NotFound, SubscriptionState,
    },
    subscription::state::State,
    time::Timestamp,
};
use serde_json::json;
use uuid::Uuid;

use crate::harness::{
    World, at,
    backend::with_place,
    credits,
    mortal::Mortal,
    p4, per_unit,
    plans::{agreement, template, variant},
    refusal, units,
};

on_both!(
    the_first_cycle_and_its_grants_are_there_at_once,
    what_cannot_be_agreed_to,
    a_repeated_request_begins_nothing_twice,
    the_full_cycle_of_p4,
    a_year_with_a_contract,
    a_contract_is_extended_in_time_and_after_its_end,
    unpaid_renewals,
    a_trial_becomes_a_subscription,
    paused_resumed_and_cancelled,
    plans_are_changed_now_or_later,
    grants_roll_over_and_add_up_as_their_templates_say,
    credits_within_a_cycle,
    usage_at_the_boundary_is_paid_by_the_cycle_it_was_accepted_in,
    the_gate_knows_the_new_cycle_before_a_worker_does,
    what_happens_within_the_grace_comes_after_the_turn,
    late_usage_counts_until_the_close,
    what_shows_after_the_close_changes_nothing_that_was_told,
    a_cycle_that_waits_for_nothing_closes_as_it_turns,
    months_without_workers_are_caught_up_in_order,
    many_workers_do_each_step_once,
    killed_at_any_step,
    a_damaged_subscription_stops_nobody_else,
    several_subscriptions_of_one_customer,
    templates_added_later_are_noticed,
    customers_see_their_own_only,
);

/// P4: a monthly budget of 100,000 credits of priority 10, postpaid.
async fn budget(world: &World) -> VariantId {
    let budget = app::catalog::CreateTemplate {
        priority: 10,
        ..template("100000")
    };
    world.sells(variant(Mode::Postpaid), vec![budget]).await
}

async fn monthly(world: &World, mode: Mode, amount: &str) -> VariantId {
    world.sells(variant(mode), vec![template(amount)]).await
}

/// From today to an instant, told so many days before.
fn until(customer: CustomerId, variant: VariantId, end: &str, days: i32) -> CreateSubscription {
    CreateSubscription {
        contract_end: Some(at(end)),
        contract_notice_days: Some(days),
        ..agreement(customer, variant)
    }
}

async fn ask(world: &World, customer: CustomerId, amount: &str) -> gate::Entitlement {
    let question = Check {
        customer: app::customer::CustomerRef::Id(customer),
        metric_key: "call".to_owned(),
        units: units(amount),
        properties: Properties::new(),
    };
    gate::check(&world.app, &world.actor, &question).await.unwrap()
}

async fn the_first_cycle_and_its_grants_are_there_at_once(world: World) {
    let plan = budget(&world).await;
    let id = world.customer("a").await;
    let begun = world
        .try_subscribe(CreateSubscription {
            external_id: Some("contract-7".to_owned()),
            metadata: [("account_manager".to_owned(), json!("jane"))]
                .into_iter()
                .collect(),
            ..agreement(id, plan)
        })
        .await
        .unwrap()
        .value;
    assert_eq!(world.stands(id).await.0, "100000");
    let cycle = begun.cycle.clone().unwrap();
    assert_eq!(
        (cycle.number, cycle.period.start, cycle.period.end),
        (1, world.now(), at("2026-04-10T12:00:00Z"))
    );
    assert_eq!(begun.state, State::Active);
    assert_eq!(
        world.subscription(begun.id).await,
        begun,
        "the answer is what is read later"
    );
    let named = subscription::subscription_by_external_id(&world.app, &world.actor, "contract-7").await;
    assert_eq!(named.unwrap().unwrap().id, begun.id);
    let created = world.said(begun.id, "created").await;
    assert_eq!(created["credits_granted"], "100000");
    assert_eq!(created["billing_mode"], "postpaid");
    let line = &world.ledger(id).await[0];
    assert_eq!(line.description, "Credits of the plan");
}

async fn what_cannot_be_agreed_to(world: World) {
    let plan = budget(&world).await;
    let id = world.customer("a").await;
    let plain = || agreement(id, plan);
    let past = Some(at("2026-03-01"));
    for (input, code, field) in [
        (
            CreateSubscription {
                variant: VariantId(Uuid::from_u128(9)),
                ..plain()
            },
            NotFound,
            "variantId",
        ),
        (
            CreateSubscription {
                billing_day: Some(32),
                ..plain()
            },
            InvalidInput,
            "billingAnchorDay",
        ),
        (
            CreateSubscription {
                billing_day: Some(1_000),
                ..plain()
            },
            InvalidInput,
            "billingAnchorDay",
        ),
        (
            CreateSubscription {
                zone: Some("Mars/Base".to_owned()),
                ..plain()
            },
            InvalidInput,
            "timeZone",
        ),
        (
            CreateSubscription {
                contract_end: past,
                ..plain()
            },
            InvalidInput,
            "contractEnd",
        ),
        (
            CreateSubscription {
                contract_start: past,
                ..plain()
            },
            InvalidInput,
            "contractStart",
        ),
        (
            CreateSubscription {
                contract_notice_days: Some(3),
                ..plain()
            },
            InvalidInput,
            "contractEndingSoonDays",
        ),
        (
            CreateSubscription {
                contract_end: Some(at("2027-01-01")),
                contract_notice_days: Some(367),
                ..plain()
            },
            InvalidInput,
            "contractEndingSoonDays",
        ),
        (
            CreateSubscription {
                external_id: Some(" ".to_owned()),
                ..plain()
            },
            InvalidInput,
            "externalId",
        ),
    ] {
        let shown = format!("{input:?}");
        assert_eq!(
            refusal(world.try_subscribe(input).await),
            (code, field.to_owned()),
            "{shown}"
        );
    }
    let taken = || CreateSubscription {
        external_id: Some("x".to_owned()),
        ..plain()
    };
    world.try_subscribe(taken()).await.unwrap();
    assert_eq!(
        refusal(world.try_subscribe(taken()).await),
        (AlreadyExists, "externalId".to_owned())
    );
    // Of two at the same moment one is told, whatever the customer.
    let (one, other) = (world.customer("one").await, world.customer("two").await);
    let named = |customer| CreateSubscription {
        external_id: Some("race".to_owned()),
        ..agreement(customer, plan)
    };
    let elsewhere = world.another().await;
    let (first, second) = tokio::join!(
        world.try_subscribe(named(one)),
        elsewhere.try_subscribe(named(other))
    );
    let refused: Vec<_> = [first, second].into_iter().filter(|it| it.is_err()).collect();
    assert_eq!(refused.len(), 1);
    for no in refused {
        assert_eq!(refusal(no), (AlreadyExists, "externalId".to_owned()));
    }
    // What belongs to another vendor does not exist.
    let stranger = world.stranger().await;
    let theirs = budget(&stranger).await;
    let foreign = CreateSubscription {
        variant: theirs,
        ..plain()
    };
    assert_eq!(refusal(world.try_subscribe(foreign).await).0, NotFound);
    // What is archived is not offered.
    app::catalog::archive_variant(&world.app, &world.actor, plan)
        .await
        .unwrap();
    assert_eq!(
        refusal(world.try_subscribe(plain()).await),
        (InvalidInput, "variantId".to_owned())
    );
    assert_eq!(
        world.stands(id).await.0,
        "100000",
        "only what was agreed to was granted"
    );
}

async fn a_repeated_request_begins_nothing_twice(world: World) {
    let plan = budget(&world).await;
    let id = world.customer("a").await;
    let begin =
        async |variant| subscription::create(&world.app, &world.actor, agreement(id, variant), "same").await;
    let first = begin(plan).await.unwrap();
    let again = begin(plan).await.unwrap();
    assert_eq!((again.value.id, again.replay), (first.value.id, true));
    let other = monthly(&world, Mode::Prepaid, "1").await;
    assert_eq!(refusal(begin(other).await).0, IdempotencyConflict);
    assert_eq!(world.stands(id).await.0, "100000");
    let pause =
        async || subscription::change(&world.app, &world.actor, first.value.id, Wish::Pause, "p").await;
    assert!(!pause().await.unwrap().replay);
    assert!(
        pause().await.unwrap().replay,
        "and not refused because it is paused already"
    );
}

async fn the_full_cycle_of_p4(world: World) {
    world.priced("api_call", p4()).await;
    let plan = budget(&world).await;
    let id = world.customer("acme").await;
    world.move_to(at("2026-04-13"));
    let sub = world
        .try_subscribe(until(id, plan, "2027-04-13", 30))
        .await
        .unwrap()
        .value
        .id;
    for day in 14..=30 {
        world.move_to(at(&format!("2026-04-{day}")));
        world.consume(id, "api_call", "5000").await;
        world.catch_up().await;
    }
    world.until("2026-05-12").await;
    assert_eq!(world.stands(id).await.0, "52500");
    // 85,000 calls came to 47,500 credits; the next budget is there, and the old one is gone.
    world.until("2026-05-13").await;
    assert_eq!(world.stands(id).await.0, "100000");
    world.until("2026-05-13T00:01:00Z").await;
    assert_eq!(
        world.said(sub, "renewed").await,
        json!({
            "subscription_id": sub.to_string(),
            "customer_id": id.to_string(),
            "billing_mode": "postpaid",
            "prior_period": { "start": "2026-04-13T00:00:00Z", "end": "2026-05-13T00:00:00Z" },
            "new_period": { "start": "2026-05-13T00:00:00Z", "end": "2026-06-13T00:00:00Z" },
            "cycle_number": 2,
            "credits_granted": "100000",
            "usage_summary": {
                "total_credits_consumed": "47500",
                "net_balance_at_cycle_start": "100000",
                "net_balance_at_cycle_end": "52500",
                "by_billable_metric": { "api_call": { "units": "85000", "credits": "47500" } },
            },
        })
    );
    // The tiers begin anew with the cycle.
    world.consume(id, "api_call", "10000").await;
    world.catch_up().await;
    assert_eq!(world.stands(id).await.0, "90000");
}

async fn a_year_with_a_contract(world: World) {
    let plan = budget(&world).await;
    let id = world.customer("acme").await;
    world.move_to(at("2026-04-13"));
    let sub = world
        .try_subscribe(until(id, plan, "2027-04-13", 30))
        .await
        .unwrap()
        .value
        .id;
    world.until("2027-03-13").await;
    assert!(
        !world
            .names(sub)
            .await
            .contains(&"contract_ending_soon".to_owned())
    );
    world.until("2027-03-14").await;
    let soon = world.said(sub, "contract_ending_soon").await;
    assert_eq!(
        (&soon["days_remaining"], &soon["contract_end"]),
        (&json!(30), &json!("2027-04-13T00:00:00Z"))
    );
    world.until("2027-04-13").await;
    assert_eq!(world.state(sub).await, "CONTRACT_ENDED");
    assert_eq!(world.stands(id).await.0, "0", "the budget ends with the contract");
    world.until("2027-08-01").await;
    let names = world.names(sub).await;
    assert_eq!(names.iter().filter(|name| *name == "renewed").count(), 11);
    assert_eq!(
        names
            .iter()
            .filter(|name| *name == "contract_ending_soon")
            .count(),
        1
    );
    assert_eq!(names.last().unwrap(), "cycle_closed", "the final summary");
    assert_eq!(world.cycles(sub).await.len(), 12);
}

async fn a_contract_is_extended_in_time_and_after_its_end(world: World) {
    let plan = budget(&world).await;
    let id = world.customer("acme").await;
    world.move_to(at("2026-04-13"));
    let sub = world
        .try_subscribe(until(id, plan, "2026-05-28", 30))
        .await
        .unwrap()
        .value
        .id;
    let extend = |end: &str| Wish::ExtendContract { end: at(end) };
    assert_eq!(
        refusal(world.wish(sub, extend("2026-05-01")).await),
        (InvalidInput, "contractEnd".to_owned())
    );
    world.until("2026-05-20").await;
    let cut = world.subscription(sub).await.cycle.unwrap();
    assert_eq!(cut.period.end, at("2026-05-28"));
    world.wish(sub, extend("2026-06-20")).await.unwrap();
    let cycle = world.subscription(sub).await.cycle.unwrap();
    assert_eq!(
        cycle.period.end,
        at("2026-06-13"),
        "the cycle that the old end had cut goes on"
    );
    world.until("2026-07-01").await;
    assert_eq!(world.state(sub).await, "CONTRACT_ENDED");
    // The customer comes back in the middle of a month: the billing day stays.
    world.wish(sub, extend("2027-06-20")).await.unwrap();
    let back = world.subscription(sub).await;
    assert_eq!(back.state, State::Active);
    assert_eq!(back.cycle.unwrap().period.end, at("2026-07-13"));
    assert_eq!(world.stands(id).await.0, "100000");
    let said = world.said(sub, "contract_extended").await;
    assert_eq!(said["reactivated"], true);
    world.until("2026-07-13").await;
    assert_eq!(
        world.subscription(sub).await.cycle.unwrap().period.end,
        at("2026-08-13")
    );
}

async fn unpaid_renewals(world: World) {
    world.priced("call", per_unit("1")).await;
    let fee = Some(Money::of(2_000, Currency::USD));
    let strict = app::catalog::CreateVariant {
        fee,
        renewal_due_days: 7,
        grace_days: 3,
        ..variant(Mode::Prepaid)
    };
    let lenient = app::catalog::CreateVariant {
        allow_usage_while_overdue: true,
        ..strict.clone()
    };
    for (plan, lenient) in [(strict, false), (lenient, true)] {
        let plan = world.sells(plan, vec![template("20")]).await;
        let id = world.customer(if lenient { "lenient" } else { "strict" }).await;
        let sub = world.subscribe(id, plan).await;
        world.give(id, "5").await;
        let end = world.subscription(sub).await.cycle.unwrap().period.end;
        let days = |days| domain::zone::Zone::UTC.plus_days(end, days).to_string();
        world.until(&days(-7)).await;
        assert_eq!(world.names(sub).await.last().unwrap(), "renewal_due");
        world.until(&days(0)).await;
        assert_eq!(world.state(sub).await, "OVERDUE");
        assert_eq!(world.stands(id).await.0, "5", "no grant before it is paid");
        let answer = ask(&world, id, "1").await;
        assert_eq!(answer.allowed, lenient);
        assert_eq!(answer.reason, (!lenient).then_some(Reason::SubscriptionOverdue));
        world.wish(sub, Wish::Renew).await.unwrap();
        assert_eq!(
            (world.state(sub).await, world.stands(id).await.0),
            ("ACTIVE".to_owned(), "25".to_owned())
        );
        assert!(ask(&world, id, "1").await.allowed);
        assert_eq!(
            refusal(
                world
                    .wish(sub, Wish::Pause)
                    .await
                    .and(world.wish(sub, Wish::Renew).await)
            ),
            (SubscriptionState, String::new())
        );
        world.wish(sub, Wish::Resume).await.unwrap();
        // Paid ahead, once.
        world.wish(sub, Wish::Renew).await.unwrap();
        assert_eq!(refusal(world.wish(sub, Wish::Renew).await).0, AlreadyExists);
        let next = world.subscription(sub).await.cycle.unwrap().period.end;
        world.until(&next.to_string()).await;
        assert_eq!(world.state(sub).await, "ACTIVE");
        // And then not at all.
        let end = world.subscription(sub).await.cycle.unwrap().period.end;
        let later = |days| domain::zone::Zone::UTC.plus_days(end, days).to_string();
        world.until(&later(2)).await;
        assert_eq!(world.state(sub).await, "OVERDUE");
        world.until(&later(3)).await;
        assert_eq!(world.state(sub).await, "EXPIRED");
        assert_eq!(
            world
                .names(sub)
                .await
                .iter()
                .filter(|name| *name == "expired")
                .count(),
            1
        );
        assert_eq!(world.stands(id).await.0, "5", "bought credits stay");
        assert!(ask(&world, id, "1").await.allowed, "what was bought may be used");
    }
}

async fn a_trial_becomes_a_subscription(world: World) {
    let plan = app::catalog::CreateVariant {
        trial_days: 14,
        fee: Some(Money::of(0, Currency::USD)),
        ..variant(Mode::Prepaid)
    };
    let trial = app::catalog::CreateTemplate {
        source: Source::Trial,
        ..template("3")
    };
    let once = app::catalog::CreateTemplate {
        source: Source::Included,
        recurrence: Recurrence::Once,
        expiry: Expiry::Never,
        ..template("7")
    };
    let plan = world.sells(plan, vec![template("10"), trial, once]).await;
    let id = world.customer("a").await;
    let sub = world.subscribe(id, plan).await;
    assert_eq!(
        (world.state(sub).await, world.stands(id).await.0),
        ("TRIALING".to_owned(), "3".to_owned())
    );
    world.until("2026-03-24T12:00:00Z").await;
    assert_eq!(
        (world.state(sub).await, world.stands(id).await.0),
        ("ACTIVE".to_owned(), "17".to_owned())
    );
    world.until("2026-04-24T12:00:00Z").await;
    assert_eq!(world.stands(id).await.0, "17", "included once, granted again");
    let numbers: Vec<_> = world
        .cycles(sub)
        .await
        .iter()
        .map(|it| (it.number, it.trial))
        .collect();
    assert_eq!(numbers, [(0, true), (1, false), (2, false)]);
}

async fn paused_resumed_and_cancelled(world: World) {
    world.priced("call", per_unit("1")).await;
    let plan = monthly(&world, Mode::Postpaid, "10").await;
    let id = world.customer("a").await;
    let sub = world.subscribe(id, plan).await;
    world.wish(sub, Wish::Pause).await.unwrap();
    let answer = ask(&world, id, "1").await;
    assert_eq!(
        (answer.allowed, answer.reason),
        (false, Some(Reason::SubscriptionPaused))
    );
    world.until("2026-06-01").await;
    assert_eq!(world.stands(id).await.0, "0", "no cycle followed");
    assert!(world.subscription(sub).await.cycle.is_none());
    world.wish(sub, Wish::Resume).await.unwrap();
    assert_eq!(world.stands(id).await.0, "10");
    assert_eq!(
        world.subscription(sub).await.cycle.unwrap().period.end,
        at("2026-06-10T12:00:00Z")
    );
    assert!(ask(&world, id, "1").await.allowed);
    assert_eq!(refusal(world.wish(sub, Wish::Resume).await).0, SubscriptionState);
    // With the cycle, taken back, with the cycle after all.
    world.wish(sub, Wish::Cancel { at_end: true }).await.unwrap();
    world.wish(sub, Wish::Resume).await.unwrap();
    world.until("2026-06-10T12:00:00Z").await;
    assert_eq!(world.state(sub).await, "ACTIVE");
    world.wish(sub, Wish::Cancel { at_end: true }).await.unwrap();
    world.until("2026-07-11").await;
    assert_eq!(world.state(sub).await, "CANCELLED");
    assert_eq!(
        refusal(world.wish(sub, Wish::Cancel { at_end: false }).await).0,
        SubscriptionState
    );
    // At once.
    let other = world.subscribe(id, plan).await;
    world.wish(other, Wish::Cancel { at_end: false }).await.unwrap();
    assert_eq!(
        (world.state(other).await, world.stands(id).await.0),
        ("CANCELLED".to_owned(), "0".to_owned())
    );
    world.until("2026-08-01").await;
    let cycle = world.cycles(other).await.pop().unwrap();
    assert!(cycle.summary.is_some(), "its last cycle closes all the same");
}

async fn plans_are_changed_now_or_later(world: World) {
    let small = monthly(&world, Mode::Postpaid, "31").await;
    let large = monthly(&world, Mode::Postpaid, "62").await;
    let id = world.customer("a").await;
    world.move_to(at("2026-05-01"));
    let sub = world.subscribe(id, small).await;
    let to = |to, now| Wish::ChangePlan { to, now };
    assert_eq!(refusal(world.wish(sub, to(small, true)).await).0, AlreadyExists);
    world.wish(sub, to(large, false)).await.unwrap();
    assert_eq!(world.subscription(sub).await.next_variant, Some(large));
    world.wish(sub, to(small, false)).await.unwrap();
    assert_eq!(world.subscription(sub).await.next_variant, None, "taken back");
    world.until("2026-05-11").await;
    world.move_to(at("2026-05-11T12:00:00Z"));
    world.wish(sub, to(large, true)).await.unwrap();
    // 20.5 of 31 days are left: 20.5 go back, 41 come.
    assert_eq!(world.stands(id).await.0, "51.5");
    let kinds: Vec<String> = world
        .ledger(id)
        .await
        .iter()
        .map(|it| entity::to_text(it.kind))
        .collect();
    assert_eq!(kinds, ["GRANT", "PRORATION", "GRANT"]);
    world.wish(sub, to(small, false)).await.unwrap();
    world.until("2026-06-01").await;
    assert_eq!(world.stands(id).await.0, "31");
    let foreign = budget(&world.stranger().await).await;
    assert_eq!(
        refusal(world.wish(sub, to(foreign, true)).await),
        (NotFound, "variantId".to_owned())
    );
}

async fn grants_roll_over_and_add_up_as_their_templates_say(world: World) {
    world.priced("call", per_unit("1")).await;
    let percent = |text: &str| text.parse::<Percent>().unwrap();
    let rolling = app::catalog::CreateTemplate {
        rollover: percent("50"),
        accumulation_cap: Some(credits("14")),
        bonus: percent("20"),
        ..template("10")
    };
    let plan = world.sells(variant(Mode::Prepaid), vec![rolling]).await;
    let free = app::catalog::CreateVariant {
        fee: Some(Money::of(0, Currency::USD)),
        ..variant(Mode::Prepaid)
    };
    let id = world.customer("a").await;
    let stays = world.sells(free, vec![template("1")]).await;
    let sub = world.subscribe(id, plan).await;
    let other = world.subscribe(id, stays).await;
    assert_eq!(world.stands(id).await.0, "13", "10, 2 as a bonus, and 1");
    world.wish(sub, Wish::Renew).await.unwrap();
    world.give(id, "100").await;
    world.consume(id, "call", "5").await;
    world.until("2026-04-10T12:00:00Z").await;
    // 8 of 13 are left; of the 7 or 8 of the plan half rolls over, never more than the cap leaves beside 12.
    let blocks: Vec<_> = world.blocks(id).await;
    assert!(blocks.contains(&"ROLLOVER 2".to_owned()), "{blocks:?}");
    assert!(
        blocks.contains(&"PURCHASE 100".to_owned()),
        "expiring credits burn first: {blocks:?}"
    );
    assert_eq!(
        world.state(other).await,
        "ACTIVE",
        "free of charge, it renews by itself"
    );
}

async fn credits_within_a_cycle(world: World) {
    let daily = app::catalog::CreateTemplate {
        every: Some(Interval::DAILY),
        ..template("2")
    };
    let plan = world.sells(variant(Mode::Postpaid), vec![daily]).await;
    let id = world.customer("a").await;
    let sub = world.subscribe(id, plan).await;
    for day in 11..=31 {
        world.until(&format!("2026-03-{day}T12:00:00Z")).await;
        assert_eq!(world.stands(id).await.0, "2", "day {day}");
    }
    assert_eq!(world.ledger(id).await.len(), 1 + 2 * 21);
    assert_eq!(
        world.subscription(sub).await.cycle.unwrap().granted,
        credits("44")
    );
}

async fn usage_at_the_boundary_is_paid_by_the_cycle_it_was_accepted_in(world: World) {
    world.priced("call", per_unit("1")).await;
    let plan = monthly(&world, Mode::Postpaid, "10").await;
    let id = world.customer("a").await;
    let sub = world.subscribe(id, plan).await;
    let boundary = at("2026-04-10T12:00:00Z");
    world.move_to(Timestamp::from_micros(boundary.micros() - 1));
    world.consume(id, "call", "3").await;
    world.move_to(boundary);
    world.consume(id, "call", "4").await;
    // A drain that comes before the turn leaves both to it.
    world.run_jobs().await;
    assert_eq!(world.stands(id).await, ("10".to_owned(), "0".to_owned()));
    assert_eq!(world.pending().await, 2);
    world.until("2026-04-10T12:01:00Z").await;
    assert_eq!(world.stands(id).await, ("6".to_owned(), "0".to_owned()));
    let cycles = world.cycles(sub).await;
    let summary = cycles[0].summary.clone().unwrap();
    assert_eq!(
        (summary.total_credits_consumed, summary.net_balance_at_cycle_end),
        (credits("3"), credits("7"))
    );
}

async fn the_gate_knows_the_new_cycle_before_a_worker_does(world: World) {
    world.priced("call", per_unit("1")).await;
    let plan = monthly(&world, Mode::Postpaid, "10").await;
    let id = world.customer("a").await;
    world.subscribe(id, plan).await;
    world.consume(id, "call", "10").await;
    world.catch_up().await;
    world.move_to(at("2026-04-10T11:59:59Z"));
    assert!(!ask(&world, id, "1").await.allowed);
    world.move_to(at("2026-04-10T12:00:00Z"));
    let answer = ask(&world, id, "10").await;
    assert!(answer.allowed, "{answer:?}");
    assert!(!ask(&world, id, "11").await.allowed);
    // What is accepted meanwhile counts against the new credits, in this process and in another.
    world.consume(id, "call", "4").await;
    let another = world.another().await;
    for world in [&world, &another] {
        assert_eq!(ask(world, id, "1").await.available, Some(credits("6")));
    }
    world.until("2026-04-10T12:00:00Z").await;
    assert_eq!(world.stands(id).await.0, "6");
    assert_eq!(ask(&world, id, "1").await.available, Some(credits("6")));
}

async fn what_happens_within_the_grace_comes_after_the_turn(world: World) {
    world.priced("call", per_unit("1")).await;
    let plan = monthly(&world, Mode::Postpaid, "10").await;
    let id = world.customer("a").await;
    let sub = world.subscribe(id, plan).await;
    let short = app::credit::Grant {
        expiry: app::credit::Expiry::At(at("2026-04-10T12:00:00Z")),
        ..world.deposit(id, "3")
    };
    world.grant(short).await;
    world.move_to(at("2026-04-10T12:00:01Z"));
    // Nobody has turned the cycle yet.
    world.give(id, "100").await;
    world.until("2026-04-10T12:02:00Z").await;
    let summary = world.cycles(sub).await[0].summary.clone().unwrap();
    assert_eq!(
        summary.net_balance_at_cycle_end,
        credits("13"),
        "as it was just before the end"
    );
    assert_eq!(world.stands(id).await.0, "110");
}

async fn late_usage_counts_until_the_close(world: World) {
    world.priced("call", per_unit("1")).await;
    let plan = monthly(&world, Mode::Postpaid, "10").await;
    let id = world.customer("a").await;
    let sub = world.subscribe(id, plan).await;
    let of_before = |world: &World| app::usage::NewEvent {
        occurred_at: Some(at("2026-04-10T11:00:00Z")),
        ..world.event(id, "call", "2")
    };
    world.move_to(at("2026-04-10T12:00:59Z"));
    world.catch_up().await;
    world.accept(vec![of_before(&world)]).await;
    world.move_to(at("2026-04-10T12:01:00Z"));
    world.accept(vec![of_before(&world)]).await;
    world.until("2026-04-10T12:05:00Z").await;
    let cycles = world.cycles(sub).await;
    let summary = cycles[0].summary.clone().unwrap();
    assert_eq!(summary.total_credits_consumed, credits("2"), "what came in time");
    assert_eq!(world.stands(id).await.0, "6", "both are paid by the new credits");
    world.until("2026-05-10T12:05:00Z").await;
    let summary = world.cycles(sub).await[1].summary.clone().unwrap();
    assert_eq!(
        summary.total_credits_consumed,
        credits("2"),
        "what came late counts in the open cycle"
    );
}

/// The database stood still while usage was being recorded, and a cycle closed meanwhile.
async fn what_shows_after_the_close_changes_nothing_that_was_told(world: World) {
    world.priced("call", per_unit("1")).await;
    let plan = monthly(&world, Mode::Postpaid, "10").await;
    let id = world.customer("a").await;
    let sub = world.subscribe(id, plan).await;
    world.until("2026-04-10T12:05:00Z").await;
    world.move_to(at("2026-04-10T12:00:59Z"));
    let belated = app::usage::NewEvent {
        occurred_at: Some(at("2026-04-10T11:00:00Z")),
        ..world.event(id, "call", "2")
    };
    let key = belated.key.clone();
    world.accept(vec![belated]).await;
    world.until("2026-04-10T12:10:00Z").await;
    assert_eq!(world.stands(id).await.0, "8");
    let event = app::usage::event(&world.app, &world.actor, &key)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        event.received_at,
        at("2026-04-10T12:01:00Z"),
        "accepted at the close"
    );
    world.until("2026-05-10T12:05:00Z").await;
    let cycles = world.cycles(sub).await;
    let told: Vec<_> = cycles
        .iter()
        .filter_map(|cycle| cycle.summary.as_ref())
        .map(|summary| summary.total_credits_consumed)
        .collect();
    assert_eq!(told, [credits("0"), credits("2")]);
}

/// The turn and the close are due at the same instant, and so is the end of the contract.
async fn a_cycle_that_waits_for_nothing_closes_as_it_turns(world: World) {
    world.priced("call", per_unit("1")).await;
    let prompt = app::catalog::CreateVariant {
        late_seconds: 0,
        ..variant(Mode::Postpaid)
    };
    let plan = world.sells(prompt, vec![template("10")]).await;
    let id = world.customer("a").await;
    let sub = world
        .try_subscribe(until(id, plan, "2026-05-10T12:00:00Z", 5))
        .await
        .unwrap()
        .value
        .id;
    world.consume(id, "call", "3").await;
    world.until("2026-04-10T12:01:00Z").await;
    world.consume(id, "call", "4").await;
    world.until("2026-06-01").await;
    assert_eq!(world.state(sub).await, "CONTRACT_ENDED");
    let told: Vec<_> = world
        .cycles(sub)
        .await
        .into_iter()
        .map(|cycle| (cycle.closes_at, cycle.summary.unwrap().total_credits_consumed))
        .collect();
    assert_eq!(
        told,
        [
            (at("2026-04-10T12:00:00Z"), credits("3")),
            (at("2026-05-10T12:00:00Z"), credits("4")),
        ]
    );
    assert_eq!(world.stands(id).await, ("0".to_owned(), "0".to_owned()));
}

/// A vendor with several kinds of plans and customers that use them.
async fn varied(world: &World) -> Vec<SubscriptionId> {
    world.priced("call", per_unit("1")).await;
    let percent = |text: &str| text.parse::<Percent>().unwrap();
    let rolling = app::catalog::CreateTemplate {
        rollover: percent("50"),
        ..template("10")
    };
    let weekly = app::catalog::CreateVariant {
        interval: Interval::WEEKLY,
        ..variant(Mode::Postpaid)
    };
    let daily = app::catalog::CreateTemplate {
        every: Some(Interval::DAILY),
        ..template("2")
    };
    let mut all = Vec::new();
    for (index, (variant, templates)) in [
        (variant(Mode::Postpaid), vec![rolling]),
        (weekly, vec![template("3")]),
        (variant(Mode::Postpaid), vec![daily]),
    ]
    .into_iter()
    .enumerate()
    {
        let plan = world.sells(variant, templates).await;
        let id = world.customer(&format!("c{index}")).await;
        let agreed = CreateSubscription {
            billing_day: (index == 0).then_some(31),
            zone: Some("Europe/Berlin".to_owned()),
            contract_end: (index == 1).then(|| at("2026-06-01")),
            contract_notice_days: (index == 1).then_some(10),
            ..agreement(id, plan)
        };
        all.push(world.try_subscribe(agreed).await.unwrap().value.id);
    }
    all
}

/// A prepaid plan that nobody pays: it is overdue, and expires.
async fn unpaid(world: &World) -> SubscriptionId {
    let prepaid = app::catalog::CreateVariant {
        renewal_due_days: 5,
        grace_days: 40,
        ..variant(Mode::Prepaid)
    };
    let rolling = app::catalog::CreateTemplate {
        rollover: Percent::HUNDRED,
        accumulation_cap: Some(credits("12")),
        ..template("10")
    };
    let plan = world.sells(prepaid, vec![rolling]).await;
    let id = world.customer("c3").await;
    world.subscribe(id, plan).await
}

async fn use_something(world: &World, day: usize, customers: usize) {
    for index in 0..customers {
        if (day + index).is_multiple_of(4) {
            let event = app::usage::NewEvent {
                customer: Some(app::customer::CustomerRef::External(format!("c{index}"))),
                ..world.event(CustomerId(Uuid::nil()), "call", "1.5")
            };
            world.accept(vec![event]).await;
        }
    }
}

async fn months_without_workers_are_caught_up_in_order(world: World) {
    // The same world once more, whose workers never stop.
    with_place(world.app.db().backend(), |place| async move {
        let other = World::over(place).await;
        let stopped = varied(&world).await;
        varied(&other).await;
        let expired = unpaid(&world).await;
        unpaid(&other).await;
        for day in 0..95 {
            for world in [&world, &other] {
                world.advance(86_400);
                use_something(world, day, 4).await;
            }
            other.catch_up().await;
        }
        for world in [&world, &other] {
            world.advance(120);
            world.catch_up().await;
        }
        let (late, timely) = (world.history().await, other.history().await);
        for (late, timely) in late.iter().zip(&timely) {
            assert_eq!(late, timely);
        }
        assert_eq!(late.len(), timely.len());
        let told = world.names(expired).await;
        let unpaid = [
            "created",
            "renewal_due",
            "overdue",
            "cycle_closed",
            "cycle_closed",
            "expired",
            "cycle_closed",
        ];
        assert_eq!(told, unpaid);
        let closed = world.cycles(stopped[1]).await;
        assert!(closed.len() > 10 && closed.iter().all(|it| it.summary.is_some()));
    })
    .await;
}

async fn many_workers_do_each_step_once(world: World) {
    world.priced("call", per_unit("1")).await;
    let plan = monthly(&world, Mode::Postpaid, "10").await;
    let mut subscriptions = Vec::new();
    for index in 0..20 {
        let id = world.customer(&format!("c{index}")).await;
        subscriptions.push((id, world.subscribe(id, plan).await));
    }
    // Usage of every cycle waits as well.
    for day in ["2026-03-20", "2026-04-20", "2026-05-20", "2026-06-20"] {
        world.move_to(at(day));
        let used = subscriptions.iter().map(|(id, _)| world.event(*id, "call", "3"));
        world.accept(used.collect()).await;
    }
    world.move_to(at("2026-07-01"));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let world = world.another().await;
        workers.spawn(async move {
            for _ in 0..3 {
                for shard in 0..32 {
                    let payload = json!({ "kind": "subscription.advance", "args": shard.to_string() });
                    job::run(&world.app, payload).await;
                }
            }
        });
    }
    tokio::time::timeout(Duration::from_secs(120), workers.join_all())
        .await
        .unwrap();
    world.catch_up().await;
    for (id, sub) in subscriptions {
        assert_eq!(world.stands(id).await.0, "7");
        let cycles = world.cycles(sub).await;
        let numbers: Vec<_> = cycles.iter().map(|it| it.number).collect();
        assert_eq!(numbers, [1, 2, 3, 4]);
        for closed in &cycles[..3] {
            let summary = closed.summary.clone().unwrap();
            assert_eq!(summary.total_credits_consumed, credits("3"));
        }
        let names = world.names(sub).await;
        assert_eq!(names, ["created", "renewed", "renewed", "renewed"]);
        assert_eq!(
            world.ledger(id).await.len(),
            11,
            "four grants, four debits, three expiries"
        );
    }
}

async fn killed_at_any_step(world: World) {
    let all = varied(&world).await;
    for day in 0..40 {
        world.advance(86_400);
        use_something(&world, day, 3).await;
    }
    // Each life ends a little later than the one before; what one leaves undone, another does.
    for polls in 0..80 {
        for shard in 0..32 {
            let payload = json!({ "kind": "subscription.advance", "args": shard.to_string() });
            pin!(Mortal::new(job::run(&world.app, payload), polls % 40)).await;
        }
        world.advance(1);
    }
    // Runs that died are believed in for a while.
    world.advance(30);
    world.catch_up().await;
    world.advance(30);
    world.catch_up().await;
    for id in all {
        let cycles = world.cycles(id).await;
        for (before, after) in cycles.iter().zip(&cycles[1..]) {
            assert_eq!(
                (before.period.end, before.number + 1),
                (after.period.start, after.number)
            );
        }
        let behind = cycles.iter().filter(|it| it.summary.is_none());
        assert_eq!(behind.count(), 1, "only the one that runs");
    }
}

async fn a_damaged_subscription_stops_nobody_else(world: World) {
    let plan = monthly(&world, Mode::Postpaid, "10").await;
    let (well, ill) = (world.customer("well").await, world.customer("ill").await);
    world.subscribe(well, plan).await;
    let damaged = world.subscribe(ill, plan).await;
    let literal = world.literal(damaged.0);
    world
        .sabotage(&format!(
            "UPDATE subscription SET zone = 'Nowhere/Land' WHERE id = {literal}"
        ))
        .await;
    world.until("2026-04-10T12:00:00Z").await;
    assert_eq!(world.stands(well).await.0, "10");
    let parked = job::parked(&world.app, &world.actor, app::page::Page::first(10))
        .await
        .unwrap()
        .items;
    assert_eq!(parked.len(), 1);
    assert_eq!(
        (parked[0].kind.as_str(), parked[0].subject.clone()),
        ("subscription.customer", ill.to_string())
    );
    world
        .sabotage(&format!(
            "UPDATE subscription SET zone = 'UTC' WHERE id = {literal}"
        ))
        .await;
    job::retry(&world.app, &world.actor, parked[0].id, "again")
        .await
        .unwrap();
    world.catch_up().await;
    assert_eq!(world.cycles(damaged).await.len(), 2);
}

async fn several_subscriptions_of_one_customer(world: World) {
    world.priced("call", per_unit("1")).await;
    let (first, second) = (
        monthly(&world, Mode::Postpaid, "10").await,
        monthly(&world, Mode::Postpaid, "100").await,
    );
    let id = world.customer("a").await;
    let old = world.subscribe(id, first).await;
    world.advance(86_400);
    let young = world.subscribe(id, second).await;
    assert_eq!(world.stands(id).await.0, "110");
    world.consume(id, "call", "30").await;
    world.until("2026-05-01").await;
    assert_eq!(world.stands(id).await.0, "110");
    let total = async |sub| {
        let summary = world.cycles(sub).await[0].summary.clone().unwrap();
        summary.total_credits_consumed
    };
    assert_eq!(
        total(old).await,
        credits("30"),
        "usage is counted once, in the oldest"
    );
    assert_eq!(total(young).await, credits("0"));
}

async fn templates_added_later_are_noticed(world: World) {
    let plan = monthly(&world, Mode::Postpaid, "10").await;
    let id = world.customer("a").await;
    world.subscribe(id, plan).await;
    world.advance(3_600);
    let daily = app::catalog::CreateTemplate {
        every: Some(Interval::DAILY),
        ..template("2")
    };
    world.adds(plan, daily).await;
    world.until("2026-03-11T12:00:00Z").await;
    assert_eq!(world.stands(id).await.0, "12", "from its next period on");
    world.until("2026-03-12T12:00:00Z").await;
    assert_eq!(world.stands(id).await.0, "12");
}

async fn customers_see_their_own_only(world: World) {
    let plan = monthly(&world, Mode::Postpaid, "10").await;
    let (own, other) = (world.customer("own").await, world.customer("other").await);
    let (mine, theirs) = (
        world.subscribe(own, plan).await,
        world.subscribe(other, plan).await,
    );
    let mut token = world.actor.clone();
    token.customer = Some(own);
    let read = async |id| subscription::subscription(&world.app, &token, id).await.unwrap();
    assert!(read(mine).await.is_some() && read(theirs).await.is_none());
    let stranger = world.stranger().await;
    let read = async |id| {
        subscription::subscription(&world.app, &stranger.actor, id)
            .await
            .unwrap()
    };
    assert!(read(mine).await.is_none());
    assert_eq!(
        refusal(subscription::change(&world.app, &stranger.actor, mine, Wish::Pause, "k").await),
        (NotFound, "subscriptionId".to_owned())
    );
}
