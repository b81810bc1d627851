//! `tallygate migrate`: bring the database up to date. Doing it again changes nothing.
//!
//! One transaction around all steps: several processes that start at once take their turns, and what is interrupted is
//! taken back. On SQLite the transaction takes the write lock at its beginning, on PostgreSQL an advisory lock.

use std::{fs, process::ExitCode};

use app::db::{Backend, Db};
use migration::{
    DbErr, Migrator, MigratorTrait,
    sea_orm::{ConnectionTrait, SqliteTransactionMode, TransactionOptions, TransactionTrait},
};

use crate::{
    config::Config,
    database,
    failure::{Failure, Outcome},
    print, shutdown,
};

/// What a PostgreSQL transaction of migrations needs besides its lock: no limits on its time. The number is arbitrary.
const POSTGRES_LOCK: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; \
    SET LOCAL idle_in_transaction_session_timeout = 0; SELECT pg_advisory_xact_lock(8823642137482362881)";

/// Migrates the configured database and says what was done.
///
/// # Errors
/// The database is out of reach, too new, or refuses a step.
pub(crate) async fn run(config: &Config) -> Outcome<ExitCode> {
    make_data_dir(config)?;
    let db = database::open(config).await?;
    let steps = apply(&db).await?;
    for step in &steps {
        print::result(format_args!("applied {step}"));
    }
    let name = config.database_name();
    match steps.len() {
        0 => print::result(format_args!("{name} was up to date; nothing to do")),
        many => print::result(format_args!("{name} is up to date after {many} steps")),
    }
    shutdown::close(&db).await;
    Ok(ExitCode::SUCCESS)
}

/// Makes the data folder, if that is where the database will be.
///
/// # Errors
/// The folder cannot be made.
pub(crate) fn make_data_dir(config: &Config) -> Outcome<()> {
    let inside =
        database::sqlite_path(&config.database_url)?.is_some_and(|path| path.starts_with(&config.data_dir));
    if inside {
        fs::create_dir_all(&config.data_dir).map_err(|error| {
            Failure::of(
                format_args!("the folder {} cannot be made", config.data_dir.display()),
                error,
            )
        })?;
    }
    Ok(())
}

/// Takes every step that has not been taken, the queue's first, and answers the names of ours.
///
/// # Errors
/// The database is too new or refuses a step.
pub(crate) async fn apply(db: &Db) -> Outcome<Vec<String>> {
    match db.backend() {
        // There is one writing connection and the queue locks by itself, so it comes before our transaction, not inside.
        Backend::Sqlite => install_queue(db).await?,
        Backend::Postgres => {}
    }
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let tx = db.writer().begin_with_options(options).await.map_err(refused)?;
    if db.backend() == Backend::Postgres {
        tx.execute_unprepared(POSTGRES_LOCK).await.map_err(refused)?;
        install_queue(db).await?;
    }
    let missing = Migrator::get_pending_migrations(&tx)
        .await
        .map_err(database::unknown_steps)?;
    let names = missing.iter().map(|step| step.name().to_owned()).collect();
    Migrator::up(&tx, None).await.map_err(refused)?;
    tx.commit().await.map_err(refused)?;
    Ok(names)
}

async fn install_queue(db: &Db) -> Outcome<()> {
    queue::install(db)
        .await
        .map_err(|error| Failure::new(error.to_string()))
}

fn refused(error: DbErr) -> Failure {
    Failure::of("the database refused to be migrated", error)
}
