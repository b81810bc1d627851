//! Where the rings come from: one source per process for all its lanes.
//!
//! PostgreSQL: one connection of its own listens to the notifications that apalis' trigger sends at commit. SQLite: one
//! read-only connection compares `PRAGMA data_version`, which changes whenever another connection commits; the check
//! takes microseconds and no lock. Both reconnect by themselves and ring for everybody afterwards. A source that is
//! down costs speed only: the lanes still look once per tick.

use std::time::Duration;

use app::{
    db::{Backend, Db},
    job::Lane,
};
use sqlx::{
    Connection, SqliteConnection,
    postgres::{PgListener, PgPoolOptions},
};

use crate::{bell::Bells, shared::queue_name};

/// Channel to which apalis' trigger sends one message per added job.
const CHANNEL: &str = "apalis::job::insert";
/// Interval of the check for commits on SQLite: half of it is the mean delay of a wake-up. All of them together cost
/// about one percent of a core.
const SQLITE_CHECK: Duration = Duration::from_millis(10);
/// Pause before a lost source is connected again. The lanes look once per second meanwhile.
const RECONNECT: Duration = Duration::from_secs(2);

// `idx_jobs_pending` of apalis answers this from its first entry.
const SQLITE_WAITING: &str = "SELECT EXISTS (SELECT 1 FROM Jobs \
    WHERE job_type = ?1 AND status = 'Pending' AND lock_by IS NULL AND run_at <= unixepoch())";

/// Rings for new work until it is dropped.
pub(crate) async fn ring_for_work(db: Db, bells: Bells) {
    loop {
        let outcome = match db.backend() {
            Backend::Postgres => listen(&db, &bells).await,
            Backend::Sqlite => watch(&db, &bells).await,
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "the queue's wake-up source was lost; connecting again");
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn listen(db: &Db, bells: &Bells) -> Result<(), sqlx::Error> {
    let shared = db.writer().get_postgres_connection_pool();
    // A pool of its own: a listener keeps its connection for ever, and requests should not have to do without it.
    let own = PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with((*shared.connect_options()).clone());
    let mut listener = PgListener::connect_with(&own).await?;
    listener.listen(CHANNEL).await?;
    bells.ring_all();
    let lanes = bells.iter().map(|(lane, _)| *lane);
    let names: Vec<String> = lanes.map(queue_name).collect();
    loop {
        match listener.try_recv().await? {
            Some(message) => {
                let queue = queue_of(message.payload());
                for ((_, bell), name) in bells.iter().zip(&names) {
                    if queue.as_deref().is_none_or(|queue| queue == name) {
                        bell.ring();
                    }
                }
            }
            // The connection was lost and is made again; what was sent in between is gone.
            None => bells.ring_all(),
        }
    }
}

/// The queue a notification speaks of; `None` if it cannot be told, which concerns everybody.
fn queue_of(payload: &str) -> Option<String> {
    let message: serde_json::Value = serde_json::from_str(payload).ok()?;
    Some(message.get("job_type")?.as_str()?.to_owned())
}

async fn watch(db: &Db, bells: &Bells) -> Result<(), sqlx::Error> {
    let shared = db.reader().get_sqlite_connection_pool();
    let options = (*shared.connect_options())
        .clone()
        .create_if_missing(false)
        .read_only(true);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let mut seen = None;
    let mut check = tokio::time::interval(SQLITE_CHECK);
    check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        check.tick().await;
        // Read before the rows: a commit in between changes it once more.
        let version: i64 = sqlx::query_scalar("PRAGMA data_version")
            .fetch_one(&mut connection)
            .await?;
        if seen.replace(version) == Some(version) {
            continue;
        }
        for (lane, bell) in bells.iter() {
            if waiting(&mut connection, *lane).await? {
                bell.ring();
            }
        }
    }
}

async fn waiting(connection: &mut SqliteConnection, lane: Lane) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(SQLITE_WAITING)
        .bind(queue_name(lane))
        .fetch_one(connection)
        .await
}
