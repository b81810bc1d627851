//! What a customer has spent lately, as far as somebody has added it up: days from the newest back, and perhaps not all of them.

use crate::{
    amount::{Credits, Overflow},
    time::{Period, Timestamp},
};

/// What days came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recent {
    /// Each day that something is known of, by its first instant, and what its usage cost; less than zero where more came back.
    pub days: Vec<(Timestamp, Credits)>,
    /// Whether that is all. Otherwise the first of the days may lack something, and days before it may be missing.
    pub is_all: bool,
}

impl Recent {
    /// What was spent in a period of whole days, zero or more; `None`: it is not known.
    ///
    /// # Errors
    /// A sum outside the range of credits.
    pub fn spent_in(&self, period: Period) -> Result<Option<Credits>, Overflow> {
        let oldest = self.days.iter().map(|(day, _)| *day).min();
        if !self.is_all && oldest.is_none_or(|oldest| period.start <= oldest) {
            return Ok(None);
        }
        let within = self.days.iter().filter(|(day, _)| period.contains(*day));
        let sum = Credits::total(within.map(|(_, credits)| *credits))?;
        Ok(Some(sum.max(Credits::ZERO)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spend::Span;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap_or(Timestamp::MIN)
    }

    fn recent(days: &[(&str, i64)], is_all: bool) -> Recent {
        let day = |(day, credits): &(&str, i64)| {
            let day = at(&format!("2026-11-{day}T00:00:00Z"));
            (day, Credits::whole(*credits).unwrap_or_default())
        };
        Recent {
            days: days.iter().map(day).collect(),
            is_all,
        }
    }

    #[test]
    fn what_is_not_known_whole_is_not_known() {
        let days = [("30", 3), ("29", 5), ("10", 7), ("02", -4)];
        let now = at("2026-11-30T15:00:00Z");
        let yesterday = at("2026-11-29T00:00:00Z");
        for (of, span, all, cut) in [
            (now, Span::Day, Some(3), Some(3)),
            (yesterday, Span::Day, Some(5), Some(5)),
            (at("2026-11-28T00:00:00Z"), Span::Day, Some(0), Some(0)),
            (at("2026-11-02T00:00:00Z"), Span::Day, Some(0), None),
            (at("2026-11-01T00:00:00Z"), Span::Day, Some(0), None),
            (now, Span::Month, Some(11), None),
        ] {
            for (is_all, wanted) in [(true, all), (false, cut)] {
                let spent = recent(&days, is_all).spent_in(span.period(of));
                let wanted = wanted.map(|it| Credits::whole(it).unwrap_or_default());
                assert_eq!(spent, Ok(wanted), "{of} {span:?} {is_all}");
            }
        }
        // The first day that was read may be all that there was room for.
        assert_eq!(
            recent(&[("30", 3)], false).spent_in(Span::Day.period(now)),
            Ok(None)
        );
        assert_eq!(
            recent(&[], true).spent_in(Span::Month.period(now)),
            Ok(Some(Credits::ZERO))
        );
        assert_eq!(recent(&[], false).spent_in(Span::Month.period(now)), Ok(None));
    }
}
