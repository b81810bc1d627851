//! Everything at once: at one instant usage is accepted, credits expire, a cycle ends and the next begins with its grants, and the
//! cycle before closes. Whichever worker comes first, it ends the same.

use app::{catalog::CreateVariant, customer::shard_of, db::Backend, job};
use domain::plan::{interval::Interval, variant::Mode};
use serde_json::{Value, json};

use crate::{
    agreed::{self, Agreed, Order, boundary, consume, give_until, in_a_world, outcome, same},
    alone::alone,
    harness::{
        World,
        plans::{template, variant},
    },
};

/// Days that are lived through.
const DAYS: usize = 3;
/// Orders in which three jobs may come.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_at_one_instant_has_one_outcome() {
    let _turn = alone().await;
    let mut first: Option<Vec<String>> = None;
    for backend in [Backend::Sqlite, Backend::Postgres] {
        for order in ORDERS {
            let found = in_a_world(backend, async |world| live(&world, order).await).await;
            same(&found, first.get_or_insert_with(|| found.clone()));
        }
    }
}

async fn live(world: &World, order: [usize; 3]) -> Vec<String> {
    let [rolling, free, _] = agreed::plans(world, Interval::DAILY).await;
    // A day is closed exactly when the next one ends.
    let slow = CreateVariant {
        interval: Interval::DAILY,
        late_seconds: 86_400,
        ..variant(Mode::Postpaid)
    };
    let slow = world.sells(slow, vec![template("4")]).await;
    let all = agreed::customers(world, "all", &[rolling, free, slow], None, None).await;
    for day in 0..DAYS {
        let end = boundary(world, all[0]).await;
        for of in &all {
            give_until(world, of.customer, end).await;
        }
        world.move_to(end.plus_seconds(-1));
        consume(world, &all).await;
        world.move_to(end);
        consume(world, &all).await;
        world.quiet().await;
        world.post.clear();
        world.move_to(end.plus_seconds(6));
        let jobs = jobs(&all);
        for turn in 0..jobs.len() {
            job::run(&world.app, jobs[order[(turn + day) % jobs.len()]].clone()).await;
        }
        world.advance(61);
        world.catch_up().await;
    }
    outcome(world, &all, Order::Any).await
}

/// Debits, expiries, and what cycles need.
fn jobs(all: &[Agreed]) -> [Value; 3] {
    let shard = shard_of(all[0].customer).to_string();
    [
        World::drain_job(all[0].customer),
        World::expire_job(),
        json!({ "kind": "subscription.advance", "args": shard }),
    ]
}
