//! Stopping: the first signal asks for it, the second one insists.

use std::{
    process::{self, ExitCode},
    time::{Duration, Instant},
};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::failure::{Failure, Outcome};

/// What shells answer for a command that was interrupted.
pub(crate) const INTERRUPTED: u8 = 130;
/// Signals that come this soon after the first belong to it: `timeout`, and Ctrl-C under a wrapper, send two at once.
const ONE_SIGNAL: Duration = Duration::from_millis(200);
/// How long open connections may take to say good-bye to the database.
const CLOSING: Duration = Duration::from_secs(5);

/// A token that SIGTERM and SIGINT (Ctrl-C) cancel. A second signal ends the process at once.
///
/// # Errors
/// The system refuses to tell of signals.
pub(crate) fn listen() -> Outcome<CancellationToken> {
    let of = |kind| signal(kind).map_err(|error| Failure::of("signals cannot be received", error));
    let (mut term, mut int) = (of(SignalKind::terminate())?, of(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        either(&mut term, &mut int).await;
        tracing::info!("stopping; a second signal ends at once");
        token.cancel();
        let begun = Instant::now();
        while begun.elapsed() < ONE_SIGNAL {
            either(&mut term, &mut int).await;
        }
        process::exit(i32::from(INTERRUPTED));
    });
    Ok(stop)
}

async fn either(term: &mut Signal, int: &mut Signal) {
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// Runs a short command, which a signal ends where it stands: what it has not committed is taken back.
pub(crate) async fn or_interrupted(
    stop: &CancellationToken,
    command: impl Future<Output = Outcome<ExitCode>>,
) -> Outcome<ExitCode> {
    stop.run_until_cancelled(command)
        .await
        .unwrap_or(Ok(ExitCode::from(INTERRUPTED)))
}

/// Closes the database, but does not wait for ever.
pub(crate) async fn close(db: &app::db::Db) {
    if tokio::time::timeout(CLOSING, db.close()).await.is_err() {
        tracing::warn!("some database connections were still busy at the end");
    }
}
