//! The servers under test: processes of their own, so that their memory can be told and the load generator shares nothing
//! with them but the machine.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::process::{Child, Command};

use crate::{
    Outcome,
    load::http::{self, Connection},
};

/// The key of the servers under test.
pub const KEY: &str = "bench-bootstrap-key-0123456789abcdef";
/// How long a server may take to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(30);

/// What lifts the limits that would end a measurement of one key at full speed.
const UNLIMITED: [(&str, &str); 4] = [
    ("TALLYGATE_USAGE_RATE", "0"),
    ("TALLYGATE_CHECK_RATE", "0"),
    ("TALLYGATE_WRITE_RATE", "0"),
    ("TALLYGATE_READ_RATE", "0"),
];

/// How to start what is measured.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The command `tallygate`.
    pub tallygate: PathBuf,
    /// Where its output goes.
    pub logs: PathBuf,
}

/// A running process; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    /// Where it listens, if it does.
    pub address: SocketAddr,
}

impl Programs {
    /// The command that is given, or one that is built with the profile of this program, beside it.
    ///
    /// # Errors
    /// It does not compile.
    pub async fn ready(given: Option<PathBuf>, logs: PathBuf) -> Outcome<Self> {
        let tallygate = match given {
            Some(program) => std::path::absolute(program)?,
            None => Self::build().await?,
        };
        Ok(Self { tallygate, logs })
    }

    async fn build() -> Outcome<PathBuf> {
        let own = std::env::current_exe()?;
        let folder = own.parent().ok_or("no folder")?;
        let target = folder.parent().ok_or("no target folder")?;
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build
            .args([
                "build",
                "--locked",
                "--package",
                "tallygate",
                "--bin",
                "tallygate",
            ])
            .args(if cfg!(debug_assertions) {
                None
            } else {
                Some("--release")
            })
            .arg("--target-dir")
            .arg(target)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        // What `cargo run` has told this program must not reach the other build: build scripts that look at it would run anew, every
        // time, and everything above them.
        for (variable, _) in std::env::vars_os() {
            let name = variable.to_string_lossy();
            if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"]
                .iter()
                .any(|it| name.starts_with(it))
            {
                build.env_remove(&variable);
            }
        }
        if !build.status().await?.success() {
            return Err("tallygate could not be built".into());
        }
        Ok(folder.join("tallygate"))
    }

    /// Brings a database up to date.
    ///
    /// # Errors
    /// It cannot be.
    pub async fn migrate(&self, url: &str) -> Outcome<()> {
        let mut migrate = self.command(url, "migrate")?;
        migrate.arg("migrate").stdout(Stdio::null());
        let status = migrate.status().await?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("tallygate migrate: {status}; see {}", self.logs.display()).into())
        }
    }

    /// `tallygate api`, once it answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn api(&self, url: &str) -> Outcome<Process> {
        let address = free_address()?;
        let mut command = self.command(url, "api")?;
        command
            .arg("api")
            .env("TALLYGATE_LISTEN", address.to_string())
            .env("TALLYGATE_BOOTSTRAP_KEY", KEY)
            .envs(UNLIMITED);
        let mut process = Process::start(command, self.log("api"), address)?;
        let question = http::post(
            "/graphql",
            KEY,
            &http::graphql("{ __typename }", &serde_json::Value::Null),
        );
        process.answers(&question).await?;
        Ok(process)
    }

    /// `tallygate worker`, as it runs without options.
    ///
    /// # Errors
    /// It does not start.
    pub fn worker(&self, url: &str) -> Outcome<Process> {
        self.worker_of(url, &[], &[])
    }

    /// `tallygate worker` with options and settings.
    ///
    /// # Errors
    /// It does not start.
    pub fn worker_of(&self, url: &str, options: &[&str], settings: &[(&str, &str)]) -> Outcome<Process> {
        let mut command = self.command(url, "worker")?;
        command.arg("worker").args(options).envs(settings.iter().copied());
        Process::start(command, self.log("worker"), free_address()?)
    }

    /// This program as the server written by hand, once it answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn by_hand(&self, more: &[String]) -> Outcome<Process> {
        let address = free_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["by-hand", "--listen", &address.to_string()])
            .args(more)
            .stderr(self.log_file("by-hand")?);
        let mut process = Process::start(command, self.log("by-hand"), address)?;
        process.answers(&http::post("/memory", KEY, "{}")).await?;
        Ok(process)
    }

    fn command(&self, url: &str, name: &str) -> Outcome<Command> {
        let mut command = Command::new(&self.tallygate);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("TALLYGATE_") {
                command.env_remove(variable);
            }
        }
        command
            .current_dir(&self.logs)
            .env("TALLYGATE_DATABASE_URL", url)
            .env("TALLYGATE_LOG", "warn")
            .stderr(self.log_file(name)?);
        Ok(command)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    fn log_file(&self, name: &str) -> Outcome<File> {
        Ok(File::options().create(true).append(true).open(self.log(name))?)
    }
}

impl Process {
    fn start(mut command: Command, log: PathBuf, address: SocketAddr) -> Outcome<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { child, log, address })
    }

    /// Waits until a request is answered with 200.
    async fn answers(&mut self, request: &[u8]) -> Outcome<()> {
        let begun = Instant::now();
        loop {
            if let Ok(mut connection) = Connection::open(self.address).await
                && let Ok(answer) = connection.exchange(request).await
                && answer.status == 200
            {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE || !self.is_alive() {
                return Err(format!("a server does not answer; see {}", self.log.display()).into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Resident memory, in bytes.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn memory(&self) -> Outcome<f64> {
        let pid = self.child.id().ok_or("the process has ended")?;
        let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"))?;
        let kilobytes = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"))
            .ok_or("no VmRSS")?;
        Ok(kilobytes.trim().parse::<f64>()? * 1024.0)
    }

    /// Ends it and waits for its end.
    pub async fn stop(mut self) {
        let _ = self.child.kill().await;
    }
}

/// An address that was free a moment ago.
fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
