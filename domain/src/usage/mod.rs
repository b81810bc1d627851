//! Usage: events that were accepted, what they cost, and taking one back.
//!
//! The life of an event: `PENDING` when it is accepted, `RATED` when [`drain`] has debited it, `VOIDED` when [`void`] has
//! taken it back (an event that was still pending is then never rated).

pub mod drain;
pub mod event;
pub mod limits;
pub mod void;

use std::collections::HashMap;

use crate::{
    amount::Credits,
    credit::{burn::Funds, draws::Draws},
    customer::Settlement,
    cycle::late::Timeline,
    id::{CustomerId, EventId, MeteringRuleId, MetricId},
    ledger::Account,
    metering::Position,
    time::Timestamp,
};

/// Why usage cannot be debited or taken back. Nothing must be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// The count, the cost or the balance would leave its range at this event.
    #[error("the amount is too large at {0}")]
    TooLarge(EventId),
    /// The totals of the account do not agree with its blocks: the books are damaged.
    #[error("the account does not agree with its blocks")]
    Books,
}

/// Which count an event moves: one per metric, line of prices and cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterKey {
    /// What is counted.
    pub metric: MetricId,
    /// The line of the rule that prices it; `None`: usage that has no price.
    pub line: Option<MeteringRuleId>,
    /// First instant of the stretch of time that is counted together ([`crate::cycle::late`]): a billing cycle, or without one the
    /// UTC calendar month of `occurred_at`.
    pub period_start: Timestamp,
}

/// A cycle's count and what it has cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counter {
    /// How far the count has come.
    pub position: Position,
    /// Credits debited for it so far.
    pub credits: Credits,
    /// Where they were drawn from.
    pub draws: Draws,
}

/// Everything about one customer that usage changes, read under the lock on the account.
#[derive(Debug, Clone)]
pub struct CustomerState {
    /// Who.
    pub customer: CustomerId,
    /// Who pays back an overdraft.
    pub settlement: Settlement,
    /// The totals.
    pub account: Account,
    /// The blocks and the overdraft.
    pub funds: Funds,
    /// The counts at hand. A missing one is at zero.
    pub counters: HashMap<CounterKey, Counter>,
    /// The customer's cycles, which say what is counted together.
    pub timeline: Timeline,
}

impl CustomerState {
    /// How far a count has come; at zero when it is not at hand.
    #[must_use]
    pub fn position(&self, counter: CounterKey) -> Position {
        self.counters
            .get(&counter)
            .map(|it| it.position)
            .unwrap_or_default()
    }

    /// Whether totals and blocks agree; checked before anything is written.
    ///
    /// # Errors
    /// They do not: nothing must be written.
    pub fn check(&self) -> Result<(), UsageError> {
        let blocks = Credits::total(self.funds.blocks().iter().map(|block| block.remaining))
            .map_err(|_| UsageError::Books)?;
        let sound = blocks == self.account.blocks
            && self.funds.overdraft() == self.account.overdraft
            && !self.account.overdraft.is_negative();
        if sound { Ok(()) } else { Err(UsageError::Books) }
    }
}
