//! Telling the workers that there is usage, without making anybody wait for it: a wake-up that is lost costs time only.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{App, error::Result, failpoint::reach, job};

/// Pause between wake-ups. The first commit wakes at once; a process that commits a thousand times a second wakes a hundred times.
const PAUSE: Duration = Duration::from_millis(10);

/// The shards that are to be woken.
#[derive(Default)]
pub(crate) struct Waker(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// Shards with new usage.
    shards: BTreeSet<i32>,
    /// Whether a task is at it; it goes on until there are none.
    busy: bool,
}

impl Waker {
    /// There is new usage in these shards.
    pub(super) fn touched(&self, app: &App, shards: BTreeSet<i32>) {
        let mut waiting = self.lock();
        waiting.shards.extend(shards);
        if !waiting.busy && !waiting.shards.is_empty() {
            waiting.busy = true;
            tokio::spawn(wake_all(app.clone()));
        }
    }

    /// What is to be woken now. `None`: nothing, and whoever comes next begins anew.
    fn take(&self) -> Option<BTreeSet<i32>> {
        let mut waiting = self.lock();
        let shards = std::mem::take(&mut waiting.shards);
        waiting.busy = !shards.is_empty();
        waiting.busy.then_some(shards)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One wake-up after the other, so that a slow database is not asked by many at once.
async fn wake_all(app: App) {
    while let Some(shards) = app.waker().take() {
        let app = app.clone();
        // In a task of its own: should it panic, the next wake-up is sent all the same.
        let waking = tokio::spawn(async move {
            if let Err(error) = wake(&app, &shards).await {
                tracing::warn!(%error, "workers could not be woken; the sweep will find the events");
            }
        });
        let _ = waking.await;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn wake(app: &App, shards: &BTreeSet<i32>) -> Result<()> {
    reach("record.waking")?;
    job::drain::wake(app, shards).await?;
    reach("record.woken")
}
