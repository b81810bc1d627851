//! How an endpoint fares. One that keeps failing is asked ever more rarely, with one message at a time, so that it costs nobody else
//! anything; after days of nothing but failures it is left alone until somebody switches it on again.

use crate::time::Timestamp;

/// Failures in a row after which an endpoint rests between attempts.
const PATIENCE: i32 = 5;
/// How long it rests, in seconds, after each further failure; the last one stays: 10 s, 30 s, 1 min, 5 min.
const RESTS: [i64; 4] = [10, 30, 60, 300];
/// An endpoint is switched off when nothing but failures have been heard of it for so long, in seconds: five days.
pub const HOPELESS_AFTER_SECONDS: i64 = 5 * 86_400;

/// What is known of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// Failed attempts since the last that went well.
    pub failures: i32,
    /// When the first of them was.
    pub failing_since: Option<Timestamp>,
    /// Nothing is sent to it before.
    pub resting_until: Option<Timestamp>,
}

/// How some attempts at an endpoint went, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Heard {
    /// Attempts that went well.
    pub delivered: i32,
    /// Attempts that failed.
    pub failed: i32,
    /// How long the receiver asked to be left alone, in seconds; the longest wish counts.
    pub asked_seconds: Option<i64>,
    /// The receiver said that it is gone for good (410).
    pub gone: bool,
}

impl Health {
    /// After some attempts that ended at an instant. One that went well makes all earlier failures forgotten.
    #[must_use]
    pub fn after(self, heard: Heard, now: Timestamp) -> Self {
        if heard.delivered == 0 && heard.failed == 0 {
            return self;
        }
        if heard.delivered > 0 {
            return Self::default();
        }
        let failures = self.failures.saturating_add(heard.failed);
        let asked = heard
            .asked_seconds
            .map(|seconds| seconds.clamp(0, super::retry::MAX_ASKED_SECONDS));
        let rest = rest_after(failures).max(asked);
        Self {
            failures,
            failing_since: self.failing_since.or(Some(now)),
            resting_until: rest.map(|seconds| now.plus_seconds(seconds)),
        }
    }

    /// Whether it fails now.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Whether it has only failed for so long that it is switched off.
    #[must_use]
    pub fn is_hopeless(&self, now: Timestamp) -> bool {
        self.failing_since
            .is_some_and(|since| since.plus_seconds(HOPELESS_AFTER_SECONDS) <= now)
    }

    /// Messages that may be on their way at once, of at most so many: one, while it fails.
    #[must_use]
    pub fn at_once(&self, most: i32) -> i32 {
        if self.failures >= PATIENCE { 1 } else { most.max(1) }
    }
}

/// Seconds of rest after so many failures in a row.
fn rest_after(failures: i32) -> Option<i64> {
    let beyond = usize::try_from(failures - PATIENCE).ok()?;
    RESTS.get(beyond.min(RESTS.len() - 1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: Heard = Heard {
        delivered: 0,
        failed: 1,
        asked_seconds: None,
        gone: false,
    };

    #[test]
    fn rests_grow_with_failures() {
        let now = Timestamp::from_micros(0);
        let mut health = Health::default();
        let mut rests = Vec::new();
        for _ in 0..10 {
            health = health.after(FAILED, now);
            rests.push(health.resting_until.map_or(0, |until| until.micros() / 1_000_000));
        }
        assert_eq!(rests, [0, 0, 0, 0, 10, 30, 60, 300, 300, 300]);
        assert_eq!((health.at_once(64), Health::default().at_once(64)), (1, 64));
        let well = Heard {
            delivered: 1,
            failed: 3,
            ..FAILED
        };
        assert_eq!(health.after(well, now), Health::default());
    }

    #[test]
    fn what_a_receiver_asks_for_counts_for_the_endpoint() {
        let now = Timestamp::from_micros(0);
        let asked = Heard {
            asked_seconds: Some(120),
            ..FAILED
        };
        let health = Health::default().after(asked, now);
        assert_eq!(health.resting_until, Some(now.plus_seconds(120)));
    }

    #[test]
    fn days_of_nothing_but_failures_are_enough() {
        let begun = Timestamp::from_micros(0);
        let health = Health::default().after(FAILED, begun);
        let health = health.after(FAILED, begun.plus_seconds(HOPELESS_AFTER_SECONDS - 1));
        assert!(!health.is_hopeless(begun.plus_seconds(HOPELESS_AFTER_SECONDS - 1)));
        assert!(health.is_hopeless(begun.plus_seconds(HOPELESS_AFTER_SECONDS)));
        assert!(!Health::default().is_hopeless(begun));
    }
}
