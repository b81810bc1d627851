//! `tallygate import usage`: usage events from a CSV file.
//!
//! | file | idea |
//! |---|---|
//! | `mapping` | which column is what |
//! | `source` | rows of the file, with their line numbers |
//! | `row` | from a row to events, or to the reason why not |
//! | `key` | keys that are the same at the next import |
//! | `target` | the tenant, and whether what the mapping names exists |
//! | `flight` | batches on their way into the database |
//! | `report` | what became of the rows |
//! | `progress` | how far it has come |
//! | `wait` | until everything is debited |
//!
//! **Promise.** Every row is accepted, a duplicate, or listed with a reason. Running the same import again changes nothing,
//! so one that was interrupted is resumed by running it again.
//!
//! **Cost.** Memory for a few batches, and about 30 bytes per row for telling identical rows apart.

mod flight;
mod key;
mod mapping;
mod progress;
mod report;
mod row;
mod source;
mod target;
mod wait;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{ArgGroup, Args};
use tokio_util::sync::CancellationToken;

use self::{
    mapping::{Column, Mapping},
    progress::Progress,
    report::Report,
    row::Reader,
    source::Source,
    target::Target,
};
use crate::{config::Config, database::Node, failure::Outcome, print, shutdown};

/// Time for the last wake-up of the workers, which is sent beside the import. Should it be too short, the sweep wakes them.
const LAST_WAKEUP: Duration = Duration::from_millis(100);
/// The exit code of an import with bad rows.
const BAD_ROWS: u8 = 3;

/// What to import and how to read it.
#[derive(Args, Default)]
#[command(group(ArgGroup::new("who").required(true).args(["customer", "customer_column"])))]
pub(crate) struct ImportArgs {
    /// CSV file in UTF-8 with a header row
    #[arg(value_name = "FILE.csv")]
    file: PathBuf,
    /// Tenant whose usage it is
    #[arg(long, value_name = "NAME", default_value = app::access::DEFAULT_TENANT)]
    tenant: String,
    /// Metric and the column with its units; repeated, one row yields an event for each
    #[arg(long = "metric", value_name = "METRIC=COLUMN", required = true, value_parser = mapping::pair)]
    metrics: Vec<Column>,
    /// Customer of every row: your own id or ours (`cus_…`)
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
    /// Column with the customer of the row
    #[arg(long, value_name = "COLUMN")]
    customer_column: Option<String>,
    /// Column with the time of the row: RFC 3339, or `YYYY-MM-DD HH:MM:SS[.fraction]`, which is taken as UTC [default: the
    /// time of the import]
    #[arg(long, value_name = "COLUMN")]
    time_column: Option<String>,
    /// Property and the column with its value; repeated. An empty value is left out
    #[arg(long = "property", value_name = "NAME=COLUMN", value_parser = mapping::pair)]
    properties: Vec<Column>,
    /// Column with the idempotency key of the row; with several metrics `:METRIC` is added to it [default: derived from the
    /// content of the row]
    ///
    /// Without it, rows of one file that are identical are different events, and a row that occurs in two files is one
    /// event. Files whose rows may be alike need a key column.
    #[arg(long, value_name = "COLUMN")]
    key_column: Option<String>,
    /// Accept events older than the back-date limit: the import of history
    #[arg(long)]
    allow_history: bool,
    /// Check every row and record nothing; whether a row was imported before is not looked up
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Wait until the imported customers have no events that are not debited; a worker must be running
    #[arg(long)]
    wait: bool,
    /// File for all bad rows, as CSV with the line number, the reason and the row; without it the first 50 are listed
    #[arg(long, value_name = "FILE.csv")]
    rejects: Option<PathBuf>,
}

/// Imports, reports, and waits if asked to.
///
/// # Errors
/// The file, the mapping or the database cannot be used; what was recorded until then stays.
pub(crate) async fn run(config: &Config, args: ImportArgs, stop: &CancellationToken) -> Outcome<ExitCode> {
    let source = Source::open(&args.file)?;
    let mapping = Mapping::new(&args, source.header())?;
    let report = Report::new(args.rejects.as_deref(), source.header())?;
    let prepare = async {
        let node = Node::ready(config).await?;
        let target = Target::find(&node.app, &args, &mapping, config.database_wait).await?;
        Outcome::Ok((node, target))
    };
    let Some(prepared) = stop.run_until_cancelled(prepare).await else {
        return Ok(ExitCode::from(shutdown::INTERRUPTED));
    };
    let (node, target) = prepared?;
    let oldest = (!args.allow_history).then_some(config.back_date_days);
    let reader = Reader::new(mapping, target.scope(), node.app.now(), oldest);
    let progress = Progress::new(source.size());
    let imported = flight::import(source, reader, &target, report, &progress, stop).await;
    let code = finish(&args, imported, &target, stop).await;
    tokio::time::sleep(LAST_WAKEUP).await;
    shutdown::close(node.app.db()).await;
    code
}

async fn finish(
    args: &ImportArgs,
    imported: flight::Imported,
    target: &Target,
    stop: &CancellationToken,
) -> Outcome<ExitCode> {
    let flight::Imported {
        report,
        customers,
        ended,
    } = imported;
    let tally = report.close()?;
    print::result(tally.summary(args.dry_run));
    match ended {
        flight::End::Broken(failure) => return Err(failure),
        flight::End::Stopped => {
            print::note("interrupted; run the same command again to go on");
            return Ok(ExitCode::from(shutdown::INTERRUPTED));
        }
        flight::End::Complete => {}
    }
    if args.wait
        && let Some(waited) = stop
            .run_until_cancelled(wait::until_debited(target, customers))
            .await
    {
        print::result(waited?);
    }
    Ok(match tally.bad_rows {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(BAD_ROWS),
    })
}
