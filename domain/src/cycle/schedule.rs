//! Boundaries of billing cycles, from the anchor, the zone and the number of the cycle. Never from the boundary before, so
//! nothing drifts: a cycle that began on 28 February because there is no 31st ends on 31 March.
//!
//! The boundaries form a *grid* that reaches into the past as well as into the future. Cycle 1 is the part of its cell that is
//! left when the subscription begins (all of it, unless the billing day is another one); every later cycle is a cell.
//!
//! ```text
//! grid      |-------------|-------------|-------------|
//! cycles          |--- 1 -|----- 2 -----|----- 3 -----|
//!                 begins, with a billing day that is not today
//! ```

use jiff::{Span, ToSpan as _, civil::Date};

use crate::{
    plan::interval::{Interval, Length},
    rejection::Rejection,
    time::{Period, Timestamp},
    zone::Zone,
};

/// Everything that decides the boundaries of a subscription's cycles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// How often it comes round.
    pub interval: Interval,
    /// By whose calendar and clock.
    pub zone: Zone,
    /// A boundary of the grid. Its time of day is that of all boundaries.
    pub origin: Timestamp,
    /// The billing day, 1 to 31, for intervals in months. In a shorter month it is the last day.
    pub day: i8,
    /// When the first cycle begins: at a boundary or between two.
    pub start: Timestamp,
    /// Number of the first cycle.
    pub first_number: i64,
}

impl Schedule {
    /// A schedule that begins at `start` with cycle 1.
    ///
    /// Without a billing `day` the first boundary is `start` itself and its time of day stays (source P4: from now to now plus
    /// one month). With one, boundaries are at midnight of that day (source P0: "the 1st or 15th of each month") and the first
    /// cycle is what is left until then.
    ///
    /// # Errors
    /// A day outside 1 to 31.
    pub fn new(start: Timestamp, day: Option<i8>, zone: Zone, interval: Interval) -> Result<Self, Rejection> {
        let today = zone.clock(start);
        let (day, origin) = match day {
            None => (today.day(), start),
            Some(day) if (1..=31).contains(&day) => {
                let month = today.date().first_of_month();
                let midnight = |month: Date| zone.instant(on_day(month, day), jiff::civil::Time::midnight());
                let first = midnight(month);
                let next = month.checked_add(1.month()).map_or(Timestamp::MAX, midnight);
                (day, if first < start { next } else { first })
            }
            Some(_) => {
                return Err(Rejection::invalid("billingAnchorDay", "a billing day is 1 to 31"));
            }
        };
        Ok(Self {
            interval,
            zone,
            origin,
            day,
            start,
            first_number: 1,
        })
    }

    /// The same grid, begun anew at `start` with the cycle `number`: the billing day stays.
    #[must_use]
    pub fn resumed(&self, start: Timestamp, number: i64) -> Self {
        Self {
            start,
            first_number: number,
            ..self.clone()
        }
    }

    /// A schedule of another interval that begins at `start` with the cycle `number`. The billing day stays if `start` is one,
    /// and moves to `start` otherwise.
    #[must_use]
    pub fn changed(&self, interval: Interval, start: Timestamp, number: i64) -> Self {
        let keeps = self.interval.is_in_months() && self.boundary(self.cell(start)) == start;
        Self {
            interval,
            day: if keeps {
                self.day
            } else {
                self.zone.clock(start).day()
            },
            origin: start,
            start,
            first_number: number,
            zone: self.zone.clone(),
        }
    }

    /// A finer schedule inside a cycle: how often a template grants. Aligned with the billing day where both are counted in
    /// months, with the beginning of the cycle otherwise. Its first period has the number 0.
    #[must_use]
    pub fn within(&self, cycle: Period, every: Interval) -> Self {
        if every.is_in_months() && self.interval.is_in_months() {
            return Self {
                interval: every,
                ..self.resumed(cycle.start, 0)
            };
        }
        self.changed(every, cycle.start, 0)
    }

    /// The stretch of a cycle. Cycles tile: each ends where the next begins.
    #[must_use]
    pub fn period(&self, number: i64) -> Period {
        let cell = self.cell(self.start) + (number - self.first_number);
        let start = if number == self.first_number {
            self.start
        } else {
            self.boundary(cell)
        };
        Period {
            start,
            end: self.boundary(cell + 1),
        }
    }

    /// The whole cell of the grid that contains an instant; longer than the cycle where that is a first, short one.
    #[must_use]
    pub fn cell_at(&self, instant: Timestamp) -> Period {
        let cell = self.cell(instant);
        Period {
            start: self.boundary(cell),
            end: self.boundary(cell + 1),
        }
    }

    /// Number of the cycle that contains an instant; smaller than the first for an instant before the schedule.
    #[must_use]
    pub fn number_at(&self, instant: Timestamp) -> i64 {
        self.first_number + self.cell(instant) - self.cell(self.start)
    }

    /// The boundary with an index; 0 is the origin.
    fn boundary(&self, index: i64) -> Timestamp {
        if index == 0 {
            return self.origin;
        }
        let origin = self.zone.clock(self.origin);
        let date = match self.interval.length() {
            Length::Days(days) => Span::new()
                .try_days(days.saturating_mul(index))
                .and_then(|days| origin.date().checked_add(days))
                .ok(),
            Length::Months(months) => {
                let month = i64::from(origin.year()) * 12 + i64::from(origin.month()) - 1;
                first_of(month.saturating_add(months.saturating_mul(index)))
                    .map(|first| on_day(first, self.day))
            }
        };
        match date {
            Some(date) => self.zone.instant(date, origin.time()),
            None if index < 0 => Timestamp::MIN,
            None => Timestamp::MAX,
        }
    }

    /// Index of the last boundary that is not after an instant.
    fn cell(&self, instant: Timestamp) -> i64 {
        let (origin, then) = (self.zone.clock(self.origin), self.zone.clock(instant));
        let mut cell = match self.interval.length() {
            Length::Days(days) => {
                let between = origin.date().until(then.date()).map_or(0, |span| span.get_days());
                i64::from(between).div_euclid(days)
            }
            Length::Months(months) => {
                let years = i64::from(then.year()) - i64::from(origin.year());
                let between = years * 12 + i64::from(then.month()) - i64::from(origin.month());
                between.div_euclid(months)
            }
        };
        // The guess is off by one at most where the day or the time of day decides, by two where a zone skipped a whole day.
        for _ in 0..2 {
            cell -= i64::from(self.boundary(cell) > instant);
        }
        for _ in 0..2 {
            cell += i64::from(self.boundary(cell + 1) <= instant);
        }
        cell
    }
}

/// The day in the month that begins with `first`, or its last day.
fn on_day(first: Date, day: i8) -> Date {
    let last = first.last_of_month();
    if day >= last.day() {
        return last;
    }
    first.with().day(day).build().unwrap_or(last)
}

/// First day of the month so many months after January of the year 0.
fn first_of(month: i64) -> Option<Date> {
    let year = i16::try_from(month.div_euclid(12)).ok()?;
    let month = i8::try_from(month.rem_euclid(12) + 1).ok()?;
    Date::new(year, month, 1).ok()
}
