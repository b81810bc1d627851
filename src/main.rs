//! The command `tallygate`: puts the parts together and decides nothing about billing.
//!
//! | file | idea |
//! |---|---|
//! | `cli` | what can be typed |
//! | `config` | flags over environment over file |
//! | `database` | open it, wait for it, refuse one that does not fit |
//! | `dev`, `serve` | the long-running processes |
//! | `admin`, `readiness`, `recorder`, `figures` | what operators see of them |
//! | `migrate`, `keys`, `import` | the short ones |
//! | `shutdown`, `logging`, `print`, `failure` | manners |

mod admin;
mod cli;
mod config;
mod database;
mod dev;
mod dev_key;
mod failure;
mod figures;
mod greeting;
mod import;
mod keys;
mod logging;
mod migrate;
mod print;
mod readiness;
mod recorder;
mod serve;
mod shutdown;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    cli::{Cli, Command, ImportCommand, KeysCommand},
    config::Config,
    failure::Outcome,
};

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
    logging::start(&config, &command)?;
    let stop = shutdown::listen()?;
    match command {
        Command::Dev => dev::run(&config, &stop).await,
        Command::Api => serve::api(&config, &stop).await,
        Command::Worker(args) => serve::worker(&config, &args, &stop).await,
        Command::Migrate => shutdown::or_interrupted(&stop, migrate::run(&config)).await,
        Command::Keys {
            command: KeysCommand::Create(args),
        } => shutdown::or_interrupted(&stop, keys::create(&config, args)).await,
        Command::Import {
            command: ImportCommand::Usage(args),
        } => import::run(&config, args, &stop).await,
    }
}
