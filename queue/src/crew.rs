//! One apalis worker, from its registration to its end.
//!
//! A worker ends at the first database error it meets and forgets whatever it awaits; starting the next one is up to the
//! lane. Every worker has a name of its own: under an old name the rows of a predecessor would never be rescued.

use std::{any::Any, convert::Infallible, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use apalis::prelude::{PollWith, WorkerBuilder, WorkerBuilderExt, WorkerContext};
use apalis_core::error::WorkerError;
use apalis_postgres::PostgresStorage;
use apalis_sqlite::SqliteStorage;
use app::{db::Db, job::Lane};
use futures::{FutureExt, future::BoxFuture};
use serde_json::Value;
use sqlx::{PgPool, SqlitePool};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    bell::Bell,
    health::Pulse,
    job::Duty,
    keeper::Roster,
    own::Own,
    poll::RobustPoll,
    shared::{Handler, queue_name},
    timings::Timings,
    upkeep,
};

/// What a stop allows, after handlers have been cut short, for settling their rows.
const SETTLE: Duration = Duration::from_secs(2);
/// Attempts to give back what a worker had taken. After that the orphan time does it.
const RELEASE_ATTEMPTS: usize = 3;

/// Everything the workers of one lane share.
#[derive(Clone)]
pub(crate) struct Post {
    pub(crate) db: Db,
    pub(crate) own: Own,
    pub(crate) lane: Lane,
    pub(crate) concurrency: usize,
    pub(crate) timings: Timings,
    pub(crate) handler: Handler,
    pub(crate) bell: Arc<Bell>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) roster: Roster,
    /// Cancelled when a stop has lost its patience with running jobs.
    pub(crate) cut: CancellationToken,
}

/// How a worker ended. Its rows are still its own until [`retire`](Retired::retire) has run.
pub(crate) struct Retired {
    name: String,
    ashore: mpsc::Receiver<Infallible>,
    /// Why it ended by itself; `None` after a stop.
    pub(crate) died: Option<String>,
}

impl Post {
    /// Runs a worker called `name` until it dies, or until `stop` and the end of the jobs that were running then.
    pub(crate) async fn run(&self, name: String, stop: &CancellationToken) -> Retired {
        self.roster.add(&name);
        let (aboard, ashore) = mpsc::channel(1);
        let context = WorkerContext::new(&name);
        let closing = CancellationToken::new();
        let duty = self.duty(stop.clone(), closing.clone(), aboard);
        let mut worker = AssertUnwindSafe(self.worker(&context, duty)).catch_unwind();
        let died = tokio::select! {
            biased;
            ended = &mut worker => Some(reason(ended)),
            () = stop.cancelled() => None,
        };
        if died.is_none() {
            // Not before the running jobs have ended: from then on apalis holds transactions that it no longer drives, and on
            // SQLite, with its one writing connection, those very jobs would wait for them.
            let close = async {
                tokio::select! {
                    () = self.pulse.rest() => {}
                    () = self.cut.cancelled() => {}
                }
                // Refused only before the start, and the first poll above has started it.
                let _ = context.stop();
                closing.cancel();
                std::future::pending::<()>().await;
            };
            let patience = async {
                self.cut.cancelled().await;
                tokio::time::sleep(SETTLE).await;
            };
            tokio::select! {
                _ = &mut worker => {}
                () = close => {}
                () = patience => tracing::warn!(worker = name, "jobs did not end in time; they run again elsewhere"),
            }
        }
        Retired { name, ashore, died }
    }

    fn duty(
        &self,
        stop: CancellationToken,
        closing: CancellationToken,
        aboard: mpsc::Sender<Infallible>,
    ) -> Duty {
        Duty {
            lane: self.lane,
            handler: Arc::clone(&self.handler),
            limit: self.timings.handler_limit,
            stop,
            closing,
            cut: self.cut.clone(),
            pulse: Arc::clone(&self.pulse),
            aboard,
        }
    }

    fn worker(&self, context: &WorkerContext, duty: Duty) -> BoxFuture<'static, Result<(), WorkerError>> {
        let perform = move |payload: Value| duty.clone().perform(payload);
        // A name per type, because the two storages share no trait that would allow one.
        match &self.own {
            Own::Postgres(pool) => WorkerBuilder::new(context)
                .backend(PollWith::new(self.postgres(pool), self.strategy()))
                .catch_panic()
                .concurrency(self.concurrency)
                .build(perform)
                .run()
                .boxed(),
            Own::Sqlite(pool) => WorkerBuilder::new(context)
                .backend(PollWith::new(self.sqlite(pool), self.strategy()))
                .catch_panic()
                .concurrency(self.concurrency)
                .build(perform)
                .run()
                .boxed(),
        }
    }

    fn strategy(&self) -> RobustPoll {
        RobustPoll::new(Arc::clone(&self.bell), self.timings.tick, Arc::clone(&self.pulse))
    }

    // In both: the batch equals the concurrency. A larger one would be fetched to wait; a smaller one could fill apalis'
    // channel of four batches with acknowledgements that nobody drains, and the lane would stand still. No locking of
    // tasks: it protects nothing. Results persisted: without them a job is never acknowledged.

    fn postgres(&self, pool: &PgPool) -> PostgresStorage<Value> {
        let config = apalis_postgres::Config::default()
            .queue(queue_name(self.lane))
            .batch_size(self.concurrency)
            .heartbeat_interval(self.timings.beat)
            .missed_heartbeats(self.timings.missed as usize)
            .lock_tasks(false)
            .persist_results(true);
        PostgresStorage::new(pool).with_config(config)
    }

    fn sqlite(&self, pool: &SqlitePool) -> SqliteStorage<Value> {
        let config = apalis_sqlite::Config::default()
            .queue(queue_name(self.lane))
            .batch_size(self.concurrency)
            .heartbeat_interval(self.timings.beat)
            .missed_heartbeats(self.timings.missed as usize)
            .lock_tasks(false)
            .persist_results(true);
        SqliteStorage::new(pool).with_config(config)
    }
}

impl Retired {
    /// The name it worked under.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Waits for the handlers that outlived the worker, gives back what it had taken and lets its name die.
    ///
    /// Until then the name stays alive, or others would run what still runs here.
    pub(crate) async fn retire(mut self, post: Post) {
        let patience = async {
            post.cut.cancelled().await;
            tokio::time::sleep(SETTLE).await;
        };
        tokio::select! {
            _ = self.ashore.recv() => {}
            () = patience => {}
        }
        for _ in 0..RELEASE_ATTEMPTS {
            match upkeep::release(&post.db, &self.name).await {
                Ok(rows) => {
                    tracing::debug!(worker = self.name, rows, "a worker gave back its rows");
                    if rows > 0 {
                        post.bell.ring();
                    }
                    break;
                }
                Err(error) => {
                    tracing::warn!(worker = self.name, %error, "a worker could not give back its rows");
                    tokio::time::sleep(post.timings.tick).await;
                }
            }
        }
        post.roster.remove(&self.name);
    }
}

fn reason(ended: Result<Result<(), WorkerError>, Box<dyn Any + Send>>) -> String {
    match ended {
        Ok(Ok(())) => "it ended without a reason".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it panicked".to_owned(),
    }
}
