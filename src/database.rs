//! Opening the database: wait for one that is down, refuse one that does not fit this version.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use app::{
    App, Limits,
    db::{Backend, ConnectError, Db},
    job::Lane,
};
use gateway::webhook::{self, Webhooks};
use migration::{
    DbErr, Migrator, MigratorTrait,
    sea_orm::{ConnectionTrait, Statement},
};
use queue::SharedQueue;

use crate::{
    config::Config,
    failure::{Failure, Outcome},
    print,
};

/// When a person is told that we wait.
const QUIET: Duration = Duration::from_millis(1_500);
/// A file either opens or it does not; this only covers another process that opens it at the same moment.
const SQLITE_WAIT: Duration = Duration::from_secs(5);
/// First SQLite in which a write-ahead log that is started afresh by two connections at once cannot lose a commit.
const MIN_SQLITE: (u32, u32, u32) = (3, 51, 3);

/// What a process needs to work.
pub(crate) struct Node {
    /// The use-cases.
    pub(crate) app: App,
    /// The shared queue.
    pub(crate) queue: SharedQueue,
}

impl Node {
    /// The application over an open database.
    pub(crate) fn new(config: &Config, db: Db) -> Self {
        let queue = SharedQueue::new(db.clone());
        let limits = Limits {
            back_date_days: config.back_date_days,
            gate: config.gate,
            providers: config.providers.clone(),
            tax_register: config.tax_register.clone(),
            event_retention_days: config.event_retention_days,
            post: config.post.clone(),
            public_url: config.public_url.clone(),
            webhook_root: config.webhook_root.clone(),
            webhooks: webhooks(config),
        };
        Self {
            app: App::new(db, Arc::new(queue.clone()), limits),
            queue,
        }
    }

    /// The application over the configured database, which must be there and up to date.
    ///
    /// # Errors
    /// It is not, or it stayed out of reach.
    pub(crate) async fn ready(config: &Config) -> Outcome<Self> {
        if let Some(path) = sqlite_path(&config.database_url)?
            && !path.exists()
        {
            return Err(Failure::new(format!(
                "there is no database at {}: run `tallygate migrate` to make one",
                path.display()
            )));
        }
        let db = open(config).await?;
        check_schema(&db).await?;
        Ok(Self::new(config, db))
    }
}

/// Who sends webhooks. A machine that trusts nobody can do everything else.
fn webhooks(config: &Config) -> Option<Arc<Webhooks>> {
    let policy = config.webhook_policy.clone().unwrap_or_default();
    match Webhooks::new(policy, webhook::Limits::default()) {
        Ok(webhooks) => Some(Arc::new(webhooks)),
        Err(error) => {
            tracing::warn!(%error, "no webhooks can be sent from here");
            None
        }
    }
}

/// Opens the configured database, whatever is in it. A SQLite file is made if there is none.
///
/// # Errors
/// A URL that is not usable, a database that stayed out of reach, or a SQLite library that is too old.
pub(crate) async fn open(config: &Config) -> Outcome<Db> {
    let patience = match sqlite_path(&config.database_url)? {
        Some(path) => {
            check_folder(&path)?;
            config.database_wait.min(SQLITE_WAIT)
        }
        None => config.database_wait,
    };
    let db = connect(config, patience).await?;
    if db.backend() == Backend::Sqlite {
        check_sqlite_version(&db).await?;
    }
    Ok(db)
}

async fn connect(config: &Config, patience: Duration) -> Outcome<Db> {
    let name = config.database_name();
    // The same complaint every two seconds helps nobody: each is said once.
    let said = Mutex::new(String::new());
    let last = || said.lock().unwrap_or_else(PoisonError::into_inner);
    let say = |problem: &str| {
        let mut said = last();
        if *said != problem {
            print::note(problem);
            problem.clone_into(&mut said);
        }
    };
    let quietly = async {
        tokio::time::sleep(QUIET).await;
        if last().is_empty() {
            say(&format!("waiting for the database at {name}"));
        }
        std::future::pending::<()>().await;
    };
    let connecting = Db::connect(&config.database_url, config.postgres_connections, patience, say);
    let either = async {
        tokio::select! {
            connected = connecting => connected,
            () = quietly => Err(ConnectError::Unreachable(String::new(), 0, String::new())),
        }
    };
    // One attempt alone may take longer than a person wants to wait for all of them.
    let connected = tokio::time::timeout(patience + QUIET, either).await;
    connected
        .unwrap_or_else(|_| {
            let seconds = patience.as_secs();
            let problem = match last().split_once(&format!("{name}: ")) {
                Some((_, problem)) => problem.to_owned(),
                None => "nothing accepts the connection".to_owned(),
            };
            Err(ConnectError::Unreachable(name.clone(), seconds, problem))
        })
        .map_err(|error| match error {
            ConnectError::Unreachable(name, _, problem) if name.starts_with("sqlite:") => {
                Failure::of(format_args!("the database at {name} cannot be opened"), problem)
            }
            other => Failure::new(other.to_string()),
        })
}

