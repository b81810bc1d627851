//! What live connections of both kinds have in common: their limits, their seats, and what may run on them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use app::{Actor, actor::Credential};
use async_graphql::parser::types::OperationType;
use axum::http::StatusCode;
use domain::id::TenantId;

use crate::{
    graphql::error,
    http::{Ready, Refusal},
};

/// Limits of live connections, WebSockets and server-sent events alike.
#[derive(Debug, Clone)]
pub struct LiveLimits {
    /// Web pages that may connect besides our own, such as `https://console.example`; `*` means all.
    pub origins: Vec<String>,
    /// Most connections of one key to one process. A backend may well hold one per customer on screen.
    pub per_key: usize,
    /// Most connections of one customer token to one process: a person with a few browser tabs.
    pub per_token: usize,
    /// Most connections to one process: at 16 KiB each they stay well below half a gigabyte.
    pub in_total: usize,
    /// How long a WebSocket may stay anonymous.
    pub init_wait: Duration,
    /// How often a WebSocket is asked whether it lives, and a stream of events shows that it does. Shorter than the idle
    /// limit of common proxies.
    pub ping_every: Duration,
    /// How long a WebSocket may be silent, pongs included.
    pub silence: Duration,
    /// How long one message may take to be accepted by a slow reader.
    pub send_wait: Duration,
}

impl Default for LiveLimits {
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            per_key: 10_000,
            per_token: 20,
            in_total: 20_000,
            init_wait: Duration::from_secs(5),
            ping_every: Duration::from_secs(20),
            silence: Duration::from_secs(40),
            send_wait: Duration::from_secs(10),
        }
    }
}

/// Who sits where: counts the live connections of this process.
#[derive(Debug, Default)]
pub(crate) struct Seats(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_credential: HashMap<Holder, usize>,
}

/// Who holds seats: a key or token, or the command line on behalf of a tenant.
type Holder = (TenantId, Option<Credential>);

/// One live connection of a credential, until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    taken: Arc<Mutex<Taken>>,
    holder: Holder,
}

impl Seats {
    /// A seat, if there is one left.
    pub(crate) fn take(&self, actor: &Actor, limits: &LiveLimits) -> Option<Seat> {
        let holder = (actor.tenant, actor.credential);
        let most = match actor.customer {
            Some(_) => limits.per_token,
            None => limits.per_key,
        };
        let mut taken = lock(&self.0);
        if taken.total >= limits.in_total {
            return None;
        }
        let own = taken.by_credential.entry(holder).or_default();
        if *own >= most {
            return None;
        }
        *own += 1;
        taken.total += 1;
        Some(Seat {
            taken: self.0.clone(),
            holder,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.total -= 1;
        if let Some(own) = taken.by_credential.get_mut(&self.holder) {
            *own -= 1;
            if *own == 0 {
                taken.by_credential.remove(&self.holder);
            }
        }
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Insists that a subscription selects one field, as the language demands: answers of two could not be told apart.
///
/// # Errors
/// It selects several, or through a fragment.
pub(crate) fn check_subscription(ready: &Ready) -> Result<(), Refusal> {
    if ready.kind != OperationType::Subscription || ready.single {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::BAD_REQUEST,
        error::GRAPHQL_VALIDATION_FAILED,
        "a subscription selects exactly one field, and not through a fragment",
    ))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn seats_are_counted_by_credential_and_given_back() {
        let limits = LiveLimits {
            per_key: 2,
            in_total: 3,
            ..LiveLimits::default()
        };
        let seats = Seats::default();
        let actor = |n| Actor::operator(TenantId(Uuid::from_u128(n)));
        let first = seats.take(&actor(1), &limits);
        let second = seats.take(&actor(1), &limits);
        assert!(first.is_some() && second.is_some());
        assert!(seats.take(&actor(1), &limits).is_none(), "two per credential");
        let other = seats.take(&actor(2), &limits);
        assert!(
            other.is_some() && seats.take(&actor(3), &limits).is_none(),
            "three in all"
        );
        drop(first);
        assert!(seats.take(&actor(1), &limits).is_some());
        drop((second, other));
        assert_eq!(lock(&seats.0).total, 0);
        assert!(lock(&seats.0).by_credential.is_empty());
    }
}
