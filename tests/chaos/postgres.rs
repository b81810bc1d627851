//! A PostgreSQL server of a case's own, that may be stopped and crashed.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use app::db::Db;
use uuid::Uuid;

use crate::wire::process::until;

/// How a server is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// In good order, but without waiting for anybody: `pg_ctl -m fast`.
    Fast,
    /// As by a crash: `pg_ctl -m immediate`. It recovers from its log when it starts again.
    Immediate,
}

/// A server in a folder of its own, ended when it is dropped.
pub struct Server {
    dir: PathBuf,
    programs: PathBuf,
    port: u16,
    running: Option<Child>,
}

impl Server {
    /// Makes a server and starts it.
    ///
    /// # Panics
    /// When PostgreSQL is not installed.
    pub async fn start() -> Self {
        let dir = std::env::temp_dir().join(format!("tallygate-pg-{}", Uuid::now_v7().simple()));
        fs::create_dir_all(&dir).unwrap();
        let mut server = Self {
            dir,
            programs: programs(),
            port: free_port(),
            running: None,
        };
        server.own();
        let made = server
            .command("initdb")
            .args(["-U", "postgres", "-A", "trust", "--no-sync", "-D"])
            .arg(server.dir.join("data"))
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        server.resume().await;
        server
    }

    /// Where a database of this server is.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it again, and waits until it answers.
    pub async fn resume(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.join("log"))
            .unwrap();
        // Without fsync: it is the server that crashes here, not the machine, and what it has written stays with the system.
        let started = self
            .command("postgres")
            .arg("-D")
            .arg(self.dir.join("data"))
            .args(["-p", &self.port.to_string(), "-k"])
            .arg(&self.dir)
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.running = Some(started.unwrap());
        let url = self.url();
        until("the server of the case answers", async || {
            let db = Db::connect(&url, 1, std::time::Duration::ZERO, |_| {})
                .await
                .ok()?;
            db.close().await;
            Some(())
        })
        .await;
    }

    /// Ends it, and waits until it is gone.
    pub fn end(&mut self, ending: Ending) {
        let Some(mut running) = self.running.take() else {
            return;
        };
        let signal = match ending {
            Ending::Fast => "-INT",
            Ending::Immediate => "-QUIT",
        };
        let _ = Command::new("kill")
            .args([signal, &running.id().to_string()])
            .status();
        let _ = running.wait();
    }

    /// A program of PostgreSQL. As root it runs as another user, because it refuses root.
    fn command(&self, program: &str) -> Command {
        let path = self.programs.join(program);
        let mut command = match server_user() {
            None => Command::new(path),
            Some(user) => {
                let mut as_user = Command::new("setpriv");
                as_user.args([
                    "--reuid",
                    &user,
                    "--regid",
                    &said("id", &["-g", &user]),
                    "--clear-groups",
                ]);
                as_user.arg(path);
                as_user
            }
        };
        command.current_dir(&self.dir);
        command
    }

    /// Gives the folder to the user who runs the server.
    fn own(&self) {
        if let Some(user) = server_user() {
            let given = Command::new("chown").arg(user).arg(&self.dir).status();
            assert!(given.unwrap().success(), "the folder cannot be given away");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end(Ending::Immediate);
        if std::thread::panicking() {
            let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            let from = log.ceil_char_boundary(log.len().saturating_sub(3_000));
            eprintln!("--- PostgreSQL ---\n{}", &log[from..]);
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Who runs the server, when we are root.
fn server_user() -> Option<String> {
    if said("id", &["-u"]) != "0" {
        return None;
    }
    let exists = |user: &&&str| {
        let asked = Command::new("id").arg(user).output();
        asked.is_ok_and(|asked| asked.status.success())
    };
    let user = ["postgres", "nobody"].iter().find(exists);
    Some((*user.expect("PostgreSQL refuses root, and there is no user postgres or nobody")).to_owned())
}

/// Where PostgreSQL's programs are.
fn programs() -> PathBuf {
    let mut places: Vec<PathBuf> = vec![];
    places.extend(try_said("pg_config", &["--bindir"]).map(PathBuf::from));
    for parent in ["/usr/lib/postgresql", "/opt/homebrew/opt"] {
        let versions = fs::read_dir(parent).into_iter().flatten().flatten();
        places.extend(versions.map(|version| version.path().join("bin")));
    }
    places.push("/usr/local/pgsql/bin".into());
    let path = std::env::var_os("PATH").unwrap_or_default();
    places.extend(std::env::split_paths(&path));
    let complete = |place: &&PathBuf| ["initdb", "postgres"].iter().all(|it| place.join(it).is_file());
    let found = places.iter().find(complete).cloned();
    found.unwrap_or_else(|| {
        panic!(
            "initdb and postgres were not found. These cases restart a PostgreSQL server of their own, so its programs must be \
             on this machine: install them (Debian: apt install postgresql; macOS: brew install postgresql) or put them on PATH"
        )
    })
}

fn said(program: &str, args: &[&str]) -> String {
    try_said(program, args).unwrap_or_else(|| panic!("`{program} {}` says nothing", args.join(" ")))
}

fn try_said(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap()
        .port()
}
