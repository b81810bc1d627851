//! What a vendor is told about a subscription. The names are those of source P4 where it has one.

use super::Subscription;
use crate::{
    amount::Credits,
    cycle::summary::Summary,
    event::EventType,
    id::{SubscriptionId, VariantId},
    time::{Period, Timestamp},
};

/// Something that has happened to a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// To which.
    pub subscription: SubscriptionId,
    /// When it was due, which may be long before it was noticed.
    pub at: Timestamp,
    /// The revision of the subscription that it came with.
    pub revision: i64,
    /// What.
    pub what: What,
}

/// The kinds of facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It began.
    Created {
        /// Its first cycle.
        period: Period,
        /// Granted at once.
        credits_granted: Credits,
    },
    /// A cycle has closed and the next one is running, paid or to be paid afterwards.
    Renewed {
        /// The cycle that has closed.
        prior_period: Option<Period>,
        /// Number of the cycle that is running.
        number: i64,
        /// The cycle that is running.
        new_period: Period,
        /// What it granted: grants and bonuses, not what rolled over.
        credits_granted: Credits,
        /// What the prior cycle came to; `None` where it was told before.
        usage_summary: Option<Summary>,
    },
    /// A cycle has closed and no paid one followed: the final summary, or that of a cycle before an unpaid one.
    CycleClosed {
        /// Its number.
        number: i64,
        /// The cycle.
        period: Period,
        /// What it came to.
        usage_summary: Summary,
    },
    /// Prepaid: the cycle after this one is to be paid.
    RenewalDue {
        /// Number of the cycle that is to be paid.
        number: i64,
        /// When the running cycle ends.
        period_end: Timestamp,
    },
    /// Prepaid: the cycle began unpaid.
    Overdue {
        /// When it expires if it stays unpaid.
        expires_at: Timestamp,
    },
    /// Prepaid: it was not paid within the grace days.
    Expired,
    /// It was paused.
    Paused,
    /// It goes on.
    Resumed,
    /// It will end with its cycle.
    CancellationScheduled {
        /// When.
        ends_at: Timestamp,
    },
    /// It was cancelled.
    Cancelled,
    /// Another variant will begin with the next cycle.
    PlanChangeScheduled {
        /// Which.
        to: VariantId,
    },
    /// Another variant has begun.
    PlanChanged {
        /// The one before.
        from: VariantId,
        /// The one from now on.
        to: VariantId,
    },
    /// The contract will end soon.
    ContractEndingSoon {
        /// When.
        contract_end: Timestamp,
        /// Whole calendar days until then.
        days_remaining: i32,
    },
    /// The contract has ended: no further cycles and no further grants.
    ContractEnded {
        /// When.
        contract_end: Timestamp,
    },
    /// The contract ends later than agreed before.
    ContractExtended {
        /// The end agreed before.
        from: Timestamp,
        /// The end now.
        to: Timestamp,
        /// Whether the contract had ended and was revived.
        reactivated: bool,
    },
}

impl What {
    /// The event that carries it.
    #[must_use]
    pub fn event(&self) -> EventType {
        match self {
            Self::Created { .. } => EventType::SubscriptionCreated,
            Self::Renewed { .. } => EventType::SubscriptionRenewed,
            Self::CycleClosed { .. } => EventType::SubscriptionCycleClosed,
            Self::RenewalDue { .. } => EventType::SubscriptionRenewalDue,
            Self::Overdue { .. } => EventType::SubscriptionOverdue,
            Self::Expired => EventType::SubscriptionExpired,
            Self::Paused => EventType::SubscriptionPaused,
            Self::Resumed => EventType::SubscriptionResumed,
            Self::CancellationScheduled { .. } => EventType::SubscriptionCancellationScheduled,
            Self::Cancelled => EventType::SubscriptionCancelled,
            Self::PlanChangeScheduled { .. } => EventType::SubscriptionPlanChangeScheduled,
            Self::PlanChanged { .. } => EventType::SubscriptionPlanChanged,
            Self::ContractEndingSoon { .. } => EventType::SubscriptionContractEndingSoon,
            Self::ContractEnded { .. } => EventType::SubscriptionContractEnded,
            Self::ContractExtended { .. } => EventType::SubscriptionContractExtended,
        }
    }
}

impl Fact {
    /// Unique per tenant: a fact is told once. What belongs to a cycle or to the end of a contract is named by it; everything else by
    /// the revision, since many things can be asked for at one instant.
    #[must_use]
    pub fn key(&self) -> String {
        let which = match &self.what {
            What::Renewed { number, .. }
            | What::CycleClosed { number, .. }
            | What::RenewalDue { number, .. } => *number,
            What::ContractEndingSoon { contract_end, .. } | What::ContractEnded { contract_end } => {
                contract_end.micros()
            }
            What::ContractExtended { to, .. } => to.micros(),
            _ => self.revision,
        };
        format!("{}:{}:{which}", self.what.event(), self.subscription)
    }
}

impl Subscription {
    pub(super) fn fact(&self, at: Timestamp, what: What) -> Fact {
        Fact {
            subscription: self.id,
            at,
            revision: self.revision,
            what,
        }
    }
}
