//! The log: lines on standard error, as text for people or as one JSON object each for machines.
//!
//! Nothing in the program logs a key, a URL with its password, or the content of a request. A panic tells where it happened;
//! what it says is shown only when it is a text of the program itself, because others may quote what a caller sent.

use std::{
    io::{self, IsTerminal},
    panic,
    str::FromStr,
};

use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    cli::Command,
    config::Config,
    failure::{Failure, Outcome},
    traces::Traces,
};

/// What is logged unless configured otherwise: what we do, and what worries the parts we are made of.
pub(crate) const DEFAULT_FILTER: &str = "warn,tallygate=info,api=info,app=info,domain=info,entity=info,migration=info,queue=info,worker=info,access=info";

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!(
                "`{other}` is no format of the log; it is `text` or `json`"
            )),
        }
    }
}

impl Format {
    /// The processes that serve are usually read by machines, unless a person sits in front of them.
    fn usual(command: &Command) -> Self {
        match command {
            Command::Api | Command::Worker(_) if !io::stderr().is_terminal() => Self::Json,
            _ => Self::Text,
        }
    }
}

/// Starts the log, and traces if they are wanted.
///
/// # Errors
/// A filter that cannot be read, or a collector that is no URL.
pub(crate) fn start(config: &Config, command: &Command) -> Outcome<Option<Traces>> {
    let filter = &config.log;
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Failure::of(
            format_args!("the log filter `{filter}` is not usable (try `info` or `warn,app=debug`)"),
            error,
        )
    })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = match config.log_format.unwrap_or_else(|| Format::usual(command)) {
        Format::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        Format::Json => lines.json().flatten_event(true).with_ansi(false).boxed(),
    };
    let traces = match command {
        Command::Dev => Traces::start(config, "dev")?,
        Command::Api => Traces::start(config, "api")?,
        Command::Worker(_) => Traces::start(config, "worker")?,
        // They are over before anybody could follow them.
        _ => None,
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(traces.as_ref().map(Traces::layer))
        .init();
    panic::set_hook(Box::new(tell_panic));
    Ok(traces)
}

/// A panic is one line of the log like any other.
fn tell_panic(panic: &panic::PanicHookInfo<'_>) {
    let place = panic
        .location()
        .map_or_else(|| "somewhere".to_owned(), ToString::to_string);
    let what = panic.payload().downcast_ref::<&'static str>();
    let what = what
        .copied()
        .unwrap_or("what it says may quote a request and is not shown");
    tracing::error!(place, "panicked: {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_have_names() {
        assert_eq!("json".parse(), Ok(Format::Json));
        assert_eq!("text".parse(), Ok(Format::Text));
        assert!("yaml".parse::<Format>().unwrap_err().contains("`text` or `json`"));
    }
}
