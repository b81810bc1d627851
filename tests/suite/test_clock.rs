//! Test clocks: what time would have done, in the same order, in seconds.

use std::pin::pin;

use app::{
    access::{self, Mode},
    customer::{self, CreateCustomer},
    gate::{self, Check},
    job,
    page::Page,
    subscription::CreateSubscription,
    test_clock::{self, AdvanceTestClock, CreateTestClock, TestClock},
    usage::{NewEvent, Outcome},
};
use domain::{
    id::{CustomerId, TestClockId},
    metering::rule::Properties,
    plan::{interval::Interval, variant::Mode as Billing},
    rejection::RejectionCode::{InvalidInput, NotFound},
    time::Timestamp,
    usage::event::Refusal,
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
    templates_added_later_are_noticed_by_every_clock,
    a_year_with_a_contract_lapse_and_return,
    a_clock_does_what_time_does,
    whatever_dies_another_goes_on,
    everything_of_a_customer_happens_at_its_time,
    a_clock_moves_its_own_customers_only,
    what_a_clock_refuses,
);

pub async fn clock(world: &World, now: &str) -> TestClock {
    let input = CreateTestClock {
        name: "clock".to_owned(),
        now: Some(at(now)),
    };
    let made = test_clock::create(&world.app, &world.actor, input, &world.key()).await;
    made.unwrap().value
}

pub async fn customer_on(world: &World, clock: TestClockId, name: &str) -> CustomerId {
    let input = CreateCustomer {
        external_id: name.to_owned(),
        clock: Some(clock),
        ..CreateCustomer::default()
    };
    let made = customer::create(&world.app, &world.actor, input, &world.key()).await;
    made.unwrap().value.id
}

async fn send(world: &World, clock: TestClockId, to: &str) -> app::Result<TestClock> {
    let input = AdvanceTestClock { clock, to: at(to) };
    Ok(test_clock::send(&world.app, &world.actor, input, &world.key())
        .await?
        .value)
}

async fn read(world: &World, id: TestClockId) -> TestClock {
    let found = test_clock::clock(&world.app, &world.actor, id).await;
    found.unwrap().unwrap()
}

/// Moves a clock and has everything done.
pub async fn advance(world: &World, clock: TestClockId, to: &str) {
    assert!(!send(world, clock, to).await.unwrap().ready);
    world.catch_up().await;
    let arrived = read(world, clock).await;
    assert!(arrived.ready && arrived.now == at(to), "{arrived:?}");
}

async fn a_year_with_a_contract_lapse_and_return(world: World) {
    world.priced("api_call", p4()).await;
    let budget = app::catalog::CreateTemplate {
        priority: 10,
        ..template("100000")
    };
    let plan = world.sells(variant(Billing::Postpaid), vec![budget]).await;
    let clock = clock(&world, "2026-04-13").await;
    let id = customer_on(&world, clock.id, "acme").await;
    let agreed = CreateSubscription {
        contract_end: Some(at("2027-04-13")),
        contract_notice_days: Some(30),
        ..agreement(id, plan)
    };
    let sub = world.try_subscribe(agreed).await.unwrap().value.id;
    let days = [
        "2026-04-20",
        "2026-05-20",
        "2026-06-20",
        "2026-07-20",
        "2026-08-20",
        "2026-09-20",
    ];
    let more = [
        "2026-10-20",
        "2026-11-20",
        "2026-12-20",
        "2027-01-20",
        "2027-02-20",
        "2027-03-20",
    ];
    for day in days.into_iter().chain(more) {
        advance(&world, clock.id, day).await;
        // Busy: many events of every month, at the clock's time.
        let events = (0..17).map(|_| world.event(id, "api_call", "5000")).collect();
        world.accept(events).await;
    }
    advance(&world, clock.id, "2027-06-01").await;
    assert_eq!(world.state(sub).await, "CONTRACT_ENDED");
    let cycles = world.cycles(sub).await;
    assert_eq!(cycles.len(), 12);
    for cycle in &cycles {
        let summary = cycle.summary.clone().unwrap();
        assert_eq!(
            summary.total_credits_consumed,
            credits("47500"),
            "cycle {}",
            cycle.number
        );
        assert_eq!(
            summary.net_balance_at_cycle_end,
            credits("52500"),
            "cycle {}",
            cycle.number
        );
    }
    let told = world.told(sub).await;
    let when = |kind: &str| {
        let event = told
            .iter()
            .find(|event| event.kind.as_str() == format!("subscription.{kind}"));
        event.unwrap().occurred_at
    };
    assert_eq!(when("contract_ending_soon"), at("2027-03-14"));
    assert_eq!(when("contract_ended"), at("2027-04-13"));
    // Nothing is granted after the end; the customer comes back, and the billing day stays.
    assert_eq!(world.stands(id).await.0, "0");
    let extend = app::subscription::Wish::ExtendContract {
        end: at("2028-04-13"),
    };
    let back = world.wish(sub, extend).await.unwrap().cycle.unwrap();
    assert_eq!(
        (back.period.start, back.period.end),
        (at("2027-06-01"), at("2027-06-13"))
    );
    advance(&world, clock.id, "2027-07-01").await;
    assert_eq!(world.stands(id).await.0, "100000");
}

