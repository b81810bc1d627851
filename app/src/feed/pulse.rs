//! The proof that no notice was lost, on PostgreSQL: notices to ourselves.
//!
//! PostgreSQL delivers notices in the order in which their transactions commit (its manual, `NOTIFY`), so whoever hears one of these
//! has heard of every change that was committed before it was sent.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use domain::time::Timestamp;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use super::CHANNEL;
use crate::{App, gate::Complete};

/// How often one is sent.
const BEAT: Duration = Duration::from_millis(100);
/// How long one is waited for before the next is sent.
const PATIENCE: Duration = Duration::from_secs(1);

/// Belongs to one connection that listens.
pub(super) struct Pulse {
    /// Since when this connection listens.
    since: Instant,
    /// Tells our notices from those of other processes.
    name: Uuid,
    /// The one that was sent and not heard yet: its number, and when.
    sent: Mutex<Option<(u64, Instant, Timestamp)>>,
}

impl Pulse {
    /// To be called when the connection has begun to listen.
    pub(super) fn begin(app: &App) -> Self {
        Self {
            since: Instant::now(),
            name: app.ids().next(app.now()),
            sent: Mutex::new(None),
        }
    }

    /// Sends one after the other was heard, or was waited for in vain. One statement each.
    pub(super) async fn beat(&self, app: &App) {
        let mut due = interval(BEAT);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 0.. {
            due.tick().await;
            while self.is_waiting() {
                due.tick().await;
            }
            *self.sent() = Some((number, Instant::now(), app.now()));
            let sent = app
                .db()
                .writer()
                .execute_raw(notification(self.payload(number)))
                .await;
            if let Err(error) = sent {
                // Without it what is remembered grows old, and is read again.
                tracing::debug!(%error, "the change feed could not be tried");
            }
        }
    }

    fn payload(&self, number: u64) -> String {
        format!("{} {number}", self.name)
    }

    /// Whether one is on its way that may still come.
    fn is_waiting(&self) -> bool {
        self.sent().is_some_and(|(_, at, _)| at.elapsed() < PATIENCE)
    }

    /// What follows from a notice, if it is the last of ours.
    pub(super) fn heard(&self, payload: &str) -> Option<Complete> {
        let mut sent = self.sent();
        let (_, until, as_of) = sent.take_if(|(number, ..)| payload == self.payload(*number))?;
        let since = self.since;
        Some(Complete { since, until, as_of })
    }

    fn sent(&self) -> MutexGuard<'_, Option<(u64, Instant, Timestamp)>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The statement that sends a notification which nobody needs to find after a crash.
fn notification(payload: String) -> Statement {
    Statement::from_sql_and_values(
        DbBackend::Postgres,
        "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)",
        [CHANNEL.into(), payload.into()],
    )
}
