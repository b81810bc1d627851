//! What can be typed.

use std::str::FromStr;

use app::{Scope, access::Mode, job::Lane};
use clap::{Args, Parser, Subcommand, ValueEnum};
use domain::{id::WorkId, time::Timestamp};

use crate::{config::Flags, import::ImportArgs};

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
  The file is TOML. Its keys are the variables in lower case without TALLYGATE_, such as
  database_url; other keys are errors.

  The limits of the listener have no flags: max_connections, max_in_flight, header_timeout_seconds,
  body_timeout_seconds, idle_timeout_seconds, query_timeout_seconds, mutation_timeout_seconds,
  usage_rate, check_rate, write_rate, read_rate, token_rate (points per second and credential, 0
  for no limit), failed_authentications_per_minute and trusted_proxies (addresses or networks,
  separated by commas, whose X-Forwarded-For is believed).

  Nor have gate_unknown_customer and gate_outage (`refuse` or `allow`; `refuse` by default): what a
  check answers for a customer that does not exist, and while the database is out of reach.

  TALLYGATE_BOOTSTRAP_KEY (or bootstrap_key in the file; there is no flag, because other users
  of the machine can see flags) is a fixed first key with every scope for the tenant `default`,
  for automation that must know the key beforehand: 32 or more visible ASCII characters.
  `dev` and `api` honour it.

  TALLYGATE_STRIPE_SECRET_KEY (or stripe_secret_key in the file; no flag, for the same reason) is
  that of a Stripe account which charges customers; stripe_url is where Stripe is, for stand-ins.
  TALLYGATE_STRIPE_NOTICE_SECRETS (or stripe_notice_secrets) are the signing secrets, separated by
  commas, of the webhook endpoint at Stripe that sends to /notices/stripe of the API.

  vies_url, such as https://ec.europa.eu/taxation_customs/vies/rest-api, is the register that is
  asked whether VAT numbers of the European Union exist; without it none is.

  The admin listener has no keys and no TLS: let only operators and their monitoring reach it.

Exit codes:
  0 done; 1 failed, with one line that says why; 2 the command line could not be read;
  3 an import had bad rows; 4 an audit found that something does not add up; 130 interrupted";

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
    /// Look at the work of all tenants
    ///
    /// Without more words: what waits in each lane, and the oldest work that is parked until somebody looks at it.
    Jobs {
        /// What to do with it.
        #[command(subcommand)]
        command: Option<JobsCommand>,
    },
    /// Prove that the books add up
    ///
    /// Looks at every entry, block, count and event, and tells what does not add up; the exit code is then 4. Workers look at what
    /// has changed every minute. May run beside them.
    Audit(AuditArgs),
    /// Charge nothing after a restore, until what payment providers know was compared
    ///
    /// Run `safe-mode begin` before the first worker starts on a restored database. Workers then ask the providers what has happened since
    /// the backup, and charge nothing. Without more words: how that stands.
    SafeMode {
        /// What to do about it.
        #[command(subcommand)]
        command: Option<SafeModeCommand>,
    },
    /// Bring data in
    Import {
        /// What to bring in.
        #[command(subcommand)]
        command: ImportCommand,
    },
}

/// Whose books to look at.
#[derive(Args)]
pub(crate) struct AuditArgs {
    /// Only the customers of this tenant [default: those of all tenants; with --customer or --release: `default`]
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
    /// Only this customer, by the vendor's own name
    #[arg(long, value_name = "EXTERNAL_ID")]
    pub(crate) customer: Option<String>,
    /// Only what has changed since it was last found sound, for about two seconds
    #[arg(long)]
    pub(crate) incremental: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Let this customer go on, whose grants and corrections are refused because of violations that were looked at
    #[arg(long, value_name = "EXTERNAL_ID", conflicts_with_all = ["customer", "incremental", "json"])]
    pub(crate) release: Option<String>,
}

/// Which jobs to run.
#[derive(Args)]
pub(crate) struct WorkerArgs {
    /// Lanes to work on, repeated or separated by commas: usage, cycles, payments, upkeep [default: all]
    #[arg(long = "lane", value_name = "LANE", value_delimiter = ',', value_parser = lane)]
    pub(crate) lanes: Vec<Lane>,
    /// Jobs at once per lane [default: 4, in the lane cycles 2, in the lane payments 8]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) concurrency: Option<u16>,
}

/// What to do with keys.
#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key and print its secret, this once, on standard output
    Create(CreateKeyArgs),
    /// Give a key a new secret and print it, this once, on standard output
    ///
    /// The old secret stays good for the overlap, so that whoever uses it can change over without a gap.
    Rotate(RotateKeyArgs),
    /// Revoke a key and with it the customer tokens it made
    Revoke(RevokeKeyArgs),
}

/// The key to give a new secret.
#[derive(Args)]
pub(crate) struct RotateKeyArgs {
    /// The key, such as `key_01…`: shown when it was made, and by the query `apiKeys`
    #[arg(value_name = "KEY")]
    pub(crate) id: String,
    /// Tenant the key is of
    #[arg(long, value_name = "NAME", default_value = app::access::DEFAULT_TENANT)]
    pub(crate) tenant: String,
    /// How long the old secret stays good, in seconds, at most 7 days
    #[arg(long, value_name = "SECONDS", default_value_t = app::access::DEFAULT_OVERLAP)]
    pub(crate) overlap_seconds: i64,
}

/// The key to revoke.
#[derive(Args)]
pub(crate) struct RevokeKeyArgs {
    /// The key, such as `key_01…`: shown when it was made, and by the query `apiKeys`
    #[arg(value_name = "KEY")]
    pub(crate) id: String,
    /// Tenant the key is of
    #[arg(long, value_name = "NAME", default_value = app::access::DEFAULT_TENANT)]
    pub(crate) tenant: String,
}

/// What to do with work.
#[derive(Subcommand)]
pub(crate) enum JobsCommand {
    /// Make parked work due again
    Retry {
        /// Its id, as `tallygate jobs` shows it
        id: WorkId,
    },
}

/// What to do about safe mode.
#[derive(Subcommand)]
pub(crate) enum SafeModeCommand {
    /// Charge nothing from now on
    Begin {
        /// When the backup was made, such as 2026-11-01T03:00:00Z; Stripe remembers thirty days
        #[arg(long, value_name = "INSTANT")]
        since: Timestamp,
    },
    /// Charge again, after everything was compared
    End {
        /// Charge although something was not compared
        #[arg(long)]
        force: bool,
    },
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
            &["tallygate", "worker", "--lane", "usage,cycles"][..],
            &["tallygate", "worker", "--lane", "usage", "--lane", "cycles"],
        ] {
            let Some(Command::Worker(worker)) = Cli::parse_from(args).command else {
                panic!("{args:?}");
            };
            assert_eq!(worker.lanes, [Lane::Usage, Lane::Cycles]);
            assert_eq!(worker.concurrency, None);
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
