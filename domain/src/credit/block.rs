//! A block: one deposit of credits with its own terms.

use serde::{Deserialize, Serialize};

use crate::{
    amount::Credits,
    id::{BlockId, MetricId},
    time::Timestamp,
};

/// Priority of a block for which none is given. The same for all sources, so that expiring credits burn first.
pub const DEFAULT_PRIORITY: i32 = 0;
/// Most metrics a block may be restricted to.
pub const MAX_BLOCK_METRICS: usize = 50;

/// Where the credits of a block come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Source {
    /// A plan's recurring grant.
    PlanGrant,
    /// Included with a plan once.
    Included,
    /// Bought.
    Purchase,
    /// A bonus on a purchase or grant.
    Bonus,
    /// Given away.
    Promotion,
    /// A trial.
    Trial,
    /// Carried over from a cycle.
    Rollover,
    /// Put right by hand.
    Adjustment,
}

/// How the use of a block is billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Billing {
    /// Not at all.
    Free,
    /// Paid already.
    Prepaid,
    /// A ceiling: what is drawn from it goes on the invoice.
    Budget,
}

impl Source {
    /// How blocks of this source are billed unless told otherwise.
    #[must_use]
    pub fn default_billing(self) -> Billing {
        match self {
            Self::Purchase => Billing::Prepaid,
            Self::PlanGrant
            | Self::Included
            | Self::Bonus
            | Self::Promotion
            | Self::Trial
            | Self::Rollover
            | Self::Adjustment => Billing::Free,
        }
    }
}

/// What has become of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BlockState {
    /// It can be used while credits remain and it has not expired.
    Active,
    /// It reached its expiry; what was left is gone.
    Expired,
    /// It was taken back; what was left is gone.
    Revoked,
}

/// A deposit of credits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Its name.
    pub id: BlockId,
    /// Where the credits come from.
    pub source: Source,
    /// How their use is billed.
    pub billing: Billing,
    /// Higher burns first.
    pub priority: i32,
    /// Credits deposited; more than zero.
    pub credits: Credits,
    /// Credits left; zero to `credits`.
    pub remaining: Credits,
    /// First instant at which it may pay.
    pub granted_at: Timestamp,
    /// First instant at which it may pay no longer; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// Metrics it may pay for; `None`: all.
    pub metrics: Option<Vec<MetricId>>,
    /// What has become of it.
    pub state: BlockState,
}

impl Block {
    /// Whether the block had been granted and had not expired at an instant.
    #[must_use]
    pub fn is_open_at(&self, instant: Timestamp) -> bool {
        self.state == BlockState::Active
            && self.granted_at <= instant
            && self.expires_at.is_none_or(|end| instant < end)
    }

    /// Whether the block may pay for a metric.
    #[must_use]
    pub fn pays_for(&self, metric: MetricId) -> bool {
        self.metrics
            .as_ref()
            .is_none_or(|metrics| metrics.contains(&metric))
    }
}
