//! Jobs: wake-ups that find their work again in rows.
//!
//! A job carries ids only. Losing, doubling, reordering or poisoning any of them changes nothing but the time, because
//! [`sweep`] asks the rows themselves what is due and wakes it again.

use sea_orm::{DatabaseTransaction, DbErr};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A class of jobs with its own workers, so that one class cannot starve another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Draining accepted usage into debits.
    Usage,
    /// Work that time makes due: expiry.
    Upkeep,
}

impl Lane {
    /// Every lane, in the order in which they are listed to people.
    pub const ALL: [Self; 2] = [Self::Usage, Self::Upkeep];

    /// The name used on the command line, in the queue and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Upkeep => "upkeep",
        }
    }
}

/// What the queue carries: a kind and its arguments, readable by every version of the program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// Name of the job kind, such as `usage.drain`.
    pub kind: String,
    /// Ids the kind needs to find its work.
    pub args: Value,
}

/// A job on its way to a lane.
#[derive(Debug, Clone, PartialEq)]
pub struct Wakeup {
    /// Where it runs.
    pub lane: Lane,
    /// What runs.
    pub envelope: Envelope,
}

/// The shared queue as the use-cases see it. The one real implementation lives in the `queue` crate.
#[async_trait::async_trait]
pub trait Queue: Send + Sync + 'static {
    /// Adds wake-ups inside an open transaction: they exist if and only if it commits. One statement for any number.
    ///
    /// # Errors
    /// Whatever the database answers.
    async fn push(&self, tx: &DatabaseTransaction, wakeups: &[Wakeup]) -> Result<(), DbErr>;
}
