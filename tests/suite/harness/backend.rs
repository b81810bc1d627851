//! A database of its own for every case, made before and removed after, whatever happens.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use app::db::{Backend, Db};
use futures::FutureExt;
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::{World, auditor};

const DEFAULT_SERVER: &str = "postgres://postgres@127.0.0.1:5432/postgres";
/// Connections of one [`Db`] on PostgreSQL; several cases run at the same time against one server.
const CONNECTIONS: u32 = 8;

/// An empty database. Removed by [`Place::remove`].
#[derive(Debug)]
pub struct Place {
    pub url: String,
    name: String,
}

impl Place {
    pub async fn make(backend: Backend) -> Self {
        let name = format!("tallygate_suite_{}", Uuid::now_v7().simple());
        let url = match backend {
            Backend::Sqlite => format!("sqlite:{}", std::env::temp_dir().join(&name).display()),
            Backend::Postgres => {
                let admin = server().await;
                let create = format!("CREATE DATABASE {name}");
                admin.writer().execute_unprepared(&create).await.unwrap();
                admin.close().await;
                let mut url = url::Url::parse(&server_url()).unwrap();
                url.set_path(&name);
                url.to_string()
            }
        };
        Self { url, name }
    }

    /// A database that somebody else made, and removes.
    #[allow(dead_code, reason = "for chaos")]
    pub fn of(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            name: String::new(),
        }
    }

    /// Another handle on it, as another process would have.
    pub async fn connect(&self) -> Db {
        Db::connect(&self.url, CONNECTIONS, Duration::ZERO, |_| {})
            .await
            .unwrap()
    }

    pub async fn remove(&self) {
        if let Some(path) = self.url.strip_prefix("sqlite:") {
            for suffix in ["", "-wal", "-shm"] {
                let _ = std::fs::remove_file(format!("{path}{suffix}"));
            }
            return;
        }
        let admin = server().await;
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        admin.writer().execute_unprepared(&drop).await.unwrap();
        admin.close().await;
    }
}

fn server_url() -> String {
    std::env::var("TALLYGATE_TEST_POSTGRES_URL").unwrap_or_else(|_| DEFAULT_SERVER.to_owned())
}

async fn server() -> Db {
    match Db::connect(&server_url(), 1, Duration::ZERO, |_| {}).await {
        Ok(db) => db,
        Err(error) => panic!(
            "{error}\nThe suite needs a PostgreSQL server on which it may create databases. Start one, or name one:\n\
             TALLYGATE_TEST_POSTGRES_URL=postgres://USER@HOST:PORT/postgres cargo test --test suite\n\
             For the SQLite half alone: cargo test --test suite sqlite::"
        ),
    }
}

/// Runs `what` with an empty database and removes it afterwards.
pub async fn with_place<F: Future>(
    backend: Backend,
    what: impl FnOnce(std::sync::Arc<Place>) -> F,
) -> F::Output {
    let place = std::sync::Arc::new(Place::make(backend).await);
    let outcome = AssertUnwindSafe(what(place.clone())).catch_unwind().await;
    place.remove().await;
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

async fn run<F: Future<Output = ()>>(backend: Backend, case: impl FnOnce(World) -> F) {
    with_place(backend, async |place| {
        let world = World::over(place).await;
        case(world.clone()).await;
        auditor::audit(world.app.db()).await;
        auditor::prove_changes(&world.app).await;
        auditor::prove(&world.app).await;
        world.app.db().close().await;
    })
    .await;
}

pub async fn on_sqlite<F: Future<Output = ()>>(case: impl FnOnce(World) -> F) {
    run(Backend::Sqlite, case).await;
}

pub async fn on_postgres<F: Future<Output = ()>>(case: impl FnOnce(World) -> F) {
    run(Backend::Postgres, case).await;
}
