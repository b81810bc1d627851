//! Counting what is spent in a period, and telling once that a limit is reached.

use super::{Limits, Mode, Rule, Span};
use crate::{
    amount::{Credits, Overflow},
    time::{Period, Timestamp},
};

/// Seconds after the end of a period within which it is still told that one of its limits was reached: its last usage is debited a little
/// later. What comes after that is history.
pub const TOLD_WITHIN_SECONDS: i64 = 86_400;

/// A limit that can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// Where the customer wants to be told.
    Threshold,
    /// All that may be spent.
    Budget,
}

/// Which limits of a period have been told, so that each is told once however often it is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// The threshold.
    pub threshold: bool,
    /// The budget.
    pub budget: bool,
}

impl Told {
    /// All of them: nothing is to be told any more.
    pub const ALL: Self = Self {
        threshold: true,
        budget: true,
    };

    /// As it is kept: the threshold counts 1, the budget 2.
    #[must_use]
    pub fn bits(self) -> i32 {
        i32::from(self.threshold) | i32::from(self.budget) << 1
    }

    /// From how it is kept.
    #[must_use]
    pub fn from_bits(bits: i32) -> Self {
        Self {
            threshold: bits & 1 != 0,
            budget: bits & 2 != 0,
        }
    }
}

/// A limit that has been reached, as it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// Which.
    pub limit: Limit,
    /// Of what period.
    pub span: Span,
    /// From when to when what is spent is counted.
    pub period: Period,
    /// The limit.
    pub credits: Credits,
    /// What has been spent.
    pub used: Credits,
    /// What becomes of further usage.
    pub mode: Mode,
}

/// What has been spent in one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// How long it is.
    pub span: Span,
    /// Its first instant.
    pub start: Timestamp,
    /// The sum of what its usage cost. Below zero where a falling price returned more than the period has cost.
    pub credits: Credits,
    /// What of that sum comes from prices that changed when usage was taken back: the difference to the own costs of the events.
    pub corrected: Credits,
    /// What has been told of it.
    pub told: Told,
}

impl Tally {
    /// The period that contains an instant, with nothing spent.
    #[must_use]
    pub fn begin(span: Span, at: Timestamp) -> Self {
        Self {
            span,
            start: span.period(at).start,
            credits: Credits::ZERO,
            corrected: Credits::ZERO,
            told: Told::default(),
        }
    }

    /// From when to when it counts.
    #[must_use]
    pub fn period(&self) -> Period {
        self.span.period(self.start)
    }

    /// What has been spent, zero or more.
    #[must_use]
    pub fn used(&self) -> Credits {
        self.credits.max(Credits::ZERO)
    }

    /// Usage costs so much; less than zero when it is taken back.
    ///
    /// # Errors
    /// A sum outside the range of credits.
    pub fn add(&mut self, credits: Credits) -> Result<(), Overflow> {
        self.credits = self.credits.plus(credits)?;
        Ok(())
    }

    /// The limits that are reached and have not been told. They count as told from now on.
    pub fn news(&mut self, rule: &Rule, now: Timestamp) -> Vec<Reached> {
        let period = self.period();
        if now > period.end.plus_seconds(TOLD_WITHIN_SECONDS) {
            return Vec::new();
        }
        let Limits { threshold, budget } = rule.limits(self.span);
        let used = self.used();
        let told = &mut self.told;
        let limits = [
            (Limit::Threshold, threshold, &mut told.threshold),
            (Limit::Budget, budget, &mut told.budget),
        ];
        let mut news = Vec::new();
        for (limit, credits, told) in limits {
            let Some(credits) = credits.filter(|credits| used >= *credits) else {
                continue;
            };
            if !std::mem::replace(told, true) {
                news.push(Reached {
                    limit,
                    span: self.span,
                    period,
                    credits,
                    used,
                    mode: rule.mode,
                });
            }
        }
        news
    }