/// The file of a SQLite URL; `None` for other URLs.
///
/// # Errors
/// A database in memory: every connection would have its own.
pub(crate) fn sqlite_path(url: &str) -> Outcome<Option<PathBuf>> {
    let Some(rest) = url.strip_prefix("sqlite:") else {
        return Ok(None);
    };
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
    if path.is_empty() || path == ":memory:" || options.contains("mode=memory") {
        return Err(Failure::new(format!(
            "the database URL `{url}` is not usable: SQLite needs a file, as in `sqlite:tallygate.db`"
        )));
    }
    Ok(Some(PathBuf::from(percent_decoded(path))))
}

/// `%41` is `A`. What is no such sequence stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = (first == b'%').then(|| after.get(..2)).flatten();
        let byte = code
            .and_then(|code| str::from_utf8(code).ok())
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn check_folder(path: &Path) -> Outcome<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        Some(folder) if !folder.is_dir() => Err(Failure::new(format!(
            "the database cannot be at {}: there is no folder {}",
            path.display(),
            folder.display()
        ))),
        _ => Ok(()),
    }
}

async fn check_sqlite_version(db: &Db) -> Outcome<()> {
    let asked = Statement::from_string(
        db.reader().get_database_backend(),
        "SELECT sqlite_version() AS version",
    );
    let row = db.reader().query_one_raw(asked).await;
    let version: String = row
        .and_then(|row| row.map_or(Ok(String::new()), |row| row.try_get("", "version")))
        .map_err(|error| Failure::of("the version of SQLite cannot be read", error))?;
    if parse_version(&version) < MIN_SQLITE {
        let (major, minor, patch) = MIN_SQLITE;
        return Err(Failure::new(format!(
            "SQLite {version} can lose commits; this program must be built with {major}.{minor}.{patch} or later"
        )));
    }
    Ok(())
}

fn parse_version(text: &str) -> (u32, u32, u32) {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

/// Insists that exactly the steps this version knows have been taken.
///
/// # Errors
/// Steps are missing, or a newer version has taken more.
async fn check_schema(db: &Db) -> Outcome<()> {
    let missing = Migrator::get_pending_migrations_read_only(db.reader())
        .await
        .map_err(unknown_steps)?;
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|step| step.name().to_owned()).collect();
        return Err(Failure::new(format!(
            "the database lacks the migrations {}: run `tallygate migrate`",
            names.join(", ")
        )));
    }
    // The queue keeps its own books, so its tables are asked for by using them.
    let queue = SharedQueue::new(db.clone());
    queue.depth(Lane::Usage).await.map_err(|error| {
        Failure::of(
            "the queue's tables cannot be used (if they are missing, run `tallygate migrate`)",
            error,
        )
    })?;
    Ok(())
}

/// The complaint about a database that could not tell its steps, or that has steps we do not know.
pub(crate) fn unknown_steps(error: DbErr) -> Failure {
    match error {
        DbErr::Custom(steps) => Failure::of(
            "the database was migrated by a newer version of tallygate, which must be used with it",
            steps,
        ),
        other => Failure::of("the database's migrations cannot be read", other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_sqlite_urls() {
        for (url, path) in [
            ("sqlite:x.db", Some("x.db")),
            ("sqlite:/a/b.db?mode=rwc", Some("/a/b.db")),
            ("sqlite:///a/b.db", Some("/a/b.db")),
            ("sqlite:/a/100%25%3f%zz.db", Some("/a/100%?%zz.db")),
            ("postgres://localhost/x", None),
        ] {
            assert_eq!(sqlite_path(url).unwrap(), path.map(PathBuf::from), "{url}");
        }
        for memory in [
            "sqlite:",
            "sqlite::memory:",
            "sqlite://:memory:",
            "sqlite:x?mode=memory",
        ] {
            assert!(sqlite_path(memory).is_err(), "{memory}");
        }
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(parse_version("3.9.0") < MIN_SQLITE);
        assert!(parse_version("3.51.2") < MIN_SQLITE);
        assert!(parse_version("3.51.3") >= MIN_SQLITE);
        assert!(parse_version("3.100.0") >= MIN_SQLITE);
    }
}
