//! The proof that no notice was lost, on PostgreSQL: notices to ourselves.
//!
//! PostgreSQL delivers notices in the order in which their transactions commit (its manual, `NOTIFY`), so whoever hears one of these
//! has heard of every change that was committed before it was sent.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sea_orm::{ConnectionTrait, DbBackend, Statement};
use tokio::time::{MissedTickBehavior, interval};

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
    /// The one that was sent and not heard yet: its text, and what follows when it is heard.
    sent: Mutex<Option<(String, Complete)>>,
}

impl Pulse {
    /// To be called when the connection has begun to listen.
    pub(super) fn begin() -> Self {
        Self {
            since: Instant::now(),
            sent: Mutex::new(None),
        }
    }

    /// Sends one after the other was heard, or was waited for in vain, while there is somebody of whom it says anything. One
    /// statement each.
    pub(super) async fn beat(&self, app: &App) {
        let mut due = interval(BEAT);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            if app.gate().is_empty() || self.is_waiting() {
                continue;
            }
            if let Err(error) = app.db().writer().execute_raw(self.next(app)).await {
                // Without it what is remembered grows old, and is read again.
                tracing::debug!(%error, "the change feed could not be tried");
            }
        }
    }

    /// The statement that sends the next one. It has a name of its own, and needs not be there after a crash.
    fn next(&self, app: &App) -> Statement {
        let complete = Complete {
            since: self.since,
            until: Instant::now(),
            as_of: app.now(),
        };
        let text = format!("beat {}", app.ids().next(complete.as_of));
        *self.sent() = Some((text.clone(), complete));
        Statement::from_sql_and_values(
            DbBackend::Postgres,
            "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)",
            [CHANNEL.into(), text.into()],
        )
    }

    /// Whether one is on its way that may still come.
    fn is_waiting(&self) -> bool {
        let sent = self.sent();
        sent.as_ref()
            .is_some_and(|(_, complete)| complete.until.elapsed() < PATIENCE)
    }

    /// What follows from a notice, if it is the last of ours.
    pub(super) fn heard(&self, notice: &str) -> Option<Complete> {
        let sent = self.sent().take_if(|(text, _)| text == notice);
        sent.map(|(_, complete)| complete)
    }

    fn sent(&self) -> MutexGuard<'_, Option<(String, Complete)>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
