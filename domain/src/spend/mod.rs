//! Spend management: how much a customer wants to spend in a day and in a month (source P2, "Spend Management").
//!
//! What is spent is what usage costs, in credits. It counts on the UTC day and in the calendar month in which it happened, whenever it is
//! debited. When it is taken back, what credits return leaves them. A *threshold* is told when it is reached; a *budget* is told as well, and where it is
//! enforced nothing more may be used until its period is over. What has happened is counted all the same.

pub mod recent;
pub mod standing;
pub mod tally;

use serde::{Deserialize, Serialize};

use crate::{
    amount::Credits,
    rejection::Rejection,
    time::{Period, Timestamp},
};

/// How long what is spent is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Span {
    /// A day of UTC.
    Day,
    /// A calendar month of UTC.
    Month,
}

impl Span {
    /// Every span, shortest first.
    pub const ALL: [Self; 2] = [Self::Day, Self::Month];

    /// The period of this kind that contains an instant.
    #[must_use]
    pub fn period(self, at: Timestamp) -> Period {
        match self {
            Self::Day => Period {
                start: at.day(),
                end: at.next_day(),
            },
            Self::Month => at.month(),
        }
    }

    /// The field of a rule that holds the limits.
    fn field(self) -> &'static str {
        match self {
            Self::Day => "daily",
            Self::Month => "monthly",
        }
    }
}

/// What becomes of usage beyond a budget.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Mode {
    /// Checks and holds refuse it.
    #[default]
    Enforce,
    /// Nothing: it is only told what would have been refused.
    Observe,
}

/// The limits of one period, in credits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Where the customer wants to be told, more than zero; `None`: nowhere.
    pub threshold: Option<Credits>,
    /// All that may be spent, zero or more; `None`: no limit.
    pub budget: Option<Credits>,
}

/// What a customer has agreed with itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// What becomes of usage beyond a budget.
    pub mode: Mode,
    /// The limits of a day.
    pub daily: Limits,
    /// The limits of a month.
    pub monthly: Limits,
}

impl Rule {
    /// The limits of a span.
    #[must_use]
    pub fn limits(&self, span: Span) -> Limits {
        match span {
            Span::Day => self.daily,
            Span::Month => self.monthly,
        }
    }

    /// Refuses limits that cannot be.
    ///
    /// # Errors
    /// A budget below zero or a threshold that is not more, naming the field.
    pub fn validate(&self) -> Result<(), Rejection> {
        for span in Span::ALL {
            let Limits { threshold, budget } = self.limits(span);
            let refuse = |field: &str, message: &str| {
                Err(Rejection::invalid(&format!("{}.{field}", span.field()), message))
            };
            if threshold.is_some_and(|threshold| !threshold.is_positive()) {
                return refuse("threshold", "a threshold is more than zero");
            }
            if budget.is_some_and(Credits::is_negative) {
                return refuse("budget", "a budget is zero or more");
            }
        }
        Ok(())
    }
}

/// The smaller of two limits; `None`: no limit.
#[must_use]
pub fn least(one: Option<Credits>, other: Option<Credits>) -> Option<Credits> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credits(whole: i64) -> Option<Credits> {
        Some(Credits::whole(whole).unwrap_or_default())
    }

    #[test]
    fn limits_that_cannot_be_are_refused_by_their_field() {
        let of = |threshold, budget| Limits { threshold, budget };
        for (limits, wrong) in [
            (of(None, None), None),
            (of(credits(1), credits(0)), None),
            (of(credits(9), credits(5)), None),
            (of(credits(0), None), Some("threshold")),
            (of(credits(-1), None), Some("threshold")),
            (of(None, credits(-1)), Some("budget")),
        ] {
            for span in Span::ALL {
                let rule = match span {
                    Span::Day => Rule {
                        daily: limits,
                        ..Rule::default()
                    },
                    Span::Month => Rule {
                        monthly: limits,
                        ..Rule::default()
                    },
                };
                let named = rule.validate().err().map(|no| no.path.join("."));
                let wanted = wrong.map(|field| format!("{}.{field}", span.field()));
                assert_eq!(named, wanted, "{limits:?}");
            }
        }
    }

    #[test]
    fn no_limit_limits_nothing() {
        assert_eq!(least(None, None), None);
        assert_eq!(least(credits(3), None), credits(3));
        assert_eq!(least(None, credits(3)), credits(3));
        assert_eq!(least(credits(3), credits(2)), credits(2));
    }
}
