//! How often a credential may ask: token buckets per credential and kind of request.
//!
//! A request costs points, not one each, so that large requests do not slip through. The buckets are in the memory of this
//! process: with several processes a credential has several times as much.

use std::num::NonZeroU32;

use app::{Actor, Credential};
use axum::http::{HeaderMap, HeaderValue};
use domain::id::TenantId;
use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::StateInformationMiddleware,
    state::keyed::HashMapStateStore,
};

use super::RateLimits;
use crate::document::Class;

/// Seconds' worth of points that may come at once.
const WINDOW: u32 = 2;
/// Fields and values that one point pays for.
const NODES_PER_POINT: u32 = 50;
/// Bytes of a body that one point pays for.
const BYTES_PER_POINT: usize = 16 * 1024;

/// Whose bucket it is.
type Who = (TenantId, Option<Credential>);
type Limiter<C> = RateLimiter<Who, HashMapStateStore<Who>, C, StateInformationMiddleware>;

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Charge {
    pub(crate) class: Class,
    pub(crate) points: u32,
}

impl Charge {
    /// The charge for a document with so many nodes in a request with so many bytes.
    pub(crate) fn new(class: Class, nodes: u32, bytes: usize) -> Self {
        let large = u32::try_from(bytes / BYTES_PER_POINT).unwrap_or(u32::MAX);
        Self {
            class,
            points: nodes.div_ceil(NODES_PER_POINT).max(1).saturating_add(large),
        }
    }

    /// The charge for a request that is not executed: somebody had to read it.
    pub(crate) fn refused(bytes: usize) -> Self {
        Self::new(Class::Read, 0, bytes)
    }
}

/// What was paid, and what is left.
#[derive(Debug, Clone)]
pub(crate) struct Spent {
    /// Points of this request.
    pub(crate) requested: u32,
    /// Most points at once.
    pub(crate) limit: u32,
    /// Points left now.
    pub(crate) remaining: u32,
    rate: u32,
    name: &'static str,
    policy: HeaderValue,
}

impl Spent {
    /// Says so in the headers of the IETF's draft.
    pub(crate) fn put_into(&self, headers: &mut HeaderMap) {
        let full_in = (self.limit - self.remaining.min(self.limit)).div_ceil(self.rate);
        let now = format!("\"{}\";r={};t={full_in}", self.name, self.remaining);
        headers.insert("ratelimit-policy", self.policy.clone());
        if let Ok(now) = HeaderValue::from_str(&now) {
            headers.insert("ratelimit", now);
        }
    }
}

/// The buckets of all keys.
pub(crate) struct Rates<C: Clock = MonotonicClock> {
    usage: Option<Bucket<C>>,
    checks: Option<Bucket<C>>,
    writes: Option<Bucket<C>>,
    reads: Option<Bucket<C>>,
    tokens: Option<Bucket<C>>,
}

struct Bucket<C: Clock> {
    name: &'static str,
    rate: NonZeroU32,
    burst: NonZeroU32,
    policy: HeaderValue,
    limiter: Limiter<C>,
    clock: C,
}

impl Rates {
    pub(crate) fn new(limits: &RateLimits) -> Self {
        Self::with_clock(limits, &MonotonicClock)
    }
}

impl<C: Clock + Clone> Rates<C> {
    fn with_clock(limits: &RateLimits, clock: &C) -> Self {
        Self {
            usage: Bucket::new("usage", limits.usage, clock),
            checks: Bucket::new("checks", limits.checks, clock),
            writes: Bucket::new("writes", limits.writes, clock),
            reads: Bucket::new("reads", limits.reads, clock),
            tokens: Bucket::new("tokens", limits.tokens, clock),
        }
    }

    /// Takes the points of a request. `None`: there is no limit.
    ///
    /// # Errors
    /// There are not enough: what there is, and the seconds to wait.
    pub(crate) fn spend(&self, actor: &Actor, charge: Charge) -> Result<Option<Spent>, (Spent, u64)> {
        let bucket = match charge.class {
            _ if actor.customer.is_some() => &self.tokens,
            Class::Usage => &self.usage,
            Class::Check => &self.checks,
            Class::Write => &self.writes,
            Class::Read | Class::Live => &self.reads,
        };
        let who = (actor.tenant, actor.credential);
        bucket
            .as_ref()
            .map(|bucket| bucket.spend(&who, charge.points))
            .transpose()
    }

    /// Forgets keys whose buckets are full again.
    pub(crate) fn tidy(&self) {
        let all = [&self.usage, &self.checks, &self.writes, &self.reads, &self.tokens];
        for bucket in all.into_iter().flatten() {
            bucket.limiter.retain_recent();
        }
    }
}

