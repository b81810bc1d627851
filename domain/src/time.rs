//! Instants and periods. Time is always an argument; nothing in this crate asks what time it is.

use std::{fmt, str::FromStr};

use jiff::{civil, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// Microseconds in a second.
const MICROS: i64 = 1_000_000;
/// Latest instant that can be written, the end of the year 9999, so that texts stay of one width and sort.
const MAX_MICROS: i64 = 253_402_300_799_999_999;

/// An instant in UTC, kept in whole microseconds since 1970. Both databases store exactly this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(i64);

/// A text that is not an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be an instant such as \"2026-11-20T15:04:05Z\", between the years 1970 and 9999")]
pub struct NotATimestamp;

impl Timestamp {
    /// The start of time: 1970.
    pub const MIN: Self = Self(0);
    /// The end of time: 9999.
    pub const MAX: Self = Self(MAX_MICROS);

    /// From microseconds since 1970, held within 1970 to 9999.
    #[must_use]
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(0, MAX_MICROS))
    }

    /// Microseconds since 1970.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The instant `seconds` later (earlier when negative), held within 1970 to 9999.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self::from_micros(self.0.saturating_add(seconds.saturating_mul(MICROS)))
    }

    /// Seconds from `earlier` to here, rounded down.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> i64 {
        (self.0 - earlier.0).div_euclid(MICROS)
    }

    /// The UTC calendar month that contains this instant.
    #[must_use]
    pub fn month(self) -> Period {
        let first = self.civil().date().first_of_month();
        let next = first
            .checked_add(jiff::Span::new().months(1))
            .unwrap_or(civil::Date::MAX);
        Period {
            start: Self::midnight(first),
            end: Self::midnight(next),
        }
    }

    /// The calendar month of UTC, counted from the year 0.
    #[must_use]
    pub fn months(self) -> i64 {
        let date = self.civil().date();
        i64::from(date.year()) * 12 + i64::from(date.month()) - 1
    }

    /// Midnight UTC at the start of the day of this instant.
    #[must_use]
    pub fn day(self) -> Self {
        Self::midnight(self.civil().date())
    }

    /// Midnight UTC at the end of the day of this instant.
    #[must_use]
    pub fn next_day(self) -> Self {
        Self::midnight(self.civil().date().tomorrow().unwrap_or(civil::Date::MAX))
    }

    fn civil(self) -> civil::DateTime {
        self.jiff().to_zoned(TimeZone::UTC).datetime()
    }

    pub(crate) fn jiff(self) -> jiff::Timestamp {
        // The calendar ends a day before the end of time, so that every zone can show it.
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::MAX)
    }

    /// Midnight UTC at the start of a date.
    fn midnight(date: civil::Date) -> Self {
        date.to_zoned(TimeZone::UTC).map_or(Self::MAX, |zoned| {
            Self::from_micros(zoned.timestamp().as_microsecond())
        })
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with as many decimal places as needed, at most six.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.jiff())
    }
}

impl FromStr for Timestamp {
    type Err = NotATimestamp;

    /// Reads RFC 3339 with any offset, or a date alone (midnight UTC). Finer than a microsecond is cut off.
    fn from_str(text: &str) -> Result<Self, NotATimestamp> {
        let micros = match text.parse::<jiff::Timestamp>() {
            Ok(instant) => instant.as_nanosecond().div_euclid(1_000),
            Err(_) if text.len() == "2026-11-20".len() => {
                let date: civil::Date = text.parse().map_err(|_| NotATimestamp)?;
                let zoned = date.to_zoned(TimeZone::UTC).map_err(|_| NotATimestamp)?;
                i128::from(zoned.timestamp().as_microsecond())
            }
            Err(_) => return Err(NotATimestamp),
        };
        match i64::try_from(micros) {
            Ok(micros) if (0..=MAX_MICROS).contains(&micros) => Ok(Self(micros)),
            _ => Err(NotATimestamp),
        }
    }
}

/// A half-open stretch of time: `start` belongs to it, `end` does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Period {
    /// First instant inside.
    pub start: Timestamp,
    /// First instant after.
    pub end: Timestamp,
}

impl Period {
    /// Whether an instant lies inside.
    #[must_use]
    pub fn contains(&self, instant: Timestamp) -> bool {
        self.start <= instant && instant < self.end
    }

    /// Its bounds in words, such as "2026-01-01 to 2026-02-01": dates where they are midnights in UTC, else full instants.
    #[must_use]
    pub fn in_words(&self) -> String {
        let bound = |at: Timestamp| {
            let text = at.to_string();
            text.strip_suffix("T00:00:00Z")
                .map_or(text.clone(), str::to_owned)
        };
        format!("{} to {}", bound(self.start), bound(self.end))
    }

    /// Its length in seconds, rounded down; zero for one that ends where it begins.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        self.end.seconds_since(self.start).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn months_are_half_open_and_tile() {
        for (instant, start, end) in [
            ("2026-02-01T00:00:00Z", "2026-02-01", "2026-03-01"),
            ("2026-02-28T23:59:59.999999Z", "2026-02-01", "2026-03-01"),
            ("2028-02-29T12:00:00Z", "2028-02-01", "2028-03-01"),
            ("2026-12-31T23:59:59Z", "2026-12-01", "2027-01-01"),
        ] {
            assert_eq!(
                at(instant).month(),
                Period {
                    start: at(start),
                    end: at(end)
                },
                "{instant}"
            );
        }
    }

    #[test]
    fn days_begin_at_midnight() {
        for (instant, day, next) in [
            ("2026-02-28T23:59:59.999999Z", "2026-02-28", "2026-03-01"),
            ("2026-03-01T00:00:00Z", "2026-03-01", "2026-03-02"),
        ] {
            assert_eq!(
                (at(instant).day(), at(instant).next_day()),
                (at(day), at(next)),
                "{instant}"
            );
        }
    }

    #[test]
    fn periods_in_words() {
        for (start, end, words) in [
            ("2026-01-01", "2026-02-01", "2026-01-01 to 2026-02-01"),
            (
                "2025-12-31T23:00:00Z",
                "2026-02-01",
                "2025-12-31T23:00:00Z to 2026-02-01",
            ),
        ] {
            let period = Period {
                start: at(start),
                end: at(end),
            };
            assert_eq!(period.in_words(), words);
        }
    }

    #[test]
    fn texts() {
        assert_eq!(
            at("2026-11-20T15:04:05.1234567+01:00").to_string(),
            "2026-11-20T14:04:05.123456Z"
        );
        assert_eq!(at("2026-11-20").to_string(), "2026-11-20T00:00:00Z");
        for bad in [
            "",
            "yesterday",
            "2026-13-01",
            "1969-12-31T23:59:59Z",
            "2026-11-20T15:04:05",
            "1700000000",
        ] {
            assert_eq!(bad.parse::<Timestamp>(), Err(NotATimestamp), "{bad}");
        }
    }
}
