//! Auto-recharge: credits are bought when the balance runs low, by a rule that the customer has agreed to (sources P1 and P2).
//!
//! The balance is watched by whatever changes it: the debit that brings it to the threshold decides the charge in its own transaction
//! ([`evaluate`](evaluate::evaluate)), and from then on nobody decides another one until that charge has ended ([`state`]). An evaluation
//! that does not charge says why ([`Reason`]), and when it is made again.

pub mod evaluate;
pub mod forecast;
pub mod rehearsal;
pub mod rule;
pub mod state;

use serde::{Deserialize, Serialize};

use self::rule::Rule;
use crate::{
    amount::Credits,
    id::{CustomerId, PaymentId, TenantId},
    money::Money,
    time::Timestamp,
};

/// Shares of the monthly cap that are told when they are reached, in percent.
pub const CAP_NOTICES: [i64; 3] = [80, 90, 100];

/// Where an auto-recharge stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Switched off by somebody.
    Off,
    /// The balance is watched.
    Watching,
    /// A charge is under way: nobody decides another one.
    Charging,
    /// The balance was low and nothing was charged, or a charge has just ended: it is looked at again at a certain instant.
    Waiting,
    /// The customer has to confirm a charge with the bank.
    Paused,
    /// Switched off because charging failed. Only somebody can switch it on again.
    Disabled,
}

/// Why nothing is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// The vendor has stopped all auto-recharges.
    Stopped,
    /// The audit found that the customer's books do not add up.
    Frozen,
    /// The vendor sells no credits, or not such an amount to this customer, or not in the rule's currency.
    NotSold,
    /// The customer has no default payment method with the vendor's provider.
    NoPaymentMethod,
    /// What is left of the month's cap does not suffice.
    CapReached,
    /// As many charges as a day may have.
    DailyLimit,
    /// A charge has just ended well.
    JustCharged,
    /// The bank declined a charge that can be tried again.
    Declined,
    /// The bank wants the customer to confirm.
    AuthenticationRequired,
    /// The customer did not confirm in time.
    NotConfirmed,
    /// A charge was declined again and again.
    RetriesFailed,
    /// The bank or the provider will never allow it with this payment method.
    MethodRefused,
    /// The provider spoke of another amount than was asked for: somebody has to look.
    Quarantined,
    /// Money of the customer's went back: it is not taken again unasked.
    MoneyWentBack,
}

/// A customer's auto-recharge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recharge {
    /// Whose.
    pub customer: CustomerId,
    /// Of which vendor.
    pub tenant: TenantId,
    /// When and how much.
    pub rule: Rule,
    /// Where it stands.
    pub state: State,
    /// Why it does not charge; `None`: it would.
    pub reason: Option<Reason>,
    /// When it is looked at again by itself; only of one that waits.
    pub next_at: Option<Timestamp>,
    /// Charges in a row that the bank declined.
    pub failures: i32,
    /// The charge that is under way.
    pub payment: Option<PaymentId>,
    /// What was charged.
    pub spent: Spent,
}

impl Recharge {
    /// The balance at which something is to be decided; `None`: nobody has to watch it.
    #[must_use]
    pub fn watches(&self) -> Option<Credits> {
        (self.state == State::Watching).then_some(self.rule.threshold)
    }
}

/// What a customer's auto-recharge has charged, open charges included, by calendar of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// First instant of the month.
    pub month: Timestamp,
    /// In that month, in minor units of the rule's currency.
    pub in_month: i64,
    /// First instant of the day.
    pub day: Timestamp,
    /// Charges of that day.
    pub on_day: i32,
    /// The share of the cap that was told in that month, in percent; zero: none.
    pub told: i64,
}

impl Spent {
    /// Nothing, at an instant.
    #[must_use]
    pub fn nothing(now: Timestamp) -> Self {
        Self {
            month: now.month().start,
            in_month: 0,
            day: now.day(),
            on_day: 0,
            told: 0,
        }
    }

    /// The same at a later instant: a new month and a new day begin with nothing.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        let fresh = Self::nothing(now);
        let same_month = self.month == fresh.month;
        Self {
            in_month: if same_month { self.in_month } else { 0 },
            told: if same_month { self.told } else { 0 },
            on_day: if self.day == fresh.day { self.on_day } else { 0 },
            ..fresh
        }
    }

    /// With one more charge.
    #[must_use]
    pub fn plus(self, minor: i64, now: Timestamp) -> Self {
        let present = self.at(now);
        Self {
            in_month: present.in_month.saturating_add(minor),
            on_day: present.on_day.saturating_add(1),
            ..present
        }
    }

    /// Without the latest charge, which took no money. It goes on counting as one of its day: banks count attempts.
    #[must_use]
    pub fn minus(self, minor: i64) -> Self {
        Self {
            in_month: self.in_month.saturating_sub(minor).max(0),
            ..self
        }
    }

    /// The highest of [`CAP_NOTICES`] that has been reached and was not told in this month; it counts as told from then on.
    pub fn notice(&mut self, cap: Money) -> Option<i64> {
        let reached =
            |percent: &i64| i128::from(self.in_month) * 100 >= i128::from(cap.minor) * i128::from(*percent);
        let percent = CAP_NOTICES.into_iter().rev().find(reached)?;
        (percent > self.told).then(|| {
            self.told = percent;
            percent
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Currency;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn months_and_days_begin_with_nothing() {
        let spent = Spent::nothing(at("2026-02-28T23:59:59Z")).plus(500, at("2026-02-28T23:59:59Z"));
        assert_eq!((spent.in_month, spent.on_day), (500, 1));
        let later = spent.at(at("2026-03-01T00:00:00Z"));
        assert_eq!((later.in_month, later.on_day), (0, 0));
        let next_day = spent
            .plus(500, at("2026-02-28T23:59:59.5Z"))
            .at(at("2026-02-28T00:00:00Z"));
        assert_eq!((next_day.in_month, next_day.on_day), (1_000, 2));
        assert_eq!(spent.minus(500).in_month, 0);
        assert_eq!(spent.minus(500).on_day, 1);
    }

    #[test]
    fn shares_of_the_cap_are_told_once_a_month() {
        let now = at("2026-02-01T00:00:00Z");
        let cap = Money::of(1_000, Currency::USD);
        let mut spent = Spent::nothing(now);
        for (minor, told) in [
            (799, None),
            (1, Some(80)),
            (50, None),
            (150, Some(100)),
            (50, None),
        ] {
            spent = spent.plus(minor, now);
            assert_eq!(spent.notice(cap), told, "{}", spent.in_month);
        }
        // One that failed, and was made again.
        spent = spent.minus(900).plus(900, now);
        assert_eq!(spent.notice(cap), None);
        let next = at("2026-03-01T00:00:00Z");
        assert_eq!(spent.plus(850, next).notice(cap), Some(80));
    }
}
