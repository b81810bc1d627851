//! Virtual months of several customers, while wake-ups are lost, doubled and reordered, workers die, statements fail, prices
//! change and clocks jump. Whenever the work has come to rest the books must be sound, as a [`model`] in memory says that knows
//! neither jobs nor batches, and the same on SQLite and PostgreSQL.

mod clocks;
mod instant;
mod mishap;
mod model;
mod months;

use std::{
    future::Future,
    time::{Duration, Instant},
};

use app::{customer::shard_of, db::Backend};
use domain::{amount::Credits, customer::Settlement, id::CustomerId};
use entity::{account, block, ledger_entry, usage_counter, usage_rating};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use crate::{
    alone::alone,
    harness::{World, auditor, backend},
    seed::{Seed, length, seeds},
};

/// Seeds of a short run.
const SEEDS: u64 = 1;
const METRICS: [&str; 3] = ["call", "second", "page"];

/// Lives through as many seeds as the run is long, each on both databases, which must agree.
async fn on_both<F: Future<Output = Vec<String>>>(case: &'static str, live: impl Fn(World, u64) -> F) {
    let begun = Instant::now();
    for number in seeds(SEEDS) {
        let seed = Seed::numbered(case, number);
        let _turn = alone().await;
        let sqlite = on_one(Backend::Sqlite, seed.number(), &live).await;
        let postgres = on_one(Backend::Postgres, seed.number(), &live).await;
        assert_eq!(sqlite, postgres, "the databases disagree");
        if begun.elapsed() > length(Duration::MAX) {
            break;
        }
    }
}

async fn on_one<F: Future<Output = Vec<String>>>(
    backend: Backend,
    seed: u64,
    live: impl Fn(World, u64) -> F,
) -> Vec<String> {
    backend::with_place(backend, async |place| {
        let world = World::over(place).await;
        let seen = live(world.clone(), seed).await;
        auditor::audit(world.app.db()).await;
        auditor::prove(&world.app).await;
        world.app.db().close().await;
        seen
    })
    .await
}

/// Insists that everybody who recomputes the books finds them sound.
async fn sound(world: &World) {
    auditor::prove_changes(&world.app).await;
    auditor::audit(world.app.db()).await;
}

/// A customer of a shard that none of the others has, so that what a worker does to one does not depend on random ids.
async fn newcomer(
    world: &World,
    settlement: Settlement,
    bound: Option<i64>,
    others: &[CustomerId],
) -> CustomerId {
    let bound = bound.map(Credits::from_raw);
    loop {
        let id = world.customer_bounded(&world.key(), settlement, bound).await;
        if others.iter().all(|other| shard_of(*other) != shard_of(id)) {
            return id;
        }
    }
}

/// How a customer stands, without names that differ from run to run.
async fn stands(world: &World, id: CustomerId) -> String {
    let db = world.app.db().reader();
    let account = account::Entity::find_by_id(id.0).one(db).await.unwrap().unwrap();
    let blocks = block::Entity::find()
        .filter(block::Column::CustomerId.eq(id.0))
        .all(db)
        .await
        .unwrap();
    let counters = usage_counter::Entity::find().filter(usage_counter::Column::CustomerId.eq(id.0));
    let counters = counters.all(db).await.unwrap();
    let ratings = usage_rating::Entity::find().filter(usage_rating::Column::CustomerId.eq(id.0));
    let ratings = ratings.all(db).await.unwrap();
    let written_off = ledger_entry::Entity::find()
        .filter(ledger_entry::Column::CustomerId.eq(id.0))
        .filter(ledger_entry::Column::Kind.eq("WRITE_OFF"));
    let written_off = written_off.all(db).await.unwrap();
    let written_off: i64 = written_off.iter().map(|it| it.credits).sum();
    let mut lines = vec![format!(
        "overdraft {}, written off {written_off}",
        account.overdraft
    )];
    // What a turn makes, it makes at one instant.
    let block = |it: &block::Model| format!("block {} {} of {}", it.granted_at, it.remaining, it.credits);
    let mut held: Vec<String> = blocks.iter().map(block).collect();
    held.sort();
    lines.extend(held);
    let mut counts: Vec<String> = vec![];
    for it in &counters {
        let metrics =
            app::catalog::metric_by_id(&world.app, &world.actor, domain::id::MetricId(it.metric_id));
        let key = metrics.await.unwrap().unwrap().key;
        let rule = app::catalog::rule(&world.app, &world.actor, domain::id::MeteringRuleId(it.line_id));
        let line = u8::from(!rule.await.unwrap().unwrap().matches.is_empty());
        counts.push(format!(
            "count {key} {line} {} {} {} {}",
            it.period_start, it.units, it.events, it.credits
        ));
    }
    counts.sort();
    lines.extend(counts);
    let rated: i64 = ratings.iter().map(|it| it.events).sum();
    lines.push(format!("rated {rated}"));
    lines.join("\n")
}
