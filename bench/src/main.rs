//! `cargo run --release -p bench -- all`: what Tallygate does, what the same work written by hand does on the same machine in
//! the same minutes, and the ratio of the two. What is compared with what, and why, is said in each file of `measure` and in
//! the README beside this crate.

mod by_hand;
mod figure;
mod load;
mod measure;
mod pair;
mod place;
mod process;
mod scale;
mod stats;
mod subscribed;
mod world;

use std::{fs, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use sqlx::{Connection, PgConnection};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Mutex,
};

use crate::{
    figure::Figure,
    measure::Measurement,
    place::{Backend, Places},
    process::Programs,
    scale::Scale,
    world::World,
};

/// Whatever went wrong, for a person to read: a measurement that fails ends the run.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Where PostgreSQL is looked for.
const DEFAULT_SERVER: &str = "postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable";

/// Measures Tallygate against the same work written by hand.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure everything, or what `--only` names
    All(AllArgs),
    /// The bare servers; started by the program itself
    #[command(hide = true)]
    ByHand(by_hand::server::Options),
}

#[derive(Args)]
struct AllArgs {
    /// A PostgreSQL server on which databases may be made and dropped
    /// Default: `postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable`, if it answers.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Only these measurements, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_enum)]
    only: Vec<Measurement>,
    /// Only this database
    #[arg(long, value_name = "NAME", value_enum)]
    backend: Option<Backend>,
    /// Small numbers and one short round: shows that everything runs, not how fast
    #[arg(long)]
    quick: bool,
    /// Rounds, in which ours and the limit take turns [default: 3, with --quick 1]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: Option<u16>,
    /// Measure this `tallygate` instead of building one
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Also write the figures to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What every measurement is given.
struct Bench {
    programs: Programs,
    places: Places,
    scale: Scale,
    /// A database with customers for each backend, to be copied.
    bases: Mutex<Vec<World>>,
}

impl Bench {
    /// A fresh copy of a database with [`Scale::customers`] customers that have credits and have used nothing.
    async fn world(&self, backend: Backend) -> Outcome<World> {
        let mut bases = self.bases.lock().await;
        if let Some(base) = bases.iter().find(|base| base.place.backend == backend) {
            return base.copy(self).await;
        }
        let base = World::make(self, backend, self.scale.customers).await?;
        let copy = base.copy(self).await?;
        bases.push(base);
        Ok(copy)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::All(args) => all(args).await,
        Command::ByHand(options) => by_hand::server::run(options).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn all(args: AllArgs) -> Outcome<()> {
    let server = server(args.database_url).await?;
    let folder = std::env::temp_dir().join(format!("tallygate-bench-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let mut scale = if args.quick { Scale::QUICK } else { Scale::FULL };
    scale.rounds = args.rounds.map_or(scale.rounds, usize::from);
    let backends: Vec<Backend> = [Backend::Postgres, Backend::Sqlite]
        .into_iter()
        .filter(|&backend| args.backend.is_none_or(|only| only == backend))
        .filter(|&backend| backend != Backend::Postgres || server.is_some())
        .collect();
    if backends.is_empty() {
        return Err("no database to measure on: PostgreSQL does not answer".into());
    }
    let bench = Bench {
        programs: Programs::ready(args.program, folder.clone()).await?,
        places: Places::new(server, folder.clone()),
        scale,
        bases: Mutex::default(),
    };
    let mut figures = Vec::new();
    // Whatever happens, what was made is removed.
    let measured = tokio::select! {
        measured = measure_all(&bench, &backends, &args.only, &mut figures) => measured,
        () = interrupted() => Err("interrupted".into()),
    };
    bench.places.remove_all().await;
    if measured.is_ok() {
        fs::remove_dir_all(&folder)?;
    } else {
        eprintln!("the logs of the servers are in {}", folder.display());
    }
    println!("\n{}", figure::table(&figures));
    if args.quick {
        println!("Measured with --quick: numbers too small to say how fast it is.");
    }
    if let Some(file) = args.json {
        fs::write(file, serde_json::to_string_pretty(&figures)?)?;
    }
    measured
}

/// Somebody wants an end.
async fn interrupted() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

async fn measure_all(
    bench: &Bench,
    backends: &[Backend],
    only: &[Measurement],
    figures: &mut Vec<Figure>,
) -> Outcome<()> {
    for &backend in backends {
        for measurement in Measurement::ALL {
            if !only.is_empty() && !only.contains(&measurement) {
                continue;
            }
            eprintln!("{backend}: {}", measurement.what());
            let found = measurement
                .run(bench, backend)
                .await
                .map_err(|error| format!("{backend}: {}: {error}", measurement.what()))?;
            for figure in &found {
                eprintln!(
                    "    {}: {:.2} of {:.2} {}",
                    figure.name, figure.ours, figure.limit, figure.unit
                );
            }
            figures.extend(found);
        }
    }
    Ok(())
}

/// The server that was named, which must answer, or the usual one if it does.
async fn server(named: Option<String>) -> Outcome<Option<String>> {
    let url = named.clone().unwrap_or_else(|| DEFAULT_SERVER.to_owned());
    match PgConnection::connect(&url).await {
        Ok(connection) => {
            connection.close().await?;
            Ok(Some(url))
        }
        Err(error) if named.is_some() => Err(format!("PostgreSQL does not answer: {error}").into()),
        Err(_) => {
            eprintln!("no PostgreSQL at {url}: measuring on SQLite only");
            Ok(None)
        }
    }
}
