//! Who watches what in this process.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// Those who watch things that have a revision.
#[derive(Debug)]
pub(super) struct Watchers<K>(Mutex<HashMap<K, Watched>>);

#[derive(Debug)]
struct Watched {
    notices: watch::Sender<u64>,
    /// Last revision seen by a look; tells a real change from an old one.
    revision: i64,
}

/// The notices about one thing.
#[derive(Debug)]
pub struct Notices(watch::Receiver<u64>);

impl Notices {
    /// Waits for a notice that has not been seen. Several become one.
    pub async fn next(&mut self) {
        // The sender lives as long as there are receivers; should it ever go first, the watcher only waits for its end.
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl<K> Default for Watchers<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Copy + Eq + Hash> Watchers<K> {
    /// Begins to watch one.
    pub(super) fn watch(&self, key: K) -> Notices {
        let mut all = self.lock();
        let entry = all.entry(key).or_insert_with(|| Watched {
            notices: watch::Sender::new(0),
            revision: 0,
        });
        Notices(entry.notices.subscribe())
    }

    /// Tells that some have changed.
    pub(super) fn tell<'a>(&self, keys: impl IntoIterator<Item = &'a K>)
    where
        K: 'a,
    {
        let all = self.lock();
        for key in keys {
            if let Some(entry) = all.get(key) {
                entry.notices.send_modify(|count| *count += 1);
            }
        }
    }

    /// What is watched. Forgets what nobody watches any more.
    pub(super) fn watched(&self) -> Vec<K> {
        let mut all = self.lock();
        all.retain(|_, entry| entry.notices.receiver_count() > 0);
        all.keys().copied().collect()
    }

    /// Tells of those whose revision is another than the last that was seen.
    pub(super) fn saw(&self, revisions: impl IntoIterator<Item = (K, i64)>) {
        let mut all = self.lock();
        for (key, revision) in revisions {
            if let Some(entry) = all.get_mut(&key)
                && entry.revision != revision
            {
                entry.revision = revision;
                entry.notices.send_modify(|count| *count += 1);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Watched>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
