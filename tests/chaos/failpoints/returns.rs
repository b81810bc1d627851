//! Whatever goes wrong between deciding a refund and the credit note for it: the money goes back once, the credits are taken once, and given
//! again once if it cannot be made.

use app::{
    db::Backend,
    failpoint,
    payment::{self, RefundPayment},
};
use domain::{
    id::{CustomerId, PaymentId},
    payment::returned::{Return, State},
};
use entity::{credit_note, sandbox_return};
use gateway::payment::sandbox::Card;
use sea_orm::{EntityTrait, PaginatorTrait};

use super::{WAYS, arm, insist, live_on, struck};
use crate::harness::{
    World, billing,
    paying::{card, sells, wish},
};

/// Places that a refund shares with everything else.
const SHARED: &[&str] = &["post.accounts", "post.blocks", "post.entries", "op.committed"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_refunds_may_fail_on_sqlite() {
    struck(Backend::Sqlite, every_step_may_fail).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_refunds_may_fail_on_postgres() {
    struck(Backend::Postgres, every_step_may_fail).await;
}

async fn every_step_may_fail(world: &World) {
    sells(world).await;
    billing::bills(world, billing::terms()).await;
    let (mut asked, mut made) = (0, 0);
    for (place, point) in failpoint::RETURNS.iter().chain(SHARED).enumerate() {
        for (number, way) in WAYS.iter().enumerate() {
            // Commits come one after the other: the decision, the lease, what the provider said.
            for turn in 0..if *point == "op.committed" { 3 } else { 1 } {
                let is_made = *point == "invoice.refunded" || (place + number + turn) % 2 == 0;
                asked += 1;
                made += u64::from(is_made);
                strike(world, point, turn, way, is_made).await;
            }
        }
    }
    let db = world.app.db().reader();
    assert_eq!(sandbox_return::Entity::find().count(db).await.unwrap(), asked);
    assert_eq!(credit_note::Entity::find().count(db).await.unwrap(), made);
}

/// Gives money back while one place fails once, and goes on until that has ended.
async fn strike(world: &World, point: &str, turn: usize, way: &str, is_made: bool) {
    let name = format!("{point} {turn} {way} {is_made}");
    let kind = if is_made { Card::Success } else { Card::RefundFails };
    let (customer, id) = buyer(world, &name, kind).await;
    arm(point, turn, way);
    let key = world.key();
    let decided = insist(async || decide(world, id, &key).await).await;
    let decided = decided.unwrap_or_else(|| panic!("{name}: nothing was decided"));
    live_on(world, point, &name, async || state(world, id).await.has_ended()).await;
    let (ends, left) = if is_made {
        (State::Returned, "3")
    } else {
        (State::Undone, "5")
    };
    assert_eq!(decided.payment, id);
    assert_eq!(state(world, id).await, ends, "{name}");
    assert_eq!(world.stands(customer).await.0, left, "{name}");
}

/// Somebody with five credits that were paid for.
async fn buyer(world: &World, name: &str, kind: Card) -> (CustomerId, PaymentId) {
    let customer = world.customer(name).await;
    card(world, customer, kind).await;
    let done = payment::purchase(&world.app, &world.actor, wish(customer, "5 USD"), &world.key()).await;
    world.run_to_rest().await;
    world.quiet().await;
    world.post.clear();
    (customer, done.unwrap().value.id)
}

/// In a task of its own, as requests are.
async fn decide(world: &World, payment: PaymentId, key: &str) -> Option<Return> {
    let (world, key) = (world.clone(), key.to_owned());
    let input = RefundPayment {
        payment,
        amount: Some(crate::harness::paying::money("2 USD")),
        reason: None,
    };
    let decided = tokio::spawn(async move { payment::refund(&world.app, &world.actor, input, &key).await });
    Some(decided.await.ok()?.ok()?.value)
}

async fn state(world: &World, id: PaymentId) -> State {
    let all = payment::returns(&world.app, &world.actor, &[id]).await.unwrap();
    assert_eq!(all.len(), 1);
    all[0].state
}
