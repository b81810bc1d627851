//! The handle every process holds: the database, the timings and what the lanes report about themselves.

use std::sync::Arc;

use app::{db::Db, job::Lane};
use futures::future::BoxFuture;
use sea_orm::DbErr;
use serde_json::Value;

use crate::{
    health::{Health, LaneHealth},
    timings::Timings,
};

/// What runs a job. It answers nothing: attempts, back-off and parking are the business of whoever wrote it.
///
/// It must bear being run twice and being dropped at any `await`.
pub type Handler = Arc<dyn Fn(Value) -> BoxFuture<'static, ()> + Send + Sync>;

/// Why the queue could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The database refused a statement or did not answer.
    #[error("the queue's database failed: {0}")]
    Database(#[from] DbErr),
    /// The tables of the queue could not be created or brought up to date.
    #[error("the tables of the queue could not be installed: {0}")]
    Install(String),
    /// The supervision of the lanes itself broke. The process should end and be started again.
    #[error("the supervision of a lane broke: {0}")]
    Supervision(String),
}

/// The shared queue of a process. Cheap to clone; clones report to the same health record.
#[derive(Debug, Clone)]
pub struct SharedQueue {
    pub(crate) db: Db,
    pub(crate) timings: Timings,
    pub(crate) health: Arc<Health>,
}

impl SharedQueue {
    /// A queue in the tables that [`install`](crate::install()) made in `db`. Touches nothing yet.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self {
            db,
            timings: Timings::default(),
            health: Arc::default(),
        }
    }

    /// The same queue at another pace. Meant for tests that cannot wait for real orphan times.
    #[doc(hidden)]
    #[must_use]
    pub fn with_timings(mut self, timings: Timings) -> Self {
        self.timings = timings;
        self
    }

    /// When each consumed lane last moved, for readiness checks. Reads memory only; empty if nothing is consumed.
    #[must_use]
    pub fn health(&self) -> Vec<LaneHealth> {
        self.health.report(&self.timings)
    }
}

/// The name of a lane in the tables of the queue.
pub(crate) fn queue_name(lane: Lane) -> String {
    format!("{QUEUE_PREFIX}{}", lane.as_str())
}

/// What the names of all lanes begin with, so that statements can leave foreign queues in the same tables alone.
pub(crate) const QUEUE_PREFIX: &str = "tallygate:";
