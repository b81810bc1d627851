//! Billing cycles as usage meets them: what counts together, what comes late, and what has to wait.

use std::sync::atomic::Ordering::SeqCst;

use app::{
    Error,
    audit::{self, Reached},
    catalog::{self, PreviewRequest},
    credit::{self, Expiry, Grant},
    customer::{CustomerRef, shard_of},
    gate::{self, Check, Entitlement, Reason},
    job,
    usage::{self, GroupBy, NewEvent, Outcome, SummaryRequest, UsageEvent},
};
use domain::{
    cycle::late::Timing,
    id::{CustomerId, EntryId},
    metering::rule::Properties,
    subscription::admission::Admission,
    time::Timestamp,
    usage::event::{EventState, Refusal},
};
use entity::work;
use sea_orm::EntityTrait;

use crate::harness::{World, at, credits, graduated, per_unit, units};

on_both!(
    usage_counts_by_cycles_and_by_months_where_there_is_none,
    the_oldest_of_overlapping_subscriptions_counts,
    late_usage_counts_in_the_open_cycle_and_names_its_dates,
    late_usage_is_adjusted_by_the_tiers_of_its_cycle,
    late_usage_that_is_refused_was_never_accepted,
    what_was_accepted_is_debited_whatever_the_plan_says_later,
    a_barrier_holds_usage_until_the_step_is_taken,
    what_comes_after_held_usage_waits_for_it,
    clocks_that_differ_do_not_make_a_shard_spin,
    held_usage_stops_nobody_else,
    customers_with_a_clock_wait_for_it,
    the_gate_and_the_drain_agree_across_a_boundary,
    the_gate_counts_from_the_beginning_of_a_long_cycle,
    subscriptions_close_the_gate,
    blocks_of_clocks_are_left_to_them,
);

/// Ten at 1, the rest at 0.5.
async fn tiers(world: &World) {
    world.priced("call", graduated(&[("10", "1"), ("", "0.5")])).await;
}

fn of(world: &World, id: CustomerId, amount: &str, occurred: &str) -> NewEvent {
    NewEvent {
        occurred_at: Some(at(occurred)),
        ..world.event(id, "call", amount)
    }
}

/// Records one event of an instant and answers its key.
async fn used(world: &World, id: CustomerId, amount: &str, occurred: &str) -> String {
    let event = of(world, id, amount, occurred);
    let key = event.key.clone();
    world.accept(vec![event]).await;
    key
}

async fn event(world: &World, key: &str) -> UsageEvent {
    usage::event(&world.app, &world.actor, key)
        .await
        .unwrap()
        .unwrap()
}

/// Which count an event has moved, and what came of its time.
async fn counted(world: &World, key: &str) -> (Timestamp, Timing) {
    let rating = event(world, key).await.rating.unwrap();
    (rating.counter.period_start, rating.timing)
}

async fn ask(world: &World, id: CustomerId, amount: &str) -> Entitlement {
    let question = Check {
        customer: CustomerRef::Id(id),
        metric_key: "call".to_owned(),
        units: units(amount),
        properties: Properties::new(),
    };
    gate::check(&world.app, &world.actor, &question).await.unwrap()
}

/// Runs one wake-up of a customer's shard, and what it sends.
async fn drain(world: &World, id: CustomerId) {
    world.post.clear();
    world.post.put(World::drain_job(id));
    world.run_jobs().await;
}

