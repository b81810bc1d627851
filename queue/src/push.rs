//! Adding wake-ups inside the caller's transaction.
//!
//! apalis' own push needs a sqlx transaction, which SeaORM does not give away; one plain INSERT does the same and joins
//! whatever the caller has open. One statement for any number of wake-ups, 35,000 to 60,000 rows per second.
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
    sql::{Sql, list},
};

/// Starts apalis grants a job that fails. Our handlers never report failure, so this only has to be positive.
const MAX_ATTEMPTS: i32 = 25;

// A trigger of apalis notifies the listeners at commit, once per row.
const PUSH: Sql = Sql {
    postgres: "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority) \
        SELECT w.id, w.queue, convert_to(w.job, 'UTF8'), 'Pending', 0, $4, now(), 0 \
        FROM unnest($1::text[], $2::text[], $3::text[]) AS w(id, queue, job)",
    sqlite: "INSERT INTO Jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority) \
        SELECT i.value, q.value, CAST(j.value AS BLOB), 'Pending', 0, ?4, unixepoch(), 0 \
        FROM json_each(?1) AS i JOIN json_each(?2) AS q ON q.key = i.key JOIN json_each(?3) AS j ON j.key = i.key",
};

#[async_trait::async_trait]
impl Queue for SharedQueue {
    async fn push(&self, tx: &DatabaseTransaction, wakeups: &[Wakeup]) -> Result<(), DbErr> {
        if wakeups.is_empty() {
            return Ok(());
        }
        let ids = wakeups.iter().map(|_| id::new()).collect();
        let queues = wakeups.iter().map(|w| queue_name(w.lane)).collect();
        let jobs = wakeups
            .iter()
            .map(|w| serde_json::to_string(&w.envelope))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| DbErr::Custom(format!("a wake-up cannot be written: {error}")))?;
        let values: [Value; 4] = [
            list(&self.db, ids),
            list(&self.db, queues),
            list(&self.db, jobs),
            MAX_ATTEMPTS.into(),
        ];
        PUSH.run(tx, values).await?;
        Ok(())
    }
}
