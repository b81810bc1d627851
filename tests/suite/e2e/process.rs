//! A process of the command, killed when it is dropped, whatever happens.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// Where the command is.
pub const COMMAND: &str = env!("CARGO_BIN_EXE_tallygate");
/// How long anything may take before the case fails.
pub const LIMIT: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Asks until there is an answer.
///
/// # Panics
/// When there is none within [`LIMIT`].
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < LIMIT, "waited {LIMIT:?} in vain until {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// A running `tallygate`.
pub struct Process {
    name: String,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Process {
    /// Starts the command, or another program that becomes it, in a folder; what it writes goes into files there.
    pub fn start(
        mut command: Command,
        dir: &Path,
        number: usize,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Self {
        let name = format!("tallygate {}", args.join(" "));
        let file = |end: &str| dir.join(format!("{number}-{}.{end}", args.first().unwrap_or(&"dev")));
        let (out, err) = (file("out"), file("err"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TALLYGATE_") {
                command.env_remove(name);
            }
        }
        let child = command
            .args(args)
            // Years pass in some cases, and what was told is looked at in the end.
            .env("TALLYGATE_EVENT_RETENTION_DAYS", "3650")
            // Some cases have five processes, two cases run at once, and a server has a hundred connections.
            .env("TALLYGATE_POSTGRES_CONNECTIONS", "6")
            .envs(env.iter().copied())
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        Self {
            name,
            child,
            out,
            err,
        }
    }

    /// What it has written to standard output.
    pub fn out(&self) -> String {
        fs::read_to_string(&self.out).unwrap_or_default()
    }

    /// What it has written to standard error.
    pub fn err(&self) -> String {
        fs::read_to_string(&self.err).unwrap_or_default()
    }

    /// Its number in the system.
    #[allow(dead_code, reason = "for chaos")]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub async fn end(&mut self) -> ExitStatus {
        let what = format!("`{}` ends", self.name);
        until(&what, async || self.ended()).await
    }

    /// Waits for an end that was no success and no signal, and answers the exit code.
    pub async fn code(&mut self) -> i32 {
        let status = self.end().await;
        status
            .code()
            .unwrap_or_else(|| panic!("`{}` ended by {status}", self.name))
    }

    /// Memory that it has, in bytes.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/statm", self.child.id())).unwrap();
        let pages: u64 = status.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    }

    /// SIGTERM: please stop.
    pub fn terminate(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(sent.success(), "SIGTERM could not be sent to `{}`", self.name);
    }

    /// SIGKILL: no chance to say anything.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
