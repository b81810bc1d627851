//! Events: what vendors are told about. Written in the transaction of what has happened, and told once.
//!
//! An event has two numbers. `sequence` is its customer's, given when it is written, under the lock on the account, so that it has no
//! gaps and follows what happened. `position` is the tenant's, given when it is published ([`mod@publish`]): whoever has read up to one has
//! missed nothing before it.

mod feed;
mod payload;
pub(crate) mod publish;
mod retention;
pub mod schema;
mod store;

use domain::{
    event::{EventType, TypeName},
    id::{BillingEventId, CustomerId, SubscriptionId, TenantId},
    time::Timestamp,
};
use serde_json::{Map, Value};

pub use self::feed::{FeedPage, MAX_FEED_PAGE, MAX_LOOKED_THROUGH, feed, stream};
pub(crate) use self::{
    payload::{Told, metrics_of},
    retention::{are_old, forget_old},
    store::{Row, news_between, rows_by_id, write_in, write_one_in},
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
    /// What; maybe of a type that only a newer version knows.
    pub kind: TypeName,
    /// Version of its fields.
    pub version: i32,
    /// About whom; `None`: about the vendor itself.
    pub customer: Option<CustomerId>,
    /// About which subscription.
    pub subscription: Option<SubscriptionId>,
    /// When it was due, which may be before it was noticed.
    pub occurred_at: Timestamp,
    /// What it says.
    pub data: Map<String, Value>,
    /// When it was written.
    pub created_at: Timestamp,
    /// Number among the events of its customer.
    pub sequence: Option<i64>,
    /// Number among the events of its tenant; `None`: it is not published yet.
    pub position: Option<i64>,
}

/// Something to be told, once: the second of the same key is an error of the database.
#[derive(Debug, Clone)]
pub(crate) struct NewEvent {
    pub(crate) tenant: TenantId,
    /// The account is locked.
    pub(crate) customer: Option<CustomerId>,
    pub(crate) subscription: Option<SubscriptionId>,
    pub(crate) kind: EventType,
    /// Unique per tenant.
    pub(crate) key: String,
    /// When it was due.
    pub(crate) at: Timestamp,
    /// What it says: the fields of its type, all of them, and no other.
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

/// What it takes to read about a type of events, besides [`Scope::SubscriptionRead`]; [`Scope::EventRead`] reads all.
fn scope_of(kind: EventType) -> Scope {
    let room = kind.as_str().split('.').next().unwrap_or_default();
    match room {
        "subscription" => Scope::SubscriptionRead,
        "payment" | "payment_method" | "auto_recharge" => Scope::PaymentRead,
        "invoice" => Scope::InvoiceRead,
        "balance" | "credits" | "overshoot" | "spend" => Scope::CreditRead,
        _ => Scope::EventRead,
    }
}

/// The types of events that somebody may read about; `None`: whatever there is. About a type that is not known here nobody can say which
/// scope it takes, nor whether a customer may see it: it is for those alone who may read the whole feed.
fn readable(actor: &Actor) -> Result<Option<Vec<EventType>>> {
    actor.require(Scope::SubscriptionRead)?;
    if actor.require_for_all(Scope::EventRead).is_ok() {
        return Ok(None);
    }
    let may = |kind: &EventType| {
        let scopes = [scope_of(*kind), Scope::EventRead];
        scopes.iter().any(|scope| actor.scopes.contains(scope))
    };
    Ok(Some(EventType::ALL.iter().copied().filter(may).collect()))
}

/// Events about a customer or a subscription, newest first: those that the caller may read about.
///
/// # Errors
/// The scope is missing.
pub async fn events(
    app: &App,
    actor: &Actor,
    about: About,
    page: Page<BillingEventId>,
) -> Result<Slice<BillingEvent>> {
    let kinds = readable(actor)?;
    store::list(app.db().reader(), actor.reach(), about, kinds.as_deref(), page).await
}

/// One event, if the caller may read about it.
///
/// # Errors
/// The scope is missing.
pub async fn event(app: &App, actor: &Actor, id: BillingEventId) -> Result<Option<BillingEvent>> {
    let kinds = readable(actor)?;
    let event = store::get(app.db().reader(), actor.reach(), id).await?;
    let may = |it: &BillingEvent| match (&kinds, it.kind.known()) {
        (None, _) => true,
        (Some(kinds), Some(kind)) => kinds.contains(&kind),
        (Some(_), None) => false,
    };
    Ok(event.filter(may))
}
