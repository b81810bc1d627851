//! Billing cycles: half-open stretches that tile a subscription's time, numbered from 1 (a trial is cycle 0).
//!
//! A cycle *turns* and later *closes*:
//!
//! - At its end it turns, in this order: usage accepted before is debited; the blocks that end with it expire; what rolls over
//!   becomes new blocks; the next cycle begins; its grants are made. Usage accepted at that very instant or later is debited
//!   after all that, so it is paid by the new grants. Several things at one instant have one result.
//! - When the time for late usage is over it closes: usage accepted until then is counted, and the summary is final.
//!
//! Both happen once per number, one cycle at a time and in order, however late the worker comes ([`crate::subscription::due`]).

pub mod grants;
pub mod late;
pub mod rollover;
pub mod schedule;
pub mod summary;

use serde::{Deserialize, Serialize};

use crate::{
    amount::{Credits, Overflow, part_of},
    id::{SubscriptionId, VariantId},
    money::Money,
    time::{Period, Timestamp},
};

/// Names a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CycleRef {
    /// Of which subscription.
    pub subscription: SubscriptionId,
    /// Its number.
    pub number: i64,
}

/// One cycle, running or waiting to be closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle {
    /// Its number: 0 for a trial, else from 1, without gaps.
    pub number: i64,
    /// What the subscription had at its beginning.
    pub variant: VariantId,
    /// From its beginning to its end, which may be early: the contract ends, the subscription is cancelled.
    pub period: Period,
    /// Where it ends by the calendar. The end of a contract cuts the time of a cycle, not its amounts.
    pub natural_end: Timestamp,
    /// Seconds for which the full amounts of the variant stand. Fees and grants of the cycle are worth
    /// `seconds ÷ basis_seconds` of them.
    pub basis_seconds: i64,
    /// Whether it is a trial.
    pub trial: bool,
    /// Whether its grants were made: not while the renewal is unpaid.
    pub paid: bool,
    /// First instant at which usage of this cycle is late, and the cycle closes.
    pub closes_at: Timestamp,
    /// Its grants and their bonuses so far, without what rolled over.
    pub granted: Credits,
    /// After changes of plan: credits used ahead of time that no new grant has made up for yet.
    pub ahead: Credits,
    /// Since when the present plan grants in it: its beginning, a late payment, or a change of plan.
    pub granted_from: Timestamp,
    /// Beginning of the last period for which templates with an interval of their own have granted.
    pub granted_through: Timestamp,
    /// The customer's balance once the grants were made.
    pub balance_at_start: Credits,
    /// The customer's balance when it ended; zero before.
    pub balance_at_end: Credits,
}

/// A part of a whole, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Seconds of the part, zero or more.
    pub part: i64,
    /// Seconds of the whole, more than zero.
    pub whole: i64,
}

impl Share {
    /// All of it.
    pub const WHOLE: Self = Self { part: 1, whole: 1 };

    /// The seconds of one period as a share of the seconds of another.
    #[must_use]
    pub fn of(part: Period, whole: Period) -> Self {
        Self {
            part: part.seconds(),
            whole: whole.seconds().max(1),
        }
    }

    /// So much of an amount of credits, rounded once, half to even.
    ///
    /// # Errors
    /// A result outside the range of credits.
    pub fn of_credits(self, credits: Credits) -> Result<Credits, Overflow> {
        part_of(credits.raw(), self.part, self.whole).map(Credits::from_raw)
    }

    /// So much of an amount of money, rounded once, half to even.
    ///
    /// # Errors
    /// A result outside the range of money.
    pub fn of_money(self, money: Money) -> Result<Money, Overflow> {
        money.share(self.part, self.whole)
    }
}

impl Cycle {
    /// What it brings and costs, as a share of what the full amounts stand for.
    #[must_use]
    pub fn worth(&self) -> Share {
        self.left(self.period.start)
    }

    /// What is left of it at an instant, as a share of what the full amounts stand for.
    #[must_use]
    pub fn left(&self, instant: Timestamp) -> Share {
        Share {
            part: self.natural_end.seconds_since(instant).max(0),
            whole: self.basis_seconds.max(1),
        }
    }
}
