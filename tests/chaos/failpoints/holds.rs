//! Whatever goes wrong while credits are reserved and captured: each reservation holds once, what was used of it is debited once, and nothing
//! stays set aside.

use app::{
    customer::CustomerRef,
    db::Backend,
    failpoint,
    hold::{self, Ended, Outcome, Reservation, Reserve, Reserved, Used},
    page::Page,
};
use domain::{
    hold::HoldState,
    id::{CustomerId, HoldId},
};

use super::{WAYS, arm, insist, live_on, struck};
use crate::harness::{World, per_unit, units};

/// Places that a capture shares with the drain, and with everything else.
const SHARED: &[&str] = &[
    "drain.priced",
    "drain.placed",
    "drain.counted",
    "drain.funded",
    "drain.read",
    "drain.rated",
    "drain.advanced",
    "drain.rehoused",
    "drain.told",
    "post.accounts",
    "post.blocks",
    "post.entries",
    "op.notified",
    "op.committed",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_holds_may_fail_on_sqlite() {
    struck(Backend::Sqlite, every_step_may_fail).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_holds_may_fail_on_postgres() {
    struck(Backend::Postgres, every_step_may_fail).await;
}

async fn every_step_may_fail(world: &World) {
    world.priced("call", per_unit("1")).await;
    for point in failpoint::HOLDS.iter().chain(SHARED) {
        for way in WAYS {
            for turn in turns(point) {
                strike(world, point, *turn, way).await;
            }
        }
    }
}

/// How often a place has been passed when it is the reservation's turn, and then the capture's. Each is asked for three times, and only the first
/// time is anything written.
fn turns(point: &str) -> &'static [usize] {
    match point {
        "hold.locked" | "hold.read" | "hold.decided" => &[0, 3],
        "hold.written" | "op.notified" | "op.committed" => &[0, 1],
        _ => &[0],
    }
}

/// Reserves and captures while one place fails once, asking again as somebody would who has not been heard.
async fn strike(world: &World, point: &str, turn: usize, way: &str) {
    let name = format!("{point} {turn} {way}");
    let customer = world.customer(&name).await;
    world.give(customer, "5").await;
    let key = world.key();
    arm(point, turn, way);
    let held = insist(async || reserve(world, customer, &key).await).await;
    let held = held.unwrap_or_else(|| panic!("{name}: nothing is held"));
    let ended = insist(async || capture(world, held.id).await).await;
    let ended = ended.unwrap_or_else(|| panic!("{name}: nothing is captured"));
    assert_eq!(ended.outcome, Outcome::Captured, "{name}");
    world.quiet().await;
    live_on(world, point, &name, async || world.pending().await == 0).await;
    let balance = world.balance(customer).await;
    let sums = (balance.remaining.to_string(), balance.held.to_string());
    assert_eq!(sums, ("3".to_owned(), "0".to_owned()), "{name}");
    let all = hold::reservations(&world.app, &world.actor, customer, None, Page::first(10)).await;
    let [one] = &all.unwrap().items[..] else {
        panic!("{name}: more than one")
    };
    assert_eq!(
        (one.state, one.captured, one.late),
        (HoldState::Captured, Some(units("2")), false),
        "{name}"
    );
}

/// In a task of its own, as requests are.
async fn reserve(world: &World, customer: CustomerId, key: &str) -> Option<Reservation> {
    let wish = Reserve {
        customer: Some(CustomerRef::Id(customer)),
        metric_key: "call".to_owned(),
        units: "3".to_owned(),
        properties: None,
        seconds: Some(86_400),
        key: key.to_owned(),
    };
    let world = world.clone();
    let made = tokio::spawn(async move { hold::reserve(&world.app, &world.actor, vec![wish]).await });
    match made.await.ok()?.ok()?.pop()? {
        Reserved::Held(it) | Reserved::Duplicate(it) => Some(*it),
        other => panic!("{other:?}"),
    }
}

async fn capture(world: &World, id: HoldId) -> Option<Ended> {
    let used = Used {
        hold: Some(id),
        units: "2".to_owned(),
        occurred_at: None,
        allow_more: false,
    };
    let world = world.clone();
    let ended = tokio::spawn(async move { hold::capture(&world.app, &world.actor, vec![used]).await });
    match ended.await.ok()?.ok()?.pop()? {
        Ok(ended) => Some(ended),
        Err(no) => panic!("{no:?}"),
    }
}