impl<C: Clock + Clone> Bucket<C> {
    fn new(name: &'static str, rate: u32, clock: &C) -> Option<Self> {
        let rate = NonZeroU32::new(rate)?;
        let burst = rate.saturating_mul(NonZeroU32::new(WINDOW)?);
        let quota = Quota::per_second(rate).allow_burst(burst);
        let policy = HeaderValue::from_str(&format!("\"{name}\";q={burst};w={WINDOW}")).ok()?;
        Some(Self {
            name,
            rate,
            burst,
            policy,
            limiter: RateLimiter::hashmap_with_clock(quota, clock.clone())
                .with_middleware::<StateInformationMiddleware>(),
            clock: clock.clone(),
        })
    }

    fn spend(&self, who: &Who, points: u32) -> Result<Spent, (Spent, u64)> {
        // What costs more than the bucket holds takes all of it.
        let points = NonZeroU32::new(points).unwrap_or(NonZeroU32::MIN).min(self.burst);
        let spent = |remaining| Spent {
            requested: points.get(),
            limit: self.burst.get(),
            remaining,
            rate: self.rate.get(),
            name: self.name,
            policy: self.policy.clone(),
        };
        match self.limiter.check_key_n(who, points) {
            Ok(Ok(state)) => Ok(spent(state.remaining_burst_capacity())),
            Ok(Err(not_until)) => {
                let wait = not_until.wait_time_from(self.clock.now());
                Err((spent(0), wait.as_secs() + u64::from(wait.subsec_nanos() > 0)))
            }
            // Not reached: the points were cut to what fits.
            Err(_) => Err((spent(0), u64::from(WINDOW))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::id::CustomerId;
    use governor::clock::FakeRelativeClock;
    use uuid::Uuid;

    use super::*;

    fn limits(reads: u32) -> RateLimits {
        RateLimits {
            usage: 0,
            checks: 1,
            writes: 1,
            reads,
            tokens: 1,
        }
    }

    fn charge(class: Class, points: u32) -> Charge {
        Charge { class, points }
    }

    #[test]
    fn large_requests_cost_more() {
        assert_eq!(Charge::new(Class::Check, 5, 300).points, 1);
        assert_eq!(Charge::new(Class::Usage, 13, 15_000).points, 1);
        assert_eq!(Charge::new(Class::Usage, 13, 160_000).points, 10);
        assert_eq!(Charge::new(Class::Read, 2_000, 300).points, 40);
    }

    #[test]
    fn a_bucket_runs_empty_and_fills_again() {
        let clock = FakeRelativeClock::default();
        let rates = Rates::with_clock(&limits(10), &clock);
        let actor = Actor::operator(TenantId(Uuid::from_u128(1)));
        let read = |points| rates.spend(&actor, charge(Class::Read, points));
        assert_eq!(read(15).unwrap().unwrap().remaining, 5);
        let (spent, wait) = read(10).unwrap_err();
        assert_eq!((spent.remaining, spent.limit, wait), (0, 20, 1));
        assert_eq!(read(5).unwrap().unwrap().remaining, 0);
        clock.advance(Duration::from_secs(1));
        assert_eq!(read(10).unwrap().unwrap().remaining, 0);
        clock.advance(Duration::from_secs(60));
        let spent = read(1_000).unwrap().unwrap();
        assert_eq!(
            (spent.requested, spent.remaining),
            (20, 0),
            "what is too large takes all"
        );
        let mut headers = HeaderMap::new();
        spent.put_into(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"reads\";q=20;w=2");
        assert_eq!(headers["ratelimit"], "\"reads\";r=0;t=2");
    }

    #[test]
    fn keys_and_kinds_have_buckets_of_their_own() {
        let clock = FakeRelativeClock::default();
        let rates = Rates::with_clock(&limits(1), &clock);
        let one = Actor::operator(TenantId(Uuid::from_u128(1)));
        let other = Actor {
            credential: Some(Credential::of("another")),
            ..one.clone()
        };
        let token = Actor {
            customer: Some(CustomerId(Uuid::from_u128(3))),
            ..other.clone()
        };
        assert!(rates.spend(&one, charge(Class::Read, 2)).is_ok());
        assert!(rates.spend(&one, charge(Class::Read, 1)).is_err());
        assert!(rates.spend(&one, charge(Class::Live, 1)).is_err());
        assert!(rates.spend(&one, charge(Class::Check, 1)).is_ok());
        assert!(rates.spend(&other, charge(Class::Read, 1)).is_ok());
        assert!(
            rates
                .spend(&one, charge(Class::Usage, u32::MAX))
                .unwrap()
                .is_none()
        );
        assert!(rates.spend(&token, charge(Class::Read, 2)).is_ok());
        assert!(rates.spend(&token, charge(Class::Check, 1)).is_err());
        clock.advance(Duration::from_secs(60));
        rates.tidy();
        assert_eq!(rates.reads.as_ref().unwrap().limiter.len(), 0);
    }
}
