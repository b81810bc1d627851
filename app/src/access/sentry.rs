//! The end of credentials under whose name something is open for long: a WebSocket, a stream of events.
//!
//! Expiry is exact: each waiter has a timer. Revocation is found by one task per process that asks about all watched
//! credentials together, every [`PAUSE`] and at once after a revocation in this process, so another process's reaches them
//! within [`Cache::LIFE`](super::Cache::LIFE) (the credential may have been believed for so long when the stream was opened),
//! [`PAUSE`] and the time of a statement: below five seconds.
//!
//! Who can no longer be asked about is not trusted for ever: after [`PATIENCE`] without an answer of the database the
//! credential counts as ended.
//!
//! Cost: one statement per [`BATCH`] *different* credentials and pause; none when nothing is watched. A waiter costs a timer
//! and a place in a list.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use domain::time::Timestamp;
use tokio::sync::{Notify, watch};

use super::store;
use crate::{
    App, Inner,
    actor::{Actor, Credential},
};

/// Pause between two questions to the database.
const PAUSE: Duration = Duration::from_millis(1_500);
/// How long an answer may take before the question counts as failed.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long a credential is trusted without an answer: longer than a database takes to restart.
const PATIENCE: Duration = Duration::from_secs(30);
/// Credentials in one statement.
const BATCH: usize = 1_000;
/// Longest single sleep of a waiter: a clock that was set meanwhile is noticed after it.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Why a credential is no longer good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Its time is over, or that of the key that made it.
    Expired,
    /// It was revoked, or the key that made it was.
    Revoked,
    /// The database did not answer for too long to go on trusting it. The caller may try again.
    Unverified,
}

/// What is known of a watched credential.
#[derive(Debug, Clone, Copy)]
struct Standing {
    expires_at: Option<Timestamp>,
    ended: Option<Ended>,
}

#[derive(Debug)]
struct Watched {
    standing: watch::Sender<Standing>,
    /// When the last question was asked that was answered.
    checked: Instant,
}

/// Watches credentials for all who wait.
#[derive(Debug, Default)]
pub(crate) struct Sentry {
    watched: Mutex<HashMap<Credential, Watched>>,
    look: Notify,
}

/// Waits until the actor's credential is no longer good. Never, for the operator at the command line.
///
/// Exact at expiry; within five seconds of a revocation by another process and at once after one by this process; within 40
/// seconds of the last answer of a database that is out of reach. Dropping the future ends the watch.
pub fn ended(app: &App, actor: &Actor) -> impl Future<Output = Ended> + use<> {
    let standing = actor
        .credential
        .map(|credential| app.sentry().watch(credential, actor.expires_at));
    let app = app.clone();
    async move {
        match standing {
            Some(standing) => end_of(app, standing).await,
            None => std::future::pending().await,
        }
    }
}

async fn end_of(app: App, mut standing: watch::Receiver<Standing>) -> Ended {
    loop {
        let Standing { expires_at, ended } = *standing.borrow_and_update();
        if let Some(ended) = ended {
            return ended;
        }
        let left = match expires_at {
            Some(end) => match u64::try_from(end.micros() - app.now().micros()) {
                Ok(micros) if micros > 0 => Duration::from_micros(micros),
                _ => return Ended::Expired,
            },
            None => LONGEST_SLEEP,
        };
        tokio::select! {
            // The sender is dropped only after it has told the end.
            told = standing.changed() => if told.is_err() { return Ended::Unverified },
            () = tokio::time::sleep(left.min(LONGEST_SLEEP)) => {}
        }
    }
}

