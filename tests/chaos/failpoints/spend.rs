//! Whatever goes wrong while it is counted what a customer spends: every credit counts once, and each limit is told once.

use app::{
    customer::CustomerRef,
    db::Backend,
    failpoint,
    spend::{self, UpdateSpend},
};
use domain::{id::CustomerId, spend::Limits};

use super::{WAYS, live_on, struck};
use crate::harness::{World, credits, paying::told, per_unit};

/// Places that counting shares with debits.
const SHARED: &[&str] = &[
    "drain.rehoused",
    "drain.spent",
    "post.accounts",
    "drain.written",
    "op.committed",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_spending_may_fail_on_sqlite() {
    struck(Backend::Sqlite, every_step_may_fail).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_spending_may_fail_on_postgres() {
    struck(Backend::Postgres, every_step_may_fail).await;
}

async fn every_step_may_fail(world: &World) {
    world.priced("call", per_unit("1")).await;
    for point in failpoint::SPENDING.iter().chain(SHARED) {
        for way in WAYS {
            strike(world, point, way).await;
        }
    }
}

/// Somebody who passes a threshold and a budget, while one place fails once.
async fn strike(world: &World, point: &str, way: &str) {
    let name = format!("{point} {way}");
    let customer = world.customer(&name).await;
    world.give(customer, "12").await;
    let input = UpdateSpend {
        customer: CustomerRef::Id(customer),
        enabled: Some(true),
        mode: None,
        daily: Some(Some(Limits {
            threshold: Some(credits("5")),
            budget: Some(credits("8")),
        })),
        monthly: None,
        webhook_url: None,
    };
    spend::update(&world.app, &world.actor, input).await.unwrap();
    for _ in 0..9 {
        world.accept(vec![world.event(customer, "call", "1")]).await;
    }
    world.quiet().await;
    failpoint::reached();
    fail::cfg(point, &format!("1*{way}")).unwrap();
    live_on(world, point, &name, async || world.pending().await == 0).await;
    assert_eq!(used(world, customer).await, "9", "{name}");
    let told = told(world, customer, "spend.").await;
    assert_eq!(
        told,
        ["spend.threshold_reached", "spend.budget_reached"],
        "{name}"
    );
    // Another day, and after a bug: a customer that is set aside where somebody has looked at it.
    world.advance(86_400);
}

async fn used(world: &World, customer: CustomerId) -> String {
    let spend = spend::spend(&world.app, &world.actor, customer).await.unwrap();
    spend.daily.used.unwrap().to_string()
}
