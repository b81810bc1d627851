//! From a bearer token to an [`Actor`].
//!
//! A credential that was found good is believed for [`Cache::LIFE`], so a revocation reaches other processes within that time
//! and this one at once. One that is in use is asked about again before that time is over, behind the caller's back. Nothing is
//! remembered of tokens that belong to nobody.
//!
//! While the database is out of reach nobody is let in, with one exception that the vendor has to choose: when the gate is to
//! let customers go on in an outage, credentials that were good minutes ago may still ask it. Whatever else they want has to wait,
//! as it would without the exception.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use quick_cache::sync;

use super::store;
use crate::{
    App,
    actor::{Actor, Credential, Scope},
    error::{Error, Result},
    gate::Unsure,
};

/// How long the database may take to tell about a credential that may ask the gate in an outage.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long after a failure it is not asked about such credentials again.
const PAUSE: Duration = Duration::from_secs(1);

/// Credentials that were looked up a moment ago.
#[derive(Debug)]
pub struct Cache {
    known: sync::Cache<Credential, Arc<Known>>,
    /// Grows with every revocation, so that what was read before one is not remembered after it.
    revocations: AtomicU64,
    /// When the database last failed to tell in time.
    failed: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Known {
    actor: Actor,
    since: Instant,
    renewing: AtomicBool,
}

impl Known {
    fn is_fresh(&self) -> bool {
        self.since.elapsed() < Cache::LIFE
    }

    /// Whether it is to be asked about again; once.
    fn wants_renewal(&self) -> bool {
        self.since.elapsed() > Cache::RENEWED_AFTER && !self.renewing.swap(true, Ordering::Relaxed)
    }

    /// What is left of it in an outage.
    fn in_outage(&self) -> Option<Actor> {
        let recent = self.since.elapsed() < Cache::OUTAGE_LIFE;
        (recent && self.actor.require(Scope::EntitlementRead).is_ok()).then(|| Actor {
            confirmed: false,
            ..self.actor.clone()
        })
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            known: sync::Cache::new(Self::MAX_KNOWN),
            revocations: AtomicU64::new(0),
            failed: Mutex::default(),
        }
    }
}

impl Cache {
    /// How long a credential is believed without asking the database again. Together with the pause of the
    /// [sentry](super::sentry) it stays below the five seconds that are promised for open streams.
    pub const LIFE: Duration = Duration::from_secs(3);
    /// When one that is in use is asked about again, so that its callers need not wait.
    const RENEWED_AFTER: Duration = Duration::from_secs(2);
    /// How long a credential may ask the gate in an outage, if the gate is to let customers go on.
    const OUTAGE_LIFE: Duration = Duration::from_secs(15 * 60);
    /// Credentials kept, at some 200 bytes each: keys are few, tokens are as many as open dashboards.
    const MAX_KNOWN: usize = 20_000;

    fn get(&self, credential: &Credential) -> Option<Arc<Known>> {
        self.known.get(credential)
    }

