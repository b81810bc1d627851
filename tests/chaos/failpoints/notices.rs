//! Whatever goes wrong while customers are told about their credits: each is told once, and all usage is debited.

use app::{
    credit::{Expiry, Grant},
    db::Backend,
    failpoint,
};
use domain::id::CustomerId;

use super::{WAYS, arm, live_on, struck};
use crate::harness::{World, credits, letters::told_at, paying::told, per_unit};

/// Seconds of a day.
const DAY: i64 = 86_400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_notices_may_fail_on_sqlite() {
    struck(Backend::Sqlite, every_step_may_fail).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_notices_may_fail_on_postgres() {
    struck(Backend::Postgres, every_step_may_fail).await;
}

async fn every_step_may_fail(world: &World) {
    world.priced("call", per_unit("1")).await;
    for point in failpoint::NOTICES.iter().chain(&["post.entries", "op.committed"]) {
        for way in WAYS {
            strike(world, point, way).await;
        }
    }
}

/// Somebody who uses eight of twelve credits, told at ten, and a day before the rest is gone, while one place fails once.
async fn strike(world: &World, point: &str, way: &str) {
    let name = format!("{point} {way}");
    let customer = world.customer(&name).await;
    let lasting = Grant {
        expiry: Expiry::AfterSeconds(2 * DAY),
        ..world.deposit(customer, "12")
    };
    world.grant(lasting).await;
    told_at(world, customer, Some(credits("10"))).await.unwrap();
    for _ in 0..8 {
        world.accept(vec![world.event(customer, "call", "1")]).await;
    }
    world.quiet().await;
    world.advance(DAY);
    arm(point, 0, way);
    live_on(world, point, &name, async || {
        world.quiet().await;
        world.stands(customer).await.0 == "4" && news(world, customer).await.len() == 2
    })
    .await;
    assert_eq!(world.stands(customer).await.0, "4", "{name}");
    let mut told = news(world, customer).await;
    told.sort();
    assert_eq!(told, ["balance.low", "credits.expiring"], "{name}");
}

async fn news(world: &World, customer: CustomerId) -> Vec<String> {
    told(world, customer, "").await
}
