//! Whether this process is ready for work, part by part.
//!
//! One task looks once a second and everybody is shown its last report, so asking costs nothing and cannot be used to load
//! the database. A report has names and yes or no, and nothing that would help a stranger.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sea_orm::ConnectionTrait;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::App;

/// How long the database may take to answer the simplest question.
const DATABASE_BOUND: Duration = Duration::from_secs(2);
/// A report that is older than this tells nothing: a look every second takes at most a few seconds.
const STALE: Duration = Duration::from_secs(10);
/// A feed that has not turned for this long is cut off. It turns every second.
const FEED_STILL: Duration = Duration::from_secs(5);

/// One part of readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name, such as `database`.
    pub name: &'static str,
    /// Whether it is fine.
    pub ok: bool,
}

impl Check {
    /// A part and whether it is fine.
    #[must_use]
    pub fn new(name: &'static str, ok: bool) -> Self {
        Self { name, ok }
    }
}

/// All parts together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether every part is fine.
    pub ready: bool,
    /// The parts.
    pub checks: Vec<Check>,
}

/// What a look has found, and when.
type Seen = (Instant, Vec<Check>);

/// The last report of a process. Clones show the same.
#[derive(Debug, Clone)]
pub struct Health {
    seen: Arc<Mutex<Option<Seen>>>,
    stopping: CancellationToken,
}

impl Health {
    /// Nothing has been looked at yet. From the moment `stopping` is cancelled the process is not ready.
    #[must_use]
    pub fn new(stopping: CancellationToken) -> Self {
        Self {
            seen: Arc::default(),
            stopping,
        }
    }

    /// Notes what a look has found.
    pub fn note(&self, checks: Vec<Check>) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), checks));
    }

    /// How things stand. Reads memory only.
    #[must_use]
    pub fn report(&self) -> Report {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (fresh, mut checks) = match seen {
            Some((when, checks)) => (when.elapsed() < STALE, checks),
            None => (false, Vec::new()),
        };
        checks.insert(0, Check::new("looked", fresh));
        checks.insert(0, Check::new("running", !self.stopping.is_cancelled()));
        Report {
            ready: checks.iter().all(|check| check.ok),
            checks,
        }
    }
}

/// The database answers a question about its tables within two seconds.
pub async fn database(app: &App) -> Check {
    let asked = app
        .db()
        .reader()
        .execute_unprepared("SELECT 1 FROM tenant LIMIT 1");
    let answered = tokio::time::timeout(DATABASE_BOUND, asked).await;
    Check::new("database", matches!(answered, Ok(Ok(_))))
}

/// Usage events are taken in: the writing task lives, has room, and the database takes what it writes.
#[must_use]
pub fn collector(app: &App) -> Check {
    Check::new("collector", app.collector().accepts())
}

/// Changes made by other processes are heard.
#[must_use]
pub fn feed(app: &App) -> Check {
    Check::new("feed", app.feed().still_for() < FEED_STILL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_every_part_and_not_stopping() {
        let stop = CancellationToken::new();
        let health = Health::new(stop.clone());
        assert!(!health.report().ready, "nothing has been looked at");
        health.note(vec![Check::new("database", true)]);
        assert!(health.report().ready);
        health.note(vec![Check::new("database", false)]);
        assert!(!health.report().ready);
        health.note(vec![Check::new("database", true)]);
        stop.cancel();
        let report = health.report();
        assert_eq!(report.checks[0], Check::new("running", false));
        assert!(!report.ready);
    }
}
