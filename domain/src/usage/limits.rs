//! When an event may have happened.

use super::event::Refusal;
use crate::time::Timestamp;

/// How far ahead of us a producer's clock may run, in seconds. Further would consume the next cycle before it begins.
pub const MAX_AHEAD_SECONDS: i64 = 5 * 60;
/// How long ago an event may have happened unless configured otherwise, in days. Idempotency keys are kept longer.
pub const DEFAULT_BACK_DATE_DAYS: i64 = 35;

/// Checks when an event happened. `None` for `max_age_seconds`: any age is welcome (import of history).
///
/// # Errors
/// In the future, or too long ago.
pub fn check_occurred_at(
    occurred: Timestamp,
    now: Timestamp,
    max_age_seconds: Option<i64>,
) -> Result<(), Refusal> {
    if occurred > now.plus_seconds(MAX_AHEAD_SECONDS) {
        return Err(Refusal::OccurredInFuture);
    }
    match max_age_seconds {
        Some(age) if occurred < now.plus_seconds(-age) => Err(Refusal::OccurredTooLongAgo),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_inclusive() {
        let now = Timestamp::from_micros(10_000_000_000_000);
        let day = 86_400;
        for (micros, age, answer) in [
            (300_000_000, Some(day), Ok(())),
            (300_000_001, Some(day), Err(Refusal::OccurredInFuture)),
            (-86_400_000_000, Some(day), Ok(())),
            (-86_400_000_001, Some(day), Err(Refusal::OccurredTooLongAgo)),
            (-86_400_000_001, None, Ok(())),
        ] {
            let occurred = Timestamp::from_micros(now.micros() + micros);
            assert_eq!(check_occurred_at(occurred, now, age), answer, "{micros}");
        }
    }
}
