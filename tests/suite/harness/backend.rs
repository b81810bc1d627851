//! A database of its own for every case, made before and removed after, whatever happens.

use std::{
    future::Future,
    hash::{DefaultHasher, Hash, Hasher},
    panic::AssertUnwindSafe,
    time::Duration,
};

use app::{
    clock::{Clock, SystemClock},
    db::{Backend, Db},
};
use futures::FutureExt;
use migration::MigratorTrait;
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::{World, auditor};

const DEFAULT_SERVER: &str = "postgres://postgres@127.0.0.1:5432/postgres";
/// Connections of one [`Db`] on PostgreSQL; several cases run at the same time against one server.
const CONNECTIONS: u32 = 8;
/// How the names of templates begin.
const TEMPLATES: &str = "tallygate_template_";
/// How long a template is kept, in seconds: a day.
const TEMPLATE_SECONDS: i64 = 86_400;

static TEMPLATE: OnceCell<String> = OnceCell::const_new();

/// A database without any rows: on SQLite without tables as well, on PostgreSQL with those of the last migration, because copying them takes a
/// fraction of the time. Removed by [`Place::remove`].
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
                let template = TEMPLATE.get_or_init(template).await;
                let admin = server().await;
                let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
                admin.writer().execute_unprepared(&create).await.unwrap();
                admin.close().await;
                url_of(&name)
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

/// The name of what databases are copied from. One for each built program, so that it has the tables of its migrations.
async fn template() -> String {
    let program = std::env::current_exe().unwrap();
    let built = std::fs::metadata(&program).unwrap().modified().unwrap();
    let mut hash = DefaultHasher::new();
    (&program, built).hash(&mut hash);
    let name = format!("{TEMPLATES}{:016x}", hash.finish());
    let admin = server().await;
    let known = templates(&admin).await;
    if !known.iter().any(|(it, _)| *it == name) {
        let making = format!("{name}_{}", std::process::id());
        let run = async |sql: String| admin.writer().execute_unprepared(&sql).await;
        run(format!("CREATE DATABASE {making}")).await.unwrap();
        let db = Db::connect(&url_of(&making), 1, Duration::ZERO, |_| {})
            .await
            .unwrap();
        migration::Migrator::up(db.writer(), None).await.unwrap();
        db.close().await;
        let comment = format!("COMMENT ON DATABASE {making} IS '{}'", seconds());
        run(comment).await.unwrap();
        // Another process of the same program may have been first.
        if run(format!("ALTER DATABASE {making} RENAME TO {name}"))
            .await
            .is_err()
        {
            run(format!("DROP DATABASE {making}")).await.unwrap();
        }
        // Those of programs that are built no more.
        for (old, made) in known {
            if made + TEMPLATE_SECONDS < seconds() {
                run(format!("DROP DATABASE IF EXISTS {old}")).await.ok();
            }
        }
    }
    admin.close().await;
    name
}

/// Templates, and in which second each was made.
async fn templates(admin: &Db) -> Vec<(String, i64)> {
    let sql = format!(
        "SELECT datname, shobj_description(oid, 'pg_database') AS made FROM pg_database WHERE datname LIKE '{TEMPLATES}%'"
    );
    let rows = admin
        .reader()
        .query_all_raw(Statement::from_string(DbBackend::Postgres, sql))
        .await
        .unwrap();
    let template = |row: &QueryResult| {
        let made: Option<String> = row.try_get("", "made").unwrap();
        let made = made.and_then(|it| it.parse().ok()).unwrap_or(i64::MAX / 2);
        (row.try_get("", "datname").unwrap(), made)
    };
    rows.iter().map(template).collect()
}

fn seconds() -> i64 {
    SystemClock.now().micros() / 1_000_000
}

fn url_of(name: &str) -> String {
    let mut url = url::Url::parse(&server_url()).unwrap();
    url.set_path(name);
    url.to_string()
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