async fn usage_counts_by_cycles_and_by_months_where_there_is_none(world: World) {
    tiers(&world).await;
    let subscribed = world.customer("subscribed").await;
    let plain = world.customer("plain").await;
    world
        .written_cycles(subscribed, "CURRENT_CYCLE", &["2026-02-13", "2026-03-13"])
        .await;
    for id in [subscribed, plain] {
        for occurred in ["2026-02-20", "2026-03-10", "2026-02-12"] {
            used(&world, id, "8", occurred).await;
        }
    }
    world.run_to_rest().await;
    // 16 in the cycle, and 8 in what it leaves of February.
    assert_eq!(world.stands(subscribed).await.0, "-21");
    // 16 in February, 8 in March.
    assert_eq!(world.stands(plain).await.0, "-21");
    let summary = |id| {
        let by_month = SummaryRequest {
            group_by: GroupBy::Month,
            ..SummaryRequest::default()
        };
        usage::summary(&world.app, &world.actor, id, by_month)
    };
    for (id, lines) in [
        (subscribed, [("2026-02-01", "8"), ("2026-02-13", "16")]),
        (plain, [("2026-02-01", "16"), ("2026-03-01", "8")]),
    ] {
        let found = summary(id).await.unwrap().lines;
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.period_start.unwrap(), it.units))
            .collect();
        assert_eq!(found, lines.map(|(start, amount)| (at(start), units(amount))));
    }
    // The next event: at 0.5 in the cycle, at 1 in March.
    for (id, when, cost) in [
        (subscribed, "2026-03-01", "0.5"),
        (plain, "2026-03-01", "1"),
        (subscribed, "2026-02-12", "1"),
        (subscribed, "2026-03-13", "1"),
    ] {
        let preview = PreviewRequest {
            metric_key: "call".to_owned(),
            units: units("1"),
            customer: Some(CustomerRef::Id(id)),
            properties: Properties::new(),
            at: Some(at(when)),
            variant: None,
        };
        let preview = catalog::price_preview(&world.app, &world.actor, preview).await;
        assert_eq!(preview.unwrap().credits.total, credits(cost), "{when}");
    }
}

async fn the_oldest_of_overlapping_subscriptions_counts(world: World) {
    tiers(&world).await;
    let id = world.customer("a").await;
    let old = world
        .written_subscription(id, "2026-01-01", "CURRENT_CYCLE")
        .await;
    let young = world
        .written_subscription(id, "2026-01-02", "CURRENT_CYCLE")
        .await;
    world.cycle(old, 1, at("2026-02-13"), at("2026-03-05")).await;
    world.cycle(young, 1, at("2026-02-08"), at("2026-03-20")).await;
    world.barrier(id, at("2026-03-20"), Admission::Admitted).await;
    let mut keys = vec![];
    for (occurred, start) in [
        ("2026-02-07", "2026-02-01"),
        ("2026-02-08", "2026-02-08"),
        ("2026-02-13", "2026-02-13"),
        ("2026-03-04T23:59:59Z", "2026-02-13"),
        ("2026-03-05", "2026-03-05"),
        ("2026-03-10", "2026-03-05"),
    ] {
        keys.push((used(&world, id, "8", occurred).await, start));
    }
    // One is late: its subscription's cycle closed a minute after its end, five days ago.
    world.run_to_rest().await;
    for (place, (key, start)) in keys.iter().enumerate() {
        let late = [2, 3].contains(&place);
        let wanted = if late {
            (at("2026-03-05"), Timing::LateCurrentCycle)
        } else {
            (at(start), Timing::OnTime)
        };
        assert_eq!(counted(&world, key).await, wanted, "{start}");
    }
    // An elder that ended long ago has cut the beginning off a cycle that goes on.
    let id = world.customer("b").await;
    let old = world
        .written_subscription(id, "2025-01-01", "CURRENT_CYCLE")
        .await;
    let young = world
        .written_subscription(id, "2025-01-02", "CURRENT_CYCLE")
        .await;
    world.cycle(old, 1, at("2025-06-01"), at("2025-09-01")).await;
    world.cycle(young, 1, at("2025-05-01"), at("2026-05-01")).await;
    world.barrier(id, at("2026-05-01"), Admission::Admitted).await;
    let key = world.consume(id, "call", "8").await;
    world.run_to_rest().await;
    assert_eq!(counted(&world, &key).await, (at("2025-09-01"), Timing::OnTime));
    assert_eq!(ask(&world, id, "3").await.cost, Some(credits("2.5")));
}

const TWO: &[&str] = &["2026-02-10", "2026-03-10", "2026-04-10"];

