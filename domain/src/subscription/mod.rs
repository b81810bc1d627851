//! Subscriptions: a customer's agreement to a variant.
//!
//! Every operation is a pure function from a [`Subscription`] (and what it needs to know of the books) to a [`Decision`]: the
//! subscription afterwards, the blocks to end and to make, and the facts to tell. The caller writes all of it in one transaction.
//!
//! [`Subscription::due`] says what time makes due next. The caller keeps that instant in one column, sweeps for subscriptions whose
//! column has passed, and takes one step at a time ([`Subscription::take`]) until nothing is due. An operation first
//! has to find nothing due: the past is dealt with before the present.

pub mod admission;
pub mod change;
pub mod contract;
pub mod create;
pub mod deal;
pub mod due;
pub mod fact;
pub mod pause;
pub mod portfolio;
pub mod posting;
pub mod renewal;
pub mod state;
mod turn;

use self::{
    contract::Contract,
    deal::Deal,
    fact::Fact,
    state::{State, Step},
};
use crate::{
    amount::{Credits, Overflow},
    cycle::{
        Cycle,
        grants::{NewBlock, PlanBlock},
        schedule::Schedule,
        summary::Summary,
    },
    id::{BlockId, CustomerId, SubscriptionId, VariantId},
    money::Money,
    plan::variant::{Mode, Variant},
    rejection::{Rejection, RejectionCode},
    time::{Period, Timestamp},
};

/// A customer's agreement to a variant. A customer may have several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its name.
    pub id: SubscriptionId,
    /// Whose.
    pub customer: CustomerId,
    /// To what.
    pub variant: VariantId,
    /// What the next cycle is to have; `None`: the same.
    pub next_variant: Option<VariantId>,
    /// Grows with every decision. The caller writes a decision only over the revision that it came from.
    pub revision: i64,
    /// What it is in.
    pub state: State,
    /// The boundaries of its cycles.
    pub schedule: Schedule,
    /// The cycle that runs; `None` when it is over, or was paused when its cycle ended.
    pub cycle: Option<Cycle>,
    /// Cycles that have ended and not closed, oldest first.
    pub closing: Vec<Cycle>,
    /// Number of the last cycle that began.
    pub last_number: i64,
    /// The contract, if it has one.
    pub contract: Option<Contract>,
    /// Prepaid: the last cycle that is paid. Cycles up to it begin with grants.
    pub paid_through: i64,
    /// Prepaid: the last cycle whose renewal was said to be due.
    pub renewal_told: i64,
    /// Prepaid: since when it is overdue.
    pub overdue_since: Option<Timestamp>,
    /// Whether what is granted once has been granted.
    pub activated: bool,
    /// Whether it is to end with its cycle.
    pub cancel_at_end: bool,
    /// Since when it is agreed what follows the running cycle: it was made, or its plan, end or contract was changed. Nothing is told
    /// of what follows as of an earlier instant.
    pub agreed_at: Timestamp,
    /// When it was made. Of several, the oldest counts usage.
    pub created_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// What a step has to know of the customer's credits.
#[derive(Debug, Clone, Copy)]
pub struct Books<'a> {
    /// The customer's balance: blocks minus overdraft.
    pub balance: Credits,
    /// The blocks that this subscription granted and that have not ended, empty ones included.
    pub blocks: &'a [PlanBlock],
    /// All usage accepted before this instant is debited, and none accepted later.
    pub debited_until: Timestamp,
}

/// Money that becomes due, or goes back, by something other than the end of a cycle. For the next invoice or charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoneyLine {
    /// What for.
    pub variant: VariantId,
    /// The time that it stands for.
    pub period: Period,
    /// How much; negative: it goes back.
    pub amount: Money,
}

/// Credits to be taken out of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// From which.
    pub block: BlockId,
    /// How many, more than zero.
    pub credits: Credits,
}

/// A cycle that has closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedCycle {
    /// The cycle.
    pub cycle: Cycle,
    /// What it came to.
    pub summary: Summary,
}

/// What is to be written, all at once and in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The subscription afterwards.
    pub subscription: Subscription,
    /// Credits that are taken back.
    pub taken: Vec<Taken>,
    /// Blocks that end now; what is left of them expires.
    pub ended: Vec<BlockId>,
    /// Blocks that end at another instant than before, because their cycle does.
    pub moved: Vec<(BlockId, Timestamp)>,
    /// Blocks to be made.
    pub granted: Vec<NewBlock>,
    /// The cycle that has closed.
    pub closed: Option<ClosedCycle>,
    /// Money that is due or goes back.
    pub money: Vec<MoneyLine>,
    /// Whether that money is billed at once: its cycle was paid ahead, so that nobody bills it when it closes.
    pub bills_at_once: bool,
    /// What to tell.
    pub facts: Vec<Fact>,
}

