//! A folder and a database for one case, and the processes that are started there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use app::db::{Backend, Db};
use uuid::Uuid;

use super::{
    client::Client,
    process::{COMMAND, Process, until},
};
use crate::harness::{
    auditor,
    backend::{Place, with_place},
};

/// The first key of stages that are not `dev`.
pub const KEY: &str = "bootstrap-key-for-end-to-end-tests-0001";
/// How much of a log is shown when a case fails.
const SHOWN: usize = 4_000;

/// Where a case plays.
pub struct Stage {
    pub dir: PathBuf,
    pub url: String,
    started: AtomicUsize,
}

/// A process that serves the API, and a client with a key that may do everything.
pub struct Server {
    pub process: Process,
    pub client: Client,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Stage {
    /// Runs a case on SQLite, with the folders and files that `dev` has by default.
    pub async fn on_sqlite(case: impl AsyncFnOnce(&Self)) {
        let dir = std::env::temp_dir().join(format!("tallygate-e2e-{}", Uuid::now_v7().simple()));
        let url = format!("sqlite:{}", dir.join("tallygate-data/tallygate.db").display());
        Self::new(dir, url).play(case).await;
    }

    /// Runs a case on PostgreSQL.
    pub async fn on_postgres(case: impl AsyncFnOnce(&Self)) {
        with_place(Backend::Postgres, async |place: Arc<Place>| {
            let dir = std::env::temp_dir().join(format!("tallygate-e2e-{}", Uuid::now_v7().simple()));
            Self::new(dir, place.url.clone()).play(case).await;
        })
        .await;
    }

    /// Runs a case on an empty database of any server.
    #[allow(dead_code, reason = "for chaos")]
    pub async fn on_database(url: &str, case: impl AsyncFnOnce(&Self)) {
        let dir = std::env::temp_dir().join(format!("tallygate-e2e-{}", Uuid::now_v7().simple()));
        Self::new(dir, url.to_owned()).play(case).await;
    }

    /// Runs a case on either.
    #[allow(dead_code, reason = "for chaos")]
    pub async fn on(backend: Backend, case: impl AsyncFnOnce(&Self)) {
        match backend {
            Backend::Sqlite => Self::on_sqlite(case).await,
            Backend::Postgres => Self::on_postgres(case).await,
        }
    }

    fn new(dir: PathBuf, url: String) -> Self {
        fs::create_dir_all(&dir).unwrap();
        Self {
            dir,
            url,
            started: AtomicUsize::new(0),
        }
    }

    /// Plays the case and then recomputes the books, if it left any.
    async fn play(self, case: impl AsyncFnOnce(&Self)) {
        case(&self).await;
        let file = self.url.strip_prefix("sqlite:").map(Path::new);
        if file.is_some_and(|file| !file.exists()) {
            return;
        }
        let db = Db::connect(&self.url, 2, Duration::ZERO, |_| {}).await.unwrap();
        if app::access::tenant(&app_over(&db), "default").await.is_ok() {
            auditor::audit(&db).await;
        }
        db.close().await;
    }

    /// Starts a command with the settings of this stage.
    pub fn start(&self, args: &[&str]) -> Process {
        self.start_with(args, &[])
    }

    /// Starts a command with settings that go before those of this stage.
    pub fn start_with(&self, args: &[&str], env: &[(&str, &str)]) -> Process {
        self.start_by(Command::new(COMMAND), args, env)
    }

    /// The same by way of another program, which becomes the command.
    pub fn start_by(&self, by: Command, args: &[&str], env: &[(&str, &str)]) -> Process {
        let number = self.started.fetch_add(1, Ordering::SeqCst);
        let mut all = vec![
            ("TALLYGATE_LISTEN", "127.0.0.1:0"),
            ("TALLYGATE_ADMIN_LISTEN", "127.0.0.1:0"),
            ("TALLYGATE_LOG_FORMAT", "text"),
            ("TALLYGATE_SHUTDOWN_DELAY_SECONDS", "0"),
        ];
        if self.url.starts_with("postgres") {
            all.push(("TALLYGATE_DATABASE_URL", &self.url));
        }
        if args.first() == Some(&"api") {
            all.push(("TALLYGATE_BOOTSTRAP_KEY", KEY));
        }
        all.extend_from_slice(env);
        Process::start(by, &self.dir, number, args, &all)
    }

    /// Runs a command to its end.
    pub async fn command(&self, args: &[&str]) -> Ended {
        self.command_with(args, &[]).await
    }

    /// Runs a command to its end, with other settings.
    pub async fn command_with(&self, args: &[&str], env: &[(&str, &str)]) -> Ended {
        let mut process = self.start_with(args, env);
        let code = process.code().await;
        Ended {
            code,
            out: process.out(),
            err: process.err(),
        }
    }

    /// Brings the database up to date.
    pub async fn migrate(&self) {
        let ended = self.command(&["migrate"]).await;
        assert_eq!(ended.code, 0, "{ended:?}");
    }

    /// `tallygate dev`, ready.
    pub async fn dev(&self) -> Server {
        let mut process = self.start(&["dev"]);
        let base = base(&mut process).await;
        let client = Client::new(&base, &dev_key(&process));
        Server { process, client }
    }

    /// `tallygate api`, ready.
    pub async fn api(&self) -> Server {
        let mut process = self.start(&["api"]);
        let base = base(&mut process).await;
        let client = Client::new(&base, KEY);
        Server { process, client }
    }

    /// `tallygate worker`.
    pub fn worker(&self) -> Process {
        self.start(&["worker"])
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            show_logs(&self.dir);
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The key that the greeting of `dev` shows.
pub fn dev_key(process: &Process) -> String {
    let out = process.out();
    let key = out.lines().find_map(|line| line.trim().strip_prefix("API key "));
    key.expect("the greeting shows a key").trim().to_owned()
}

/// The address that a process has told, once it answers there.
///
/// # Panics
/// When it has ended instead.
pub async fn base(process: &mut Process) -> String {
    let base = try_base(process).await;
    base.unwrap_or_else(|| panic!("the server ended:\n{}", process.err()))
}

/// The same of a process that may end instead.
pub async fn try_base(process: &mut Process) -> Option<String> {
    let base = until("a process tells where it listens", async || {
        if process.ended().is_some() {
            return Some(None);
        }
        let (out, err) = (process.out(), process.err());
        let greeted = out
            .split_once("http://")
            .and_then(|(_, rest)| rest.split_once("/graphql\n"));
        let logged = err
            .split_once("address=")
            .and_then(|(_, rest)| rest.split_once('\n'));
        Some(Some(format!("http://{}", greeted.or(logged)?.0)))
    })
    .await?;
    let health = format!("{base}/healthz");
    until("/healthz answers", async || {
        if process.ended().is_some() {
            return Some(None);
        }
        let answer = crate::harness::get(&health).await.ok()?;
        answer.status().is_success().then(|| Some(base.clone()))
    })
    .await
}

/// The use-cases over a database, to look at it from outside.
fn app_over(db: &Db) -> app::App {
    app::App::new(
        db.clone(),
        Arc::new(crate::harness::post::Post::default()),
        app::Limits::default(),
    )
}

fn show_logs(dir: &Path) {
    let mut files: Vec<_> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|it| it.path())
        .collect();
    files.sort();
    for file in files
        .iter()
        .filter(|file| file.extension().is_some_and(|end| end == "err"))
    {
        let text = fs::read_to_string(file).unwrap_or_default();
        let from = text.ceil_char_boundary(text.len().saturating_sub(SHOWN));
        let name = file.file_name().unwrap_or_default().display();
        eprintln!("--- {name} ---\n{}", &text[from..]);
    }
}