async fn late_usage_counts_in_the_open_cycle_and_names_its_dates(world: World) {
    tiers(&world).await;
    let id = world.customer("a").await;
    world.written_cycles(id, "CURRENT_CYCLE", TWO).await;
    let late = used(&world, id, "8", "2026-03-01").await;
    let prompt = used(&world, id, "8", "2026-03-10T11:00:00Z").await;
    world.run_to_rest().await;
    let open = at("2026-03-10");
    assert_eq!(counted(&world, &late).await, (open, Timing::LateCurrentCycle));
    assert_eq!(counted(&world, &prompt).await, (open, Timing::OnTime));
    assert_eq!(world.stands(id).await.0, "-13");
    let ledger = world.ledger(id).await;
    let texts: Vec<&str> = ledger.iter().map(|line| line.description.as_str()).collect();
    assert_eq!(
        texts,
        [
            "call: 8 call in 1 event, beyond the credits, late, of 2026-02-10 to 2026-03-10",
            "call: 8 call in 1 event, beyond the credits",
        ]
        .map(|text| text.replace("8 call", &format!("8 {}", unit_of(&ledger[0].description)))),
    );
    // Each entry is explained by its own events.
    for (line, key) in ledger.iter().zip([&late, &prompt]) {
        let entry: EntryId = line.id.parse().unwrap();
        let told = credit::explain(&world.app, &world.actor, entry)
            .await
            .unwrap()
            .unwrap();
        let keys: Vec<_> = told.events.iter().map(|event| event.key.clone()).collect();
        assert_eq!(keys, std::slice::from_ref(key));
    }
    world.void(&late).await.unwrap();
    assert_eq!(world.stands(id).await.0, "-8");
}

/// The word that an entry uses for the metric's unit.
fn unit_of(text: &str) -> String {
    text.split(' ').nth(2).unwrap().to_owned()
}

async fn late_usage_is_adjusted_by_the_tiers_of_its_cycle(world: World) {
    world.move_to(at("2026-03-09T12:00:00Z"));
    tiers(&world).await;
    let id = world.customer("a").await;
    let of = world.written_cycles(id, "ADJUSTMENT", &TWO[..2]).await;
    used(&world, id, "8", "2026-03-09").await;
    world.run_to_rest().await;
    world.move_to(at("2026-03-10T12:00:00Z"));
    world.cycle(of, 2, at(TWO[1]), at(TWO[2])).await;
    world.barrier(id, at(TWO[2]), Admission::Admitted).await;
    let late = used(&world, id, "8", "2026-03-01").await;
    world.run_to_rest().await;
    assert_eq!(counted(&world, &late).await, (at(TWO[0]), Timing::LateAdjustment));
    // 8, then 2 at 1 and 6 at 0.5.
    assert_eq!(world.stands(id).await.0, "-13");
    let last = world.ledger(id).await.pop().unwrap();
    assert!(
        last.description.ends_with("late, of 2026-02-10 to 2026-03-10"),
        "{last:?}"
    );
}

async fn late_usage_that_is_refused_was_never_accepted(world: World) {
    tiers(&world).await;
    let id = world.customer("a").await;
    let plain = world.customer("plain").await;
    world.written_cycles(id, "REJECT", TWO).await;
    let strict = world.another().await;
    // Accepted within the minute in which the cycle is still open.
    strict.move_to(at("2026-03-10T00:00:30Z"));
    let prompt = of(&world, id, "1", "2026-03-09");
    strict.accept(vec![prompt.clone()]).await;
    strict.move_to(at("2026-03-10T00:01:00Z"));
    let other = NewEvent {
        units: "2".to_owned(),
        ..prompt.clone()
    };
    let outcomes = strict
        .record(vec![
            of(&world, id, "1", "2026-03-09"),
            of(&world, id, "1", "2026-03-10"),
            of(&world, plain, "1", "2026-03-09"),
            world.event(id, "call", "1"),
            prompt,
            other,
            of(&world, id, "1", "2026-02-09T12:00:00Z"),
        ])
        .await;
    let refused = Outcome::Rejected(Refusal::LateForCycle);
    assert_eq!(outcomes[0], refused);
    for place in [1, 2, 3, 6] {
        assert!(
            matches!(outcomes[place], Outcome::Accepted(_)),
            "{place}: {outcomes:?}"
        );
    }
    assert!(matches!(outcomes[4], Outcome::Duplicate(_)), "{outcomes:?}");
    assert_eq!(outcomes[5], Outcome::Conflict);
    strict.run_to_rest().await;
}

