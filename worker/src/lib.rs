//! Process shell around the queue: it runs the jobs of the lanes it is given, sweeps for work that is due, and purges.
//!
//! It knows no kind of job. The queue only makes things fast: whatever wake-up is lost, the sweep finds the work again
//! within seconds, and a sweep or purge that fails is tried again at its next turn.

use std::{sync::Arc, time::Duration};

use app::{App, job::Lane};
use queue::{Handler, QueueError, SharedQueue};
use tokio_util::sync::CancellationToken;

/// Pause between two sweeps: the longest time for which work whose wake-up was lost stays unnoticed.
const SWEEP: Duration = Duration::from_secs(2);
/// Pause between two purges. The tables of the queue stay within an hour's jobs and one such pause.
const PURGE: Duration = Duration::from_secs(60);

/// Runs the jobs of `lanes`, each with up to so many at once, until `stop` is cancelled and running jobs have ended.
///
/// Any number of processes may do so at the same time; sweeping and purging in all of them is harmless.
///
/// # Errors
/// Only a defect in the supervision of the lanes. A database that fails is waited for.
pub async fn run(
    app: App,
    queue: SharedQueue,
    lanes: Vec<(Lane, usize)>,
    stop: CancellationToken,
) -> Result<(), QueueError> {
    let handler: Handler = {
        let app = app.clone();
        Arc::new(move |payload| {
            let app = app.clone();
            Box::pin(async move { app::job::run(&app, payload).await })
        })
    };
    // The caller's token stays its own: a consumption that breaks must end these loops and nothing else.
    let stop = stop.child_token();
    let (consumed, ..) = tokio::join!(
        end_together(queue.consume(&lanes, handler, stop.clone()), &stop),
        stop.run_until_cancelled(sweep(&app)),
        stop.run_until_cancelled(purge(&queue)),
    );
    consumed
}

/// Cancels `stop` when `consumption` has ended, so that a broken one ends the other loops as well.
async fn end_together(
    consumption: impl Future<Output = Result<(), QueueError>>,
    stop: &CancellationToken,
) -> Result<(), QueueError> {
    let ended = consumption.await;
    stop.cancel();
    ended
}

/// Wakes what is due, at once and then at every turn.
async fn sweep(app: &App) {
    loop {
        if let Err(error) = app::job::sweep(app).await {
            tracing::warn!(%error, "the sweep failed; it is tried again");
        }
        tokio::time::sleep(jittered(SWEEP)).await;
    }
}

/// Deletes what has long been finished, at every turn.
async fn purge(queue: &SharedQueue) {
    loop {
        tokio::time::sleep(jittered(PURGE)).await;
        match queue.purge().await {
            Ok(jobs) => tracing::debug!(jobs, "finished jobs were purged"),
            Err(error) => tracing::warn!(%error, "the purge failed; it is tried again"),
        }
    }
}

/// The pause, shortened by chance by up to a quarter, so that processes started together drift apart.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.75..=1.0))
}
