//! Retention and rescue.
//!
//! apalis deletes nothing on PostgreSQL and too much on SQLite, and it rescues only rows whose worker is known and dead.
//! Here finished rows go after an hour, silent workers after a day, in chunks that hold locks for milliseconds; and
//! every row that no living worker is going to finish becomes pending again.

use app::db::Db;
use sea_orm::DbErr;

use crate::{
    shared::{QUEUE_PREFIX, QueueError, SharedQueue},
    sql::{Sql, list},
    timings::Timings,
};

/// Seconds for which a finished job stays visible to people looking for it.
const KEEP_FINISHED: f64 = 3_600.0;
/// Seconds for which a silent worker stays visible.
const KEEP_WORKERS: f64 = 86_400.0;
/// Rows deleted by one statement: a few milliseconds of locks.
const CHUNK: u64 = 1_000;
/// Chunks per purge, so that a purge ends: a million rows, far above what an hour brings.
const MAX_CHUNKS: usize = 1_000;
/// Workers forgotten per purge. On SQLite the foreign key makes each of them a pass over the jobs.
const WORKERS_PER_PURGE: i64 = 20;

const PURGE_JOBS: Sql = Sql {
    postgres: "DELETE FROM apalis.jobs WHERE id IN (SELECT id FROM apalis.jobs \
        WHERE status IN ('Done', 'Killed', 'Failed') AND (status <> 'Failed' OR attempts >= max_attempts) \
        AND done_at < now() - make_interval(secs => $1) AND job_type LIKE $2 LIMIT $3)",
    sqlite: "DELETE FROM Jobs WHERE rowid IN (SELECT rowid FROM Jobs \
        WHERE status IN ('Done', 'Killed', 'Failed') AND (status <> 'Failed' OR attempts >= max_attempts) \
        AND done_at < unixepoch() - ?1 AND job_type LIKE ?2 LIMIT ?3)",
};

const PURGE_WORKERS: Sql = Sql {
    postgres: "DELETE FROM apalis.workers WHERE id IN (SELECT id FROM apalis.workers \
        WHERE last_seen < now() - make_interval(secs => $1) AND worker_type LIKE $2 LIMIT $3)",
    sqlite: "DELETE FROM Workers WHERE id IN (SELECT id FROM Workers \
        WHERE last_seen < unixepoch() - ?1 AND worker_type LIKE ?2 \
        AND id NOT IN (SELECT lock_by FROM Jobs WHERE lock_by IS NOT NULL) LIMIT ?3)",
};

// A pending row with an owner is one that apalis on SQLite never fetches again. The parameter keeps both dialects alike.
const FREE_OWNED: Sql = Sql {
    postgres: "UPDATE apalis.jobs SET lock_by = NULL \
        WHERE status = 'Pending' AND lock_by IS NOT NULL AND job_type LIKE $1",
    sqlite: "UPDATE Jobs SET lock_by = NULL, lock_at = NULL \
        WHERE status = 'Pending' AND lock_by IS NOT NULL AND job_type LIKE ?1",
};

const RESCUE: Sql = Sql {
    postgres: "UPDATE apalis.jobs SET status = 'Pending', lock_by = NULL, lock_at = NULL, done_at = NULL, \
        attempts = attempts + 1 WHERE id IN (SELECT j.id FROM apalis.jobs j \
        LEFT JOIN apalis.workers w ON w.id = j.lock_by \
        WHERE (j.status = 'Running' OR j.status = 'Queued') AND j.job_type LIKE $3 \
        AND (w.id IS NULL OR w.last_seen < now() - make_interval(secs => $1) \
            OR j.lock_at IS NULL OR j.lock_at < now() - make_interval(secs => $2)) \
        FOR UPDATE OF j SKIP LOCKED)",
    sqlite: "UPDATE Jobs SET status = 'Pending', lock_by = NULL, lock_at = NULL, done_at = NULL, \
        attempts = attempts + 1 WHERE status IN ('Running', 'Queued') AND job_type LIKE ?3 \
        AND (lock_at IS NULL OR lock_at < unixepoch() - ?2 \
            OR NOT EXISTS (SELECT 1 FROM Workers w WHERE w.id = Jobs.lock_by AND w.last_seen >= unixepoch() - ?1))",
};

// `Failed` is how apalis files a job that a stop has cut short.
const RELEASE: Sql = Sql {
    postgres: "UPDATE apalis.jobs SET status = 'Pending', lock_by = NULL, lock_at = NULL, done_at = NULL \
        WHERE lock_by = $1 AND (status = 'Running' OR status = 'Queued' OR status = 'Failed')",
    sqlite: "UPDATE Jobs SET status = 'Pending', lock_by = NULL, lock_at = NULL, done_at = NULL \
        WHERE lock_by = ?1 AND status IN ('Running', 'Queued', 'Failed')",
};

const BEAT: Sql = Sql {
    postgres: "UPDATE apalis.workers SET last_seen = now() WHERE id = ANY($1)",
    sqlite: "UPDATE Workers SET last_seen = unixepoch() WHERE id IN (SELECT value FROM json_each(?1))",
};

impl SharedQueue {
    /// Deletes jobs that ended more than an hour ago and workers that have been silent for a day; returns the number of
    /// deleted jobs. Meant to run once a minute, by any number of processes.
    ///
    /// # Errors
    /// Whatever the database answers. What was deleted until then stays deleted.
    pub async fn purge(&self) -> Result<u64, QueueError> {
        let on = self.db.writer();
        let mut deleted = 0;
        for _ in 0..MAX_CHUNKS {
            let limit = i64::try_from(CHUNK).unwrap_or(i64::MAX);
            let values = [KEEP_FINISHED.into(), pattern().into(), limit.into()];
            let chunk = PURGE_JOBS.run(on, values).await?;
            deleted += chunk;
            if chunk < CHUNK {
                break;
            }
        }
        FREE_OWNED.run(on, [pattern().into()]).await?;
        let values = [KEEP_WORKERS.into(), pattern().into(), WORKERS_PER_PURGE.into()];
        PURGE_WORKERS.run(on, values).await?;
        Ok(deleted)
    }
}

/// Makes pending again what no living worker is going to finish: rows of dead and of unknown workers, and rows held
/// beyond the lease. Returns their number. Concerns every lane, also those other processes consume.
pub(crate) async fn rescue(db: &Db, timings: &Timings) -> Result<u64, DbErr> {
    let values = [
        timings.orphan_after().as_secs_f64().into(),
        timings.lease.as_secs_f64().into(),
        pattern().into(),
    ];
    RESCUE.run(db.writer(), values).await
}

/// Makes pending again what `worker` has taken and not finished. Only after the worker has ended.
pub(crate) async fn release(db: &Db, worker: &str) -> Result<u64, DbErr> {
    RELEASE.run(db.writer(), [worker.into()]).await
}

/// Tells everybody that `workers` are alive.
pub(crate) async fn beat(db: &Db, workers: Vec<String>) -> Result<(), DbErr> {
    BEAT.run(db.writer(), [list(db, workers)]).await?;
    Ok(())
}

/// All lanes of this application.
fn pattern() -> String {
    format!("{QUEUE_PREFIX}%")
}