    /// The customer has other limits from now on: what was told of the old ones says nothing of the new. Of a period that is over the new ones
    /// are never told: they did not hold in it.
    pub fn agree(&mut self, before: &Rule, after: &Rule, now: Timestamp) {
        let is_over = !self.period().contains(now);
        let (old, new) = (before.limits(self.span), after.limits(self.span));
        if old.threshold != new.threshold {
            self.told.threshold = is_over;
        }
        // One that is enforced from now on says more than one that was observed.
        if old.budget != new.budget || before.mode != after.mode {
            self.told.budget = is_over;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn credits(whole: i64) -> Credits {
        Credits::whole(whole).unwrap_or_default()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap_or(Timestamp::MIN)
    }

    fn rule(threshold: i64, budget: i64) -> Rule {
        let limits = Limits {
            threshold: Some(credits(threshold)),
            budget: Some(credits(budget)),
        };
        Rule {
            mode: Mode::Enforce,
            daily: limits,
            monthly: Limits::default(),
        }
    }

    fn limits(news: &[Reached]) -> Vec<Limit> {
        news.iter().map(|it| it.limit).collect()
    }

    #[test]
    fn a_limit_is_told_when_it_is_reached_and_once() {
        let now = at("2026-11-30T10:00:00Z");
        let rule = rule(8, 10);
        let mut tally = Tally::begin(Span::Day, now);
        for (spent, wanted) in [
            (7, vec![]),
            (1, vec![Limit::Threshold]),
            (1, vec![]),
            (1, vec![Limit::Budget]),
            (5, vec![]),
            // Taken back and spent again.
            (-10, vec![]),
            (10, vec![]),
        ] {
            tally.add(credits(spent)).unwrap_or_else(|no| panic!("{no}"));
            assert_eq!(limits(&tally.news(&rule, now)), wanted, "after {spent}");
        }
        let mut both = Tally::begin(Span::Day, now);
        both.add(credits(11)).unwrap_or_else(|no| panic!("{no}"));
        assert_eq!(
            limits(&both.news(&rule, now)),
            vec![Limit::Threshold, Limit::Budget]
        );
    }

    #[test]
    fn the_end_of_a_day_is_told_on_the_next_one_and_not_later() {
        let day = at("2026-11-30T10:00:00Z");
        let mut tally = Tally::begin(Span::Day, day);
        tally.add(credits(10)).unwrap_or_else(|no| panic!("{no}"));
        let late = tally.clone().news(&rule(8, 10), at("2026-12-02T00:00:01Z"));
        assert_eq!(late, vec![]);
        let news = tally.news(&rule(8, 10), at("2026-12-01T00:00:01Z"));
        assert_eq!(news.len(), 2);
        assert_eq!(news[0].period.end, at("2026-12-01T00:00:00Z"));
    }

    #[test]
    fn a_new_limit_is_told_again_and_the_old_ones_are_not() {
        let now = at("2026-11-30T10:00:00Z");
        let mut tally = Tally::begin(Span::Day, now);
        tally.add(credits(10)).unwrap_or_else(|no| panic!("{no}"));
        tally.news(&rule(8, 10), now);
        tally.agree(&rule(8, 10), &rule(8, 20), now);
        assert_eq!(limits(&tally.news(&rule(8, 20), now)), vec![]);
        tally.agree(&rule(8, 20), &rule(9, 20), now);
        assert_eq!(limits(&tally.news(&rule(9, 20), now)), vec![Limit::Threshold]);
        // In a period that is over they never held.
        let tomorrow = now.next_day();
        tally.agree(&rule(9, 20), &rule(1, 2), tomorrow);
        assert_eq!(limits(&tally.news(&rule(1, 2), tomorrow)), vec![]);
        // That a budget is enforced from now on is news.
        let observed = Rule {
            mode: Mode::Observe,
            ..rule(9, 10)
        };
        let mut tally = Tally::begin(Span::Day, now);
        tally.add(credits(10)).unwrap_or_else(|no| panic!("{no}"));
        assert_eq!(tally.news(&observed, now).len(), 2);
        tally.agree(&observed, &rule(9, 10), now);
        assert_eq!(limits(&tally.news(&rule(9, 10), now)), vec![Limit::Budget]);
    }

    proptest! {
        #[test]
        fn however_usage_comes_each_limit_is_told_once(
            costs in prop::collection::vec(-20_i64..40, 1..30),
            threshold in 1_i64..100,
            budget in 0_i64..100,
        ) {
            let now = at("2026-11-30T10:00:00Z");
            let rule = rule(threshold, budget);
            let mut tally = Tally::begin(Span::Day, now);
            let (mut sum, mut most) = (0, 0);
            let mut told = Vec::new();
            for cost in costs {
                tally.add(credits(cost)).unwrap_or_else(|no| panic!("{no}"));
                sum += cost;
                most = most.max(sum);
                told.extend(limits(&tally.news(&rule, now)));
            }
            let count = |limit| told.iter().filter(|it| **it == limit).count();
            prop_assert_eq!(count(Limit::Threshold), usize::from(most >= threshold));
            prop_assert_eq!(count(Limit::Budget), usize::from(most >= budget));
            prop_assert_eq!(tally.told, Told::from_bits(tally.told.bits()));
        }
    }
}