impl Sentry {
    /// Runs as long as the application: asks about what is watched.
    pub(crate) async fn run(self: Arc<Self>, app: Weak<Inner>) {
        loop {
            tokio::select! {
                () = self.look.notified() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
            let Some(inner) = app.upgrade() else { return };
            self.check(&App(inner)).await;
        }
    }

    /// Asks at once: a credential of this process has just ended.
    pub(super) fn look(&self) {
        self.look.notify_one();
    }

    fn watch(&self, credential: Credential, expires_at: Option<Timestamp>) -> watch::Receiver<Standing> {
        let fresh = || Watched {
            standing: watch::Sender::new(Standing {
                expires_at,
                ended: None,
            }),
            checked: Instant::now(),
        };
        let mut watched = self.lock();
        watched
            .entry(credential)
            .or_insert_with(fresh)
            .standing
            .subscribe()
    }

    async fn check(&self, app: &App) {
        let all: Vec<Credential> = {
            let mut watched = self.lock();
            watched.retain(|_, entry| entry.standing.receiver_count() > 0);
            watched.keys().copied().collect()
        };
        for batch in all.chunks(BATCH) {
            let asked = Instant::now();
            let answer = store::actors(app.db().reader(), batch);
            match tokio::time::timeout(ANSWER_WITHIN, answer).await {
                Ok(Ok(found)) => self.note(batch, &found, app.now(), asked),
                failed => {
                    let error =
                        failed.map_or_else(|late| late.to_string(), |answer| format!("{:?}", answer.err()));
                    tracing::warn!(error, "open streams could not be checked for revoked credentials");
                    break;
                }
            }
        }
        self.give_up(Instant::now());
    }

    /// Tells the waiters what an answer says of a batch of credentials.
    fn note(&self, batch: &[Credential], found: &HashMap<Credential, Actor>, now: Timestamp, asked: Instant) {
        let mut watched = self.lock();
        for credential in batch {
            let Some(entry) = watched.get_mut(credential) else {
                continue;
            };
            let over = |end: Option<Timestamp>| end.is_some_and(|end| end <= now);
            let known = entry.standing.borrow().expires_at;
            let ended = match found.get(credential) {
                Some(actor) if over(actor.expires_at) => Some(Ended::Expired),
                Some(actor) => {
                    entry.checked = asked;
                    entry.standing.send_if_modified(|standing| {
                        let changed = standing.expires_at != actor.expires_at;
                        standing.expires_at = actor.expires_at;
                        changed
                    });
                    None
                }
                None if over(known) => Some(Ended::Expired),
                None => Some(Ended::Revoked),
            };
            if let Some(ended) = ended {
                entry
                    .standing
                    .send_modify(|standing| standing.ended = Some(ended));
                watched.remove(credential);
            }
        }
    }

    /// Ends what has not been answered for too long.
    fn give_up(&self, now: Instant) {
        self.lock().retain(|_, entry| {
            let trusted = now.saturating_duration_since(entry.checked) < PATIENCE;
            if !trusted {
                entry
                    .standing
                    .send_modify(|standing| standing.ended = Some(Ended::Unverified));
            }
            trusted
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Credential, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiters_of_one_credential_share_one_question() {
        let sentry = Sentry::default();
        let (one, other) = (Credential::of("one"), Credential::of("other"));
        let waiters: Vec<_> = (0..5_000).map(|_| sentry.watch(one, None)).collect();
        let _other = sentry.watch(other, None);
        assert_eq!(sentry.lock().len(), 2);
        sentry.note(&[one], &HashMap::new(), Timestamp::MIN, Instant::now());
        assert!(
            waiters
                .iter()
                .all(|waiter| waiter.borrow().ended == Some(Ended::Revoked))
        );
        assert_eq!(sentry.lock().len(), 1);
        // Whoever comes later with the same credential was let in by a later answer.
        assert_eq!(sentry.watch(one, None).borrow().ended, None);
    }

    #[test]
    fn who_cannot_be_asked_about_is_not_trusted_for_ever() {
        let sentry = Sentry::default();
        let waiter = sentry.watch(Credential::of("one"), None);
        let begun = Instant::now();
        sentry.give_up(begun + PATIENCE - Duration::from_secs(1));
        assert_eq!(waiter.borrow().ended, None);
        sentry.give_up(begun + PATIENCE + Duration::from_secs(1));
        assert_eq!(waiter.borrow().ended, Some(Ended::Unverified));
    }
}