    /// Remembers what was read when there had been so many revocations, or that there is no such credential any more.
    fn put(&self, credential: Credential, since: Instant, actor: Option<Actor>, revocations: u64) {
        if self.revocations() != revocations {
            return;
        }
        let known = |actor| Known {
            actor,
            since,
            renewing: AtomicBool::new(false),
        };
        match actor {
            Some(actor) => self.known.insert(credential, Arc::new(known(actor))),
            None => drop(self.known.remove(&credential)),
        }
        // A revocation between the look and the insertion has cleared too early.
        if self.revocations() != revocations {
            self.known.remove(&credential);
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

    fn has_just_failed(&self) -> bool {
        let failed = *self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|at| at.elapsed() < PAUSE)
    }

    fn has_failed(&self) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// Who a bearer token belongs to. `None`: nobody. At most one statement.
///
/// # Errors
/// The database is out of reach: nobody is let in, or only to ask the gate.
pub async fn authenticate(app: &App, token: &str) -> Result<Option<Actor>> {
    let credential = Credential::of(token);
    let actor = match app.keys().get(&credential) {
        Some(known) if known.is_fresh() => {
            if known.wants_renewal() {
                renew(app.clone(), credential, known.clone());
            }
            Some(known.actor.clone())
        }
        stale => match stale.and_then(|known| known.in_outage()) {
            Some(actor) if app.limits().gate.outage == Unsure::Allow => {
                Box::pin(or_in_outage(app.keys(), actor, look_up(app, credential))).await?
            }
            // Seldom needed, so that a request takes room for it then.
            _ => Box::pin(look_up(app, credential)).await?,
        },
    };
    let now = app.now();
    Ok(actor.filter(|actor| actor.expires_at.is_none_or(|end| now < end)))
}

/// Asks the database, and remembers the answer.
async fn look_up(app: &App, credential: Credential) -> Result<Option<Actor>> {
    let (since, revocations) = (Instant::now(), app.keys().revocations());
    let mut found = store::actors(app.db().reader(), &[credential]).await?;
    let actor = found.remove(&credential);
    app.keys().put(credential, since, actor.clone(), revocations);
    Ok(actor)
}

/// Asks the database without making anybody wait. What it does not tell is asked by the next caller after [`Cache::LIFE`].
fn renew(app: App, credential: Credential, known: Arc<Known>) {
    tokio::spawn(async move {
        if let Err(error) = look_up(&app, credential).await {
            tracing::warn!(%error, "a credential could not be confirmed");
            known.renewing.store(false, Ordering::Relaxed);
        }
    });
}

/// What the database tells, if it does so soon; otherwise what is left in an outage.
async fn or_in_outage(
    keys: &Cache,
    left: Actor,
    looking_up: impl Future<Output = Result<Option<Actor>>>,
) -> Result<Option<Actor>> {
    if keys.has_just_failed() {
        return Ok(Some(left));
    }
    match tokio::time::timeout(PATIENCE, looking_up).await {
        Ok(Ok(actor)) => Ok(actor),
        Ok(Err(Error::Unavailable(_))) | Err(_) => {
            keys.has_failed();
            Ok(Some(left))
        }
        Ok(Err(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use domain::id::TenantId;
    use uuid::Uuid;

    use super::*;

    fn operator() -> Actor {
        Actor::operator(TenantId(Uuid::nil()))
    }

    fn kept(cache: &Cache, credential: Credential) -> Option<Actor> {
        cache.get(&credential).map(|known| known.actor.clone())
    }

    #[test]
    fn what_was_read_before_a_revocation_is_not_remembered_after_it() {
        let cache = Cache::default();
        let (credential, now) = (Credential::of("secret"), Instant::now());
        let before = cache.revocations();
        cache.put(credential, now, Some(operator()), before);
        assert_eq!(kept(&cache, credential), Some(operator()));
        cache.clear();
        assert_eq!(kept(&cache, credential), None);
        cache.put(credential, now, Some(operator()), before);
        assert_eq!(
            kept(&cache, credential),
            None,
            "the statement may have run before the revocation"
        );
    }

    #[test]
    fn a_credential_is_renewed_in_time_and_by_one_caller() {
        let cache = Cache::default();
        let credential = Credential::of("secret");
        let ages = [(0, true, false), (2_500, true, true), (3_100, false, true)];
        for (millis, fresh, renewal) in ages {
            let since = Instant::now().checked_sub(Duration::from_millis(millis)).unwrap();
            cache.put(credential, since, Some(operator()), 0);
            let known = cache.get(&credential).unwrap();
            assert_eq!(
                (known.is_fresh(), known.wants_renewal()),
                (fresh, renewal),
                "{millis}"
            );
            assert!(!known.wants_renewal(), "another one does it already");
        }
        cache.put(credential, Instant::now(), None, 0);
        assert_eq!(kept(&cache, credential), None, "it has been revoked elsewhere");
    }

    #[test]
    fn an_outage_leaves_the_gate_and_not_for_ever() {
        let known = |age, actor| Known {
            actor,
            since: Instant::now().checked_sub(age).unwrap(),
            renewing: AtomicBool::new(false),
        };
        let minute = Duration::from_secs(60);
        let left = known(minute, operator()).in_outage().unwrap();
        assert!(left.require(Scope::EntitlementRead).is_ok());
        let record = left.require(Scope::UsageWrite);
        assert!(
            matches!(record, Err(Error::Unavailable(_))),
            "to be tried again: {record:?}"
        );
        assert!(known(16 * minute, operator()).in_outage().is_none());
        let mut writer = operator();
        writer.scopes = vec![Scope::UsageWrite];
        assert!(known(minute, writer).in_outage().is_none());
    }

    #[tokio::test]
    async fn in_an_outage_few_wait() {
        let (keys, left) = (Cache::default(), operator());
        let begun = Instant::now();
        for _ in 0..10 {
            let found = or_in_outage(&keys, left.clone(), std::future::pending()).await;
            assert_eq!(found.unwrap(), Some(operator()));
        }
        assert!(begun.elapsed() < 2 * PATIENCE, "only the first has waited");
        let gone = or_in_outage(&Cache::default(), left, std::future::ready(Ok(None))).await;
        assert_eq!(gone.unwrap(), None, "what the database tells counts");
    }
}
