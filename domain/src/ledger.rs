//! The ledger: the append-only list of everything that moved a customer's credits, numbered from 1 without gaps.
//!
//! Every [`Entry`] is made by a method of [`Account`], one per kind of business event, so that the number, the amount and the
//! balance after it cannot disagree. An entry touches at most one block and the overdraft:
//!
//! | event | `credits` | `overdraft_change` | block changes by |
//! |---|---|---|---|
//! | deposit of 10 | +10 | 0 | +10 |
//! | debit of 3 from a block | −3 | 0 | −3 |
//! | debit of 3 that no block covers | −3 | +3 | (none) |
//! | overdraft of 3 repaid by a block | 0 | −3 | −3 |
//! | overdraft of 3 written off | +3 | −3 | (none) |
//!
//! So `block change = credits + overdraft_change`, and `balance = blocks − overdraft`.
//!
//! Entries are never changed and never removed; [`chain`] makes it possible to prove that.

pub mod chain;

use serde::{Deserialize, Serialize};

use self::chain::EntryHash;
use crate::{
    amount::{Credits, Overflow},
    credit::{
        draws::{Draw, Purse},
        low_balance,
    },
    id::{BlockId, EventId, MeteringRuleId, MetricId},
    metering::Position,
    time::Timestamp,
};

/// What kind of event moved the credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EntryKind {
    /// Credits were granted.
    Grant,
    /// Usage was debited. Positive where a volume price made past usage cheaper.
    Debit,
    /// Usage was taken back.
    Void,
    /// Credits were put right by hand.
    Adjustment,
    /// Unused credits expired.
    Expiry,
    /// A block was taken back.
    Revocation,
    /// A block repaid overdraft. The balance stays.
    Repayment,
    /// The plan changed: credits of the time that was left went back.
    Proration,
    /// An invoice bills overdraft, which is no longer owed in credits.
    Settlement,
    /// Money of a payment went back, and its credits with it; or the money has come again.
    Reversal,
    /// The vendor takes usage beyond the bound of the overdraft upon itself. Negative where such usage was taken back or has become cheaper.
    WriteOff,
}

impl EntryKind {
    /// The name used in rows, in the API and in the hash of an entry.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "GRANT",
            Self::Debit => "DEBIT",
            Self::Void => "VOID",
            Self::Adjustment => "ADJUSTMENT",
            Self::Expiry => "EXPIRY",
            Self::Revocation => "REVOCATION",
            Self::Repayment => "REPAYMENT",
            Self::Proration => "PRORATION",
            Self::Settlement => "SETTLEMENT",
            Self::Reversal => "REVERSAL",
            Self::WriteOff => "WRITE_OFF",
        }
    }
}

/// What an entry says about the usage behind it, enough to compute it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageCause {
    /// What was used.
    pub metric: MetricId,
    /// Which version priced it; `None`: there was no price.
    pub rule: Option<MeteringRuleId>,
    /// First instant of the cycle whose count moved.
    pub period_start: Timestamp,
    /// The count before the first event.
    pub from: Position,
    /// The count after the last event.
    pub to: Position,
    /// The first event.
    pub first_event: EventId,
    /// The last event.
    pub last_event: EventId,
    /// How many events took part.
    pub events: i64,
}

/// Why credits moved, and the key that makes it happen once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The kind of event.
    pub kind: EntryKind,
    /// Unique per customer: the database refuses a second entry with the same effect.
    pub effect_key: String,
    /// The usage behind a debit or a void.
    pub usage: Option<UsageCause>,
}

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Number of the line.
    pub sequence: i64,
    /// Why.
    pub cause: Cause,
    /// The block it touches; `None`: overdraft only.
    pub block: Option<BlockId>,
    /// Change of the balance.
    pub credits: Credits,
    /// Change of the overdraft.
    pub overdraft_change: Credits,
    /// Balance after it: blocks minus overdraft.
    pub balance_after: Credits,
    /// Overdraft after it, zero or more.
    pub overdraft_after: Credits,
    /// A line for people.
    pub description: String,
}

/// The totals of an account. Kept beside the ledger and always rebuildable from it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Number of the last entry; zero before the first.
    pub sequence: i64,
    /// Sum of all blocks, zero or more.
    pub blocks: Credits,
    /// What no block could cover, zero or more.
    pub overdraft: Credits,
    /// Hash of the last entry that was written; it moves when entries are, because their instant is part of it.
    pub head: EntryHash,
    /// The balance at which an auto-recharge is to be decided; `None`: nobody watches it.
    pub watched_balance: Option<Credits>,
    /// The balance that the customer wants to be told of when it comes down to it; `None`: it does not.
    pub low_balance: Option<Credits>,
}

