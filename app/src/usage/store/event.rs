//! Reading events together with what they came to.

use std::collections::{BTreeMap, HashMap};

use domain::{
    amount::Quantity,
    id::{CustomerId, EventId, MetricId, TenantId},
    ledger::UsageCause,
    time::Timestamp,
    usage::event::EventState,
};
use entity::usage_event;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};

use super::rating::{Rated, ratings_behind, ratings_of};
use crate::{
    actor::Reach,
    error::Result,
    op::Op,
    page::{Page, Slice, ordered},
    sql::{Rows, among, is_storable},
    subscription,
    usage::{
        keys,
        view::{Rating, UsageEvent},
    },
};

/// Events shown with the explanation of a ledger entry.
pub(super) const MAX_EXPLAINED_EVENTS: usize = 100;

pub(in crate::usage) async fn event_by_key(
    db: &impl ConnectionTrait,
    reach: Reach,
    key: &str,
) -> Result<Option<UsageEvent>> {
    if !is_storable(key) {
        return Ok(None);
    }
    let row = within(reach)
        .filter(usage_event::Column::Key.eq(key))
        .one(db)
        .await?;
    Ok(views(db, reach.tenant(), row.into_iter().collect()).await?.pop())
}

pub(in crate::usage) async fn event_by_id(
    db: &impl ConnectionTrait,
    reach: Reach,
    id: EventId,
) -> Result<Option<UsageEvent>> {
    let row = within(reach)
        .filter(usage_event::Column::Id.eq(id.0))
        .one(db)
        .await?;
    Ok(views(db, reach.tenant(), row.into_iter().collect()).await?.pop())
}

pub(in crate::usage) async fn events(
    db: &impl ConnectionTrait,
    reach: Reach,
    customer: CustomerId,
    page: Page<(Timestamp, EventId)>,
) -> Result<Slice<UsageEvent>> {
    let all = within(reach).filter(usage_event::Column::CustomerId.eq(customer.0));
    let mut latest_first = ordered(all, (usage_event::Column::OccurredAt, usage_event::Column::Id));
    latest_first.desc();
    let slice = page
        .map(|(at, id)| (at.micros(), id.0))
        .read(latest_first, db)
        .await?;
    let (has_previous, has_next) = (slice.has_previous, slice.has_next);
    Ok(Slice {
        items: views(db, reach.tenant(), slice.items).await?,
        has_previous,
        has_next,
    })
}

/// The first events of the batch behind a ledger entry: those of its customer, metric, rule and timing between its first and last.
/// They occurred in one stretch of time, that of the first. Six statements.
pub(in crate::usage) async fn events_between(
    db: &impl ConnectionTrait,
    reach: Reach,
    customer: CustomerId,
    cause: &UsageCause,
) -> Result<Vec<UsageEvent>> {
    let first = within(reach)
        .filter(usage_event::Column::Id.eq(cause.first_event.0))
        .one(db)
        .await?;
    let Some(first) = first else { return Ok(Vec::new()) };
    let occurred_at = Timestamp::from_micros(first.occurred_at);
    let rated = ratings_of(db, &[first]).await?.remove(&cause.first_event);
    let Some((Rating { timing, .. }, _)) = rated else {
        return Ok(Vec::new());
    };
    // What came in time occurred where it counts.
    let occurred_at = if timing.is_late() {
        occurred_at
    } else {
        cause.period_start
    };
    let mut timeline = subscription::timelines_in(db, &[customer], occurred_at)
        .await?
        .remove(&customer)
        .unwrap_or_default();
    let occurred_in = timeline.stretch(occurred_at).period;
    let ratings = ratings_behind(db, customer, cause, occurred_in, timing).await?;
    let mut ids: Vec<EventId> = ratings.keys().copied().collect();
    ids.sort_unstable();
    ids.truncate(MAX_EXPLAINED_EVENTS);
    let rows = within(reach)
        .filter(among(db, usage_event::Column::Id, ids.iter().map(|id| id.0)))
        .order_by_asc(usage_event::Column::Id)
        .all(db)
        .await?;
    named(db, reach.tenant(), rows, ratings).await
}

fn within(reach: Reach) -> sea_orm::Select<usage_event::Entity> {
    usage_event::Entity::find()
        .filter(reach.condition(usage_event::Column::TenantId, usage_event::Column::CustomerId))
}

/// Events together with what they came to and the keys of their metrics. Two statements.
async fn views(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    rows: Vec<usage_event::Model>,
) -> Result<Vec<UsageEvent>> {
    let ratings = ratings_of(db, &rows).await?;
    named(db, tenant, rows, ratings).await
}

async fn named(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    rows: Vec<usage_event::Model>,
    mut ratings: HashMap<EventId, Rated>,
) -> Result<Vec<UsageEvent>> {
    let keys = keys(db, tenant, rows.iter().map(|row| MetricId(row.metric_id))).await?;
    rows.into_iter()
        .map(|row| {
            let rated = ratings.remove(&EventId(row.id));
            view(row, rated, &keys)
        })
        .collect()
}

fn view(
    row: usage_event::Model,
    rated: Option<Rated>,
    keys: &BTreeMap<MetricId, String>,
) -> Result<UsageEvent> {
    let metric = MetricId(row.metric_id);
    let properties = row.properties.as_deref().map(serde_json::from_str).transpose()?;
    let (rating, rated_at) = rated.unzip();
    let voided_at = row.voided_at.map(Timestamp::from_micros);
    let state = match (voided_at, &rating) {
        (Some(_), _) => EventState::Voided,
        (None, Some(_)) => EventState::Rated,
        // The row was read first: had it been taken back before it was rated, it would say so.
        (None, None) => EventState::Pending,
    };
    Ok(UsageEvent {
        id: EventId(row.id),
        customer: CustomerId(row.customer_id),
        metric,
        metric_key: keys.get(&metric).cloned().unwrap_or_default(),
        key: row.key,
        units: Quantity::from_raw(row.units),
        occurred_at: Timestamp::from_micros(row.occurred_at),
        received_at: Timestamp::from_micros(row.received_at),
        properties: properties.unwrap_or_default(),
        state,
        rating,
        settled_at: voided_at.or(rated_at),
    })
}

/// Notes when events count as accepted, where that is not when they were. One statement, none without events.
pub(in crate::usage) async fn accepted_anew(op: &Op, events: &[(EventId, Timestamp)]) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    Rows::default()
        .id("id", events.iter().map(|(id, _)| id.0))
        .int("received_at", events.iter().map(|(_, at)| at.micros()))
        .execute(
            op.tx(),
            "UPDATE usage_event SET received_at = v.received_at FROM {rows} AS v WHERE usage_event.id = v.id",
            Vec::new(),
        )
        .await?;
    Ok(())
}

/// Notes that an event was taken back.
pub(in crate::usage) async fn mark_voided(op: &Op, id: EventId) -> Result<()> {
    let row = usage_event::ActiveModel {
        id: sea_orm::ActiveValue::Set(id.0),
        voided_at: sea_orm::ActiveValue::Set(Some(op.now().micros())),
        ..Default::default()
    };
    usage_event::Entity::update(row).exec(op.tx()).await?;
    Ok(())
}
