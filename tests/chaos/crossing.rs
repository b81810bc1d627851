//! Debits that bring many balances to their thresholds at the same time, in several processes, with wake-ups that are doubled, reordered and
//! lost and with cards that answer as they like: each customer is charged once, for what was agreed, and gets the credits once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use app::{
    customer::{CustomerRef, shard_of},
    db::Backend,
    job, payment,
    recharge::{self, UpdateRecharge},
};
use domain::{
    amount::Credits,
    id::CustomerId,
    money::{Currency, Money},
    payment::State,
    recharge::rule::{Rule, Size},
};
use entity::sandbox_charge;
use gateway::payment::sandbox::Card;
use rand::{RngExt, rngs::StdRng, seq::SliceRandom};
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};

use crate::{
    alone::alone,
    harness::{
        World, auditor,
        backend::{self, Place},
        paying::{card, sells},
        per_unit,
    },
    seed::{Seed, length},
};

/// Customers who cross at the same time.
const FLOCK: usize = 50;
/// How long each database is tried unless the run is to be long.
const SHORT: Duration = Duration::from_secs(8);
/// Processes that record, debit and collect.
const WORKERS: usize = 4;
/// Cards that are charged in the end, whatever they say at first; without the one that lets everybody wait.
const CARDS: [Card; 4] = [
    Card::Success,
    Card::TimeoutCharged,
    Card::TimeoutNotCharged,
    Card::LateSuccess,
];
/// Rounds in which everything must come to an end.
const ROUNDS: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_crosses_is_charged_once_on_sqlite() {
    crossed(
        Backend::Sqlite,
        "crossing::whoever_crosses_is_charged_once_on_sqlite",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_crosses_is_charged_once_on_postgres() {
    crossed(
        Backend::Postgres,
        "crossing::whoever_crosses_is_charged_once_on_postgres",
    )
    .await;
}

async fn crossed(backend: Backend, case: &'static str) {
    let _turn = alone().await;
    let seed = Seed::of(case);
    backend::with_place(backend, async |place: Arc<Place>| {
        let world = World::over(place).await;
        sells(&world).await;
        world.priced("call", per_unit("1")).await;
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            workers.push(world.another().await);
        }
        let begun = Instant::now();
        let mut flocks = 0;
        while begun.elapsed() < length(SHORT) {
            cross(&world, &workers, &mut seed.rng(flocks)).await;
            flocks += 1;
        }
        let crossed = flocks * FLOCK as u64;
        let charged = sandbox_charge::Entity::find()
            .count(world.app.db().reader())
            .await;
        assert_eq!(charged.unwrap(), crossed, "one charge each");
        println!("{backend:?}: {crossed} customers crossed, seed {}", seed.number());
        auditor::audit(world.app.db()).await;
        auditor::prove(&world.app).await;
        world.app.db().close().await;
    })
    .await;
}

/// Somebody whose balance will cross once.
struct Crosser {
    customer: CustomerId,
    /// What is charged, and what it brings.
    charge: Money,
    /// Calls, of a credit each, in millionths.
    uses: Vec<i64>,
    before: i64,
}

impl Crosser {
    /// Agrees to a rule; what is used goes to the threshold or below it by less than one charge brings.
    async fn make(world: &World, rng: &mut StdRng) -> Self {
        let customer = world.customer(&format!("crosser-{}", world.key())).await;
        card(world, customer, CARDS[rng.random_range(0..CARDS.len())]).await;
        let threshold = rng.random_range(0..20_000_000_i64);
        let surplus = rng.random_range(1..10_000_000_i64);
        let charge = Money::of(rng.random_range(500..5_000), Currency::USD);
        let before = threshold + surplus;
        world.give(customer, &Credits::from_raw(before).to_string()).await;
        let rule = Rule {
            threshold: Credits::from_raw(threshold),
            size: Size::Fixed(charge),
            monthly_cap: Money::of(10_000, Currency::USD),
        };
        let agreed = UpdateRecharge {
            customer: CustomerRef::Id(customer),
            rule: Some(rule),
        };
        recharge::update(&world.app, &world.actor, agreed).await.unwrap();
        let used = surplus + rng.random_range(0..4_990_000);
        let events = rng.random_range(1..12);
        Self {
            customer,
            charge,
            uses: parts(used, events, rng),
            before,
        }
    }

    async fn check(&self, world: &World) {
        let page = app::page::Page::first(10);
        let paid = payment::payments(&world.app, &world.actor, self.customer, page).await;
        let paid: Vec<_> = paid
            .unwrap()
            .items
            .iter()
            .map(|it| (it.progress.state, it.amount))
            .collect();
        assert_eq!(paid, [(State::Succeeded, self.charge)], "{}", self.customer);
        // A dollar a credit.
        let after = self.before - self.uses.iter().sum::<i64>() + self.charge.minor * 10_000;
        let stands = (Credits::from_raw(after).to_string(), "0".to_owned());
        assert_eq!(world.stands(self.customer).await, stands, "{}", self.customer);
    }
}

/// So many parts, each more than zero.
fn parts(whole: i64, count: i64, rng: &mut StdRng) -> Vec<i64> {
    let mut cuts: Vec<i64> = (1..count).map(|_| rng.random_range(0..whole)).collect();
    cuts.extend([0, whole]);
    cuts.sort_unstable();
    let parts = cuts.windows(2).map(|pair| pair[1] - pair[0]);
    parts.filter(|part| *part > 0).collect()
}

/// One flock crosses.
async fn cross(world: &World, workers: &[World], rng: &mut StdRng) {
    let mut flock = Vec::new();
    for _ in 0..FLOCK {
        flock.push(Crosser::make(world, rng).await);
    }
    let mut events: Vec<_> = flock
        .iter()
        .flat_map(|it| it.uses.iter().map(|units| (it.customer, *units)))
        .collect();
    events.shuffle(rng);
    let mut working = Vec::new();
    for (number, worker) in workers.iter().cloned().enumerate() {
        let mine: Vec<_> = events
            .iter()
            .skip(number)
            .step_by(workers.len())
            .copied()
            .collect();
        let jobs = wakeups(&flock, rng);
        let size = rng.random_range(1..20);
        working.push(tokio::spawn(act(worker, mine, jobs, size)));
    }
    for worker in working {
        worker.await.unwrap();
    }
    for _ in 0..ROUNDS {
        job::sweep(&world.app).await.unwrap();
        world.run_to_rest().await;
        world.advance(61);
    }
    for crosser in &flock {
        crosser.check(world).await;
    }
}

/// Wake-ups for everybody as one process may get them: some of them, some twice, in any order.
fn wakeups(flock: &[Crosser], rng: &mut StdRng) -> Vec<Value> {
    let mut jobs = Vec::new();
    for it in flock {
        for _ in 0..rng.random_range(0..3) {
            jobs.push(json!({ "kind": "usage.drain", "args": shard_of(it.customer).to_string() }));
        }
        for _ in 0..rng.random_range(0..3) {
            jobs.push(json!({ "kind": "payment.collect", "args": it.customer.to_string() }));
        }
    }
    jobs.shuffle(rng);
    jobs
}

/// Records in batches, and does jobs in between.
async fn act(worker: World, events: Vec<(CustomerId, i64)>, jobs: Vec<Value>, size: usize) {
    let batches = events.len().div_ceil(size).max(1);
    let mut jobs = jobs
        .chunks(jobs.len().div_ceil(batches).max(1))
        .map(<[Value]>::to_vec);
    for batch in events.chunks(size) {
        let batch = batch
            .iter()
            .map(|(customer, units)| worker.event(*customer, "call", &Credits::from_raw(*units).to_string()));
        worker.accept(batch.collect()).await;
        for job in jobs.next().unwrap_or_default() {
            job::run(&worker.app, job).await;
        }
    }
    for job in jobs.flatten() {
        job::run(&worker.app, job).await;
    }
}
