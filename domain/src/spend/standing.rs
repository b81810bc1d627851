//! How a customer stands against its limits: what the gate asks.

use std::collections::BTreeMap;

use super::{Mode, Rule, Span, tally::Tally};
use crate::{
    amount::{Credits, Overflow},
    time::Timestamp,
};

/// What is left of one budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Of what period.
    pub span: Span,
    /// All that may be spent.
    pub budget: Credits,
    /// What has been spent, zero or more.
    pub used: Credits,
    /// What may still be spent beside what is held, zero or more.
    pub left: Credits,
    /// When the count begins again.
    pub resets_at: Timestamp,
}

/// A customer's limits, and what it has spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spending {
    rule: Rule,
    spent: BTreeMap<(Span, Timestamp), Credits>,
}

impl Spending {
    /// As the books say.
    #[must_use]
    pub fn new(rule: Rule, tallies: impl IntoIterator<Item = Tally>) -> Self {
        let spent = tallies.into_iter();
        Self {
            rule,
            spent: spent.map(|it| ((it.span, it.start), it.credits)).collect(),
        }
    }

    /// What becomes of usage beyond a budget.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.rule.mode
    }

    /// Counts usage that is not debited yet.
    ///
    /// # Errors
    /// A sum outside the range of credits.
    pub fn add(&mut self, occurred_at: Timestamp, credits: Credits) -> Result<(), Overflow> {
        for span in Span::ALL {
            let start = span.period(occurred_at).start;
            let spent = self.spent.entry((span, start)).or_default();
            *spent = spent.plus(credits)?;
        }
        Ok(())
    }

    /// What is left of a budget at an instant, beside what open holds claim. `None`: there is none.
    #[must_use]
    pub fn left(&self, span: Span, held: Credits, now: Timestamp) -> Option<Left> {
        let budget = self.rule.limits(span).budget?;
        let period = span.period(now);
        let spent = self.spent.get(&(span, period.start)).copied();
        let used = spent.unwrap_or_default().max(Credits::ZERO);
        // Each of the three is zero or more, so only the second difference can be too small, and then nothing is left.
        let left = budget.minus(used).and_then(|left| left.minus(held));
        Some(Left {
            span,
            budget,
            used,
            left: left.unwrap_or_default().max(Credits::ZERO),
            resets_at: period.end,
        })
    }

    /// The budget of which least is left, if there is any; of two alike the longer one, since that decides for longer.
    #[must_use]
    pub fn tightest(&self, held: Credits, now: Timestamp) -> Option<Left> {
        let all = Span::ALL.into_iter().rev();
        all.filter_map(|span| self.left(span, held, now))
            .min_by_key(|it| it.left)
    }

    /// The same, unless budgets are only observed.
    #[must_use]
    pub fn enforced(&self, held: Credits, now: Timestamp) -> Option<Left> {
        match self.rule.mode {
            Mode::Enforce => self.tightest(held, now),
            Mode::Observe => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Limits, *};

    fn credits(whole: i64) -> Credits {
        Credits::whole(whole).unwrap_or_default()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap_or(Timestamp::MIN)
    }

    fn spending(daily: Option<i64>, monthly: Option<i64>) -> Spending {
        let limits = |budget: Option<i64>| Limits {
            threshold: None,
            budget: budget.map(credits),
        };
        let rule = Rule {
            mode: Mode::Enforce,
            daily: limits(daily),
            monthly: limits(monthly),
        };
        Spending::new(rule, [])
    }

    #[test]
    fn what_was_used_counts_on_its_own_day_and_in_its_month() {
        let mut spending = spending(Some(10), Some(25));
        let yesterday = at("2026-11-29T23:59:59Z");
        let today = at("2026-11-30T12:00:00Z");
        for (when, cost) in [(yesterday, 9), (today, 4)] {
            spending
                .add(when, credits(cost))
                .unwrap_or_else(|no| panic!("{no}"));
        }
        let left = |span, held: i64, now| spending.left(span, credits(held), now).map(|it| it.left);
        assert_eq!(left(Span::Day, 0, today), Some(credits(6)));
        assert_eq!(left(Span::Day, 2, today), Some(credits(4)));
        assert_eq!(left(Span::Day, 50, today), Some(credits(0)));
        assert_eq!(left(Span::Month, 0, today), Some(credits(12)));
        // The first of the next month begins with nothing.
        let tomorrow = at("2026-12-01T00:00:00Z");
        assert_eq!(left(Span::Day, 0, tomorrow), Some(credits(10)));
        assert_eq!(left(Span::Month, 0, tomorrow), Some(credits(25)));
        let resets_at = spending.left(Span::Day, credits(0), today).map(|it| it.resets_at);
        assert_eq!(resets_at, Some(tomorrow));
    }

    #[test]
    fn the_smaller_rest_decides_and_the_month_of_two_alike() {
        let now = at("2026-11-15T12:00:00Z");
        let span = |daily, monthly, earlier: i64| {
            let mut spending = spending(daily, monthly);
            spending
                .add(at("2026-11-02T00:00:00Z"), credits(earlier))
                .unwrap_or_else(|no| panic!("{no}"));
            spending.tightest(Credits::ZERO, now).map(|it| it.span)
        };
        assert_eq!(span(None, None, 5), None);
        assert_eq!(span(Some(10), None, 5), Some(Span::Day));
        assert_eq!(span(Some(10), Some(100), 5), Some(Span::Day));
        assert_eq!(span(Some(10), Some(100), 95), Some(Span::Month));
        assert_eq!(span(Some(10), Some(100), 90), Some(Span::Month));
    }

    #[test]
    fn what_returned_more_than_it_cost_leaves_no_more_than_the_budget() {
        let now = at("2026-11-15T12:00:00Z");
        let mut spending = spending(Some(10), None);
        spending.add(now, credits(-7)).unwrap_or_else(|no| panic!("{no}"));
        let left = spending.tightest(Credits::ZERO, now).map(|it| it.left);
        assert_eq!(left, Some(credits(10)));
    }
}