async fn what_was_accepted_is_debited_whatever_the_plan_says_later(world: World) {
    tiers(&world).await;
    let id = world.customer("a").await;
    let key = used(&world, id, "8", "2026-03-01").await;
    world.written_cycles(id, "REJECT", TWO).await;
    world.run_to_rest().await;
    assert_eq!(
        counted(&world, &key).await,
        (at(TWO[1]), Timing::LateCurrentCycle)
    );
    assert_eq!(world.stands(id).await.0, "-8");
}

async fn a_barrier_holds_usage_until_the_step_is_taken(world: World) {
    tiers(&world).await;
    let id = world.customer("a").await;
    let of = world
        .written_cycles(id, "CURRENT_CYCLE", &["2026-02-13", "2026-03-13"])
        .await;
    world.move_to(at("2026-03-12T23:59:59.999999Z"));
    let before = world.consume(id, "call", "8").await;
    world.move_to(at("2026-03-13"));
    let behind = world.consume(id, "call", "8").await;
    // Nobody wakes the shard for what has to wait.
    for _ in 0..3 {
        drain(&world, id).await;
        job::sweep(&world.app).await.unwrap();
        while let Some(payload) = world.post.take() {
            assert_ne!(payload["kind"], "usage.drain", "it would spin");
        }
    }
    assert_eq!(event(&world, &behind).await.state, EventState::Pending);
    // What was accepted before waits as well, since the shard leaves out whose barrier has passed, but not for who asks.
    assert_eq!(event(&world, &before).await.state, EventState::Pending);
    world.cycle(of, 2, at("2026-03-13"), at("2026-04-13")).await;
    world.barrier(id, at("2026-04-13"), Admission::Admitted).await;
    world.run_to_rest().await;
    assert_eq!(counted(&world, &before).await.0, at("2026-02-13"));
    assert_eq!(counted(&world, &behind).await.0, at("2026-03-13"));
    assert_eq!(world.stands(id).await.0, "-16", "each cycle begins anew");
}

async fn what_comes_after_held_usage_waits_for_it(world: World) {
    tiers(&world).await;
    let id = world.customer("a").await;
    world.give(id, "100").await;
    let of = world
        .written_cycles(id, "CURRENT_CYCLE", &["2026-02-13", "2026-03-13"])
        .await;
    world.move_to(at("2026-03-12"));
    let before = world.consume(id, "call", "8").await;
    world.move_to(at("2026-03-13"));
    let behind = world.consume(id, "call", "8").await;
    world.advance(1);
    let adjust = async || {
        let input = credit::Adjust {
            customer: CustomerRef::Id(id),
            credits: credits("-1"),
            description: None,
        };
        credit::adjust(&world.app, &world.actor, input, "key").await
    };
    for refused in [
        adjust().await.map(drop),
        world.void(&behind).await.map(drop),
        world.void(&before).await.map(drop),
    ] {
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    }
    assert_eq!(
        event(&world, &before).await.state,
        EventState::Rated,
        "up to the barrier"
    );
    assert_eq!(event(&world, &behind).await.state, EventState::Pending);
    world.cycle(of, 2, at("2026-03-13"), at("2026-04-13")).await;
    world.barrier(id, at("2026-04-13"), Admission::Admitted).await;
    adjust().await.unwrap();
    world.void(&behind).await.unwrap();
    assert_eq!(world.stands(id).await.0, "91");
}

