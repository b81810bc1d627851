//! The signs of life of this process's workers, and the rescue of everybody's stranded rows.
//!
//! apalis beats only while its buffer of fetched jobs is empty, so a busy worker looks dead and its jobs would run
//! twice. One task per process beats for all of them instead, at twice the promised rate, and looks for stranded rows
//! each time: two small statements every 2.5 seconds.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use app::db::Db;
use tokio::time::{MissedTickBehavior, interval};

use crate::{bell::Bells, timings::Timings, upkeep};

/// The workers of this process that must stay alive, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roster(Arc<Mutex<BTreeSet<String>>>);

impl Roster {
    /// Keeps `worker` alive until it is removed.
    pub(crate) fn add(&self, worker: &str) {
        self.names().insert(worker.to_owned());
    }

    /// Lets `worker` go.
    pub(crate) fn remove(&self, worker: &str) {
        self.names().remove(worker);
    }

    fn names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Beats and rescues until it is dropped. A database that does not answer is asked again at the next beat.
pub(crate) async fn keep(db: Db, timings: Timings, roster: Roster, bells: Bells) {
    let mut beat = interval(timings.beat / 2);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let workers = roster.names().iter().cloned().collect();
        // Beating first: after a pause of the whole process its own rows must not look abandoned to itself.
        if let Err(error) = upkeep::beat(&db, workers).await {
            tracing::warn!(%error, "the workers could not give a sign of life");
            continue;
        }
        match upkeep::rescue(&db, &timings).await {
            Ok(0) => {}
            Ok(rows) => {
                tracing::warn!(rows, "jobs of dead workers are run again");
                bells.ring_all();
            }
            Err(error) => tracing::warn!(%error, "stranded jobs could not be looked for"),
        }
    }
}
