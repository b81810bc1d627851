//! The database: one set of tables on SQLite or PostgreSQL, reached through two handles.
//!
//! SQLite allows one writer at a time and answers a second one with an error, so a process keeps a pool of exactly one
//! writing connection and every writing transaction starts with `BEGIN IMMEDIATE`; readers have a pool of their own.
//! On PostgreSQL both handles are the same pool.

use std::{
    str::FromStr,
    time::{Duration, Instant},
};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, SqlxPostgresConnector, SqlxSqliteConnector};
use sqlx::{
    Connection,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

/// How long a request waits for a free connection before it is answered with "unavailable".
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long SQLite waits for the write lock of another process.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(15);
/// Reading connections on SQLite. Reads run in parallel to the one writer.
const SQLITE_READERS: u32 = 4;
/// Connections of one process on PostgreSQL unless configured otherwise.
pub const DEFAULT_POSTGRES_CONNECTIONS: u32 = 12;
/// Idle time after which a connection on PostgreSQL is asked whether it is still alive before it is used. When a server goes down, the
/// first request on each connection that was used within this time fails, and says that it can be tried again.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// Pause between two attempts to reach a database that is down.
const RECONNECT_PAUSE: Duration = Duration::from_secs(2);

/// A pool that lends no SQLite connection on which a transaction is believed to be open.
///
/// When a commit finds no room on the disk, SQLite takes the transaction back by itself. `sqlx` then fails to take it back once more
/// and goes on counting it as open: what is "committed" on such a connection afterwards may be an inner part of something that
/// never is. It is closed instead, and a new one takes its place.
#[must_use]
pub fn sqlite_pool() -> SqlitePoolOptions {
    // Every statement has been answered by then: an idle connection is asked for a sign of life before.
    SqlitePoolOptions::new()
        .test_before_acquire(true)
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
}

/// A pool on PostgreSQL of so many connections.
fn postgres_pool(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // A busy connection shows by itself that it is alive; asking it each time would cost a round trip.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > TRUSTED_FOR {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}

/// Which of the two supported databases is behind a [`Db`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// The embedded database: one file, one host.
    Sqlite,
    /// PostgreSQL 14 or later.
    Postgres,
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL is not one of the two supported forms.
    #[error(
        "the database URL `{0}` is not usable: {1}. Use `sqlite:PATH` or `postgres://USER@HOST:PORT/NAME`"
    )]
    Url(String, String),
    /// The server answers, but not to this user or for this database.
    #[error("the database at {0} refuses: {1}")]
    Refused(String, String),
    /// The database did not answer within the time allowed.
    #[error("the database at {0} did not answer within {1} seconds: {2}")]
    Unreachable(String, u64, String),
}

/// PostgreSQL: the user may not come in (28…), or there is no such database (3D000). SQLite: the file cannot be opened (14)
/// or is no database (26).
fn is_final(code: Option<&str>) -> bool {
    code.is_some_and(|code| {
        code.starts_with("28") && code.len() == 5 || ["3D000", "14", "26"].contains(&code)
    })
}

/// The open database of a process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    backend: Backend,
    writer: DatabaseConnection,
    reader: DatabaseConnection,
}

