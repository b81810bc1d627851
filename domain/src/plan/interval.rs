//! How often something comes round.

use serde::{Deserialize, Serialize};

use crate::rejection::Rejection;

/// What intervals are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Unit {
    /// Calendar days.
    Day,
    /// Seven calendar days.
    Week,
    /// Calendar months.
    Month,
    /// Three calendar months.
    Quarter,
    /// Twelve calendar months.
    Year,
}

/// Longest interval, in years. Bounds what one cycle has to hold.
const MAX_YEARS: i32 = 10;

/// A number of days, weeks, months, quarters or years: at least one day and at most ten years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Interval {
    /// What is counted.
    pub unit: Unit,
    /// How many; more than zero.
    pub count: i32,
}

/// An interval in the two measures that a calendar has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// So many days.
    Days(i64),
    /// So many months.
    Months(i64),
}

impl Interval {
    /// One day.
    pub const DAILY: Self = Self::every(Unit::Day);
    /// Seven days.
    pub const WEEKLY: Self = Self::every(Unit::Week);
    /// One month.
    pub const MONTHLY: Self = Self::every(Unit::Month);
    /// Three months.
    pub const QUARTERLY: Self = Self::every(Unit::Quarter);
    /// One year.
    pub const YEARLY: Self = Self::every(Unit::Year);

    const fn every(unit: Unit) -> Self {
        Self { unit, count: 1 }
    }

    /// `count` units.
    ///
    /// # Errors
    /// None at all, or more than ten years.
    pub fn new(unit: Unit, count: i32) -> Result<Self, Rejection> {
        let per_year = match unit {
            Unit::Day => 365,
            Unit::Week => 52,
            Unit::Month => 12,
            Unit::Quarter => 4,
            Unit::Year => 1,
        };
        if (1..=per_year * MAX_YEARS).contains(&count) {
            Ok(Self { unit, count })
        } else {
            Err(Rejection::invalid(
                "count",
                format!("it must be 1 to {}", per_year * MAX_YEARS),
            ))
        }
    }

    pub(crate) fn length(self) -> Length {
        let count = i64::from(self.count);
        match self.unit {
            Unit::Day => Length::Days(count),
            Unit::Week => Length::Days(count * 7),
            Unit::Month => Length::Months(count),
            Unit::Quarter => Length::Months(count * 3),
            Unit::Year => Length::Months(count * 12),
        }
    }

    /// Whether it is counted in months, so that it has a billing day.
    #[must_use]
    pub fn is_in_months(self) -> bool {
        matches!(self.length(), Length::Months(_))
    }

    /// Days that it never falls short of, and days that it never exceeds.
    #[must_use]
    pub fn days(self) -> (i64, i64) {
        match self.length() {
            Length::Days(days) => (days, days),
            Length::Months(1) => (28, 31),
            // 400 years have 146,097 days and 4,800 months; no run of months strays further than three days from that.
            Length::Months(months) => {
                let mean = months * 146_097;
                (mean.div_euclid(4_800) - 3, mean.div_euclid(4_800) + 4)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_bounds() {
        for (unit, most) in [
            (Unit::Day, 3_650),
            (Unit::Week, 520),
            (Unit::Month, 120),
            (Unit::Quarter, 40),
            (Unit::Year, 10),
        ] {
            assert!(Interval::new(unit, 1).is_ok() && Interval::new(unit, most).is_ok());
            for count in [i32::MIN, -1, 0, most + 1, i32::MAX] {
                assert!(Interval::new(unit, count).is_err(), "{count} {unit:?}");
            }
        }
    }
}
