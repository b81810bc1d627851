//! What can be typed.

use std::{path::PathBuf, str::FromStr};

use app::{Scope, access::Mode, job::Lane};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::import::ImportArgs;

/// Usage-credit billing for API vendors: meters usage, debits exact credits, answers live.
///
/// Without a command, `tallygate` runs `tallygate dev`.
#[derive(Parser)]
#[command(name = "tallygate", version, after_long_help = CONFIGURATION)]
pub(crate) struct Cli {
    /// Settings that every command takes.
    #[command(flatten)]
    pub(crate) flags: Flags,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const CONFIGURATION: &str = "\
Configuration:
  A setting is taken from its flag, else from its environment variable, else from the
  configuration file, else it has its default. An empty variable counts as absent.
  The file is TOML with the keys database_url, listen, bootstrap_key, data_dir, log,
  postgres_connections, back_date_days, database_wait_seconds, gate_unknown_customer and
  gate_outage; other keys are errors.

  TALLYGATE_GATE_UNKNOWN_CUSTOMER and TALLYGATE_GATE_OUTAGE (`refuse` or `allow`; `refuse` by
  default) say what a check answers for a customer that does not exist, and while the database
  is out of reach.

  TALLYGATE_BOOTSTRAP_KEY (or bootstrap_key in the file; there is no flag, because other users
  of the machine can see flags) is a fixed first key with every scope for the tenant `default`,
  for automation that must know the key beforehand: 32 or more visible ASCII characters.
  `dev` and `api` honour it.

Exit codes:
  0 done; 1 failed, with one line that says why; 2 the command line could not be read;
  3 an import had bad rows; 130 interrupted";

/// Settings that every command takes.
#[derive(Args, Default)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Flags {
    /// Configuration file [env: TALLYGATE_CONFIG] [default: ./tallygate.toml if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// `sqlite:PATH` or `postgres://USER:PASSWORD@HOST:PORT/NAME` [env: TALLYGATE_DATABASE_URL] [default: tallygate.db in
    /// the data folder]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// Address and port that `dev` and `api` listen on [env: TALLYGATE_LISTEN] [default: 127.0.0.1:4000]
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Folder for the SQLite file and the key of `dev` [env: TALLYGATE_DATA_DIR] [default: ./tallygate-data]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(crate) data_dir: Option<String>,
    /// What to log, to standard error, such as `debug` or `warn,app=debug` [env: TALLYGATE_LOG] [default: our own parts
    /// from `info`, others from `warn`]
    #[arg(long, global = true, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// Most connections of this process to PostgreSQL [env: TALLYGATE_POSTGRES_CONNECTIONS] [default: 12]
    #[arg(long, global = true, value_name = "NUMBER")]
    pub(crate) postgres_connections: Option<String>,
    /// How many days ago a usage event may have happened [env: TALLYGATE_BACK_DATE_DAYS] [default: 35]
    #[arg(long, global = true, value_name = "DAYS")]
    pub(crate) back_date_days: Option<String>,
    /// How long to wait for a database that is down, in seconds [env: TALLYGATE_DATABASE_WAIT_SECONDS] [default: 60]
    #[arg(long, global = true, value_name = "SECONDS")]
    pub(crate) database_wait_seconds: Option<String>,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Everything in one process, for trying out and developing (the default)
    ///
    /// API and worker on a SQLite file in the data folder (or on --database-url), migrations applied, with a tenant
    /// `default` in test mode and a key for it, which is shown and kept in `dev-key` in the data folder.
    Dev,
    /// Serve the GraphQL API
    ///
    /// Needs a migrated database. Run as many as you like on one database.
    Api,
    /// Run background jobs
    ///
    /// Debits accepted usage and ends expired credits. Needs a migrated database. Run as many as you like.
    Worker(WorkerArgs),
    /// Bring the database up to date
    ///
    /// Doing it again changes nothing, and several may start at once.
    Migrate,
    /// Manage API keys
    Keys {
        /// What to do with keys.
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Bring data in
    Import {
        /// What to bring in.
        #[command(subcommand)]
        command: ImportCommand,
    },
}

/// Which jobs to run.
#[derive(Args)]
pub(crate) struct WorkerArgs {
    /// Lanes to work on, repeated or separated by commas: usage, upkeep [default: all]
    #[arg(long = "lane", value_name = "LANE", value_delimiter = ',', value_parser = lane)]
    pub(crate) lanes: Vec<Lane>,
    /// Jobs at once per lane
    #[arg(long, value_name = "NUMBER", default_value_t = DEFAULT_CONCURRENCY, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) concurrency: u16,
}

/// Jobs at once per lane.
pub(crate) const DEFAULT_CONCURRENCY: u16 = 4;

/// What to do with keys.
#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key and print its secret, this once, on standard output
    Create(CreateKeyArgs),
}