/// A customer with a bit of everything: a plan that rolls over, a top-up that ends, usage.
async fn live(world: &World, id: CustomerId, mut until: impl AsyncFnMut(&str)) {
    let rolling = app::catalog::CreateTemplate {
        rollover: "50".parse().unwrap(),
        ..template("10")
    };
    let plan = world.sells(variant(Billing::Postpaid), vec![rolling]).await;
    until("2026-03-11").await;
    world.subscribe(id, plan).await;
    let short = app::credit::Grant {
        expiry: app::credit::Expiry::At(at("2026-04-20")),
        ..world.deposit(id, "5")
    };
    world.grant(short).await;
    for day in ["2026-03-20", "2026-04-15", "2026-05-02", "2026-06-30"] {
        until(day).await;
        world.consume(id, "call", "3").await;
    }
    until("2026-08-01").await;
}

async fn a_clock_does_what_time_does(world: World) {
    world.priced("call", per_unit("1")).await;
    let clock = clock(&world, "2026-03-10T12:00:00Z").await;
    let id = customer_on(&world, clock.id, "a").await;
    live(&world, id, async |day| advance(&world, clock.id, day).await).await;
    world.catch_up().await;
    // The same life by a clock on the wall, with a worker that is always there.
    with_place(world.app.db().backend(), |place| async move {
        let other = World::over(place).await;
        other.priced("call", per_unit("1")).await;
        let same = other.customer("a").await;
        let until = async |day: &str| {
            while other.now() < at(day) {
                // Four times a day.
                let next = (other.now().micros() + 21_600_000_000).min(at(day).micros());
                other.move_to(Timestamp::from_micros(next));
                other.catch_up().await;
            }
        };
        live(&other, same, until).await;
        other.advance(10);
        other.catch_up().await;
        assert_eq!(world.history().await, other.history().await);
        assert_eq!(world.stands(id).await, other.stands(same).await);
    })
    .await;
}

async fn whatever_dies_another_goes_on(world: World) {
    world.priced("call", per_unit("1")).await;
    let plan = world
        .sells(variant(Billing::Postpaid), vec![template("10")])
        .await;
    let clock = clock(&world, "2026-03-10").await;
    let id = customer_on(&world, clock.id, "a").await;
    let sub = world.subscribe(id, plan).await;
    world.post.clear();
    send(&world, clock.id, "2027-03-10").await.unwrap();
    world.post.clear();
    let payload = json!({ "kind": "clock.advance", "args": clock.id.to_string() });
    for polls in 0..60 {
        pin!(Mortal::new(job::run(&world.app, payload.clone()), polls)).await;
        // A run that died is believed in for a while.
        world.advance(16);
    }
    world.catch_up().await;
    assert!(read(&world, clock.id).await.ready);
    assert_eq!(world.cycles(sub).await.len(), 13);
    // The clock began earlier than the plan was written: what is offered is offered at the clock's time as well.
    assert_eq!(
        world.ledger(id).await.len(),
        25,
        "13 grants, 12 expiries, each once"
    );
}

