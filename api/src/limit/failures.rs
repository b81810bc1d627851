//! Failed authentications per address.
//!
//! Who fails too often is told to wait, longer each time, and only few of its credentials are still looked up. A credential
//! that was good before is let in all the same: callers behind one address must not lock each other out.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;

/// The time over which failures are counted.
const WINDOW: Duration = Duration::from_secs(60);
/// The first wait; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);
/// Time without failures after which an address is as good as new.
const FORGIVEN: Duration = Duration::from_secs(2 * 3_600);
/// Credentials that an address may still have looked up per second while it should wait.
const LOOKUPS: u32 = 5;
/// Addresses remembered. When there are more, the harmless ones are forgotten.
const ADDRESSES: usize = 100_000;
/// Good credentials remembered, by a keyed hash.
const GOOD: usize = 10_000;

/// Who has failed, and what was good.
pub(crate) struct Failures {
    /// Failures per [`WINDOW`] and address; 0: no limit.
    most: u32,
    records: Mutex<HashMap<IpAddr, Record>>,
    good: Cache<u64, ()>,
    key: RandomState,
}

#[derive(Debug)]
struct Record {
    since: Instant,
    failures: u32,
    last: Instant,
    wait: Duration,
    until: Option<Instant>,
    second: Instant,
    lookups: u32,
}

impl Failures {
    pub(crate) fn new(most: u32) -> Self {
        Self {
            most,
            records: Mutex::default(),
            good: Cache::new(GOOD),
            key: RandomState::new(),
        }
    }

    /// Whether a credential may be looked up for an address.
    ///
    /// # Errors
    /// How long to wait.
    pub(crate) fn admit(&self, address: IpAddr, credential: &str, now: Instant) -> Result<(), Duration> {
        if self.most == 0 {
            return Ok(());
        }
        let mut records = self.lock();
        let Some(record) = records.get_mut(&address) else {
            return Ok(());
        };
        let Some(wait) = record.left(now) else {
            return Ok(());
        };
        if self.good.get(&self.key.hash_one(credential)).is_some() {
            return Ok(());
        }
        if now.duration_since(record.second) >= Duration::from_secs(1) {
            (record.second, record.lookups) = (now, 0);
        }
        record.lookups += 1;
        if record.lookups > LOOKUPS {
            Err(wait)
        } else {
            Ok(())
        }
    }

    /// A credential was good.
    pub(crate) fn succeeded(&self, credential: &str) {
        if self.most == 0 {
            return;
        }
        let hash = self.key.hash_one(credential);
        if self.good.get(&hash).is_none() {
            self.good.insert(hash, ());
        }
    }

    /// A credential was bad. Answers how long to wait, if it was one too many.
    pub(crate) fn failed(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        if self.most == 0 {
            return None;
        }
        let mut records = self.lock();
        if records.len() >= ADDRESSES && !records.contains_key(&address) {
            records.retain(|_, record| record.left(now).is_some());
            if records.len() >= ADDRESSES {
                records.clear();
            }
        }
        let record = records.entry(address).or_insert_with(|| Record::new(now));
        record.fail(now, self.most);
        record.left(now)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn new(now: Instant) -> Self {
        Self {
            since: now,
            failures: 0,
            last: now,
            wait: FIRST_WAIT,
            until: None,
            second: now,
            lookups: 0,
        }
    }

    /// How much longer it should wait.
    fn left(&self, now: Instant) -> Option<Duration> {
        let left = self.until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    fn fail(&mut self, now: Instant, most: u32) {
        if now.duration_since(self.last) > FORGIVEN {
            *self = Self::new(now);
        }
        self.last = now;
        if self.left(now).is_some() {
            return;
        }
        if now.duration_since(self.since) > WINDOW {
            (self.since, self.failures) = (now, 0);
        }
        self.failures += 1;
        if self.failures > most {
            self.until = Some(now + self.wait);
            self.wait = (self.wait * 2).min(LONGEST_WAIT);
            (self.since, self.failures) = (now, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn the_wait_doubles_up_to_an_hour() {
        let failures = Failures::new(3);
        let mut now = Instant::now();
        let mut expected = FIRST_WAIT;
        for _ in 0..12 {
            for _ in 0..3 {
                assert_eq!(failures.failed(HERE, now), None);
            }
            assert_eq!(failures.failed(HERE, now), Some(expected));
            now += expected;
            expected = (expected * 2).min(LONGEST_WAIT);
        }
        assert_eq!(expected, LONGEST_WAIT);
        now += FORGIVEN + Duration::from_secs(1);
        for _ in 0..3 {
            assert_eq!(failures.failed(HERE, now), None);
        }
        assert_eq!(failures.failed(HERE, now), Some(FIRST_WAIT));
        assert_eq!(failures.failed(THERE, now), None, "others are not meant");
    }

    #[test]
    fn failures_that_are_few_are_forgotten() {
        let failures = Failures::new(3);
        let mut now = Instant::now();
        for _ in 0..100 {
            assert_eq!(failures.failed(HERE, now), None);
            now += Duration::from_secs(21);
        }
    }

    #[test]
    fn what_was_good_before_is_let_in_while_others_wait() {
        let failures = Failures::new(1);
        let now = Instant::now();
        failures.succeeded("good");
        failures.failed(HERE, now);
        assert!(failures.failed(HERE, now).is_some());
        let admitted = (0..100)
            .filter(|_| failures.admit(HERE, "bad", now).is_ok())
            .count();
        assert_eq!(admitted, LOOKUPS as usize);
        assert_eq!(failures.admit(HERE, "good", now), Ok(()));
        assert_eq!(failures.admit(THERE, "bad", now), Ok(()));
        let later = now + Duration::from_secs(1);
        assert_eq!(failures.admit(HERE, "bad", later), Ok(()), "a few per second");
        assert_eq!(failures.admit(HERE, "bad", now + FIRST_WAIT), Ok(()));
    }

    #[test]
    fn memory_is_bounded() {
        let failures = Failures::new(5);
        let now = Instant::now();
        for number in 0..250_000_u32 {
            failures.failed(IpAddr::from(number.to_be_bytes()), now);
        }
        assert!(failures.lock().len() <= ADDRESSES);
    }

    #[test]
    fn zero_is_no_limit() {
        let failures = Failures::new(0);
        let now = Instant::now();
        assert!((0..1_000).all(|_| failures.failed(HERE, now).is_none()));
    }
}
