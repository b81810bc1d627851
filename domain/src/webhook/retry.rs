//! When a message is sent again. What Standard Webhooks asks for: soon at first, then ever more rarely, for about a day.

use uuid::Uuid;

use crate::time::Timestamp;

/// Pauses before the second and each later attempt, in seconds: 5 s, 1 min, 5 min, 30 min, 2 h, 5 h, 8 h, 8 h. Together 23 h 36 min.
const PAUSES: [i64; 8] = [5, 60, 300, 1_800, 7_200, 18_000, 28_800, 28_800];
/// Most attempts that are made by themselves.
pub const MAX_ATTEMPTS: i32 = 1 + PAUSES.len() as i32;
/// Pauses differ by up to a fifth either way, so that what failed together does not come back together.
const JITTER_PERCENT: i64 = 20;
/// Longest pause that a receiver can ask for (`Retry-After`), in seconds: a day.
pub const MAX_ASKED_SECONDS: i64 = 86_400;

/// When a message is sent again after so many attempts, the last of them at an instant; `None`: it is given up. The receiver may have
/// asked to be left alone for so many seconds. `luck` is any number: it decides on the jitter.
#[must_use]
pub fn next_attempt(
    attempts: i32,
    last_at: Timestamp,
    asked_seconds: Option<i64>,
    luck: u64,
) -> Option<Timestamp> {
    let place = usize::try_from(attempts - 1).ok()?;
    let pause = PAUSES.get(place)?;
    let asked = asked_seconds.unwrap_or(0).clamp(0, MAX_ASKED_SECONDS);
    // In thousandths of a second: a fifth of five seconds is one.
    let pause = (pause * 1_000).max(asked * 1_000);
    let widest = pause * JITTER_PERCENT / 100;
    let width = u64::try_from(widest * 2 + 1).unwrap_or(1);
    let shift = i64::try_from(luck % width).unwrap_or(0) - widest;
    // Whoever asks for a pause gets at least that.
    let pause = (pause + shift).max(asked * 1_000);
    Some(Timestamp::from_micros(last_at.micros() + pause * 1_000))
}

/// A number for the jitter: it differs between what is sent and between attempts, and is the same whenever it is asked for.
#[must_use]
pub fn luck(id: Uuid, attempts: i32) -> u64 {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (high, low) = id.as_u64_pair();
    let bits = high ^ low ^ u64::from(attempts.unsigned_abs()).wrapping_mul(SPREAD);
    bits.wrapping_mul(SPREAD) >> 20
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn about_a_day_of_attempts() {
        let mut at = Timestamp::from_micros(0);
        let mut attempts = 1;
        // In the middle of the jitter.
        while let Some(next) = next_attempt(attempts, at, None, middle(attempts)) {
            at = next;
            attempts += 1;
        }
        assert_eq!(attempts, MAX_ATTEMPTS);
        assert_eq!(at.micros() / 60_000_000, 23 * 60 + 36);
    }

    fn middle(attempts: i32) -> u64 {
        let place = usize::try_from(attempts - 1).unwrap_or_default();
        let pause = PAUSES.get(place).copied().unwrap_or_default();
        u64::try_from(pause * 1_000 * JITTER_PERCENT / 100).unwrap_or_default()
    }

    #[test]
    fn a_receiver_is_left_alone_as_long_as_it_asks() {
        let at = Timestamp::from_micros(0);
        let asked = next_attempt(1, at, Some(3_600), 0).map(Timestamp::micros);
        assert_eq!(asked, Some(3_600_000_000));
        let forever = next_attempt(1, at, Some(i64::MAX), 0).map(Timestamp::micros);
        assert_eq!(forever, Some(MAX_ASKED_SECONDS * 1_000_000));
        assert_eq!(next_attempt(MAX_ATTEMPTS, at, Some(1), 0), None);
        assert_eq!(next_attempt(0, at, None, 0), None);
    }

    #[test]
    fn luck_differs_between_messages_and_attempts() {
        let of = |id| (1..9).map(move |attempts| luck(Uuid::from_u128(id), attempts) % 2_001);
        let all: std::collections::BTreeSet<u64> = (0..100).flat_map(of).collect();
        assert!(all.len() > 600, "{}", all.len());
    }

    proptest! {
        #[test]
        fn pauses_stay_within_a_fifth(attempts in 1..MAX_ATTEMPTS, luck: u64, asked in proptest::option::of(0..200_000_i64)) {
            let at = Timestamp::from_micros(7);
            let next = next_attempt(attempts, at, asked, luck);
            let pause = next.map_or(0, |next| next.micros() - 7) / 1_000;
            let asked = asked.unwrap_or(0).min(MAX_ASKED_SECONDS) * 1_000;
            let plain = PAUSES[usize::try_from(attempts - 1).unwrap_or_default()] * 1_000;
            let longer = plain.max(asked);
            prop_assert!(pause >= (longer * 8 / 10).max(asked) && pause <= longer * 12 / 10);
        }
    }
}
