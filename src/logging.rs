//! The log: lines for people, on standard error.
//!
//! Nothing in the program logs a key, a URL with its password, or the content of a request.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::failure::{Failure, Outcome};

/// What is logged unless configured otherwise: what we do, and what worries the parts we are made of.
pub(crate) const DEFAULT_FILTER: &str =
    "warn,tallygate=info,api=info,app=info,domain=info,entity=info,migration=info,queue=info,worker=info";

/// Starts the log.
///
/// # Errors
/// A filter that cannot be read.
pub(crate) fn start(filter: &str) -> Outcome<()> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Failure::of(
            format_args!("the log filter `{filter}` is not usable (try `info` or `warn,app=debug`)"),
            error,
        )
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    Ok(())
}
