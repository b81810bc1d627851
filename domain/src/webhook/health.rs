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

/// How one attempt at an endpoint went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// When it began.
    pub began_at: Timestamp,
    /// Whether it went well.
    pub delivered: bool,
    /// How long the receiver asked to be left alone, in seconds.
    pub asked_seconds: Option<i64>,
}

impl Health {
    /// After one more attempt that ended at an instant. One that went well makes all earlier failures forgotten. What was on its way already
    /// when a rest began says nothing new: it neither ends the rest nor makes it longer.
    #[must_use]
    pub fn after(self, heard: Heard, now: Timestamp) -> Self {
        let rest = self.resting_until.filter(|until| heard.began_at < *until);
        if heard.delivered {
            return Self {
                resting_until: rest,
                ..Self::default()
            };
        }
        let is_known = rest.is_some() && self.failures >= PATIENCE;
        let failures = self.failures.saturating_add(i32::from(!is_known));
        let asked = heard
            .asked_seconds
            .map(|seconds| seconds.clamp(0, super::retry::MAX_ASKED_SECONDS));
        let own = if is_known { None } else { rest_after(failures) };
        let until = own.max(asked).map(|seconds| now.plus_seconds(seconds));
        Self {
            failures,
            failing_since: self.failing_since.or(Some(now)),
            resting_until: until.max(rest),
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

    fn failed(began_at: Timestamp) -> Heard {
        Heard {
            began_at,
            delivered: false,
            asked_seconds: None,
        }
    }

    fn well(began_at: Timestamp) -> Heard {
        Heard {
            delivered: true,
            ..failed(began_at)
        }
    }

    #[test]
    fn rests_grow_with_failures() {
        let mut now = Timestamp::from_micros(0);
        let mut health = Health::default();
        let mut rests = Vec::new();
        for _ in 0..10 {
            health = health.after(failed(now), now);
            rests.push(health.resting_until.map_or(0, |until| until.seconds_since(now)));
            now = health.resting_until.unwrap_or(now);
        }
        assert_eq!(rests, [0, 0, 0, 0, 10, 30, 60, 300, 300, 300]);
        assert_eq!((health.at_once(64), Health::default().at_once(64)), (1, 64));
        assert_eq!(health.after(well(now), now), Health::default());
    }

    #[test]
    fn what_fails_together_is_one_blow() {
        let now = Timestamp::from_micros(0);
        let together = (0..64).fold(Health::default(), |health, _| health.after(failed(now), now));
        assert_eq!(together.resting_until, Some(now.plus_seconds(10)));
        // One that was on its way and came through does not end the rest, but it is not the endpoint that fails.
        let through = together.after(well(now), now);
        assert_eq!(
            (through.failures, through.resting_until),
            (0, together.resting_until)
        );
        let later = now.plus_seconds(10);
        let again = together.after(failed(later), later);
        assert_eq!(again.resting_until, Some(later.plus_seconds(30)));
    }

    #[test]
    fn what_a_receiver_asks_for_counts_for_the_endpoint() {
        let now = Timestamp::from_micros(0);
        let asked = Heard {
            asked_seconds: Some(120),
            ..failed(now)
        };
        let health = Health::default().after(asked, now);
        assert_eq!(health.resting_until, Some(now.plus_seconds(120)));
        // Whatever came through beside it.
        let health = health.after(well(now), now);
        assert_eq!(health.resting_until, Some(now.plus_seconds(120)));
        let longer = Heard {
            asked_seconds: Some(600),
            ..failed(now)
        };
        assert_eq!(
            health.after(longer, now).resting_until,
            Some(now.plus_seconds(600))
        );
    }

    #[test]
    fn days_of_nothing_but_failures_are_enough() {
        let begun = Timestamp::from_micros(0);
        let health = Health::default().after(failed(begun), begun);
        let end = begun.plus_seconds(HOPELESS_AFTER_SECONDS);
        let health = health.after(failed(end.plus_seconds(-1)), end.plus_seconds(-1));
        assert!(!health.is_hopeless(end.plus_seconds(-1)));
        assert!(health.is_hopeless(end));
        assert!(!Health::default().is_hopeless(begun));
    }
}
