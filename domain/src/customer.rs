//! What is agreed with a customer about running out of credits.

use serde::{Deserialize, Serialize};

use crate::{amount::Credits, rejection::Rejection};

/// What happens when the credits are used up. This steers checks; usage that has happened is always recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AtZero {
    /// Checks refuse.
    #[default]
    Block,
    /// Checks allow an overdraft up to the overage line.
    AllowUpTo,
    /// Checks always allow.
    Allow,
}

/// Who pays back an overdraft.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Settlement {
    /// The next credit that is not a budget.
    #[default]
    NextPurchase,
    /// The next invoice.
    NextInvoice,
    /// An adjustment by hand.
    Manual,
}

/// What becomes of usage that takes the overdraft beyond its bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BeyondOvershoot {
    /// The customer owes it like the rest.
    #[default]
    Bill,
    /// The vendor takes it upon itself.
    WriteOff,
}

/// The terms of an account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// What happens at zero.
    pub at_zero: AtZero,
    /// How far below zero checks allow, with [`AtZero::AllowUpTo`]; zero otherwise.
    pub overage_line: Credits,
    /// Who pays back an overdraft.
    pub settlement: Settlement,
    /// How far usage that nobody could stop may go beyond where checks refuse, zero or more; `None`: nothing is promised.
    #[serde(default)]
    pub overshoot_limit: Option<Credits>,
    /// What becomes of usage beyond that.
    #[serde(default)]
    pub beyond_overshoot: BeyondOvershoot,
}

/// What a vendor promises about overshoot to customers of whom nothing else was said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OvershootDefault {
    /// As [`Terms::overshoot_limit`].
    pub limit: Option<Credits>,
    /// As [`Terms::beyond_overshoot`].
    pub beyond: BeyondOvershoot,
}

impl OvershootDefault {
    /// Refuses what no customer could be promised.
    ///
    /// # Errors
    /// A negative limit, or [`BeyondOvershoot::WriteOff`] without a limit.
    pub fn check(self) -> Result<(), Rejection> {
        Terms::default().with_overshoot(self.limit, self.beyond)?;
        Ok(())
    }
}

impl Terms {
    /// Terms whose parts fit each other.
    ///
    /// # Errors
    /// A negative line, a line without [`AtZero::AllowUpTo`], or [`AtZero::AllowUpTo`] without a line.
    pub fn new(
        at_zero: AtZero,
        overage_line: Option<Credits>,
        settlement: Settlement,
    ) -> Result<Self, Rejection> {
        let line = overage_line.unwrap_or(Credits::ZERO);
        let refuse = |message: &str| Err(Rejection::invalid("overageLine", message));
        match at_zero {
            _ if line.is_negative() => refuse("the overage line must not be negative"),
            AtZero::AllowUpTo if overage_line.is_none() => {
                refuse("the policy ALLOW_UP_TO needs an overage line")
            }
            AtZero::Block | AtZero::Allow if !line.is_zero() => {
                refuse("an overage line goes with the policy ALLOW_UP_TO only")
            }
            _ => Ok(Self {
                at_zero,
                overage_line: line,
                settlement,
                ..Self::default()
            }),
        }
    }

    /// The same terms with what is promised about usage beyond the point at which checks refuse.
    ///
    /// # Errors
    /// A negative limit, one that cannot be added to the overage line, one with [`AtZero::Allow`] (checks never refuse, so nothing is
    /// beyond), or [`BeyondOvershoot::WriteOff`] without a limit.
    pub fn with_overshoot(self, limit: Option<Credits>, beyond: BeyondOvershoot) -> Result<Self, Rejection> {
        let refuse = |field: &str, message: &str| Err(Rejection::invalid(field, message));
        match limit {
            None if beyond == BeyondOvershoot::WriteOff => refuse(
                "beyondOvershoot",
                "only what lies beyond an overshoot limit is written off",
            ),
            Some(_) if self.at_zero == AtZero::Allow => refuse(
                "overshootLimit",
                "the policy ALLOW has no line that usage could overshoot",
            ),
            Some(limit) if limit.is_negative() => {
                refuse("overshootLimit", "the overshoot limit must not be negative")
            }
            Some(limit) if self.overage_line.plus(limit).is_err() => refuse(
                "overshootLimit",
                "overage line and overshoot limit together are too large",
            ),
            _ => Ok(Self {
                overshoot_limit: limit,
                beyond_overshoot: beyond,
                ..self
            }),
        }
    }

    /// The same terms with what the vendor promises where nothing was said. Where it does not fit (checks never refuse, or the sum is out of
    /// range) nothing is promised.
    #[must_use]
    pub fn with_default(self, default: OvershootDefault) -> Self {
        let fitting = self.with_overshoot(default.limit, default.beyond);
        fitting.unwrap_or(Self {
            overshoot_limit: None,
            beyond_overshoot: BeyondOvershoot::Bill,
            ..self
        })
    }

    /// The most that the customer comes to owe for usage, zero or more: the overage line and the overshoot limit. `None`: there is no
    /// such bound.
    #[must_use]
    pub fn bound(&self) -> Option<Credits> {
        let limit = self
            .overshoot_limit
            .filter(|_| self.beyond_overshoot == BeyondOvershoot::WriteOff)?;
        // Terms whose sum is out of range are refused.
        Some(self.overage_line.plus(limit).unwrap_or(Credits::MAX))
    }

    /// What a balance leaves to spend: never below zero, `None` when there is no limit.
    ///
    /// `available = max(0, remaining + overage line − held)`
    #[must_use]
    pub fn available(&self, remaining: Credits, held: Credits) -> Option<Credits> {
        if self.at_zero == AtZero::Allow {
            return None;
        }
        let left = i128::from(remaining.raw()) + i128::from(self.overage_line.raw()) - i128::from(held.raw());
        Some(Credits::from_raw(i64::try_from(left.max(0)).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_holds_where_it_fits() {
        let five = Credits::whole(5).unwrap_or_default();
        let default = OvershootDefault {
            limit: Some(five),
            beyond: BeyondOvershoot::WriteOff,
        };
        assert_eq!(default.check(), Ok(()));
        let of = |at_zero, overage_line| Terms {
            at_zero,
            overage_line,
            // What was promised before is over.
            overshoot_limit: Some(Credits::MAX),
            ..Terms::default()
        };
        for (terms, bound) in [
            (of(AtZero::Block, Credits::ZERO), Some(five)),
            (of(AtZero::AllowUpTo, five), five.plus(five).ok()),
            (of(AtZero::AllowUpTo, Credits::MAX), None),
            (of(AtZero::Allow, Credits::ZERO), None),
        ] {
            let with = terms.with_default(default);
            assert_eq!((with.bound(), with.at_zero), (bound, terms.at_zero));
            assert_eq!(with.overshoot_limit.is_some(), bound.is_some());
            let none = terms.with_default(OvershootDefault::default());
            assert_eq!((none.bound(), none.overshoot_limit), (None, None));
        }
        let endless = OvershootDefault {
            limit: None,
            ..default
        };
        let negative = OvershootDefault {
            limit: Some(Credits::from_raw(-1)),
            ..default
        };
        for (wrong, field) in [(endless, "beyondOvershoot"), (negative, "overshootLimit")] {
            let path = wrong.check().err().map(|no| no.path.join("."));
            assert_eq!(path.as_deref(), Some(field));
        }
    }
}
