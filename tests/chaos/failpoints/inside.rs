//! Errors and panics, one at a time, within this process.
//!
//! A customer's usage is recorded and debited while one place fails once. Then the producer sends the same again and the work
//! goes on: what had been acknowledged is known, and in the end everything is debited once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use app::{
    db::Backend,
    failpoint, job,
    usage::{self, Age, NewEvent, Outcome},
};
use domain::id::CustomerId;
use tokio::runtime::Handle;

use super::{exists, run};
use crate::{
    alone::alone,
    harness::{World, auditor, backend, per_unit},
};

/// A database that is away, and a bug that unwinds.
const WAYS: &[&str] = &["return(error)", "panic"];
/// What is recorded together is tried again one by one after a bug that does not.
const WAYS_OF_RECORDING: &[&str] = &["return(error)", "panic", "return(internal)"];
/// Commits that recording and debiting make one after the other: the events, the wake-up, the attempt, the debits, its end.
const COMMITS: usize = 5;
/// Long enough for every pause between two attempts, and for a run to be taken for dead.
const PAUSE: i64 = 61;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_may_fail_on_sqlite() {
    every_step_may_fail(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_may_fail_on_postgres() {
    every_step_may_fail(Backend::Postgres).await;
}

async fn every_step_may_fail(backend: Backend) {
    let _turn = alone().await;
    backend::with_place(backend, async |place| {
        let world = World::over(place).await;
        world.priced("call", per_unit("1")).await;
        for point in failpoint::ALL.iter().filter(|point| exists(point, backend)) {
            // A commit is part of everything, so each of them has its turn.
            let turns = if point.starts_with("op.") { COMMITS } else { 1 };
            let recording = point.starts_with("record.");
            let ways = if recording { WAYS_OF_RECORDING } else { WAYS };
            for turn in 0..turns {
                for way in ways {
                    Strike { point, turn, way }.play(&world).await;
                }
            }
            auditor::prove_changes(&world.app).await;
        }
        auditor::audit(world.app.db()).await;
        auditor::prove(&world.app).await;
        world.app.db().close().await;
    })
    .await;
}

/// One place that fails once in one way, the `turn`-th time that it is reached.
struct Strike {
    point: &'static str,
    turn: usize,
    way: &'static str,
}

impl Strike {
    async fn play(&self, world: &World) {
        let name = format!("{} {} {}", self.point, self.turn, self.way);
        let customer = world.customer(&name).await;
        world.give(customer, "5").await;
        let first = world.event(customer, "call", "2");
        world.accept(vec![first.clone()]).await;
        world.run_to_rest().await;
        let events = vec![
            world.event(customer, "call", "3"),
            first,
            world.event(customer, "call", "4"),
        ];
        let told = match self.point {
            careful if careful.starts_with("careful.") => {
                self.hit_the_careful(world, customer, &events).await
            }
            "job.again" => self.hit_the_interrupted(world, customer, &events).await,
            _ => self.hit(world, customer, &events).await,
        };
        fail::remove(self.point);
        assert!(
            failpoint::reached().contains_key(self.point),
            "{name} is never reached"
        );
        self.again(world, events, told).await;
        let sums = world.stands(customer).await;
        assert_eq!(sums, ("-4".to_owned(), "4".to_owned()), "{name}");
    }

    fn arm(&self) {
        let before = match self.turn {
            0 => String::new(),
            turn => format!("{turn}*off->"),
        };
        failpoint::reached();
        fail::cfg(self.point, &format!("{before}1*{}", self.way)).unwrap();
    }

    /// Records and debits; answers what the producer was told.
    async fn hit(&self, world: &World, customer: CustomerId, events: &[NewEvent]) -> Told {
        self.arm();
        let told = record(world, events).await;
        world.quiet().await;
        while let Some(payload) = world.post.take() {
            run(world, payload).await;
        }
        // Should the wake-up be what was lost.
        run(world, World::drain_job(customer)).await;
        told
    }

    /// The same for a run that goes customer by customer, because two before it have failed.
    async fn hit_the_careful(&self, world: &World, customer: CustomerId, events: &[NewEvent]) -> Told {
        let told = record(world, events).await;
        fail::cfg("drain.begun", "2*return(error)").unwrap();
        for _ in 0..2 {
            run(world, World::drain_job(customer)).await;
            world.advance(PAUSE);
        }
        fail::remove("drain.begun");
        self.arm();
        run(world, World::drain_job(customer)).await;
        told
    }

    /// The same for a run during which another wake-up comes.
    async fn hit_the_interrupted(&self, world: &World, customer: CustomerId, events: &[NewEvent]) -> Told {
        let told = record(world, events).await;
        let (other, came) = (world.clone(), Arc::new(AtomicBool::new(false)));
        let interrupt = move || {
            if !came.swap(true, SeqCst) {
                let second = job::run(&other.app, World::drain_job(customer));
                tokio::task::block_in_place(|| Handle::current().block_on(second));
            }
        };
        fail::cfg_callback("job.ran", interrupt).unwrap();
        self.arm();
        run(world, World::drain_job(customer)).await;
        fail::remove("job.ran");
        told
    }

    /// Sends the same again, and works until nothing is left to do.
    async fn again(&self, world: &World, events: Vec<NewEvent>, told: Told) {
        let outcomes = world.record(events).await;
        let acknowledged = told.is_some();
        for outcome in &outcomes {
            let fine = match outcome {
                Outcome::Duplicate(_) => true,
                Outcome::Accepted(_) => !acknowledged,
                _ => false,
            };
            assert!(
                fine,
                "{} {}: told {told:?}, now {outcomes:?}",
                self.point, self.way
            );
        }
        world.quiet().await;
        world.advance(PAUSE);
        world.run_to_rest().await;
    }
}

/// What became of events, if the producer was told.
type Told = Option<Vec<Outcome>>;

async fn record(world: &World, events: &[NewEvent]) -> Told {
    let (world, events) = (world.clone(), events.to_vec());
    // In a task of its own, as requests are.
    let recorded =
        tokio::spawn(async move { usage::record(&world.app, &world.actor, events, Age::Limited).await });
    recorded.await.ok()?.ok()
}
