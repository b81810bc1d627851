//! Jobs that do nothing, through the queue: added 100 per transaction and run, against a queue written by hand
//! ([`crate::by_hand::queue`]) that adds as many per statement.
//!
//! Ours runs as in a worker without options: 4 jobs at once, taken 4 at a time. The limit takes 100 at a time, which a queue
//! whose jobs last could not do without starving other workers, and it never rescues what a dead worker has taken. Ours needs
//! speed here least of all: one wake-up stands for thousands of events.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use app::{
    db::Db,
    job::{Envelope, Lane, Queue, Wakeup},
};
use queue::{Handler, SharedQueue};
use sea_orm::{SqliteTransactionMode, TransactionOptions, TransactionTrait};
use tokio_util::sync::CancellationToken;

use crate::{Bench, Outcome, by_hand::Hand, figure::Figure, pair::pair, place::Backend, world};

/// Jobs at once, as a worker has without options.
const CONCURRENCY: usize = 4;
/// Jobs per transaction.
const BATCH: usize = 100;
/// How long the jobs may take before something must be wrong.
const PATIENCE: Duration = Duration::from_secs(300);

pub async fn run(bench: &Bench, backend: Backend) -> Outcome<Vec<Figure>> {
    let scale = bench.scale;
    let world = bench.world(backend).await?;
    let ours = async || {
        let db = world::connect(&world.place).await?;
        let seconds = ours(&db, scale.jobs).await?;
        db.close().await;
        Ok([scale.jobs as f64 / seconds])
    };
    let limit = async || {
        let hand = Hand::connect(&world.place, 2).await?;
        let begun = Instant::now();
        hand.run_jobs(scale.jobs, BATCH).await?;
        let seconds = begun.elapsed().as_secs_f64();
        hand.close().await;
        Ok([scale.jobs as f64 / seconds])
    };
    let ([ours], [limit]) = pair(scale.rounds, ours, limit).await?;
    world.remove(bench).await?;
    Ok(vec![
        Figure::new("jobs", backend, "jobs/s", ours, limit).against("queue by hand, 100 at a time"),
    ])
}

/// Seconds from the first push to the last run.
async fn ours(db: &Db, jobs: usize) -> Outcome<f64> {
    let queue = SharedQueue::new(db.clone());
    let ran = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ran);
    let handler: Handler = Arc::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Box::pin(async {})
    });
    let stop = CancellationToken::new();
    let (consumer, token) = (queue.clone(), stop.clone());
    let consuming = tokio::spawn(async move {
        let lanes = [(Lane::Usage, CONCURRENCY)];
        consumer.consume(&lanes, handler, token).await
    });
    let begun = Instant::now();
    for first in (0..jobs).step_by(BATCH) {
        push(db, &queue, BATCH.min(jobs - first)).await?;
    }
    while ran.load(Ordering::Relaxed) < jobs {
        if begun.elapsed() > PATIENCE {
            return Err("the jobs do not come to an end".into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    stop.cancel();
    consuming.await??;
    Ok(seconds)
}

async fn push(db: &Db, queue: &SharedQueue, jobs: usize) -> Outcome<()> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let envelope = Envelope {
        kind: "noop".to_owned(),
        args: 1.into(),
    };
    let wakeup = Wakeup {
        lane: Lane::Usage,
        envelope,
    };
    let tx = db.writer().begin_with_options(options).await?;
    queue.push(&tx, &vec![wakeup; jobs]).await?;
    tx.commit().await?;
    Ok(())
}