impl Account {
    /// Blocks minus overdraft; may be negative.
    #[must_use]
    pub fn balance(&self) -> Credits {
        // Both are between zero and the maximum, so the difference fits.
        Credits::from_raw(self.blocks.raw().saturating_sub(self.overdraft.raw()))
    }

    /// Whether the balance has come to where an auto-recharge is to be decided.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.watched_balance
            .is_some_and(|threshold| self.balance() <= threshold)
    }

    /// Whether the balance, which was another one before, has come down to where the customer wants to be told.
    #[must_use]
    pub fn has_fallen_low(&self, before: Credits) -> bool {
        self.low_balance
            .is_some_and(|threshold| low_balance::has_fallen(before, self.balance(), threshold))
    }

    /// Credits enter a block.
    ///
    /// # Errors
    /// A balance outside the range of credits.
    pub fn deposit(
        &mut self,
        block: BlockId,
        credits: Credits,
        cause: Cause,
        description: &str,
    ) -> Result<Entry, Overflow> {
        self.post(Some(block), credits, Credits::ZERO, cause, description)
    }

    /// Credits leave a purse: a block, the overdraft that grows, or that of the vendor, which pays for overdraft.
    ///
    /// # Errors
    /// A balance outside the range of credits.
    pub fn withdrawal(&mut self, draw: Draw, cause: Cause, description: &str) -> Result<Entry, Overflow> {
        let out = draw.credits.negated()?;
        match draw.from {
            Purse::Block(block) => self.post(Some(block), out, Credits::ZERO, cause, description),
            Purse::Overdraft => self.post(None, out, draw.credits, cause, description),
            Purse::WrittenOff => self.post(None, draw.credits, out, cause, description),
        }
    }

    /// Credits return to a purse: a block, the overdraft that shrinks, or that of the vendor, which had paid for overdraft.
    ///
    /// # Errors
    /// A balance outside the range of credits.
    pub fn refund(
        &mut self,
        to: Purse,
        credits: Credits,
        cause: Cause,
        description: &str,
    ) -> Result<Entry, Overflow> {
        let back = credits.negated()?;
        match to {
            Purse::Block(block) => self.post(Some(block), credits, Credits::ZERO, cause, description),
            Purse::Overdraft => self.post(None, credits, back, cause, description),
            Purse::WrittenOff => self.post(None, back, credits, cause, description),
        }
    }

    /// A block pays back overdraft. The balance stays.
    ///
    /// # Errors
    /// None in practice: amounts only shrink.
    pub fn repayment(&mut self, draw: Draw) -> Result<Entry, Overflow> {
        let Purse::Block(block) = draw.from else {
            return Err(Overflow);
        };
        let cause = Cause {
            kind: EntryKind::Repayment,
            // The number of the entry makes it unique: the overdraft it repays is gone afterwards.
            effect_key: format!("repay:{}:{block}", self.sequence + 1),
            usage: None,
        };
        self.post(
            Some(block),
            Credits::ZERO,
            draw.credits.negated()?,
            cause,
            "Overdraft repaid",
        )
    }

    fn post(
        &mut self,
        block: Option<BlockId>,
        credits: Credits,
        overdraft_change: Credits,
        cause: Cause,
        description: &str,
    ) -> Result<Entry, Overflow> {
        self.blocks = self.blocks.plus(credits)?.plus(overdraft_change)?;
        self.overdraft = self.overdraft.plus(overdraft_change)?;
        self.sequence += 1;
        Ok(Entry {
            sequence: self.sequence,
            cause,
            block,
            credits,
            overdraft_change,
            balance_after: self.balance(),
            overdraft_after: self.overdraft,
            description: description.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::EntryKind;

    #[test]
    fn kinds_have_one_name() {
        for kind in [
            EntryKind::Grant,
            EntryKind::Debit,
            EntryKind::Void,
            EntryKind::Adjustment,
            EntryKind::Expiry,
            EntryKind::Revocation,
            EntryKind::Repayment,
            EntryKind::Proration,
            EntryKind::Settlement,
            EntryKind::Reversal,
            EntryKind::WriteOff,
        ] {
            assert_eq!(serde_json::to_value(kind).ok(), Some(kind.as_str().into()));
        }
    }
}
