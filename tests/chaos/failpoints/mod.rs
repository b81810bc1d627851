//! Something goes wrong between two steps of recording, debiting, cycles or payments: at every place, in every way.

mod abort;
mod cycles;
mod dying;
mod inside;
mod invoices;
mod payments;
mod recharges;

use app::job;
use serde_json::Value;

use crate::{harness::World, wire::process::Process};

/// Places that only one database has: SQLite writes an event and its place in the queue with two statements.
fn exists(point: &str, backend: app::db::Backend) -> bool {
    point != "record.listed" || backend == app::db::Backend::Sqlite
}

/// Runs a wake-up in a task of its own, as workers do: a panic ends this run and nothing else.
async fn run(world: &World, payload: Value) {
    let world = world.clone();
    let _ = tokio::spawn(async move { job::run(&world.app, payload).await }).await;
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
