//! Sudden death of the real command while it turns cycles.
//!
//! One worker after the other, each with a step at which it ends itself, comes to customers that are months behind. Each begins with
//! what the one before has left; the last is a healthy one, which finishes. Then each cycle was turned once.

use std::os::unix::process::ExitStatusExt;

use app::db::Backend;
use domain::plan::interval::Interval;

use crate::{
    agreed::{Backlog, Order, beside, disbelieve_runs, outcome, same},
    alone::alone,
    wire::{process::until, stage::Stage},
};

/// Where workers die: between any two statements of a step, after it, and between two moves of a clock.
const PLACES: &[&str] = &[
    "clock.settled",
    "clock.moved",
    "cycles.granted",
    "cycles.posted",
    "cycles.turned",
    "cycles.told",
    "cycles.written",
    "cycles.committed",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_die_while_cycles_are_turned() {
    let backlog = Backlog::of(200, Interval::WEEKLY, 2, 1);
    let wanted = {
        let _turn = alone().await;
        backlog.wanted().await
    };
    tokio::join!(
        die_at_every_step(Backend::Sqlite, &backlog, &wanted),
        die_at_every_step(Backend::Postgres, &backlog, &wanted),
    );
}

async fn die_at_every_step(backend: Backend, backlog: &Backlog, wanted: &[String]) {
    Stage::on(backend, async |stage| {
        stage.migrate().await;
        let (world, all) = {
            let _turn = alone().await;
            let world = beside(&stage.url).await;
            let all = backlog.amass(&world).await;
            (world, all)
        };
        for (number, place) in PLACES.iter().enumerate() {
            // Sooner or later within its life.
            let asked = format!("{place}={}*off->return(abort)", number % 3 + 1);
            let mut worker = stage.start_with(&["worker"], &[("FAILPOINTS", &asked)]);
            let ended = worker.end().await;
            assert_eq!(
                ended.signal(),
                Some(6),
                "{place}: not by its own hand, but {ended}\n{}",
                worker.err()
            );
            disbelieve_runs(&world).await;
        }
        assert!(!backlog.is_done(&world).await, "nothing was left to do");
        let mut worker = stage.worker();
        until("a healthy worker finishes", async || {
            backlog.is_done(&world).await.then_some(())
        })
        .await;
        worker.kill();
        let _turn = alone().await;
        same(&outcome(&world, &all, Order::Any).await, wanted);
        world.app.db().close().await;
    })
    .await;
}
