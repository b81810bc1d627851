//! Waking workers without making anybody wait for it: a wake-up that is lost costs time only.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;

use crate::{App, error::Result};

/// Pause between wake-ups. The first commit wakes at once; a process that commits a thousand times a second wakes a hundred times.
const PAUSE: Duration = Duration::from_millis(10);

/// Something that workers are woken about.
pub(crate) trait Wakes: Ord + Send + 'static {
    /// Those of a process that wait.
    fn waker(app: &App) -> &Waker<Self>
    where
        Self: Sized;

    /// Wakes workers about some.
    fn wake(app: &App, subjects: BTreeSet<Self>) -> BoxFuture<'_, Result<()>>
    where
        Self: Sized;
}

/// What workers are to be woken about.
pub(crate) struct Waker<T>(Mutex<Waiting<T>>);

struct Waiting<T> {
    /// Those with something new.
    subjects: BTreeSet<T>,
    /// Whether a task is at it; it goes on until there are none.
    busy: bool,
}

impl<T> Default for Waker<T> {
    fn default() -> Self {
        Self(Mutex::new(Waiting {
            subjects: BTreeSet::new(),
            busy: false,
        }))
    }
}

impl<T: Wakes> Waker<T> {
    /// There is something new about these.
    pub(crate) fn touched(&self, app: &App, subjects: BTreeSet<T>) {
        let mut waiting = self.lock();
        waiting.subjects.extend(subjects);
        if !waiting.busy && !waiting.subjects.is_empty() {
            waiting.busy = true;
            tokio::spawn(wake_all::<T>(app.clone()));
        }
    }

    /// What is to be woken now. `None`: nothing, and whoever comes next begins anew.
    fn take(&self) -> Option<BTreeSet<T>> {
        let mut waiting = self.lock();
        let subjects = std::mem::take(&mut waiting.subjects);
        waiting.busy = !subjects.is_empty();
        waiting.busy.then_some(subjects)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One wake-up after the other, so that a slow database is not asked by many at once.
async fn wake_all<T: Wakes>(app: App) {
    while let Some(subjects) = T::waker(&app).take() {
        let app = app.clone();
        // In a task of its own: should it panic, the next wake-up is sent all the same.
        let waking = tokio::spawn(async move {
            if let Err(error) = T::wake(&app, subjects).await {
                tracing::warn!(%error, "workers could not be woken; the sweep will find the work");
            }
        });
        let _ = waking.await;
        tokio::time::sleep(PAUSE).await;
    }
}