impl Db {
    /// Opens the database at `url` (`sqlite:…` or `postgres:…`), creating the SQLite file if there is none.
    ///
    /// A database that is down is waited for: `waiting` is called before each new attempt with what went wrong, until
    /// `patience` is used up.
    ///
    /// # Errors
    /// A URL of another kind, or a database that stayed unreachable.
    pub async fn connect(
        url: &str,
        postgres_connections: u32,
        patience: Duration,
        waiting: impl Fn(&str),
    ) -> Result<Self, ConnectError> {
        let begun = Instant::now();
        loop {
            let problem = match Self::open(url, postgres_connections).await? {
                Ok(db) => match db.reader.ping().await {
                    Ok(()) => return Ok(db),
                    Err(error) => error.to_string(),
                },
                // A wrong password does not become right by waiting.
                Err(sqlx::Error::Database(refusal)) if is_final(refusal.code().as_deref()) => {
                    return Err(ConnectError::Refused(redacted(url), refusal.message().to_owned()));
                }
                Err(error) => error.to_string(),
            };
            if begun.elapsed() + RECONNECT_PAUSE > patience {
                return Err(ConnectError::Unreachable(
                    redacted(url),
                    patience.as_secs(),
                    problem,
                ));
            }
            waiting(&format!(
                "waiting for the database at {}: {problem}",
                redacted(url)
            ));
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }

    async fn open(url: &str, connections: u32) -> Result<Result<Self, sqlx::Error>, ConnectError> {
        let unusable = |why: String| ConnectError::Url(redacted(url), why);
        match url.split(':').next() {
            Some("sqlite") => {
                let options = SqliteConnectOptions::from_str(url).map_err(|e| unusable(e.to_string()))?;
                Ok(Self::open_sqlite(options).await)
            }
            Some("postgres" | "postgresql") => {
                let options = PgConnectOptions::from_str(url).map_err(|e| unusable(e.to_string()))?;
                Ok(Self::open_postgres(options, connections).await)
            }
            _ => Err(unusable("it names no supported database".to_owned())),
        }
    }

    async fn open_sqlite(options: SqliteConnectOptions) -> Result<Self, sqlx::Error> {
        // FULL: an acknowledged event must survive a power cut.
        let options = options
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(SQLITE_BUSY_TIMEOUT);
        let pool = |size| {
            sqlite_pool()
                .max_connections(size)
                .acquire_timeout(ACQUIRE_TIMEOUT)
        };
        let writer = pool(1).connect_with(options.clone()).await?;
        let reader = pool(SQLITE_READERS).connect_with(options).await?;
        Ok(Self {
            backend: Backend::Sqlite,
            writer: SqlxSqliteConnector::from_sqlx_sqlite_pool(writer),
            reader: SqlxSqliteConnector::from_sqlx_sqlite_pool(reader),
        })
    }

    /// A pool of its own on PostgreSQL, opened when it is needed, whose commits do not wait for the disk: for the rows of the
    /// queue, which others tell again. A crash of the server may take back their last second.
    #[must_use]
    pub fn passing_postgres(&self, connections: u32) -> sqlx::PgPool {
        let shared = self.writer.get_postgres_connection_pool();
        let options = shared.connect_options().as_ref().clone();
        postgres_pool(connections).connect_lazy_with(options.options([("synchronous_commit", "off")]))
    }

    async fn open_postgres(options: PgConnectOptions, connections: u32) -> Result<Self, sqlx::Error> {
        // A stuck statement or a forgotten transaction must not hold an account's lock for ever. Statements that run for
        // milliseconds have no use for a compiler that takes hundreds. And what is looked for is mostly in memory, where an index leads
        // to it for less than the planner believes.
        let options = options.application_name("tallygate").options([
            ("statement_timeout", "30s"),
            ("lock_timeout", "10s"),
            ("idle_in_transaction_session_timeout", "30s"),
            ("jit", "off"),
            ("random_page_cost", "1.1"),
        ]);
        let pool = postgres_pool(connections).connect_with(options).await?;
        let handle = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
        Ok(Self {
            backend: Backend::Postgres,
            writer: handle.clone(),
            reader: handle,
        })
    }

    /// Which database this is.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The handle for transactions that write.
    #[must_use]
    pub fn writer(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// The handle for reads outside transactions.
    #[must_use]
    pub fn reader(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// How busy the connections are. The pools are `writer` and `reader` on SQLite, and one for both, `all`, on PostgreSQL.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolState> {
        fn state<DB: sqlx::Database>(name: &'static str, pool: &sqlx::Pool<DB>) -> PoolState {
            let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
            PoolState {
                name,
                in_use: pool.size().saturating_sub(idle),
                idle,
                max: pool.options().get_max_connections(),
            }
        }
        match self.backend {
            Backend::Sqlite => vec![
                state("writer", self.writer.get_sqlite_connection_pool()),
                state("reader", self.reader.get_sqlite_connection_pool()),
            ],
            Backend::Postgres => vec![state("all", self.writer.get_postgres_connection_pool())],
        }
    }

    /// Closes every connection. Called once, when the process stops.
    pub async fn close(&self) {
        let _ = self.reader.clone().close().await;
        let _ = self.writer.clone().close().await;
    }
}

/// How busy a pool of connections is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// What it is for.
    pub name: &'static str,
    /// Connections that somebody holds.
    pub in_use: u32,
    /// Open connections that nobody holds.
    pub idle: u32,
    /// Most connections it may open.
    pub max: u32,
}

impl Backend {
    /// The backend a SeaORM connection or transaction speaks to.
    #[must_use]
    pub fn of(connection: &impl ConnectionTrait) -> Self {
        match connection.get_database_backend() {
            DbBackend::Postgres => Self::Postgres,
            _ => Self::Sqlite,
        }
    }
}

/// The URL without its password, for messages and logs. Works by hand, because a URL that cannot be parsed is shown too.
#[must_use]
pub fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let rest = match rest.rsplit_once('@') {
        Some((who, place)) => {
            let user = who.split_once(':').map(|(user, _)| format!("{user}:***"));
            format!("{}@{place}", user.as_deref().unwrap_or(who))
        }
        None => rest.to_owned(),
    };
    match rest.split_once('?') {
        Some((place, options)) => {
            let shown = options.split('&').map(|option| match option.split_once('=') {
                Some((name, _)) if name.contains("password") => format!("{name}=***"),
                _ => option.to_owned(),
            });
            format!("{scheme}://{place}?{}", shown.collect::<Vec<_>>().join("&"))
        }
        None => format!("{scheme}://{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::redacted;

    #[test]
    fn no_password_is_shown() {
        for (url, shown) in [
            ("sqlite:/a/b@c.db", "sqlite:/a/b@c.db"),
            ("postgres://u@h:5432/x", "postgres://u@h:5432/x"),
            ("postgres://u:secret@h:5432/x", "postgres://u:***@h:5432/x"),
            ("postgres://u:secret@h:99999/x", "postgres://u:***@h:99999/x"),
            ("postgres://u:se@c:r?e/t@h/x", "postgres://u:***@h/x"),
            (
                "postgres://u@h/x?password=secret&sslmode=require",
                "postgres://u@h/x?password=***&sslmode=require",
            ),
        ] {
            assert_eq!(redacted(url), shown);
        }
    }
}
