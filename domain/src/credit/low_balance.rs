//! When a customer is told that few credits are left: when its balance comes down to a threshold that it has set, and once a day at most.
//!
//! Only the way down is told, so that who stays below the threshold hears of it once, and again when the balance has been above it.

use crate::{amount::Credits, rejection::Rejection, time::Timestamp};

/// Refuses a threshold that cannot be: what lies below zero is overdraft, not a balance that is low. `field` is the input at fault.
///
/// # Errors
/// A threshold below zero.
pub fn check(field: &str, threshold: Credits) -> Result<(), Rejection> {
    if threshold.is_negative() {
        return Err(Rejection::invalid(field, "it is zero credits or more"));
    }
    Ok(())
}

/// Whether a change has brought a balance down to a threshold: it was above and is not any more.
#[must_use]
pub fn has_fallen(before: Credits, after: Credits, threshold: Credits) -> bool {
    after <= threshold && threshold < before
}

/// Whether a balance is low by a new threshold, and was not by the former one; `None`: there was none.
#[must_use]
pub fn is_low_by_new(balance: Credits, former: Option<Credits>, threshold: Credits) -> bool {
    balance <= threshold && former.is_none_or(|former| former < balance)
}

/// Whether a customer that was last told at an instant may be told at another one: once per UTC day.
#[must_use]
pub fn may_tell(told_at: Option<Timestamp>, now: Timestamp) -> bool {
    told_at.is_none_or(|told| told.day() < now.day())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credits(whole: i64) -> Credits {
        Credits::from_raw(whole * 1_000_000)
    }

    #[test]
    fn only_the_way_down_is_told() {
        // before, after, whether it is told at a threshold of 10.
        for (before, after, told) in [
            (11, 10, true),
            (100, -5, true),
            (11, 11, false),
            (10, 9, false),
            (9, 8, false),
            (9, 10, false),
            (5, 50, false),
            (50, 11, false),
        ] {
            assert_eq!(
                has_fallen(credits(before), credits(after), credits(10)),
                told,
                "{before} to {after}"
            );
        }
    }

    #[test]
    fn a_new_threshold_is_told_where_it_makes_the_difference() {
        // balance, former threshold, new one.
        for (balance, former, threshold, told) in [
            (5, None, 10, true),
            (10, None, 10, true),
            (11, None, 10, false),
            (5, Some(4), 10, true),
            (5, Some(5), 10, false),
            (5, Some(20), 10, false),
        ] {
            let former = former.map(credits);
            assert_eq!(
                is_low_by_new(credits(balance), former, credits(threshold)),
                told,
                "{balance} {former:?} {threshold}"
            );
        }
    }

    #[test]
    fn once_a_day_by_utc() {
        let at = |text: &str| text.parse().unwrap_or(Timestamp::MIN);
        let told = Some(at("2026-03-10T00:00:01Z"));
        assert!(may_tell(None, at("2026-03-10")));
        assert!(!may_tell(told, at("2026-03-10T23:59:59.999999Z")));
        assert!(may_tell(told, at("2026-03-11T00:00:00Z")));
        // A clock that was set back tells nothing twice.
        assert!(!may_tell(told, at("2026-03-09")));
    }

    #[test]
    fn a_threshold_is_no_overdraft() {
        assert!(check("x", Credits::ZERO).is_ok());
        assert_eq!(
            check("x", credits(-1)).err().map(|no| no.path),
            Some(vec!["x".to_owned()])
        );
    }
}
