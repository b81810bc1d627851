//! From a bearer token to an [`Actor`].
//!
//! A credential that was found good is believed for [`Cache::LIFE`], so a revocation reaches other processes within that time
//! and this one at once. Nothing is remembered of tokens that belong to nobody.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use quick_cache::sync;

use super::store;
use crate::{
    App,
    actor::{Actor, Credential},
    error::Result,
};

/// Credentials that were looked up a moment ago.
#[derive(Debug)]
pub struct Cache {
    known: sync::Cache<Credential, Known>,
    /// Grows with every revocation, so that what was read before one is not remembered after it.
    revocations: AtomicU64,
}

#[derive(Debug, Clone)]
struct Known {
    actor: Actor,
    until: Instant,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            known: sync::Cache::new(Self::MAX_KNOWN),
            revocations: AtomicU64::new(0),
        }
    }
}

impl Cache {
    /// How long a credential is believed without asking the database again. Together with the pause of the
    /// [sentry](super::sentry) it stays below the five seconds that are promised for open streams.
    pub const LIFE: Duration = Duration::from_secs(3);
    /// Credentials kept, at some 200 bytes each: keys are few, tokens are as many as open dashboards.
    const MAX_KNOWN: usize = 20_000;

    fn get(&self, credential: &Credential) -> Option<Actor> {
        let known = self.known.get(credential)?;
        (known.until > Instant::now()).then_some(known.actor)
    }

    /// Remembers what was read when there had been so many revocations.
    fn put(&self, credential: Credential, actor: Actor, revocations: u64) {
        if self.revocations() == revocations {
            let until = Instant::now() + Self::LIFE;
            self.known.insert(credential, Known { actor, until });
        }
    }

    fn revocations(&self) -> u64 {
        self.revocations.load(Ordering::SeqCst)
    }

    /// Forgets everything: some credential is no longer what it was.
    pub(super) fn clear(&self) {
        self.revocations.fetch_add(1, Ordering::SeqCst);
        self.known.clear();
    }
}

/// Who a bearer token belongs to. `None`: nobody. At most one statement.
///
/// # Errors
/// The database is out of reach: nobody is let in.
pub async fn authenticate(app: &App, token: &str) -> Result<Option<Actor>> {
    let credential = Credential::of(token);
    let actor = match app.keys().get(&credential) {
        Some(actor) => actor,
        None => {
            let revocations = app.keys().revocations();
            let mut found = store::actors(app.db().reader(), &[credential]).await?;
            let Some(actor) = found.remove(&credential) else {
                return Ok(None);
            };
            app.keys().put(credential, actor.clone(), revocations);
            actor
        }
    };
    let now = app.now();
    Ok(actor.expires_at.is_none_or(|end| now < end).then_some(actor))
}

#[cfg(test)]
mod tests {
    use domain::id::TenantId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_was_read_before_a_revocation_is_not_remembered_after_it() {
        let cache = Cache::default();
        let (credential, actor) = (Credential::of("secret"), Actor::operator(TenantId(Uuid::nil())));
        let before = cache.revocations();
        cache.put(credential, actor.clone(), before);
        assert_eq!(cache.get(&credential), Some(actor.clone()));
        cache.clear();
        assert_eq!(cache.get(&credential), None);
        cache.put(credential, actor, before);
        assert_eq!(
            cache.get(&credential),
            None,
            "the statement may have run before the revocation"
        );
    }
}
