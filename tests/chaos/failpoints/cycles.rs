//! Errors, bugs and panics while cycles are turned and closed, one at a time, within this process.
//!
//! Customers live from month to month. Each month one place fails once while usage, an expiry, a turn and a close are due; then
//! others go on. In the end their books are, line by line, those of a world in which nothing failed.

use std::collections::BTreeSet;

use app::{customer::shard_of, db::Backend, failpoint};
use domain::{id::TestClockId, plan::interval::Interval};
use serde_json::{Value, json};

use super::run;
use crate::{
    agreed::{self, Agreed, CLOSED, Order, boundary, consume, give_until, in_a_world, same},
    alone::alone,
    harness::World,
};

/// A database that is away, a bug that unwinds, and one that does not: then each customer is tried by itself.
const WAYS: &[&str] = &["return(error)", "panic", "return(internal)"];
/// Commits that a run makes one after the other: its attempt, the debits, the turn, the debits of the new cycle, the close, its end.
const COMMITS: usize = 6;
/// Places of a turn's writing that are not its own.
const SHARED: &[&str] = &["post.accounts", "post.blocks", "post.entries"];
/// Long enough for every pause between two attempts, and for a run to be taken for dead.
const PAUSE: i64 = 61;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_cycles_may_fail() {
    let _turn = alone().await;
    let (wanted, _) = live(Backend::Sqlite, false).await;
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let (found, reached) = live(backend, true).await;
        same(&found, &wanted);
        for point in failpoint::CYCLES {
            assert!(reached.contains(point), "{point} is never reached");
        }
    }
}

/// One place that fails once in one way, the `turn`-th time that it is reached.
#[derive(Debug)]
struct Strike {
    point: &'static str,
    turn: usize,
    way: &'static str,
}

/// What goes wrong while customers live by the clock on the wall.
fn on_the_wall() -> Vec<Strike> {
    let mut strikes = vec![];
    let steps = failpoint::CYCLES.iter().filter(|it| it.starts_with("cycles."));
    for (place, point) in steps.enumerate() {
        for (number, way) in WAYS.iter().enumerate() {
            // At the turn, or at the close that follows.
            let turn = (place + number) % 2;
            strikes.push(Strike { point, turn, way });
        }
    }
    for (point, way) in SHARED.iter().zip(WAYS) {
        strikes.push(Strike { point, turn: 1, way });
    }
    for turn in 0..COMMITS {
        for (number, point) in ["op.notified", "op.committed"].into_iter().enumerate() {
            let way = WAYS[(turn + number) % WAYS.len()];
            strikes.push(Strike { point, turn, way });
        }
    }
    strikes
}

/// And while they live by a test clock.
fn by_a_clock() -> Vec<Strike> {
    let mut strikes = vec![];
    for point in [
        "clock.settled",
        "clock.moved",
        "cycles.turned",
        "post.entries",
        "op.committed",
    ] {
        for (number, way) in WAYS.iter().enumerate() {
            let turn = number % 2;
            strikes.push(Strike { point, turn, way });
        }
    }
    strikes
}

/// A life, and the places that were reached in it.
async fn live(backend: Backend, fails: bool) -> (Vec<String>, BTreeSet<&'static str>) {
    let mut reached = BTreeSet::new();
    let seen = in_a_world(backend, async |world| {
        let plans = agreed::plans(&world, Interval::MONTHLY).await;
        let on_wall = agreed::customers(&world, "wall", &plans, None, None).await;
        for strike in on_the_wall() {
            wait_for_a_month(&world, &on_wall).await;
            let payload =
                json!({ "kind": "subscription.advance", "args": shard_of(on_wall[0].customer).to_string() });
            reached.extend(work(&world, payload, fails.then_some(&strike)).await);
        }
        let clock = agreed::clock(&world).await;
        let by_clock = agreed::customers(&world, "clock", &plans, Some(clock), None).await;
        for strike in by_a_clock() {
            send_for_a_month(&world, clock, &by_clock).await;
            let payload = json!({ "kind": "clock.advance", "args": clock.to_string() });
            reached.extend(work(&world, payload, fails.then_some(&strike)).await);
        }
        let all: Vec<Agreed> = on_wall.into_iter().chain(by_clock).collect();
        agreed::outcome(&world, &all, Order::Kept).await
    })
    .await;
    (seen, reached)
}

/// Usage just before the end of the cycle and at its end waits, credits end with it, and the close is due as well. No wake-up arrives.
async fn wait_for_a_month(world: &World, all: &[Agreed]) {
    let end = boundary(world, all[0]).await;
    world.move_to(end.plus_seconds(-1));
    give_until(world, all[0].customer, end).await;
    consume(world, all).await;
    world.move_to(end);
    consume(world, all).await;
    world.quiet().await;
    world.post.clear();
    world.move_to(end.plus_seconds(CLOSED));
}

/// The same for a clock that is sent on its way.
async fn send_for_a_month(world: &World, clock: TestClockId, all: &[Agreed]) {
    let end = boundary(world, all[0]).await;
    give_until(world, all[0].customer, end).await;
    consume(world, all).await;
    agreed::send(world, clock, end.plus_seconds(CLOSED)).await;
    world.quiet().await;
    world.post.clear();
}

/// Works until nothing is left to do; a place fails in between. Answers the places that were reached meanwhile.
async fn work(world: &World, payload: Value, strike: Option<&Strike>) -> BTreeSet<&'static str> {
    failpoint::reached();
    if let Some(Strike { point, turn, way }) = strike {
        let before = if *turn == 0 {
            String::new()
        } else {
            format!("{turn}*off->")
        };
        fail::cfg(*point, &format!("{before}1*{way}")).unwrap();
    }
    run(world, payload).await;
    while let Some(payload) = world.post.take() {
        run(world, payload).await;
    }
    let reached = failpoint::reached();
    if let Some(strike) = strike {
        fail::remove(strike.point);
        let times = reached.get(strike.point).copied().unwrap_or(0);
        assert!(times > strike.turn, "{strike:?} is reached {times} times only");
    }
    for _ in 0..2 {
        world.advance(PAUSE);
        world.catch_up().await;
    }
    reached.into_keys().collect()
}
