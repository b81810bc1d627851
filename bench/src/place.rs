//! Databases: made for a measurement, copied so that ours and the limit begin alike, removed at the end whatever happens.

use std::{
    fmt, fs,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use clap::ValueEnum;
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::Outcome;

/// First PostgreSQL that can copy a database file by file.
const FILE_COPY_SINCE: i32 = 150_000;
/// How often a copy is tried while the last connection to its source is still ending.
const COPY_ATTEMPTS: u32 = 50;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// One file in a temporary folder.
    Sqlite,
    /// A database of its own on a server.
    Postgres,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        })
    }
}

/// A database.
#[derive(Debug, Clone)]
pub struct Place {
    /// What kind.
    pub backend: Backend,
    /// Where, in the words of `tallygate`.
    pub url: String,
    name: String,
}

impl Place {
    /// A database that somebody else has made.
    pub fn at(backend: Backend, url: String) -> Self {
        let name = String::new();
        Self { backend, url, name }
    }
}

/// All databases of a run.
#[derive(Debug)]
pub struct Places {
    /// A PostgreSQL server on which databases may be made.
    server: Option<String>,
    folder: PathBuf,
    made: Mutex<Vec<Place>>,
}

impl Places {
    /// None yet; files go into the folder.
    pub fn new(server: Option<String>, folder: PathBuf) -> Self {
        Self {
            server,
            folder,
            made: Mutex::default(),
        }
    }

    /// An empty database.
    ///
    /// # Errors
    /// It cannot be made.
    pub async fn empty(&self, backend: Backend) -> Outcome<Place> {
        let place = self.name_one(backend)?;
        if backend == Backend::Postgres {
            self.on_server(&format!("CREATE DATABASE {}", place.name)).await?;
        }
        Ok(place)
    }

    /// A copy of a database that nobody is connected to.
    ///
    /// # Errors
    /// It cannot be copied.
    pub async fn copy(&self, of: &Place) -> Outcome<Place> {
        let place = self.name_one(of.backend)?;
        match of.backend {
            Backend::Sqlite => {
                for suffix in ["", "-wal"] {
                    let from = self.file(of, suffix);
                    if from.exists() {
                        fs::copy(from, self.file(&place, suffix))?;
                    }
                }
            }
            Backend::Postgres => {
                let how = if self.version().await? >= FILE_COPY_SINCE {
                    " STRATEGY FILE_COPY"
                } else {
                    ""
                };
                let sql = format!("CREATE DATABASE {} TEMPLATE {}{how}", place.name, of.name);
                let mut attempt = 0;
                while let Err(error) = self.on_server(&sql).await {
                    attempt += 1;
                    if attempt == COPY_ATTEMPTS {
                        return Err(error);
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        Ok(place)
    }

    /// Removes a database.
    ///
    /// # Errors
    /// It cannot be removed.
    pub async fn remove(&self, place: Place) -> Outcome<()> {
        match place.backend {
            Backend::Sqlite => {
                for suffix in ["", "-wal", "-shm"] {
                    let _ = fs::remove_file(self.file(&place, suffix));
                }
            }
            Backend::Postgres => {
                let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", place.name);
                self.on_server(&drop).await?;
            }
        }
        self.made().retain(|made| made.name != place.name);
        Ok(())
    }

    /// Removes every database that is left.
    pub async fn remove_all(&self) {
        let left: Vec<Place> = self.made().clone();
        for place in left {
            let name = place.name.clone();
            if let Err(error) = self.remove(place).await {
                eprintln!("{name} could not be removed: {error}");
            }
        }
    }

    fn name_one(&self, backend: Backend) -> Outcome<Place> {
        let name = format!("tallygate_bench_{}", Uuid::now_v7().simple());
        let url = match backend {
            Backend::Sqlite => format!("sqlite:{}", self.folder.join(&name).display()),
            Backend::Postgres => with_database(self.server()?, &name),
        };
        let place = Place { backend, url, name };
        self.made().push(place.clone());
        Ok(place)
    }

    fn file(&self, place: &Place, suffix: &str) -> PathBuf {
        self.folder.join(format!("{}{suffix}", place.name))
    }

    fn server(&self) -> Outcome<&str> {
        Ok(self.server.as_deref().ok_or("no PostgreSQL server")?)
    }

    async fn on_server(&self, sql: &str) -> Outcome<()> {
        let mut connection = PgConnection::connect(self.server()?).await?;
        connection.execute(sqlx::AssertSqlSafe(sql.to_owned())).await?;
        connection.close().await?;
        Ok(())
    }

    async fn version(&self) -> Outcome<i32> {
        let mut connection = PgConnection::connect(self.server()?).await?;
        let version: String = sqlx::query_scalar("SHOW server_version_num")
            .fetch_one(&mut connection)
            .await?;
        Ok(version.parse()?)
    }

    fn made(&self) -> std::sync::MutexGuard<'_, Vec<Place>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The URL of another database on the same server.
fn with_database(server: &str, name: &str) -> String {
    let (address, options) = match server.split_once('?') {
        Some((address, options)) => (address, format!("?{options}")),
        None => (server, String::new()),
    };
    let host_at = address.find("://").map_or(0, |place| place + 3);
    let end = address[host_at..]
        .find('/')
        .map_or(address.len(), |place| host_at + place);
    format!("{}/{name}{options}", &address[..end])
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn only_the_name_of_the_database_changes() {
        for (server, url) in [
            ("postgres://u:p@h:5432/postgres", "postgres://u:p@h:5432/x"),
            ("postgres://u@h", "postgres://u@h/x"),
            (
                "postgres://u@h/y?sslmode=require",
                "postgres://u@h/x?sslmode=require",
            ),
        ] {
            assert_eq!(with_database(server, "x"), url);
        }
    }
}
