//! What is read of credits.

use domain::{
    amount::Credits,
    credit::block::Block,
    customer::Terms,
    id::{BlockId, CustomerId, EntryId},
    ledger::{Account, Entry, EntryKind, UsageCause, chain::EntryHash},
    spend::least,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{catalog::Rule, usage::UsageEvent};

/// What a customer has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// Blocks minus overdraft; may be negative.
    pub remaining: Credits,
    /// What no block could cover.
    pub overdraft: Credits,
    /// Set aside by open holds when they were made, for work that is running.
    pub held: Credits,
    /// Left to spend, also by the customer's own budgets; `None`: no limit.
    pub available: Option<Credits>,
    /// Accepted events that are not yet debited.
    pub pending_events: i64,
    /// When this was so.
    pub as_of: Timestamp,
    /// Number of the last ledger entry.
    pub sequence: i64,
    /// Hash of the last ledger entry. Results stored before there were hashes have none.
    #[serde(default)]
    pub head: EntryHash,
}

impl Balance {
    pub(super) fn new(
        account: &Account,
        head: EntryHash,
        bounds: &Bounds,
        pending_events: i64,
        as_of: Timestamp,
    ) -> Self {
        Self {
            head,
            remaining: account.balance(),
            overdraft: account.overdraft,
            held: bounds.held,
            available: bounds.available(account.balance()),
            pending_events,
            as_of,
            sequence: account.sequence,
        }
    }
}

/// What bounds how much a customer may spend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// What is agreed about running out of credits.
    pub(crate) terms: Terms,
    /// What open holds have set aside.
    pub(crate) held: Credits,
    /// What the customer's own budgets leave; `None`: no limit.
    pub(crate) budget: Option<Credits>,
}

impl Bounds {
    /// What a balance leaves to spend, zero or more; `None`: no limit.
    pub(super) fn available(&self, balance: Credits) -> Option<Credits> {
        least(self.terms.available(balance, self.held), self.budget)
    }
}

/// A block with the words around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockView {
    /// The block.
    pub block: Block,
    /// Keys of the metrics it may pay for; `None`: all.
    pub metric_keys: Option<Vec<String>>,
    /// A line for people.
    pub description: Option<String>,
}

/// One line of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerLine {
    /// Its id.
    pub id: EntryIdText,
    /// Number of the line.
    pub sequence: i64,
    /// Why.
    pub kind: EntryKind,
    /// Change of the balance.
    pub credits: Credits,
    /// Change of the overdraft.
    pub overdraft_change: Credits,
    /// Balance after it.
    pub balance_after: Credits,
    /// Overdraft after it.
    pub overdraft_after: Credits,
    /// The block it touches.
    pub block: Option<BlockId>,
    /// The usage behind it.
    #[serde(skip)]
    pub usage: Option<UsageCause>,
    /// A line for people.
    pub description: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// Hash over the line and the hash of the line before. Results stored before there were hashes have none.
    #[serde(default)]
    pub hash: EntryHash,
}

/// The text form of an [`EntryId`].
pub type EntryIdText = String;

impl LedgerLine {
    pub(super) fn new(customer: CustomerId, entry: &Entry, hash: EntryHash, created_at: Timestamp) -> Self {
        Self {
            id: EntryId {
                customer,
                sequence: entry.sequence,
            }
            .to_string(),
            sequence: entry.sequence,
            kind: entry.cause.kind,
            credits: entry.credits,
            overdraft_change: entry.overdraft_change,
            balance_after: entry.balance_after,
            overdraft_after: entry.overdraft_after,
            block: entry.block,
            usage: entry.cause.usage.clone(),
            description: entry.description.clone(),
            created_at,
            hash,
        }
    }
}

/// What an adjustment came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adjusted {
    /// Whose credits.
    pub customer: CustomerId,
    /// The new lines.
    pub entries: Vec<LedgerLine>,
    /// The balance after them.
    pub balance: Balance,
}

/// Everything behind one line of a ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The line.
    pub line: LedgerLine,
    /// The block it touches.
    pub block: Option<BlockView>,
    /// The version that priced the usage.
    pub rule: Option<Rule>,
    /// The first events of the batch, in order.
    pub events: Vec<UsageEvent>,
}
