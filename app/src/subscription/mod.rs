//! Subscriptions: what customers have agreed to, their cycles, and what time makes due of them.
//!
//! The rules are in [`domain::subscription`]; here are their transactions. Everything happens under the lock on the customer's
//! account, after the usage accepted before has been debited. A wish costs some twenty statements, as does a step that time
//! makes due for up to 500 customers at once ([`advance`]).

mod advance;
mod change;
mod creation;
mod held;
mod settled;
mod store;
mod timeline;
mod view;
mod write;

use std::collections::HashMap;

use domain::{
    id::{CustomerId, SubscriptionId, VariantId},
    plan::variant::Variant,
    subscription::state::State,
    time::Timestamp,
};
use entity::from_text;
use sea_orm::ConnectionTrait;

pub(crate) use self::{
    advance::{advance_each, advance_shard, catch_up, due_shards},
    held::{Agreed, agreed_in},
    timeline::timelines_in,
};
pub use self::{
    change::{Wish, change},
    creation::{CreateSubscription, create},
    view::{CycleState, CycleView, MetricKeys, SubscriptionView, Window},
};
use crate::{
    App,
    actor::{Actor, Scope},
    catalog,
    error::Result,
    op::Op,
    page::{Page, Slice},
};

/// One subscription.
///
/// # Errors
/// The scope is missing.
pub async fn subscription(app: &App, actor: &Actor, id: SubscriptionId) -> Result<Option<SubscriptionView>> {
    actor.require(Scope::SubscriptionRead)?;
    let row = store::find(app.db().reader(), actor.reach(), id).await?;
    one(app, row).await
}

/// One subscription by the vendor's own name.
///
/// # Errors
/// The scope is missing.
pub async fn subscription_by_external_id(
    app: &App,
    actor: &Actor,
    external_id: &str,
) -> Result<Option<SubscriptionView>> {
    actor.require(Scope::SubscriptionRead)?;
    let row = store::find_external(app.db().reader(), actor.reach(), external_id).await?;
    one(app, row).await
}

async fn one(app: &App, row: Option<entity::subscription::Model>) -> Result<Option<SubscriptionView>> {
    let Some(row) = row else { return Ok(None) };
    Ok(views(app, vec![row]).await?.pop())
}

/// Rows as they are shown. One statement.
async fn views(app: &App, rows: Vec<entity::subscription::Model>) -> Result<Vec<SubscriptionView>> {
    let open = store::open_cycles(app.db().reader(), &rows).await?;
    rows.iter()
        .map(|row| SubscriptionView::new(row, &row.noun(&open)?))
        .collect()
}

/// What a customer has agreed to and is not over, oldest first. Three statements.
pub(crate) async fn variants_in(db: &impl ConnectionTrait, customer: CustomerId) -> Result<Vec<Variant>> {
    Ok(variants_of(db, &[customer])
        .await?
        .remove(&customer)
        .unwrap_or_default())
}

/// The same for many customers; whoever subscribes to nothing is left out.
pub(crate) async fn variants_of(
    db: &impl ConnectionTrait,
    customers: &[CustomerId],
) -> Result<HashMap<CustomerId, Vec<Variant>>> {
    let mut wanted = Vec::new();
    for row in &store::living(db, customers).await? {
        let state: State = from_text("subscription", &row.state)?;
        let pair = (CustomerId(row.customer_id), VariantId(row.variant_id));
        if !state.is_over() && !wanted.contains(&pair) {
            wanted.push(pair);
        }
    }
    let ids: Vec<VariantId> = wanted.iter().map(|(_, variant)| *variant).collect();
    let offers = catalog::offers_in(db, &ids).await?;
    let mut all: HashMap<CustomerId, Vec<Variant>> = HashMap::new();
    for (customer, variant) in wanted {
        if let Some(offer) = offers.get(&variant) {
            all.entry(customer).or_default().push(offer.variant.clone());
        }
    }
    Ok(all)
}

/// A customer's subscriptions, oldest first. Two statements.
///
/// # Errors
/// The scope is missing.
pub async fn subscriptions(
    app: &App,
    actor: &Actor,
    customer: CustomerId,
    page: Page<SubscriptionId>,
) -> Result<Slice<SubscriptionView>> {
    actor.require(Scope::SubscriptionRead)?;
    let slice = store::list(app.db().reader(), actor.reach(), customer, page).await?;
    Ok(Slice {
        has_previous: slice.has_previous,
        has_next: slice.has_next,
        items: views(app, slice.items).await?,
    })
}

/// Whether something of a customer's subscriptions is due that comes before what somebody wants now.
pub(crate) fn is_behind(account: &entity::account::Model, now: Timestamp) -> bool {
    account.barrier_at.is_some_and(|barrier| barrier <= now.micros())
}

/// Has the subscriptions of a variant looked at again, because what time makes due of them may have changed.
pub(crate) async fn look_again_in(op: &Op, variant: VariantId) -> Result<()> {
    store::look_again(op, variant, op.now()).await
}

/// When the first of some customers' subscriptions is due. One statement.
pub(crate) async fn next_due(app: &App, customers: &[CustomerId]) -> Result<Option<Timestamp>> {
    let due = store::due_of(app.db().reader(), customers).await?;
    Ok(due.into_values().min())
}

/// The cycles of a subscription, newest first, and the keys of the metrics in their summaries. Two statements.
///
/// # Errors
/// The scope is missing.
pub async fn cycles(
    app: &App,
    actor: &Actor,
    id: SubscriptionId,
    page: Page<i64>,
) -> Result<(Slice<CycleView>, MetricKeys)> {
    actor.require(Scope::SubscriptionRead)?;
    let slice = store::cycles(app.db().reader(), actor.reach(), id, page)
        .await?
        .try_map(|row| CycleView::of(&row))?;
    let keys = metric_keys(app, actor, &slice.items).await?;
    Ok((slice, keys))
}

/// The cycles of a customer's subscriptions, latest first. Their places are their beginning, subscription and number. Two statements.
///
/// # Errors
/// The scope is missing.
pub async fn cycles_of_customer(
    app: &App,
    actor: &Actor,
    customer: CustomerId,
    page: Page<(Timestamp, SubscriptionId, i64)>,
) -> Result<(Slice<CycleView>, MetricKeys)> {
    actor.require(Scope::SubscriptionRead)?;
    let page = page.map(|(start, id, number)| (start.micros(), id.0, number));
    let slice = store::cycles_of(app.db().reader(), actor.reach(), customer, page)
        .await?
        .try_map(|row| CycleView::of(&row))?;
    let keys = metric_keys(app, actor, &slice.items).await?;
    Ok((slice, keys))
}

/// The keys of the metrics in summaries.
async fn metric_keys(app: &App, actor: &Actor, cycles: &[CycleView]) -> Result<MetricKeys> {
    let metrics = view::metrics_of(cycles);
    if metrics.is_empty() {
        return Ok(MetricKeys::default());
    }
    catalog::metric_keys_in(app.db().reader(), actor.tenant, &metrics).await
}