/// The key to make.
#[derive(Args)]
pub(crate) struct CreateKeyArgs {
    /// Tenant the key is for; made if there is none
    #[arg(long, value_name = "NAME", default_value = app::access::DEFAULT_TENANT)]
    pub(crate) tenant: String,
    /// Mode of the tenant; an existing one must have it [default for a new tenant: test]
    #[arg(long)]
    pub(crate) mode: Option<ModeArg>,
    /// Name of the key, for people
    #[arg(long, value_name = "NAME", default_value = "command line")]
    pub(crate) name: String,
    /// What the key may do, separated by commas, such as usage:write,usage:read
    #[arg(long, value_name = "SCOPES", value_delimiter = ',', value_parser = Scope::from_str, required_unless_present = "all_scopes")]
    pub(crate) scopes: Vec<Scope>,
    /// The key may do everything
    #[arg(long, conflicts_with = "scopes")]
    pub(crate) all_scopes: bool,
}

/// Whether a tenant handles real money.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ModeArg {
    /// Real customers
    Live,
    /// For trying things out
    Test,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Live => Self::Live,
            ModeArg::Test => Self::Test,
        }
    }
}

/// What to bring in.
#[derive(Subcommand)]
pub(crate) enum ImportCommand {
    /// Record usage events from a CSV file
    ///
    /// Importing the same file again changes nothing, so an import that was interrupted is resumed by running it again.
    /// Bad rows are listed with their line numbers and do not stop the others; the exit code is then 3.
    Usage(ImportArgs),
}

fn lane(text: &str) -> Result<Lane, String> {
    let known = Lane::ALL.into_iter().find(|lane| lane.as_str() == text);
    known.ok_or_else(|| {
        let all = Lane::ALL.map(Lane::as_str).join(", ");
        format!("the lanes are {all}")
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn lanes_are_repeated_or_listed() {
        for args in [
            &["tallygate", "worker", "--lane", "usage,upkeep"][..],
            &["tallygate", "worker", "--lane", "usage", "--lane", "upkeep"],
        ] {
            let Some(Command::Worker(worker)) = Cli::parse_from(args).command else {
                panic!("{args:?}");
            };
            assert_eq!(worker.lanes, Lane::ALL);
            assert_eq!(worker.concurrency, DEFAULT_CONCURRENCY);
        }
        assert!(Cli::try_parse_from(["tallygate", "worker", "--lane", "mail"]).is_err());
    }

    #[test]
    fn a_key_needs_scopes_or_all_of_them() {
        let create = ["tallygate", "keys", "create"];
        for (more, fine) in [
            (&[][..], false),
            (&["--all-scopes"], true),
            (&["--scopes", "usage:write,usage:read"], true),
            (&["--scopes", "usage:fly"], false),
            (&["--scopes", "usage:write", "--all-scopes"], false),
        ] {
            let args = create.iter().chain(more);
            assert_eq!(Cli::try_parse_from(args).is_ok(), fine, "{more:?}");
        }
    }
}