async fn clocks_that_differ_do_not_make_a_shard_spin(world: World) {
    tiers(&world).await;
    let id = world.customer("a").await;
    let of = world
        .written_cycles(id, "CURRENT_CYCLE", &["2026-02-13", "2026-03-13"])
        .await;
    world.move_to(at("2026-03-12T23:59:58Z"));
    let ahead = world.elsewhere().await;
    ahead.advance(3);
    let key = ahead.consume(id, "call", "8").await;
    ahead.quiet().await;
    // By this clock the barrier has not passed, so the shard seems to have work. With many attempts behind it, it is drained customer
    // by customer.
    for attempts in [9, 0] {
        world
            .sabotage(&format!("UPDATE work SET attempts = {attempts}, woken_at = 0"))
            .await;
        let rows = work::Entity::find().all(world.app.db().reader()).await.unwrap();
        assert_eq!(rows.iter().any(|row| row.attempts == 9), attempts == 9);
        drain(&world, id).await;
        assert_eq!(world.pending().await, 1);
    }
    world.cycle(of, 2, at("2026-03-13"), at("2026-04-13")).await;
    world.barrier(id, at("2026-04-13"), Admission::Admitted).await;
    drain(&world, id).await;
    assert_eq!(counted(&world, &key).await.0, at("2026-03-13"));
    ahead.quiet().await;
}

async fn held_usage_stops_nobody_else(world: World) {
    tiers(&world).await;
    let held = world.customer("held").await;
    let mut ahead_of = world.customer("ahead").await;
    for number in 0.. {
        if shard_of(ahead_of) == shard_of(held) {
            break;
        }
        ahead_of = world.customer(&format!("ahead {number}")).await;
    }
    world
        .written_cycles(held, "CURRENT_CYCLE", &["2026-02-13", "2026-03-13"])
        .await;
    world.move_to(at("2026-03-12T23:59:58Z"));
    let ahead = world.elsewhere().await;
    ahead.advance(3);
    // More than one transaction takes, of the one that waits; then one event of the other.
    for _ in 0..25 {
        let events = (0..1_000).map(|_| world.event(held, "call", "1"));
        ahead.accept(events.collect()).await;
    }
    let key = ahead.consume(ahead_of, "call", "8").await;
    ahead.quiet().await;
    // Neither by a clock that has not seen the barrier pass, nor by one that has.
    drain(&world, ahead_of).await;
    assert_eq!(event(&world, &key).await.state, EventState::Rated);
    let key = ahead.consume(ahead_of, "call", "8").await;
    ahead.quiet().await;
    drain(&ahead, ahead_of).await;
    assert_eq!(event(&world, &key).await.state, EventState::Rated);
    assert_eq!(world.pending().await, 25_000);
}

async fn customers_with_a_clock_wait_for_it(world: World) {
    tiers(&world).await;
    let id = world.customer("a").await;
    world
        .written_cycles(id, "CURRENT_CYCLE", &["2026-02-13", "2026-03-13"])
        .await;
    world.live_by_clock(id, "2026-03-13").await;
    world.move_to(at("2026-03-13"));
    let key = world.consume(id, "call", "8").await;
    // However long, nothing is late by the clock on the wall, and nothing to do.
    world.advance(86_400);
    drain(&world, id).await;
    world.run_to_rest().await;
    assert_eq!(event(&world, &key).await.state, EventState::Pending);
    let run = audit::full(&world.app, Reached::All, |_, _| ()).await.unwrap();
    assert_eq!(run.violations, 0, "{:?}", run.first);
    let status = job::status(&world.app, &world.actor).await.unwrap();
    assert!(
        status
            .lanes
            .iter()
            .all(|lane| lane.backlog == 0 && lane.oldest.is_none())
    );
    let all = job::overview(&world.app).await.unwrap();
    assert!(
        all.lanes
            .iter()
            .all(|lane| lane.backlog == 0 && lane.oldest.is_none())
    );
}

