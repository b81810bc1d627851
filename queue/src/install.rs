//! The tables of the queue: apalis' own migrations and a few index changes after them.
//!
//! Idempotent and safe to run from several processes at once. A run with nothing to do takes no lock that a running
//! worker would notice. apalis keeps its history in `_sqlx_migrations` (on PostgreSQL inside the schema `apalis`), the
//! application keeps its own in `seaql_migrations`; neither sees the other's tables.

use apalis_postgres::PostgresStorage;
use apalis_sqlite::SqliteStorage;
use app::db::{Backend, Db};
use sqlx::{PgPool, SqlitePool};

use crate::shared::QueueError;

/// Key of the advisory lock under which the changes after the migrations run, so that two starting processes do not
/// drop the same index at once. An arbitrary number.
const PATCH_LOCK: i64 = 0x7A11_96A7_E000_0001;

// `lidx` and `idx_apalis_jobs_lock_by` hold every row a worker ever finished and mislead the planner of the
// acknowledgement into reading them all; `unique_job_id` doubles the primary key. The foreign key costs a check per
// row and forbids deleting old workers. The two new indexes hold only rows in flight, for rescue and depth, and finished
// ones, for the purge. Each change is looked for first, because dropping locks the table even in vain.
const POSTGRES_PATCH: &str = "DO $$ BEGIN
    IF EXISTS (SELECT 1 FROM pg_indexes WHERE schemaname = 'apalis'
            AND indexname IN ('lidx', 'idx_apalis_jobs_lock_by', 'unique_job_id')) THEN
        DROP INDEX IF EXISTS apalis.lidx, apalis.idx_apalis_jobs_lock_by, apalis.unique_job_id;
    END IF;
    IF EXISTS (SELECT 1 FROM pg_constraint WHERE conname = 'fk_worker_lock_by'
            AND conrelid = 'apalis.jobs'::regclass) THEN
        ALTER TABLE apalis.jobs DROP CONSTRAINT fk_worker_lock_by;
    END IF;
    IF to_regclass('apalis.tallygate_jobs_inflight') IS NULL THEN
        CREATE INDEX tallygate_jobs_inflight ON apalis.jobs (job_type, lock_by)
            WHERE status = 'Running' OR status = 'Queued';
    END IF;
    IF to_regclass('apalis.tallygate_jobs_finished') IS NULL THEN
        CREATE INDEX tallygate_jobs_finished ON apalis.jobs (done_at)
            WHERE status IN ('Done', 'Killed', 'Failed');
    END IF;
END $$";

// With this index the acknowledgement reads every row its worker ever finished: quadratic, 240 jobs per second.
const SQLITE_PATCH: &str = "DROP INDEX IF EXISTS LIdx";

/// Creates the tables of the queue or brings them up to date. Run before anything is pushed or consumed.
///
/// # Errors
/// A database that does not answer, or a user who may not create the schema `apalis` and the extension `hstore`.
pub async fn install(db: &Db) -> Result<(), QueueError> {
    let installed = match db.backend() {
        Backend::Postgres => install_postgres(db.writer().get_postgres_connection_pool()).await,
        Backend::Sqlite => install_sqlite(db.writer().get_sqlite_connection_pool()).await,
    };
    installed.map_err(|error| QueueError::Install(error.to_string()))
}

async fn install_postgres(pool: &PgPool) -> Result<(), sqlx::Error> {
    PostgresStorage::migrations().run(pool).await?;
    let mut tx = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(PATCH_LOCK)
        .execute(&mut *tx)
        .await?;
    sqlx::raw_sql(POSTGRES_PATCH).execute(&mut *tx).await?;
    tx.commit().await
}

async fn install_sqlite(pool: &SqlitePool) -> Result<(), sqlx::Error> {
    // Never `SqliteStorage::setup`: it switches `synchronous` off on the writing connection. One immediate transaction
    // around everything, because the migrator does not lock and two processes may start together.
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    SqliteStorage::migrations().run(&mut *tx).await?;
    sqlx::raw_sql(SQLITE_PATCH).execute(&mut *tx).await?;
    tx.commit().await
}
