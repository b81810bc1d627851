//! Payments: money that a customer gives, and the credits that it becomes.
//!
//! A payment is a row before it is a request ([`Order`]), and what a provider says of it ([`Seen`]) is a hint: replies, notices and the
//! reconciler all end in [`settle`](settle::settle), which moves a payment forward only. A result that nobody knows is a state of its
//! own; the provider is asked, and the same request may be sent again under the same key, never another one.

pub mod decline;
pub mod method;
pub mod notice;
pub mod returned;
pub mod sale;
#[cfg(test)]
mod samples;
pub mod settle;
pub mod trust;

use serde::{Deserialize, Serialize};

use self::{decline::Decline, method::Kind};
use crate::{
    amount::Credits,
    id::{BlockId, CustomerId, InvoiceId, PaymentId, PaymentMethodId, TenantId},
    money::Money,
    time::Timestamp,
};

/// What a payment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Purpose {
    /// Credits that somebody has asked for.
    Purchase,
    /// Credits that the customer's auto-recharge has asked for.
    Recharge,
    /// An invoice.
    Invoice,
}

/// With what a payment is made; `M` names a way to pay that the customer has left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way<M> {
    /// A way to pay that the customer has left: nobody has to be there.
    Saved(M),
    /// A page of the provider's, on which the customer pays now.
    Page(Checkout),
}

/// What a page of a provider's is to offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkout {
    /// The kinds among which the customer can choose; at least one.
    pub kinds: Vec<Kind>,
    /// Where the customer is sent afterwards; `None`: the provider's own choice.
    pub return_url: Option<String>,
}

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Decided, and not sent to the provider yet.
    Created,
    /// Sent, or about to be: the provider may have it.
    Submitted,
    /// The provider is at work and will say how it ended.
    Processing,
    /// The provider gave no answer: nobody knows whether money was taken. It is asked until it says.
    Unknown,
    /// The customer has to confirm it with the bank, or to pay on a page of the provider's.
    RequiresAction,
    /// The money was taken, and the credits were granted in the same moment.
    Succeeded,
    /// No money was taken.
    Failed,
    /// The provider speaks of another amount than was asked for: somebody has to look. Nothing was granted.
    Quarantined,
}

impl State {
    /// Whether money may still be taken, so that nobody may charge for the same once more.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(
            self,
            Self::Created | Self::Submitted | Self::Processing | Self::Unknown | Self::RequiresAction
        )
    }
}

/// Money asked from a customer. What was agreed never changes; see [`Progress`] for the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// Its name in rows.
    pub id: PaymentId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Who pays.
    pub customer: CustomerId,
    /// What for.
    pub purpose: Purpose,
    /// Key of the provider, such as `sandbox`.
    pub provider: String,
    /// With what.
    pub way: Way<PaymentMethodId>,
    /// How much; more than zero.
    pub amount: Money,
    /// Credits that it becomes: more than zero, and none if it pays an invoice.
    pub credits: Credits,
    /// How long they last, in seconds from the grant; `None`: for ever.
    pub lasts_seconds: Option<i64>,
    /// The invoice that it pays.
    pub invoice: Option<InvoiceId>,
    /// When it was decided.
    pub created_at: Timestamp,
    /// What has become of it.
    pub progress: Progress,
}

/// What has become of a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Where it stands.
    pub state: State,
    /// When it was first sent to the provider.
    pub submitted_at: Option<Timestamp>,
    /// When it is to be looked at next; `None`: nothing is due. One that has ended is looked at when something may have gone back of it.
    pub due_at: Option<Timestamp>,
    /// How often it was looked at in vain since the provider last said something.
    pub looks: i32,
    /// The provider's own name for it.
    pub reference: Option<String>,
    /// Why no money was taken.
    pub decline: Option<Decline>,
    /// Where the customer can confirm it, or pay.
    pub action_url: Option<String>,
    /// The credits that it became.
    pub block: Option<BlockId>,
    /// When it came to an end.
    pub ended_at: Option<Timestamp>,
}

impl Progress {
    /// That of a payment which has just been decided: it is due at once.
    #[must_use]
    pub fn begin(now: Timestamp) -> Self {
        Self {
            state: State::Created,
            submitted_at: None,
            due_at: Some(now),
            looks: 0,
            reference: None,
            decline: None,
            action_url: None,
            block: None,
            ended_at: None,
        }
    }
}

/// What a provider is asked for. The same for every request about one payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// For which payment; the provider keeps it beside its own record.
    pub payment: PaymentId,
    /// Who pays.
    pub customer: CustomerId,
    /// The provider's own name for who pays.
    pub payer: String,
    /// With what, in the provider's own names.
    pub way: Way<String>,
    /// How much.
    pub amount: Money,
    /// The provider's own name for the charge, or for the page on which it is to be made; `None`: not known yet.
    pub reference: Option<String>,
    /// Since when it may be known there.
    pub submitted_at: Timestamp,
}

impl Order {
    /// The key under which the provider does it once, however often it is asked. Made of the payment alone, so that nothing that
    /// changes between two attempts can make it another one.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}_1", self.payment)
    }
}

/// What a provider says of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its own name for it.
    pub reference: String,
    /// How much it is about.
    pub amount: Money,
    /// How it went.
    pub outcome: Outcome,
}

/// How it went, as a provider says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The money was taken.
    Succeeded,
    /// It is not decided yet.
    Processing,
    /// The customer has to confirm it with the bank, or to pay on a page.
    RequiresAction {
        /// Where.
        url: Option<String>,
    },
    /// No money was taken.
    Declined(Decline),
}
