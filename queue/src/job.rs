//! One run of one job.
//!
//! The handler runs in a task of its own, so a worker that dies does not cut it in half, and it ends within the time
//! limit, with a stop's patience, or by itself. Whatever happens, the row is settled: an overdue run counts as done,
//! because the rows behind the job say what is still due; a panic is filed as `Killed`; only a run that a stop has cut
//! short becomes pending again.

use std::{convert::Infallible, sync::Arc, time::Duration};

use apalis_core::error::{AbortError, BoxDynError};
use app::job::Lane;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    health::{Pulse, Running},
    shared::Handler,
};

/// What one worker does with each job. Cloned for every run.
#[derive(Clone)]
pub(crate) struct Duty {
    pub(crate) lane: Lane,
    pub(crate) handler: Handler,
    /// Longest run of the handler.
    pub(crate) limit: Duration,
    /// Nothing is begun any more.
    pub(crate) stop: CancellationToken,
    /// Running handlers have ended, and what was not begun is given back.
    pub(crate) closing: CancellationToken,
    /// Ends running handlers when a stop has lost its patience.
    pub(crate) cut: CancellationToken,
    pub(crate) pulse: Arc<Pulse>,
    /// Nothing is ever sent: the receiver learns from the last clone's end that no handler of the worker runs any more.
    pub(crate) aboard: mpsc::Sender<Infallible>,
}

enum Ending {
    Done,
    Overdue,
    Cut,
}

impl Duty {
    /// Runs the handler on `payload` to its end and says how the row is to be settled.
    pub(crate) async fn perform(self, payload: Value) -> Result<(), BoxDynError> {
        let lane = self.lane.as_str();
        let running = self.pulse.job();
        if self.stop.is_cancelled() {
            // Counted first and asked then, so that a stop either waits for a job or keeps it from beginning.
            drop(running);
            self.closing.cancelled().await;
            return Err("cut short by a stop".into());
        }
        match tokio::spawn(self.run(payload, running)).await {
            Ok(Ending::Done) => Ok(()),
            Ok(Ending::Overdue) => {
                tracing::error!(lane, "a job ran beyond its time limit and was dropped");
                Ok(())
            }
            Ok(Ending::Cut) => Err("cut short by a stop".into()),
            Err(panic) => {
                tracing::error!(lane, %panic, "a job panicked");
                Err(Box::new(AbortError::new("the handler panicked")))
            }
        }
    }

    async fn run(self, payload: Value, _running: Running) -> Ending {
        let _aboard = self.aboard;
        // Called in here, so that a panic before the first await is caught like any other.
        let handler = (self.handler)(payload);
        tokio::select! {
            biased;
            ended = tokio::time::timeout(self.limit, handler) => match ended {
                Ok(()) => Ending::Done,
                Err(_) => Ending::Overdue,
            },
            () = self.cut.cancelled() => Ending::Cut,
        }
    }
}
