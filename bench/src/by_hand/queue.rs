//! A job queue written by hand: one table, one statement to add, one to take (`FOR UPDATE SKIP LOCKED` on PostgreSQL, a single
//! `UPDATE … RETURNING` on SQLite), one to mark as done. Nobody rescues what a dead worker has taken.

use futures::future::try_join_all;
use serde_json::json;
use uuid::Uuid;

use super::Hand;
use crate::Outcome;

/// Workers on PostgreSQL.
const WORKERS: usize = 2;

const TABLE_POSTGRES: &str = "CREATE TABLE IF NOT EXISTS job_by_hand (id uuid PRIMARY KEY, payload text NOT NULL,
    status text NOT NULL); CREATE INDEX IF NOT EXISTS job_waiting ON job_by_hand (id) WHERE status = 'Pending'";
const TABLE_SQLITE: &str = "CREATE TABLE IF NOT EXISTS job_by_hand (id BLOB PRIMARY KEY, payload TEXT NOT NULL,
    status TEXT NOT NULL); CREATE INDEX IF NOT EXISTS job_waiting ON job_by_hand (id) WHERE status = 'Pending'";
const ADD_POSTGRES: &str = "INSERT INTO job_by_hand (id, payload, status) SELECT id, payload, 'Pending' FROM UNNEST($1::uuid[], $2::text[]) AS v (id, payload)";
const ADD_SQLITE: &str = "INSERT INTO job_by_hand (id, payload, status)
    SELECT unhex(value ->> 0), value ->> 1, 'Pending' FROM json_each(?1)";
const TAKE_POSTGRES: &str = "UPDATE job_by_hand SET status = 'Running' WHERE id IN (
        SELECT id FROM job_by_hand WHERE status = 'Pending' ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
    RETURNING id, payload";
const TAKE_SQLITE: &str = "UPDATE job_by_hand SET status = 'Running' WHERE id IN (
        SELECT id FROM job_by_hand WHERE status = 'Pending' ORDER BY id LIMIT ?1)
    RETURNING id, payload";
const DONE_POSTGRES: &str = "UPDATE job_by_hand SET status = 'Done' WHERE id = ANY($1)";
const DONE_SQLITE: &str =
    "UPDATE job_by_hand SET status = 'Done' WHERE id IN (SELECT unhex(value) FROM json_each(?1))";

impl Hand {
    /// Adds so many jobs, so many per statement, and runs all of them, as many per statement.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn run_jobs(&self, jobs: usize, at_once: usize) -> Outcome<()> {
        match self {
            Self::Postgres(pool) => sqlx::raw_sql(TABLE_POSTGRES).execute(pool).await.map(drop)?,
            Self::Sqlite(pool) => sqlx::raw_sql(TABLE_SQLITE).execute(pool).await.map(drop)?,
        }
        for first in (0..jobs).step_by(at_once) {
            let count = at_once.min(jobs - first);
            self.add((0..count).map(|_| Uuid::now_v7()).collect()).await?;
        }
        let workers = if matches!(self, Self::Postgres(_)) {
            WORKERS
        } else {
            1
        };
        let done = try_join_all((0..workers).map(|_| self.work(at_once))).await?;
        let done: usize = done.iter().sum();
        if done == jobs {
            Ok(())
        } else {
            Err(format!("{done} of {jobs} jobs ran").into())
        }
    }

    async fn add(&self, ids: Vec<Uuid>) -> Outcome<()> {
        let payload = r#"{"kind":"noop","args":1}"#;
        match self {
            Self::Postgres(pool) => {
                let payloads = vec![payload; ids.len()];
                sqlx::query(ADD_POSTGRES)
                    .bind(&ids)
                    .bind(&payloads)
                    .execute(pool)
                    .await
                    .map(drop)?;
            }
            Self::Sqlite(pool) => {
                let rows: Vec<_> = ids
                    .iter()
                    .map(|id| json!([id.simple().to_string(), payload]))
                    .collect();
                let rows = serde_json::Value::from(rows).to_string();
                sqlx::query(ADD_SQLITE).bind(rows).execute(pool).await.map(drop)?;
            }
        }
        Ok(())
    }

    /// Takes, runs and settles until nothing is left; answers how many.
    async fn work(&self, at_once: usize) -> Outcome<usize> {
        let limit = i64::try_from(at_once)?;
        let mut done = 0;
        loop {
            let taken: Vec<(Uuid, String)> = match self {
                Self::Postgres(pool) => sqlx::query_as(TAKE_POSTGRES).bind(limit).fetch_all(pool).await?,
                Self::Sqlite(pool) => sqlx::query_as(TAKE_SQLITE).bind(limit).fetch_all(pool).await?,
            };
            if taken.is_empty() {
                return Ok(done);
            }
            let mut ids = Vec::with_capacity(taken.len());
            for (id, payload) in &taken {
                // The job itself: its payload is read and nothing is done.
                let _: serde_json::Value = serde_json::from_str(payload)?;
                ids.push(*id);
            }
            match self {
                Self::Postgres(pool) => sqlx::query(DONE_POSTGRES)
                    .bind(&ids)
                    .execute(pool)
                    .await
                    .map(drop)?,
                Self::Sqlite(pool) => {
                    let ids: Vec<_> = ids.iter().map(|id| id.simple().to_string()).collect();
                    let ids = serde_json::Value::from(ids).to_string();
                    sqlx::query(DONE_SQLITE).bind(ids).execute(pool).await.map(drop)?;
                }
            }
            done += taken.len();
        }
    }
}
