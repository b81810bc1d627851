//! The gate: answered from memory, and true all the same.

use std::time::{Duration, Instant};

use app::{
    Limits,
    db::Backend,
    feed::Feed,
    gate::{self, Check, Entitlement, Policy, Reason, Unsure},
    usage::{self, Age},
};
use domain::{
    amount::Quantity,
    customer::AtZero,
    id::CustomerId,
    metering::{Price, rule::Properties},
    rejection::RejectionCode,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sea_orm::ConnectionTrait;
use tokio_util::sync::CancellationToken;

use crate::harness::{World, credits, flat, graduated, p4, package, per_unit, refusal, units, volume};

/// How long another process may take to notice a change on a busy machine.
const NOTICED: Duration = Duration::from_secs(20);

on_both!(
    accepted_usage_counts_before_it_is_debited,
    the_first_look_counts_what_waits,
    tiers_move_with_accepted_usage,
    free_usage_and_restricted_blocks_count_as_in_the_drain,
    what_this_process_does_is_seen_at_once,
    another_process_is_noticed_by_the_feed,
    another_process_is_noticed_without_the_feed,
    a_lost_notice_makes_no_answer_look_younger_than_it_is,
    a_waiting_event_that_is_taken_back_stops_counting,
    debits_elsewhere_are_not_counted_twice,
    answers_are_the_same_before_and_after_the_drain,
    answers_never_exceed_the_truth_under_load,
    usage_that_nobody_asks_about_is_not_kept,
    usage_far_behind_is_not_answered_for,
    damaged_books_close_the_gate,
    many_questions_are_answered_in_order,
    an_unknown_customer_is_the_vendors_choice,
    an_outage_is_the_vendors_choice,
);

fn question(customer: CustomerId, metric: &str, amount: &str) -> Check {
    Check {
        customer: app::customer::CustomerRef::Id(customer),
        metric_key: metric.to_owned(),
        units: units(amount),
        properties: Properties::new(),
    }
}

async fn ask(world: &World, customer: CustomerId, metric: &str, amount: &str) -> Entitlement {
    let question = question(customer, metric, amount);
    gate::check(&world.app, &world.actor, &question).await.unwrap()
}

/// Whether it is allowed, what is left, and what is counted though not debited.
async fn left(world: &World, customer: CustomerId, metric: &str) -> (String, String) {
    let answer = ask(world, customer, metric, "1").await;
    let text = |amount: Option<domain::amount::Credits>| {
        amount.map_or_else(|| "unknown".to_owned(), |amount| amount.to_string())
    };
    (text(answer.available), text(answer.undebited))
}

async fn accepted_usage_counts_before_it_is_debited(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    world.give(id, "10").await;
    assert_eq!(left(&world, id, "call").await, ("10".into(), "0".into()));
    world.consume(id, "call", "4").await;
    assert_eq!(left(&world, id, "call").await, ("6".into(), "4".into()));
    let (fits, more) = (
        ask(&world, id, "call", "6").await,
        ask(&world, id, "call", "7").await,
    );
    assert!(fits.allowed && fits.reason.is_none() && fits.missing == Some(credits("0")));
    assert_eq!(
        (more.allowed, more.reason),
        (false, Some(Reason::InsufficientCredits))
    );
    assert_eq!(
        (more.cost, more.missing),
        (Some(credits("7")), Some(credits("1")))
    );
    assert_eq!(more.affordable_units, Some(units("6")));
    world.run_to_rest().await;
    assert_eq!(left(&world, id, "call").await, ("6".into(), "0".into()));
}

async fn the_first_look_counts_what_waits(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    world.give(id, "10").await;
    world.consume(id, "call", "4").await;
    let other = world.another().await;
    assert_eq!(left(&other, id, "call").await, ("6".into(), "4".into()));
    // What that process accepts itself counts on top.
    other.consume(id, "call", "2").await;
    assert_eq!(left(&other, id, "call").await, ("4".into(), "6".into()));
}

async fn tiers_move_with_accepted_usage(world: World) {
    world.priced("call", p4()).await;
    let id = world.customer("a").await;
    world.give(id, "10001").await;
    assert_eq!(
        ask(&world, id, "call", "1").await.affordable_units,
        Some(units("10002"))
    );
    world.consume(id, "call", "10000").await;
    let answer = ask(&world, id, "call", "1").await;
    assert_eq!(
        (answer.cost, answer.affordable_units),
        (Some(credits("0.5")), Some(units("2")))
    );
}

async fn free_usage_and_restricted_blocks_count_as_in_the_drain(world: World) {
    world.priced("call", per_unit("1")).await;
    world.priced("sms", per_unit("1")).await;
    world.metric("free").await;
    let id = world.customer("a").await;
    let mut grant = world.deposit(id, "5");
    grant.metric_keys = Some(vec!["sms".to_owned()]);
    world.grant(grant).await;
    world.give(id, "10").await;
    assert_eq!(left(&world, id, "call").await.0, "10");
    assert_eq!(left(&world, id, "sms").await.0, "15");
    // Seven of `sms`: five from its own block if that burns first, else from the common one. Either way as the drain will.
    world.consume(id, "sms", "7").await;
    world.consume(id, "free", "1000").await;
    let before = (left(&world, id, "call").await.0, left(&world, id, "sms").await.0);
    world.run_to_rest().await;
    let after = (left(&world, id, "call").await.0, left(&world, id, "sms").await.0);
    assert_eq!(before, after);
    assert!(ask(&world, id, "free", "1000000").await.allowed);
}

async fn what_this_process_does_is_seen_at_once(world: World) {
    world.metric("call").await;
    let id = world.customer("a").await;
    assert!(ask(&world, id, "call", "1").await.allowed, "no price, no cost");
    world.rule("call", per_unit("1")).await;
    assert!(!ask(&world, id, "call", "1").await.allowed, "a price is seen");
    for round in 1..=20 {
        world.give(id, "1").await;
        assert_eq!(
            left(&world, id, "call").await.0,
            round.to_string(),
            "a grant is seen"
        );
    }
    let input = app::customer::UpdateCustomer {
        at_zero: Some(AtZero::AllowUpTo),
        overage_line: Some(Some(credits("3"))),
        ..Default::default()
    };
    let who = app::customer::CustomerRef::Id(id);
    app::customer::update(&world.app, &world.actor, &who, input)
        .await
        .unwrap();
    let answer = ask(&world, id, "call", "24").await;
    assert_eq!(answer.available, Some(credits("23")), "terms are seen");
    assert_eq!(answer.overage_line, Some(credits("3")));
    assert_eq!(answer.reason, Some(Reason::OverageLimitReached));
}

/// Asks until the answer is `wanted`.
async fn comes_to(world: &World, customer: CustomerId, wanted: &str) {
    let begun = Instant::now();
    loop {
        let (available, _) = left(world, customer, "call").await;
        if available == wanted {
            return;
        }
        assert!(begun.elapsed() < NOTICED, "{available} is left, not {wanted}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn another_process_is_noticed_by_the_feed(world: World) {
    let other = watched_from_elsewhere(&world, true).await;
    drop(other);
}

async fn another_process_is_noticed_without_the_feed(world: World) {
    let other = watched_from_elsewhere(&world, false).await;
    drop(other);
}

async fn watched_from_elsewhere(world: &World, feed: bool) -> World {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    let other = world.another().await;
    let stop = CancellationToken::new();
    let running = feed.then(|| tokio::spawn(Feed::run(other.app.clone(), stop.clone())));
    comes_to(&other, id, "0").await;
    world.give(id, "10").await;
    comes_to(&other, id, "10").await;
    world.consume(id, "call", "3").await;
    world.run_to_rest().await;
    comes_to(&other, id, "7").await;
    // A new price of another process counts as well.
    world.advance(1);
    world.try_rule("call", &[], per_unit("2"), None).await.unwrap();
    let begun = Instant::now();
    while ask(&other, id, "call", "1").await.cost != Some(credits("2")) {
        assert!(begun.elapsed() < NOTICED, "the new price is not noticed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    if let Some(running) = running {
        running.await.unwrap();
    }
    other
}

/// The feed loses its connection, and with it the notice of a change. When it has another one, it has not heard of everything.
async fn a_lost_notice_makes_no_answer_look_younger_than_it_is(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    let other = world.another().await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(Feed::run(other.app.clone(), stop.clone()));
    comes_to(&other, id, "0").await;
    if world.app.db().backend() == Backend::Postgres {
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND query LIKE 'LISTEN%'";
        world.app.db().writer().execute_unprepared(cut).await.unwrap();
    }
    world.give(id, "10").await;
    let changed = world.now();
    world.advance(1);
    // Nobody asks until the feed is back: questions would have the customer confirmed.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let begun = Instant::now();
    loop {
        let answer = ask(&other, id, "call", "1").await;
        if answer.available == Some(credits("10")) {
            break;
        }
        assert!(
            answer.as_of <= changed,
            "so it was before {changed}, not at {}",
            answer.as_of
        );
        assert!(begun.elapsed() < NOTICED, "the change is not noticed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    running.await.unwrap();
}

async fn a_waiting_event_that_is_taken_back_stops_counting(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    world.give(id, "10").await;
    assert_eq!(left(&world, id, "call").await.0, "10");
    let key = world.consume(id, "call", "4").await;
    assert_eq!(left(&world, id, "call").await.0, "6");
    world.void(&key).await.unwrap();
    assert_eq!(left(&world, id, "call").await, ("10".into(), "0".into()));
}

async fn debits_elsewhere_are_not_counted_twice(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    world.give(id, "100").await;
    let worker = world.another().await;
    for round in 1..=10 {
        world.consume(id, "call", "1").await;
        assert!(left(&world, id, "call").await.0 == (100 - round).to_string());
        worker.run_to_rest().await;
        comes_to(&world, id, &(100 - round).to_string()).await;
    }
}

/// Random prices, blocks and usage: what the gate says of accepted usage is what it says once that is debited.
async fn answers_are_the_same_before_and_after_the_drain(world: World) {
    let prices: [(&str, Price); 5] = [
        ("each", per_unit("0.3")),
        ("flat", flat("2")),
        ("tiers", graduated(&[("10", "1"), ("50", "0.5"), ("", "0.1")])),
        ("volume", volume(&[("20", "1"), ("", "0.25")])),
        ("packs", package("10", "3")),
    ];
    for (key, price) in &prices {
        world.priced(key, price.clone()).await;
    }
    let mut dice = StdRng::seed_from_u64(20);
    let id = world.customer("a").await;
    for _ in 0..12 {
        if dice.random_bool(0.6) {
            let mut grant = world.deposit(id, &dice.random_range(1..40).to_string());
            grant.priority = Some(dice.random_range(0..3));
            if dice.random_bool(0.4) {
                grant.metric_keys = Some(vec![prices[dice.random_range(0..5)].0.to_owned()]);
            }
            world.grant(grant).await;
        }
        for (key, _) in &prices {
            ask(&world, id, key, "1").await;
        }
        let events = (0..dice.random_range(1..8)).map(|_| {
            let amount = dice.random_range(0..12).to_string();
            world.event(id, prices[dice.random_range(0..5)].0, &amount)
        });
        let events: Vec<_> = events.collect();
        world.accept(events).await;
        let asked = dice.random_range(0..30).to_string();
        let before = all_terms(&world, id, &prices, &asked).await;
        world.advance(1);
        world.run_to_rest().await;
        let after = all_terms(&world, id, &prices, &asked).await;
        assert_eq!(before, after);
    }
}

async fn all_terms(
    world: &World,
    id: CustomerId,
    prices: &[(&str, Price)],
    asked: &str,
) -> Vec<impl PartialEq + std::fmt::Debug + use<>> {
    let mut all = Vec::new();
    for (key, _) in prices {
        let answer = ask(world, id, key, asked).await;
        all.push((
            answer.allowed,
            answer.reason,
            answer.cost,
            answer.remaining,
            answer.available,
            answer.missing,
            answer.affordable_units,
        ));
    }
    all
}

/// While usage comes in and is debited, no answer may leave more than what was granted minus what had been accepted.
async fn answers_never_exceed_the_truth_under_load(world: World) {
    const EVENTS: u64 = 300;
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    world.give(id, "1000").await;
    let accepted = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let (writer, worker) = (world.clone(), world.another().await);
    let count = accepted.clone();
    let writing = tokio::spawn(async move {
        for _ in 0..EVENTS {
            writer.consume(id, "call", "1").await;
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    });
    let working = tokio::spawn(async move {
        while worker.pending().await > 0 || !writing.is_finished() {
            app::job::run(&worker.app, World::drain_job(id)).await;
        }
    });
    while !working.is_finished() {
        let before = accepted.load(std::sync::atomic::Ordering::SeqCst);
        let answer = ask(&world, id, "call", "1").await;
        let most = 1000 - i64::try_from(before).unwrap();
        assert!(
            answer.available.unwrap() <= credits(&most.to_string()),
            "{answer:?} after {before}"
        );
    }
    working.await.unwrap();
    comes_to(&world, id, &(1000 - EVENTS).to_string()).await;
}

/// What a process accepts for a customer nobody asks about is given up, and read again when somebody does.
async fn usage_that_nobody_asks_about_is_not_kept(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    world.give(id, "5000").await;
    assert_eq!(left(&world, id, "call").await.0, "5000");
    for round in 1..=3 {
        let events = (0..900).map(|_| world.event(id, "call", "1")).collect();
        world.accept(events).await;
        if round != 1 {
            assert_eq!(left(&world, id, "call").await.0, (5000 - round * 900).to_string());
        }
    }
    world.run_to_rest().await;
    comes_to(&world, id, "2300").await;
}

async fn usage_far_behind_is_not_answered_for(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    world.give(id, "1000000").await;
    for _ in 0..11 {
        let events = (0..1_000).map(|_| world.event(id, "call", "1")).collect();
        world.accept(events).await;
    }
    let other = world.another().await;
    assert_eq!(ask(&other, id, "call", "1").await.reason, Some(Reason::Outage));
    world.run_to_rest().await;
    comes_to(&other, id, "989000").await;
}

async fn damaged_books_close_the_gate(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    world.give(id, "10").await;
    world.consume(id, "call", "1").await;
    let other = world.another().await;
    world.sabotage("UPDATE account SET blocks = blocks + 5").await;
    let answer = ask(&other, id, "call", "1").await;
    assert_eq!((answer.allowed, answer.reason), (false, Some(Reason::Outage)));
    world
        .sabotage("UPDATE account SET blocks = blocks - 5, revision = revision + 1")
        .await;
    comes_to(&other, id, "9").await;
}

async fn many_questions_are_answered_in_order(world: World) {
    world.priced("call", per_unit("1")).await;
    let mut questions = Vec::new();
    for index in 0..gate::MAX_CHECKS {
        let id = world.customer(&format!("c{index}")).await;
        if index % 2 == 0 {
            world.give(id, "5").await;
        }
        questions.push(question(id, "call", &(index % 7).to_string()));
    }
    let answers = gate::check_many(&world.app, &world.actor, &questions)
        .await
        .unwrap();
    assert_eq!(answers.len(), gate::MAX_CHECKS);
    for (index, answer) in answers.iter().enumerate() {
        let has = if index % 2 == 0 { 5 } else { 0 };
        assert_eq!(answer.allowed, index % 7 <= has, "question {index}: {answer:?}");
    }
    let mut bad = questions.clone();
    bad[3].metric_key = "nothing".to_owned();
    let no = refusal(gate::check_many(&world.app, &world.actor, &bad).await);
    assert_eq!(no, (RejectionCode::NotFound, "checks.3.metricKey".to_owned()));
    bad[3] = question(CustomerId(uuid::Uuid::nil()), "call", "1");
    bad[3].units = Quantity::from_raw(-1);
    let no = refusal(gate::check_many(&world.app, &world.actor, &bad).await);
    assert_eq!(no, (RejectionCode::InvalidInput, "checks.3.units".to_owned()));
    questions.push(questions[0].clone());
    let no = refusal(gate::check_many(&world.app, &world.actor, &questions).await);
    assert_eq!(no, (RejectionCode::InvalidInput, "checks".to_owned()));
    let stranger = world.stranger().await;
    stranger.metric("call").await;
    let foreign = gate::check(&stranger.app, &stranger.actor, &questions[0])
        .await
        .unwrap();
    assert_eq!(
        foreign.reason,
        Some(Reason::UnknownCustomer),
        "another tenant's customer does not exist"
    );
}

fn limits(gate: Policy) -> Limits {
    Limits {
        gate,
        ..Limits::default()
    }
}

async fn an_unknown_customer_is_the_vendors_choice(world: World) {
    world.priced("call", per_unit("1")).await;
    let nobody = CustomerId(uuid::Uuid::nil());
    let answer = ask(&world, nobody, "call", "1").await;
    assert_eq!(
        (answer.allowed, answer.reason),
        (false, Some(Reason::UnknownCustomer))
    );
    assert_eq!(answer.affordable_units, Some(units("0")));
    let allow = Policy {
        unknown_customer: Unsure::Allow,
        ..Policy::default()
    };
    let open = world.with_limits(limits(allow)).await;
    let answer = ask(&open, nobody, "call", "1").await;
    assert_eq!(
        (answer.allowed, answer.reason),
        (true, Some(Reason::UnknownCustomer))
    );
    // One that comes into being is seen at once.
    let id = world.customer("a").await;
    assert_eq!(
        ask(&open, id, "call", "1").await.reason,
        Some(Reason::InsufficientCredits)
    );
}

async fn an_outage_is_the_vendors_choice(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    world.give(id, "10").await;
    let allow = Policy {
        outage: Unsure::Allow,
        ..Policy::default()
    };
    let (closed, open) = (world.another().await, world.with_limits(limits(allow)).await);
    for (world, allowed) in [(closed, false), (open, true)] {
        assert!(ask(&world, id, "call", "1").await.allowed);
        world.app.db().close().await;
        assert_eq!(
            ask(&world, id, "call", "1").await.reason,
            None,
            "what is fresh is still good"
        );
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let answer = ask(&world, id, "call", "1").await;
        assert_eq!((answer.allowed, answer.reason), (allowed, Some(Reason::Outage)));
        let record = usage::record(
            &world.app,
            &world.actor,
            vec![world.event(id, "call", "1")],
            Age::Limited,
        );
        assert!(record.await.is_err(), "usage is not acknowledged in an outage");
    }
}