/// Why something that somebody wants is refused. Nothing must be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The state does not allow it.
    #[error("a subscription that is {state:?} cannot do this")]
    NotInState {
        /// The state.
        state: State,
        /// What was wanted.
        step: Step,
    },
    /// Something is due first. Not the caller's fault: take the steps that are due and ask again.
    #[error("the subscription is not up to date")]
    Behind {
        /// Since when.
        due_at: Timestamp,
    },
    /// The next cycle is paid already.
    #[error("the next cycle is paid already")]
    AlreadyPaid,
    /// What was paid is not what is to be renewed: another cycle, or the same one with another plan.
    #[error("another renewal is awaited than the one that was paid")]
    OtherRenewal,
    /// The plan cannot change before the cycle that is paid ahead has begun.
    #[error("the next cycle is paid already; change the plan when it has begun")]
    PaidAhead,
    /// It ends with its cycle, so there is no next one.
    #[error("it ends with its cycle")]
    NothingFollows,
    /// Nothing has to be paid for it in advance.
    #[error("it renews by itself")]
    RenewsByItself,
    /// It has no contract that ends.
    #[error("it has no contract that ends")]
    NoContract,
    /// The new end is not after the present one, or not in the future.
    #[error("the contract must end after {0}")]
    NotLater(Timestamp),
    /// It has this variant already.
    #[error("it has this variant already")]
    SameVariant,
    /// The variant is archived.
    #[error("the variant is archived")]
    ArchivedVariant,
    /// An amount is outside its range.
    #[error(transparent)]
    TooLarge(#[from] Overflow),
    /// The caller brought the books as of another instant, or another offer than the subscription has.
    #[error("the books are not those of this instant")]
    OtherBooks,
}

impl From<Refused> for Rejection {
    fn from(no: Refused) -> Self {
        let (code, field) = match no {
            Refused::AlreadyPaid | Refused::SameVariant => (RejectionCode::AlreadyExists, ""),
            Refused::TooLarge(_) => (RejectionCode::AmountTooLarge, ""),
            Refused::NotLater(_) => (RejectionCode::InvalidInput, "contractEnd"),
            Refused::ArchivedVariant => (RejectionCode::InvalidInput, "variantId"),
            Refused::NotInState { .. }
            | Refused::Behind { .. }
            | Refused::RenewsByItself
            | Refused::PaidAhead
            | Refused::OtherRenewal
            | Refused::NothingFollows
            | Refused::NoContract
            | Refused::OtherBooks => (RejectionCode::SubscriptionState, ""),
        };
        Self::new(code, field, no.to_string())
    }
}

impl Decision {
    /// Only the subscription changes.
    fn new(mut subscription: Subscription) -> Self {
        subscription.revision += 1;
        Self {
            subscription,
            taken: Vec::new(),
            ended: Vec::new(),
            moved: Vec::new(),
            granted: Vec::new(),
            closed: None,
            money: Vec::new(),
            bills_at_once: false,
            facts: Vec::new(),
        }
    }

    /// The fee of a cycle that begins now and is paid ahead is due at once.
    fn bill_ahead(&mut self, cycle: &Cycle, variant: &Variant) -> Result<(), Overflow> {
        let Some(fee) = variant.fee.filter(|_| variant.mode == Mode::Prepaid) else {
            return Ok(());
        };
        let amount = cycle.worth().of_money(fee)?;
        if amount.minor != 0 {
            self.bills_at_once = true;
            self.money.push(MoneyLine {
                variant: variant.id,
                period: cycle.period,
                amount,
            });
        }
        Ok(())
    }

    fn tell(&mut self, at: Timestamp, what: fact::What) {
        let fact = self.subscription.fact(at, what);
        self.facts.push(fact);
    }
}

impl Subscription {
    /// Checks that the past is dealt with, and that the deal is that of the subscription.
    fn check(&self, deal: &Deal<'_>, now: Timestamp) -> Result<(), Refused> {
        if !deal.is_of(self) {
            return Err(Refused::OtherBooks);
        }
        match self.barrier(deal) {
            Some(due_at) if due_at <= now => Err(Refused::Behind { due_at }),
            _ => Ok(()),
        }
    }

    fn step(&mut self, step: Step) -> Result<(), Refused> {
        self.state = self.state.after(step)?;
        Ok(())
    }

    /// When the contract ends; the end of time where it does not.
    fn contract_end(&self) -> Timestamp {
        self.contract
            .as_ref()
            .map_or(Timestamp::MAX, |contract| contract.end)
    }
}
