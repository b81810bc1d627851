//! Whatever goes wrong between deciding a payment and granting what was paid for, and whatever the provider does meanwhile: one charge,
//! one grant.

use std::time::Duration;

use app::{
    db::{Backend, Db},
    failpoint,
    payment::{self, Purchase},
};
use domain::{id::CustomerId, payment::State};
use entity::{payment as row, sandbox_charge};
use gateway::payment::sandbox::Card;
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use serde_json::json;

use super::{WAYS, arm, by_its_own_hand, insist, live_on, struck};
use crate::{
    harness::{
        World,
        paying::{card, charges, read, sells, wish},
    },
    wire::{
        client::{Client, purchase},
        process::{Process, until},
        stage::{Server, Stage, dev_key, try_base},
    },
};

/// Cards that are charged in the end.
const CARDS: [Card; 4] = [
    Card::Success,
    Card::TimeoutCharged,
    Card::TimeoutNotCharged,
    Card::LateSuccess,
];
/// Places that a payment shares with everything else.
const SHARED: &[&str] = &[
    "post.accounts",
    "post.blocks",
    "post.entries",
    "op.notified",
    "op.committed",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_payments_may_fail_on_sqlite() {
    struck(Backend::Sqlite, every_step_may_fail).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_payments_may_fail_on_postgres() {
    struck(Backend::Postgres, every_step_may_fail).await;
}

async fn every_step_may_fail(world: &World) {
    sells(world).await;
    let mut bought = 0;
    for (place, point) in failpoint::PAYMENTS.iter().chain(SHARED).enumerate() {
        for (number, way) in WAYS.iter().enumerate() {
            // Commits come one after the other: the decision, the lease, the grant.
            for turn in 0..if point.starts_with("op.") { 3 } else { 1 } {
                let kind = CARDS[(place + number + turn) % CARDS.len()];
                bought += 1;
                strike(world, point, turn, way, kind).await;
            }
        }
    }
    assert_eq!(charges(world).await, bought);
}

/// Buys while one place fails once, and goes on until the payment has ended.
async fn strike(world: &World, point: &str, turn: usize, way: &str, kind: Card) {
    let name = format!("{point} {turn} {way} {kind:?}");
    let customer = world.customer(&name).await;
    card(world, customer, kind).await;
    world.quiet().await;
    world.post.clear();
    arm(point, turn, way);
    let key = world.key();
    let decided = insist(async || decide(world, wish(customer, "5 USD"), &key).await).await;
    let id = decided.unwrap_or_else(|| panic!("{name}: nothing was decided"));
    live_on(world, point, &name, async || {
        !read(world, id).await.progress.state.is_open()
    })
    .await;
    assert_eq!(read(world, id).await.progress.state, State::Succeeded, "{name}");
    assert_eq!(world.stands(customer).await.0, "5", "{name}");
    assert_eq!(payments(world, customer).await, 1, "{name}");
}

async fn payments(world: &World, customer: CustomerId) -> u64 {
    let all = row::Entity::find().filter(row::Column::CustomerId.eq(customer.0));
    all.count(world.app.db().reader()).await.unwrap()
}

/// In a task of its own, as requests are.
async fn decide(world: &World, wish: Purchase, key: &str) -> Option<domain::id::PaymentId> {
    let (world, key) = (world.clone(), key.to_owned());
    let decided = tokio::spawn(async move { payment::purchase(&world.app, &world.actor, wish, &key).await });
    Some(decided.await.ok()?.ok()?.value.id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_die_at_every_step_of_a_payment() {
    // At the same time, because much of it is waiting.
    tokio::join!(
        Stage::on_sqlite(async |stage| die_at_every_step(stage).await),
        Stage::on_postgres(async |stage| die_at_every_step(stage).await),
    );
}

async fn die_at_every_step(stage: &Stage) {
    let Server { client, mut process } = stage.dev().await;
    client.sells_credits().await;
    for (place, point) in failpoint::PAYMENTS.iter().enumerate() {
        client.customer(point, "1").await;
        client
            .card(point, ["SUCCESS", "TIMEOUT_CHARGED"][place % 2])
            .await;
    }
    process.kill();
    for point in failpoint::PAYMENTS {
        let asked = format!("{point}=return(abort)");
        die(stage.start_with(&["dev"], &[("FAILPOINTS", &asked)]), point).await;
    }
    let Server {
        client,
        process: _process,
    } = stage.dev().await;
    for point in failpoint::PAYMENTS {
        // The lease of whoever died in the middle has to end first.
        until(&format!("what died at {point} is paid"), async || {
            buy(&client, point).await;
            let paid = json!({ "remaining": "6", "payments": ["SUCCEEDED"] });
            (stands(&client, point).await == paid).then_some(())
        })
        .await;
    }
    let db = Db::connect(&stage.url, 2, Duration::ZERO, |_| {}).await.unwrap();
    let charged = sandbox_charge::Entity::find().count(db.reader()).await.unwrap();
    assert_eq!(charged, failpoint::PAYMENTS.len() as u64);
    db.close().await;
}

/// Asks for the same purchase, as often as it likes.
async fn buy(client: &Client, name: &str) {
    let _ = client.try_send(&purchase(name, "5", name), json!({})).await;
}

/// What somebody has, and how the payments ended.
async fn stands(client: &Client, name: &str) -> serde_json::Value {
    let data = client
        .ask(&format!(
            r#"{{ customer(externalId: "{name}") {{ balance {{ remaining }} payments {{ nodes {{ state }} }} }} }}"#
        ))
        .await;
    let nodes = data["customer"]["payments"]["nodes"].as_array().unwrap();
    let states: Vec<_> = nodes.iter().map(|node| node["state"].clone()).collect();
    json!({ "remaining": data["customer"]["balance"]["remaining"], "payments": states })
}

/// Buys until the process is dead.
async fn die(mut process: Process, point: &str) {
    // What was left behind may bring it there before it says a word.
    if let Some(base) = try_base(&mut process).await {
        let client = Client::new(&base, &dev_key(&process));
        until(&format!("it dies at {point}"), async || {
            buy(&client, point).await;
            process.ended()
        })
        .await;
    }
    by_its_own_hand(process, point).await;
}