async fn everything_of_a_customer_happens_at_its_time(world: World) {
    world.priced("call", per_unit("1")).await;
    let past = clock(&world, "2020-01-01").await;
    let then = customer_on(&world, past.id, "then").await;
    world.give(then, "10").await;
    world.consume(then, "call", "4").await;
    world.catch_up().await;
    assert_eq!(
        world.stands(then).await.0,
        "6",
        "prices that are known now are known to a clock in the past"
    );
    let clock = clock(&world, "2030-01-01").await;
    let id = customer_on(&world, clock.id, "a").await;
    let block = world.give(id, "10").await;
    assert_eq!(block.block.granted_at, at("2030-01-01"));
    let event = world.event(id, "call", "1");
    let old = NewEvent {
        occurred_at: Some(at("2029-11-01")),
        ..world.event(id, "call", "1")
    };
    let ahead = NewEvent {
        occurred_at: Some(at("2030-01-01T00:06:00Z")),
        ..world.event(id, "call", "1")
    };
    let key = event.key.clone();
    let outcomes = world.record(vec![event, old, ahead]).await;
    assert!(matches!(outcomes[0], Outcome::Accepted(_)), "{outcomes:?}");
    assert_eq!(outcomes[1], Outcome::Rejected(Refusal::OccurredTooLongAgo));
    assert_eq!(outcomes[2], Outcome::Rejected(Refusal::OccurredInFuture));
    let seen = app::usage::event(&world.app, &world.actor, &key)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (seen.occurred_at, seen.received_at),
        (at("2030-01-01"), at("2030-01-01"))
    );
    world.catch_up().await;
    assert_eq!(world.stands(id).await.0, "9");
    // The gate knows the clock: what has ended by it does not pay.
    let short = app::credit::Grant {
        expiry: app::credit::Expiry::At(at("2030-01-02")),
        ..world.deposit(id, "100")
    };
    world.grant(short).await;
    let ask = async || {
        let question = Check {
            customer: customer::CustomerRef::Id(id),
            metric_key: "call".to_owned(),
            units: units("50"),
            properties: Properties::new(),
        };
        gate::check(&world.app, &world.actor, &question)
            .await
            .unwrap()
            .allowed
    };
    assert!(ask().await);
    advance(&world, clock.id, "2030-01-02").await;
    assert!(!ask().await);
    assert_eq!(world.stands(id).await.0, "9");
    world.void(&key).await.unwrap();
    assert_eq!(world.stands(id).await.0, "10");
    let blocks = world.blocks(id).await;
    assert_eq!(blocks, ["PURCHASE 10"]);
}

async fn a_clock_moves_its_own_customers_only(world: World) {
    let plan = world
        .sells(variant(Billing::Postpaid), vec![template("10")])
        .await;
    let (one, other) = (
        clock(&world, "2026-03-10").await,
        clock(&world, "2026-03-10").await,
    );
    let by_one = customer_on(&world, one.id, "one").await;
    let by_other = customer_on(&world, other.id, "other").await;
    let by_the_wall = world.customer("wall").await;
    let mut subs = vec![];
    for id in [by_one, by_other, by_the_wall] {
        subs.push(world.subscribe(id, plan).await);
    }
    // Also what is due at the very instant at which it stops.
    advance(&world, one.id, "2026-06-10").await;
    let counts = async || {
        let mut counts = vec![];
        for sub in &subs {
            counts.push(world.cycles(*sub).await.len());
        }
        counts
    };
    assert_eq!(counts().await, [4, 1, 1]);
    // Time on the wall moves nobody who lives by a clock.
    world.until("2026-05-11").await;
    assert_eq!(counts().await, [4, 1, 3]);
    let members = test_clock::customers(&world.app, &world.actor, one.id)
        .await
        .unwrap();
    assert_eq!(members, [by_one]);
}

