//! Telling the workers that there is usage, without making anybody wait for it: a wake-up that is lost costs time only.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use crate::{App, error::Result, failpoint::reach, job};

/// Pause between wake-ups. The first commit wakes at once; a process that commits a thousand times a second wakes a hundred times.
const PAUSE: Duration = Duration::from_millis(10);

/// The shards that are to be woken.
#[derive(Default)]
pub(crate) struct Waker(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// Shards with new usage; a task is on its way to wake them if there are any.
    shards: BTreeSet<i32>,
    /// When the next wake-up may be sent.
    next: Option<Instant>,
}

impl Waker {
    /// There is new usage in these shards.
    pub(super) fn touched(&self, app: &App, shards: BTreeSet<i32>) {
        let mut waiting = self.lock();
        let idle = waiting.shards.is_empty();
        waiting.shards.extend(shards);
        if idle && !waiting.shards.is_empty() {
            tokio::spawn(wake_soon(app.clone(), waiting.next));
        }
    }

    /// What is to be woken now.
    fn take(&self) -> BTreeSet<i32> {
        let mut waiting = self.lock();
        waiting.next = Some(Instant::now() + PAUSE);
        std::mem::take(&mut waiting.shards)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn wake_soon(app: App, when: Option<Instant>) {
    if let Some(when) = when {
        sleep_until(when).await;
    }
    let shards = app.waker().take();
    if let Err(error) = wake(&app, &shards).await {
        tracing::warn!(%error, "workers could not be woken; the sweep will find the events");
    }
}

async fn wake(app: &App, shards: &BTreeSet<i32>) -> Result<()> {
    reach("record.waking")?;
    job::drain::wake(app, shards).await?;
    reach("record.woken")
}
