//! Events: what vendors are told about. Written in the transaction of what has happened, and told once.
//!
//! The names and the words inside are those of source P4 where it has them.

mod payload;
mod store;

use domain::{
    id::{BillingEventId, CustomerId, SubscriptionId, TenantId},
    time::Timestamp,
};
use serde_json::{Map, Value};

pub(crate) use self::{
    payload::{Told, metrics_of},
    store::write_in,
};
use crate::{
    App,
    actor::{Actor, Scope},
    error::Result,
    page::{Page, Slice},
};

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillingEvent {
    /// Its id.
    pub id: BillingEventId,
    /// Name of its kind, such as `subscription.renewed`.
    pub kind: String,
    /// About whom.
    pub customer: CustomerId,
    /// About which subscription.
    pub subscription: Option<SubscriptionId>,
    /// When it was due, which may be before it was noticed.
    pub occurred_at: Timestamp,
    /// What it says.
    pub data: Map<String, Value>,
    /// When it was written.
    pub created_at: Timestamp,
}

/// Something to be told, once: the second of the same key is an error of the database.
#[derive(Debug, Clone)]
pub(crate) struct NewEvent {
    pub(crate) tenant: TenantId,
    pub(crate) customer: CustomerId,
    pub(crate) subscription: Option<SubscriptionId>,
    /// Name of its kind, such as `subscription.renewed`.
    pub(crate) kind: &'static str,
    /// Unique per tenant.
    pub(crate) key: String,
    /// When it was due.
    pub(crate) at: Timestamp,
    /// What it says.
    pub(crate) data: Map<String, Value>,
}

/// What an event says, from its names and values.
pub(crate) fn words<const N: usize>(words: [(&str, Value); N]) -> Map<String, Value> {
    words
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

/// Whose events are wanted.
#[derive(Debug, Clone, Copy)]
pub enum About {
    /// Those of a customer.
    Customer(CustomerId),
    /// Those of a subscription.
    Subscription(SubscriptionId),
}

/// Events about a customer or a subscription, newest first.
///
/// # Errors
/// The scope is missing.
pub async fn events(
    app: &App,
    actor: &Actor,
    about: About,
    page: Page<BillingEventId>,
) -> Result<Slice<BillingEvent>> {
    actor.require(Scope::SubscriptionRead)?;
    store::list(app.db().reader(), actor.reach(), about, page).await
}

/// One event.
///
/// # Errors
/// The scope is missing.
pub async fn event(app: &App, actor: &Actor, id: BillingEventId) -> Result<Option<BillingEvent>> {
    actor.require(Scope::SubscriptionRead)?;
    store::get(app.db().reader(), actor.reach(), id).await
}
