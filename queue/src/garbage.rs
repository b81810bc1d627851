//! Rows apalis cannot decode.
//!
//! One row with an id that is no ULID, or with a payload that is no JSON, ends the worker that fetches it, and the next
//! one, for ever. Such rows come from hands, never from this program. Before a worker starts, those it would meet first
//! and those its predecessor had taken are read with the same parsers apalis uses, and the unreadable ones are filed as
//! `Killed`. At most 2,000 rows are read; garbage further behind ends a worker once and is found at its restart.

use app::{db::Db, job::Lane};
use sea_orm::{DbErr, QueryResult};

use crate::{
    id,
    shared::queue_name,
    sql::{Sql, list},
};

/// Rows read from each of the two sets. More than a worker fetches at once.
const LOOKED_AT: i64 = 1_000;

// A NULL inside the metadata makes apalis panic, so such a row shows up as one without a payload.
const CANDIDATES: Sql = Sql {
    postgres: "SELECT * FROM (SELECT id, CASE WHEN metadata::text LIKE '%=>NULL%' THEN NULL ELSE job END AS job \
            FROM apalis.jobs WHERE job_type = $1 AND lock_by = $2 AND (status = 'Running' OR status = 'Queued') \
            LIMIT $3) taken \
        UNION ALL SELECT * FROM (SELECT id, CASE WHEN metadata::text LIKE '%=>NULL%' THEN NULL ELSE job END AS job \
            FROM apalis.jobs WHERE job_type = $1 \
            AND (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts)) \
            ORDER BY priority DESC, run_at LIMIT $3) next",
    sqlite: "SELECT * FROM (SELECT id, CASE WHEN typeof(job) IN ('blob', 'text') THEN CAST(job AS BLOB) END AS job \
            FROM Jobs WHERE job_type = ?1 AND lock_by = ?2 AND status IN ('Running', 'Queued') \
            LIMIT ?3) taken \
        UNION ALL SELECT * FROM (SELECT id, CASE WHEN typeof(job) IN ('blob', 'text') THEN CAST(job AS BLOB) END AS job \
            FROM Jobs WHERE job_type = ?1 AND status = 'Pending' AND lock_by IS NULL \
            ORDER BY priority DESC, run_at, id LIMIT ?3) next",
};

const SET_ASIDE: Sql = Sql {
    postgres: "UPDATE apalis.jobs SET status = 'Killed', done_at = now(), lock_by = NULL, \
        last_result = '{\"Err\": \"unreadable\"}' WHERE id = ANY($1) AND job_type = $2",
    sqlite: "UPDATE Jobs SET status = 'Killed', done_at = unixepoch(), lock_by = NULL, \
        last_result = '{\"Err\": \"unreadable\"}' WHERE id IN (SELECT value FROM json_each(?1)) AND job_type = ?2",
};

/// Files the unreadable rows of `lane` as `Killed`: those `predecessor` had taken and those next in line. Returns their
/// number.
pub(crate) async fn set_aside(db: &Db, lane: Lane, predecessor: &str) -> Result<u64, DbErr> {
    let queue = queue_name(lane);
    let values = [queue.clone().into(), predecessor.into(), LOOKED_AT.into()];
    let rows = CANDIDATES.rows(db.reader(), values).await?;
    let mut unreadable = Vec::new();
    for row in &rows {
        let id: String = row.try_get("", "id")?;
        if !is_readable(&id, row)? {
            unreadable.push(id);
        }
    }
    if unreadable.is_empty() {
        return Ok(0);
    }
    tracing::error!(lane = lane.as_str(), rows = ?unreadable, "unreadable rows in the queue were set aside as killed");
    SET_ASIDE
        .run(db.writer(), [list(db, unreadable), queue.into()])
        .await
}

fn is_readable(id: &str, row: &QueryResult) -> Result<bool, DbErr> {
    let job: Option<Vec<u8>> = row.try_get("", "job")?;
    let json = job.is_some_and(|job| serde_json::from_slice::<serde_json::Value>(&job).is_ok());
    Ok(json && id::is_canonical(id))
}