async fn the_gate_and_the_drain_agree_across_a_boundary(world: World) {
    tiers(&world).await;
    let id = world.customer("a").await;
    world.give(id, "100").await;
    world
        .written_cycles(id, "CURRENT_CYCLE", &["2026-02-13", "2026-03-13", "2026-04-13"])
        .await;
    world.move_to(at("2026-03-12T23:59:59Z"));
    used(&world, id, "10", "2026-03-01").await;
    let before = ask(&world, id, "1").await;
    assert_eq!(
        (before.cost, before.undebited),
        (Some(credits("0.5")), Some(credits("10")))
    );
    // The producer's clock runs ahead: it counts in the next cycle.
    used(&world, id, "10", "2026-03-13T00:00:01Z").await;
    let before = ask(&world, id, "1").await;
    assert_eq!(
        (before.cost, before.undebited),
        (Some(credits("0.5")), Some(credits("20")))
    );
    world.move_to(at("2026-03-13T00:02:00Z"));
    let after = ask(&world, id, "1").await;
    assert_eq!(
        (after.cost, after.undebited),
        (Some(credits("0.5")), Some(credits("20")))
    );
    // Too late for the first cycle, so at the price of the second.
    used(&world, id, "2", "2026-03-12").await;
    let waiting = ask(&world, id, "1").await;
    assert_eq!(
        (waiting.cost, waiting.undebited),
        (Some(credits("0.5")), Some(credits("21")))
    );
    world.run_to_rest().await;
    let debited = ask(&world, id, "1").await;
    assert_eq!(
        (debited.cost, debited.undebited),
        (Some(credits("0.5")), Some(credits("0")))
    );
    assert_eq!(
        (debited.remaining, waiting.remaining),
        (Some(credits("79")), Some(credits("79")))
    );
}

async fn the_gate_counts_from_the_beginning_of_a_long_cycle(world: World) {
    tiers(&world).await;
    let id = world.customer("a").await;
    world
        .written_cycles(id, "CURRENT_CYCLE", &["2025-12-01", "2026-12-01"])
        .await;
    let event = of(&world, id, "10", "2025-12-24");
    usage::record(&world.app, &world.actor, vec![event], usage::Age::Any)
        .await
        .unwrap();
    world.run_to_rest().await;
    assert_eq!(ask(&world, id, "1").await.cost, Some(credits("0.5")));
}

async fn subscriptions_close_the_gate(world: World) {
    tiers(&world).await;
    let id = world.customer("a").await;
    world.give(id, "100").await;
    for (admission, reason) in [
        (Admission::Overdue, Some(Reason::SubscriptionOverdue)),
        (Admission::Paused, Some(Reason::SubscriptionPaused)),
        (Admission::Admitted, None),
    ] {
        world.barrier(id, Timestamp::MAX, admission).await;
        let answer = ask(&world.another().await, id, "1").await;
        assert_eq!((answer.allowed, answer.reason), (reason.is_none(), reason));
        assert_eq!(
            (answer.available, answer.missing),
            (Some(credits("100")), Some(credits("0")))
        );
        // What has happened is recorded and debited all the same.
        world.consume(id, "call", "0").await;
        world.run_to_rest().await;
    }
    assert_eq!(world.pending().await, 0);
}

async fn blocks_of_clocks_are_left_to_them(world: World) {
    world.priced("call", per_unit("1")).await;
    let plain = world.customer("plain").await;
    let clocked = world.customer("clocked").await;
    let short = |id| Grant {
        expiry: Expiry::AfterSeconds(60),
        ..world.deposit(id, "10")
    };
    let ends = world.grant(short(plain)).await;
    let of_clock = world.grant(short(clocked)).await;
    world.live_by_clock(clocked, "2026-03-10").await;
    // Usage accepted before comes first, of many customers at once.
    for id in [plain, clocked] {
        world.post.loses.store(true, SeqCst);
        world.consume(id, "call", "4").await;
        world.quiet().await;
        world.post.loses.store(false, SeqCst);
    }
    world.advance(3_600);
    world.post.put(World::expire_job());
    world.run_jobs().await;
    assert_eq!(world.left(&ends).await.1, "EXPIRED");
    assert_eq!(world.left(&of_clock).await.1, "ACTIVE");
    world.run_to_rest().await;
    let run = audit::full(&world.app, Reached::All, |_, _| ()).await.unwrap();
    assert_eq!(run.violations, 0, "{:?}", run.first);
}
