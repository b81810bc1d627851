//! Time zones. Billing days begin and end by the customer's clock, so boundaries are calendar dates that become instants here.
//!
//! The rules of all zones are compiled in. Files of the machine are never asked: two processes of one version agree on every
//! boundary, and a container without zone files works. Changed zone rules come with a new version; cycles that are written
//! down keep their boundaries, and the next one begins where the last one ended.

use std::{fmt, str::FromStr, sync::LazyLock};

use jiff::{
    ToSpan as _,
    civil::{Date, DateTime, Time},
    tz::{TimeZone, TimeZoneDatabase},
};

use crate::{
    text::{debug_by_text, serde_by_text},
    time::Timestamp,
};

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone of the IANA database, such as `Europe/Berlin`.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// A text that is not the name of a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be the name of an IANA time zone such as \"Europe/Berlin\"")]
pub struct NotAZone;

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// What a clock in the zone shows.
    pub(crate) fn clock(&self, instant: Timestamp) -> DateTime {
        self.0.to_datetime(instant.jiff())
    }

    /// When a clock in the zone shows this. A time that is skipped in spring becomes the one as much later; of a time that comes
    /// twice in autumn the first is meant.
    pub(crate) fn instant(&self, date: Date, time: Time) -> Timestamp {
        self.0
            .to_ambiguous_timestamp(date.to_datetime(time))
            .compatible()
            .map_or(Timestamp::MAX, |instant| {
                Timestamp::from_micros(instant.as_microsecond())
            })
    }

    /// The same time of day so many calendar days later (earlier when negative), held within 1970 to 9999.
    #[must_use]
    pub fn plus_days(&self, instant: Timestamp, days: i32) -> Timestamp {
        let clock = self.clock(instant);
        match clock.checked_add(i64::from(days).days()) {
            _ if days == 0 => instant,
            Ok(then) => self.instant(then.date(), then.time()),
            Err(_) if days < 0 => Timestamp::MIN,
            Err(_) => Timestamp::MAX,
        }
    }

    /// Whole calendar days from one instant to a later one.
    #[must_use]
    pub fn days_between(&self, from: Timestamp, to: Timestamp) -> i32 {
        let (from, to) = (self.clock(from), self.clock(to));
        let whole = from.date().until(to.date()).map_or(0, |span| span.get_days());
        if to.time() < from.time() { whole - 1 } else { whole }
    }
}

impl FromStr for Zone {
    type Err = NotAZone;

    fn from_str(text: &str) -> Result<Self, NotAZone> {
        let zone = ZONES.get(text).map_err(|_| NotAZone)?;
        // `Etc/Unknown` is a name for not knowing.
        if zone.is_unknown() {
            Err(NotAZone)
        } else {
            Ok(Self(zone))
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

debug_by_text!(Zone);
serde_by_text!(Zone);

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        name.parse().unwrap_or_else(|_| panic!("{name}"))
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn names() {
        for name in ["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia"] {
            assert_eq!(zone(name).name(), name);
        }
        assert_eq!(zone("europe/berlin").name(), "Europe/Berlin");
        assert_eq!(zone("UTC"), Zone::UTC);
        for bad in [
            "",
            "Berlin",
            "+01:00",
            "Europe/Nowhere",
            "Etc/Unknown",
            "../etc/passwd",
        ] {
            assert_eq!(bad.parse::<Zone>(), Err(NotAZone), "{bad}");
        }
    }

    #[test]
    fn days_are_days_of_the_calendar() {
        let berlin = zone("Europe/Berlin");
        // The clocks go forward on 29 March 2026 and back on 25 October 2026.
        for (from, days, to) in [
            ("2026-03-28T11:00:00Z", 1, "2026-03-29T10:00:00Z"),
            ("2026-03-29T10:00:00Z", -1, "2026-03-28T11:00:00Z"),
            ("2026-10-24T10:00:00Z", 1, "2026-10-25T11:00:00Z"),
            ("2026-03-28T01:30:00Z", 1, "2026-03-29T01:30:00Z"),
            ("2026-05-01T00:00:00Z", 0, "2026-05-01T00:00:00Z"),
        ] {
            assert_eq!(berlin.plus_days(at(from), days), at(to), "{from}");
        }
        assert_eq!(
            berlin.days_between(at("2026-03-14T00:00:00Z"), at("2026-04-13T00:00:00Z")),
            30
        );
        assert_eq!(Zone::UTC.plus_days(Timestamp::MIN, -1), Timestamp::MIN);
        assert_eq!(Zone::UTC.plus_days(Timestamp::MAX, 1), Timestamp::MAX);
    }
}
