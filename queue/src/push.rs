//! Adding wake-ups inside the caller's transaction.
//!
//! apalis' own push needs a sqlx transaction, which SeaORM does not give away; one plain INSERT does the same and joins
//! whatever the caller has open. One statement for any number of wake-ups, tens of thousands of rows per second.
//!
//! No idempotency keys: apalis keeps a key taken after its job is done, so a second wake-up would silently vanish.

use app::{
    db::Backend,
    job::{Queue, Wakeup},
};
use sea_orm::{DatabaseTransaction, DbErr, Value};

use crate::{
    id,
    shared::{SharedQueue, queue_name},
    sql::Sql,
};

/// Starts apalis grants a job that fails. Our handlers never report failure, so this only has to be positive.
const MAX_ATTEMPTS: i32 = 25;

// On PostgreSQL a trigger of apalis notifies the listeners at commit, once per row.
const PUSH: Sql = Sql {
    postgres: "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority) \
        SELECT w.id, w.queue, convert_to(w.job, 'UTF8'), 'Pending', 0, $1, now(), 0 \
        FROM unnest($2::text[], $3::text[], $4::text[]) AS w(id, queue, job)",
    sqlite: "INSERT INTO Jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority) \
        SELECT w.value ->> 0, w.value ->> 1, CAST(w.value ->> 2 AS BLOB), 'Pending', 0, ?1, unixepoch(), 0 \
        FROM json_each(?2) AS w",
};

#[async_trait::async_trait]
impl Queue for SharedQueue {
    async fn push(&self, tx: &DatabaseTransaction, wakeups: &[Wakeup]) -> Result<(), DbErr> {
        if wakeups.is_empty() {
            return Ok(());
        }
        let rows = wakeups.iter().map(row).collect::<Result<Vec<_>, _>>()?;
        let mut values: Vec<Value> = vec![MAX_ATTEMPTS.into()];
        match Backend::of(tx) {
            Backend::Postgres => {
                for column in 0..3 {
                    let texts: Vec<String> = rows.iter().map(|row| row[column].clone()).collect();
                    values.push(texts.into());
                }
            }
            Backend::Sqlite => values.push(serde_json::json!(rows).to_string().into()),
        }
        PUSH.run(tx, values).await?;
        Ok(())
    }
}

/// Id, queue name and payload of a new row.
fn row(wakeup: &Wakeup) -> Result<[String; 3], DbErr> {
    let job = serde_json::to_string(&wakeup.envelope)
        .map_err(|error| DbErr::Custom(format!("a wake-up cannot be written: {error}")))?;
    Ok([id::new(), queue_name(wakeup.lane), job])
}
