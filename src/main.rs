//! The command `tallygate`: puts the parts together and decides nothing about billing.
//!
//! | file | idea |
//! |---|---|
//! | `cli` | what can be typed |
//! | `config` | flags over environment over file |
//! | `database` | open it, wait for it, refuse one that does not fit |
//! | `dev`, `serve` | the long-running processes |
//! | `admin`, `readiness`, `recorder`, `figures`, `traces` | what operators see of them |
//! | `migrate`, `keys`, `jobs`, `audit`, `safe_mode`, `import` | the short ones |
//! | `shutdown`, `logging`, `print`, `failure` | manners |

mod admin;
mod audit;
mod cli;
mod config;
mod database;
mod dev;
mod dev_key;
mod failure;
mod figures;
mod greeting;
mod import;
mod jobs;
mod keys;
mod logging;
mod migrate;
mod print;
mod readiness;
mod recorder;
mod safe_mode;
mod serve;
mod shutdown;
mod traces;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{Cli, Command, ImportCommand, JobsCommand, KeysCommand, SafeModeCommand},
    config::Config,
    failure::Outcome,
};

/// The system's allocator took an eighth of the time of a check. This one is quicker, and takes more memory per connection.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(code) => code,
        Err(failure) => {
            print::note(format_args!("error: {failure}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Outcome<ExitCode> {
    let config = Config::load(&cli.flags)?;
    let command = cli.command.unwrap_or(Command::Dev);
    let traces = logging::start(&config, &command)?;
    let stop = shutdown::listen()?;
    let ended = perform(command, &config, stop).await;
    if let Some(traces) = traces {
        traces.finish().await;
    }
    ended
}

async fn perform(command: Command, config: &Config, stop: CancellationToken) -> Outcome<ExitCode> {
    match command {
        Command::Dev => dev::run(config, &stop).await,
        Command::Api => serve::api(config, &stop).await,
        Command::Worker(args) => serve::worker(config, &args, &stop).await,
        Command::Migrate => shutdown::or_interrupted(&stop, migrate::run(config)).await,
        Command::Keys {
            command: KeysCommand::Create(args),
        } => shutdown::or_interrupted(&stop, keys::create(config, args)).await,
        Command::Keys {
            command: KeysCommand::Rotate(args),
        } => shutdown::or_interrupted(&stop, keys::rotate(config, args)).await,
        Command::Keys {
            command: KeysCommand::Revoke(args),
        } => shutdown::or_interrupted(&stop, keys::revoke(config, args)).await,
        Command::Jobs { command: None } => shutdown::or_interrupted(&stop, jobs::show(config)).await,
        Command::Jobs {
            command: Some(JobsCommand::Retry { id }),
        } => shutdown::or_interrupted(&stop, jobs::retry(config, id)).await,
        Command::Audit(args) => shutdown::or_interrupted(&stop, audit::run(config, args)).await,
        Command::SafeMode { command } => shutdown::or_interrupted(&stop, safe_mode(config, command)).await,
        Command::Import {
            command: ImportCommand::Usage(args),
        } => import::run(config, args, &stop).await,
    }
}

async fn safe_mode(config: &Config, command: Option<SafeModeCommand>) -> Outcome<ExitCode> {
    match command {
        None => safe_mode::show(config).await,
        Some(SafeModeCommand::Begin { since }) => safe_mode::begin(config, since).await,
        Some(SafeModeCommand::End { force }) => safe_mode::end(config, force).await,
    }
}
