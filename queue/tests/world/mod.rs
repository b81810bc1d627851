//! A database of its own for each test, and a handler that remembers what it ran.

use std::{
    collections::HashMap,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use app::{
    db::{Backend, DEFAULT_POSTGRES_CONNECTIONS, Db},
    job::{Envelope, Lane, Queue, Wakeup},
};
use futures::FutureExt;
use queue::{Handler, QueueError, SharedQueue, Timings};
use sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionTrait, Value};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One database, removed at the end of the test whatever happens.
#[derive(Clone)]
pub struct World {
    url: String,
    pub db: Db,
}

impl World {
    /// Another connection to the same database, as another process would have.
    pub async fn another_process(&self) -> Self {
        let url = self.url.clone();
        let db = connect(&url).await;
        Self { url, db }
    }

    /// The queue at a pace that tests can wait for.
    pub fn queue(&self) -> SharedQueue {
        SharedQueue::new(self.db.clone()).with_timings(pace())
    }

    /// Pushes jobs carrying the numbers in one committed transaction.
    pub async fn push(&self, lane: Lane, numbers: impl IntoIterator<Item = u64>) {
        let tx = self.db.writer().begin().await.unwrap();
        let wakeups: Vec<Wakeup> = numbers.into_iter().map(|n| wakeup(lane, n)).collect();
        self.queue().push(&tx, &wakeups).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Runs a statement written for each database.
    pub async fn execute(&self, postgres: &str, sqlite: &str, values: Vec<Value>) -> u64 {
        let statement = self.statement(postgres, sqlite, values);
        let result = self.db.writer().execute_raw(statement).await;
        result.unwrap().rows_affected()
    }

    /// How many rows of the lane are in the state.
    pub async fn count(&self, lane: Lane, status: &str) -> i64 {
        let statement = self.statement(
            "SELECT count(*) AS n FROM apalis.jobs WHERE job_type = $1 AND status = $2",
            "SELECT count(*) AS n FROM Jobs WHERE job_type = ?1 AND status = ?2",
            vec![name(lane).into(), status.into()],
        );
        let row = self.db.writer().query_one_raw(statement).await.unwrap();
        row.unwrap().try_get("", "n").unwrap()
    }

    fn statement(&self, postgres: &str, sqlite: &str, values: Vec<Value>) -> Statement {
        let (backend, sql) = match self.db.backend() {
            Backend::Postgres => (DbBackend::Postgres, postgres),
            Backend::Sqlite => (DbBackend::Sqlite, sqlite),
        };
        Statement::from_sql_and_values(backend, sql, values)
    }
}

pub fn pace() -> Timings {
    Timings {
        beat: Duration::from_secs(1),
        missed: 2,
        handler_limit: Duration::from_secs(8),
        grace: Duration::from_secs(2),
        restart_min: Duration::from_millis(100),
        restart_max: Duration::from_millis(500),
        ..Timings::default()
    }
}

pub fn name(lane: Lane) -> String {
    format!("tallygate:{}", lane.as_str())
}

pub fn wakeup(lane: Lane, number: u64) -> Wakeup {
    let envelope = Envelope {
        kind: "test".to_owned(),
        args: number.into(),
    };
    Wakeup { lane, envelope }
}

/// What a handler was given, how often and when.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<HashMap<u64, Vec<Instant>>>>);

impl Seen {
    /// A handler that notes the number and then does `what`.
    pub fn then<F, Fut>(&self, what: F) -> Handler
    where
        F: Fn(u64) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let seen = self.clone();
        Arc::new(move |payload| {
            let number = payload["args"].as_u64().unwrap();
            let mut map = seen.0.lock().unwrap();
            map.entry(number).or_default().push(Instant::now());
            Box::pin(what(number))
        })
    }

    pub fn handler(&self) -> Handler {
        self.then(|_| async {})
    }

    pub fn all(&self) -> HashMap<u64, Vec<Instant>> {
        self.0.lock().unwrap().clone()
    }

    /// How many runs there were, more than [`len`](Self::len) if a job ran twice.
    pub fn runs(&self) -> usize {
        self.all().values().map(Vec::len).sum()
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub async fn wait_for(&self, jobs: usize) {
        until(async || self.len() >= jobs).await;
    }
}

/// A consumer that runs until it is stopped.
pub struct Consumer {
    pub queue: SharedQueue,
    pub stop: CancellationToken,
    pub task: JoinHandle<Result<(), QueueError>>,
}

impl Consumer {
    pub fn start(queue: SharedQueue, concurrency: usize, handler: Handler) -> Self {
        let stop = CancellationToken::new();
        let (consumed, token) = (queue.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let lanes = [(Lane::Usage, concurrency)];
            consumed.consume(&lanes, handler, token).await
        });
        Self { queue, stop, task }
    }

    pub async fn stop(self) -> Duration {
        let begun = Instant::now();
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
        begun.elapsed()
    }
}

/// Waits until the condition holds.
pub async fn until(condition: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < PATIENCE, "waited in vain");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn connect(url: &str) -> Db {
    Db::connect(url, DEFAULT_POSTGRES_CONNECTIONS, Duration::ZERO, |_| {})
        .await
        .unwrap()
}

/// Runs the case and catches its failure, so that the caller can clean up before it is raised again.
async fn run<F, Fut>(url: String, case: F) -> std::thread::Result<()>
where
    F: FnOnce(World) -> Fut,
    Fut: Future<Output = ()>,
{
    let db = connect(&url).await;
    queue::install(&db).await.unwrap();
    AssertUnwindSafe(case(World { url, db })).catch_unwind().await
}

fn raise(outcome: std::thread::Result<()>) {
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a case in a fresh SQLite file.
pub async fn on_sqlite<F, Fut>(case: F)
where
    F: FnOnce(World) -> Fut,
    Fut: Future<Output = ()>,
{
    let path = std::env::temp_dir().join(format!("tallygate-queue-{}.db", uuid::Uuid::now_v7()));
    let outcome = run(format!("sqlite:{}", path.display()), case).await;
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
    }
    raise(outcome);
}

/// Runs a case in a fresh PostgreSQL database; fails if there is no server.
pub async fn on_postgres<F, Fut>(case: F)
where
    F: FnOnce(World) -> Fut,
    Fut: Future<Output = ()>,
{
    let server = std::env::var("TALLYGATE_TEST_POSTGRES_URL")
        .unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned());
    let admin = connect(&server).await;
    let name = format!("tallygate_queue_{}", uuid::Uuid::now_v7().simple());
    let create = format!("CREATE DATABASE {name}");
    admin.writer().execute_unprepared(&create).await.unwrap();
    let mut url = server;
    url.truncate(url.rfind('/').unwrap() + 1);
    url.push_str(&name);
    let outcome = run(url, case).await;
    let drop = format!("DROP DATABASE {name} WITH (FORCE)");
    admin.writer().execute_unprepared(&drop).await.unwrap();
    raise(outcome);
}