async fn what_a_clock_refuses(world: World) {
    let mine = clock(&world, "2026-03-10").await;
    for (to, field) in [("2026-03-10", "to"), ("2026-03-09", "to"), ("2037-01-01", "to")] {
        assert_eq!(
            refusal(send(&world, mine.id, to).await),
            (InvalidInput, field.to_owned()),
            "{to}"
        );
    }
    let nowhere = TestClockId(Uuid::from_u128(1));
    assert_eq!(
        refusal(send(&world, nowhere, "2027-01-01").await),
        (NotFound, "testClockId".to_owned())
    );
    let stranger = world.stranger().await;
    assert_eq!(refusal(send(&stranger, mine.id, "2027-01-01").await).0, NotFound);
    assert!(
        test_clock::clock(&stranger.app, &stranger.actor, mine.id)
            .await
            .unwrap()
            .is_none()
    );
    let theirs = CreateCustomer {
        external_id: "x".to_owned(),
        clock: Some(mine.id),
        ..CreateCustomer::default()
    };
    let made = customer::create(&stranger.app, &stranger.actor, theirs.clone(), "k").await;
    assert_eq!(refusal(made), (NotFound, "testClockId".to_owned()));
    // A clock on its way takes nobody, and goes further only.
    send(&world, mine.id, "2026-04-01").await.unwrap();
    let made = customer::create(&world.app, &world.actor, theirs, "k").await;
    assert_eq!(refusal(made), (InvalidInput, "testClockId".to_owned()));
    assert_eq!(refusal(send(&world, mine.id, "2026-03-20").await).0, InvalidInput);
    send(&world, mine.id, "2026-05-01").await.unwrap();
    world.catch_up().await;
    assert_eq!(read(&world, mine.id).await.now, at("2026-05-01"));
    let page = test_clock::clocks(&world.app, &world.actor, Page::first(10))
        .await
        .unwrap();
    assert_eq!(page.items.len(), 1);
    // Real customers have real time.
    let (live, _) = access::ensure_tenant(&world.app, "live", Some(Mode::Live))
        .await
        .unwrap();
    let actor = app::Actor::operator(live.id);
    let input = CreateTestClock {
        name: "clock".to_owned(),
        now: None,
    };
    assert_eq!(
        refusal(test_clock::create(&world.app, &actor, input, "k").await).0,
        InvalidInput
    );
}

/// A clock may show a time long before or after that on the wall: what is looked at again is looked at by its own time.
async fn templates_added_later_are_noticed_by_every_clock(world: World) {
    for (name, begins, ends) in [
        ("before", "2025-01-01", "2025-01-02"),
        ("after", "2027-01-01", "2027-01-02"),
    ] {
        let plan = world
            .sells(variant(Billing::Postpaid), vec![template("10")])
            .await;
        let clock = clock(&world, begins).await.id;
        let id = customer_on(&world, clock, name).await;
        world.subscribe(id, plan).await;
        let daily = app::catalog::CreateTemplate {
            every: Some(Interval::DAILY),
            ..template("2")
        };
        world.adds(plan, daily).await;
        let run = app::audit::full(&world.app, app::audit::Reached::All, |_, _| ())
            .await
            .unwrap();
        assert_eq!(run.violations, 0, "{:?}", run.first);
        advance(&world, clock, ends).await;
        assert_eq!(world.stands(id).await.0, "12", "{name}");
    }
}
