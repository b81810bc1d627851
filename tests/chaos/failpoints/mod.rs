//! Something goes wrong between two steps of recording, debiting, holding, cycles or payments: at every place, in every way.

mod abort;
mod cycles;
mod dying;
mod holds;
mod inside;
mod invoices;
mod messages;
mod notices;
mod payments;
mod recharges;
mod returns;
mod spend;

use app::{db::Backend, failpoint, job};
use serde_json::Value;

use crate::{
    alone::alone,
    harness::{World, auditor, backend},
    wire::process::Process,
};

/// Places that only one database has: SQLite writes an event and its place in the queue with two statements.
fn exists(point: &str, backend: Backend) -> bool {
    point != "record.listed" || backend == Backend::Sqlite
}

/// Runs a wake-up in a task of its own, as workers do: a panic ends this run and nothing else.
async fn run(world: &World, payload: Value) {
    let world = world.clone();
    let _ = tokio::spawn(async move { job::run(&world.app, payload).await }).await;
}

/// A database that is away, a bug that unwinds, and one that does not.
const WAYS: &[&str] = &["return(error)", "panic", "return(internal)"];
/// Long enough for a run to be taken for dead, and for the lease of a payment to be over, in seconds.
const PAUSE: i64 = 61;
/// Rounds in which a payment or a refund must come to an end.
const ROUNDS: usize = 20;

/// Has one place fail once, in one way, after it was passed so many times.
fn arm(point: &str, passes: usize, way: &str) {
    failpoint::reached();
    let before = match passes {
        0 => String::new(),
        passes => format!("{passes}*off->"),
    };
    fail::cfg(point, &format!("{before}1*{way}")).unwrap();
}

/// Asks three times for the same, as somebody would who is not sure of having been heard; the first answer.
async fn insist<T>(ask: impl AsyncFn() -> Option<T>) -> Option<T> {
    let mut first = None;
    for _ in 0..3 {
        first = first.or(ask().await);
    }
    first
}

/// Goes on until something has ended, then disarms the place, which must have been reached.
async fn live_on(world: &World, point: &str, name: &str, has_ended: impl AsyncFn() -> bool) {
    for _ in 0..ROUNDS {
        while let Some(payload) = world.post.take() {
            run(world, payload).await;
        }
        if has_ended().await {
            break;
        }
        world.advance(PAUSE);
        job::sweep(&world.app).await.unwrap();
    }
    fail::remove(point);
    assert!(failpoint::reached().contains_key(point), "{name}: never reached");
}

/// Lives through a case in a world of its own, while no other case strikes, and has the books proven afterwards.
async fn struck(backend: Backend, case: impl AsyncFnOnce(&World)) {
    let _turn = alone().await;
    backend::with_place(backend, async |place| {
        let world = World::over(place).await;
        case(&world).await;
        auditor::audit(world.app.db()).await;
        auditor::prove(&world.app).await;
        world.app.db().close().await;
    })
    .await;
}

/// Waits for the end of a process, which must be the one that it was told to make.
async fn by_its_own_hand(mut process: Process, point: &str) {
    let ended = process.end().await;
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&ended),
        Some(6),
        "{point}: not by its own hand, but {ended}\n{}",
        process.err()
    );
}
