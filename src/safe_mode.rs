//! `tallygate safe-mode`: after a restore nothing is charged until what the payment providers know has been compared with what is here.

use std::process::ExitCode;

use app::payment::{self, SafeMode};
use domain::time::Timestamp;

use crate::{config::Config, database::Node, failure::Outcome, print, shutdown};

/// Charges nothing from now on, since what has happened since an instant may be missing.
///
/// # Errors
/// The database does not fit or is out of reach.
pub(crate) async fn begin(config: &Config, since: Timestamp) -> Outcome<ExitCode> {
    let node = Node::ready(config).await?;
    let providers = payment::begin_safe_mode(&node.app, since).await?;
    print::note(format_args!(
        "nothing is charged with {}; workers of the lane payments ask them what has happened since {since}",
        providers.join(", ")
    ));
    shutdown::close(node.app.db()).await;
    Ok(ExitCode::SUCCESS)
}

/// Shows how it stands.
///
/// # Errors
/// The database does not fit or is out of reach.
pub(crate) async fn show(config: &Config) -> Outcome<ExitCode> {
    let node = Node::ready(config).await?;
    let all = payment::safe_mode(&node.app).await?;
    for mode in &all {
        print::result(line(mode));
        for payment in &mode.strangers {
            print::result(format_args!(
                "{}: {payment} is known there and not here",
                mode.provider
            ));
        }
    }
    if all.is_empty() {
        print::note("payments are charged as usual");
    }
    shutdown::close(node.app.db()).await;
    Ok(ExitCode::SUCCESS)
}

/// Charges again.
///
/// # Errors
/// Something was not compared yet, or the database is out of reach.
pub(crate) async fn end(config: &Config, is_forced: bool) -> Outcome<ExitCode> {
    let node = Node::ready(config).await?;
    payment::end_safe_mode(&node.app, is_forced).await?;
    print::note("payments are charged again");
    shutdown::close(node.app.db()).await;
    Ok(ExitCode::SUCCESS)
}

fn line(mode: &SafeMode) -> String {
    let how = if mode.is_compared {
        "compared"
    } else {
        "not compared yet"
    };
    format!(
        "{}: nothing is charged; {how} since {}",
        mode.provider, mode.since
    )
}
