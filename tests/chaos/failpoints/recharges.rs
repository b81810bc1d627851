//! Whatever goes wrong between the debit that brings a balance down and the grant of what was charged for it: one charge, one grant, and
//! all usage debited.

use app::{
    customer::CustomerRef,
    db::Backend,
    failpoint, job,
    recharge::{self, UpdateRecharge},
};
use domain::{
    id::CustomerId,
    recharge::{
        State,
        rule::{Rule, Size},
    },
};
use entity::{payment as row, sandbox_charge};
use gateway::payment::sandbox::Card;
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};

use super::{PAUSE, WAYS, run, struck};
use crate::harness::{
    World, credits,
    paying::{card, money, sells},
    per_unit,
};

/// Places that a recharge shares with payments and debits.
const SHARED: &[&str] = &[
    "drain.taken",
    "drain.written",
    "drain.committed",
    "payment.decided",
    "payment.taken",
    "payment.answered",
    "payment.granted",
    "payment.written",
    "payment.concluded",
    "op.committed",
];
/// Rounds in which everything must come to an end.
const ROUNDS: usize = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_recharges_may_fail_on_sqlite() {
    struck(Backend::Sqlite, every_step_may_fail).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_recharges_may_fail_on_postgres() {
    struck(Backend::Postgres, every_step_may_fail).await;
}

async fn every_step_may_fail(world: &World) {
    sells(world).await;
    world.priced("call", per_unit("1")).await;
    let mut charged = 0;
    for (place, point) in failpoint::RECHARGES.iter().chain(SHARED).enumerate() {
        for (number, way) in WAYS.iter().enumerate() {
            let kind = [Card::Success, Card::TimeoutCharged][(place + number) % 2];
            charged += 1;
            strike(world, point, way, kind).await;
        }
    }
    let charges = sandbox_charge::Entity::find();
    assert_eq!(charges.count(world.app.db().reader()).await.unwrap(), charged);
}

/// Somebody with 12 credits who uses eight of them, while one place fails once: watched from 10 on, and recharged with 20.
async fn strike(world: &World, point: &str, way: &str, kind: Card) {
    let name = format!("{point} {way} {kind:?}");
    let customer = world.customer(&name).await;
    card(world, customer, kind).await;
    world.give(customer, "12").await;
    let input = UpdateRecharge {
        customer: CustomerRef::Id(customer),
        rule: Some(Rule {
            threshold: credits("10"),
            size: Size::Fixed(money("20 USD")),
            monthly_cap: money("100 USD"),
        }),
    };
    recharge::update(&world.app, &world.actor, input).await.unwrap();
    for _ in 0..8 {
        world.accept(vec![world.event(customer, "call", "1")]).await;
    }
    world.quiet().await;
    failpoint::reached();
    fail::cfg(point, &format!("1*{way}")).unwrap();
    for _ in 0..ROUNDS {
        while let Some(payload) = world.post.take() {
            run(world, payload).await;
        }
        world.quiet().await;
        let is_idle = world.post.len() == 0 && state(world, customer).await == State::Watching;
        if is_idle && world.stands(customer).await.0 == "24" {
            break;
        }
        world.advance(PAUSE);
        job::sweep(&world.app).await.unwrap();
    }
    fail::remove(point);
    assert!(failpoint::reached().contains_key(point), "{name}: never reached");
    assert_eq!(world.stands(customer).await.0, "24", "{name}");
    assert_eq!(state(world, customer).await, State::Watching, "{name}");
    let payments = row::Entity::find().filter(row::Column::CustomerId.eq(customer.0));
    assert_eq!(
        payments.count(world.app.db().reader()).await.unwrap(),
        1,
        "{name}"
    );
    // A bug in a debit sets its customer aside, where somebody has looked at it.
    world.advance(PAUSE);
}

async fn state(world: &World, customer: CustomerId) -> State {
    let found = recharge::recharge(&world.app, &world.actor, customer).await;
    found.unwrap().unwrap().state
}
