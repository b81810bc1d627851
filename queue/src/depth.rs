//! How much is waiting in a lane.
//!
//! Answered from indexes, and the count stops at a bound: the difference between ten thousand and a million waiting jobs
//! is not worth reading a million rows for.

use app::job::Lane;
use sea_orm::{DbErr, QueryResult};

use crate::{
    shared::{QueueError, SharedQueue, queue_name},
    sql::Sql,
};

/// Where the count of waiting jobs stops.
const COUNTED: i64 = 10_000;

// Every job has the same priority, so the head of the fetch order is the oldest.
const DEPTH: Sql = Sql {
    postgres: "SELECT \
        (SELECT count(*) FROM (SELECT 1 FROM apalis.jobs \
            WHERE job_type = $1 AND status = 'Pending' LIMIT $2) p) AS pending, \
        (SELECT count(*) FROM apalis.jobs \
            WHERE job_type = $1 AND (status = 'Running' OR status = 'Queued')) AS running, \
        (SELECT extract(epoch FROM clock_timestamp() - run_at)::float8 FROM apalis.jobs \
            WHERE job_type = $1 AND status = 'Pending' ORDER BY priority DESC, run_at LIMIT 1) AS oldest",
    sqlite: "SELECT \
        (SELECT count(*) FROM (SELECT 1 FROM Jobs \
            WHERE job_type = ?1 AND status = 'Pending' LIMIT ?2) p) AS pending, \
        (SELECT count(*) FROM Jobs \
            WHERE job_type = ?1 AND status IN ('Running', 'Queued')) AS running, \
        (SELECT CAST(unixepoch() - run_at AS REAL) FROM Jobs WHERE job_type = ?1 AND status = 'Pending' \
            AND lock_by IS NULL ORDER BY priority DESC, run_at LIMIT 1) AS oldest",
};

/// The load of one lane.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Depth {
    /// Jobs waiting to be taken, counted up to 10,000.
    pub pending: u64,
    /// Jobs taken by a worker and not yet acknowledged.
    pub running: u64,
    /// Seconds for which the oldest waiting job has been waiting; 0 if none waits. Whole seconds on SQLite.
    pub oldest_pending_seconds: f64,
}

impl SharedQueue {
    /// How much is waiting in `lane`.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn depth(&self, lane: Lane) -> Result<Depth, QueueError> {
        let values = [queue_name(lane).into(), COUNTED.into()];
        let rows = DEPTH.rows(self.db.reader(), values).await?;
        let row = rows
            .first()
            .ok_or_else(|| DbErr::RecordNotFound("the depth of a lane".to_owned()))?;
        Ok(read(row)?)
    }
}

fn read(row: &QueryResult) -> Result<Depth, DbErr> {
    let count = |column| {
        let count: i64 = row.try_get("", column)?;
        Ok::<_, DbErr>(u64::try_from(count).unwrap_or(0))
    };
    let oldest: Option<f64> = row.try_get("", "oldest")?;
    Ok(Depth {
        pending: count("pending")?,
        running: count("running")?,
        oldest_pending_seconds: oldest.unwrap_or(0.0).max(0.0),
    })
}
