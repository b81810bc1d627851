//! Writing accepted events.

use std::collections::{HashMap, HashSet};

use domain::{
    id::{EventId, TenantId},
    time::Timestamp,
};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::{error::Result, op::Op, sql::Rows, usage::collector::Prepared};

/// Writes events; answers with the ids of those that are new. In the order of their keys everywhere, so that two processes
/// with the same keys do not wait for each other in a circle.
pub(in crate::usage) async fn insert_events(
    op: &Op,
    events: &[&Prepared],
    ids: &[EventId],
) -> Result<HashSet<EventId>> {
    let now = op.now().micros();
    let found = Rows::default()
        .id("id", ids.iter().map(|id| id.0))
        .id("tenant_id", events.iter().map(|event| event.tenant.0))
        .id("customer_id", events.iter().map(|event| event.customer.0))
        .id("metric_id", events.iter().map(|event| event.metric.0))
        .text("key", events.iter().map(|event| event.key.clone()))
        .id("fingerprint", events.iter().map(|event| event.fingerprint))
        .int("units", events.iter().map(|event| event.units.raw()))
        .int("occurred_at", events.iter().map(|event| event.occurred_at.map_or(now, Timestamp::micros)))
        .opt_text("properties", properties(events)?)
        .query(
            op.tx(),
            "INSERT INTO usage_event (id, tenant_id, customer_id, metric_id, key, fingerprint, units, occurred_at,
                received_at, properties)
             SELECT id, tenant_id, customer_id, metric_id, key, fingerprint, units, occurred_at, $1, properties
             FROM {rows} AS v WHERE true ORDER BY tenant_id, key, id
             ON CONFLICT (tenant_id, key) DO NOTHING RETURNING id",
            vec![now.into()],
        )
        .await?;
    found
        .iter()
        .map(|row| Ok(EventId(row.try_get("", "id")?)))
        .collect()
}

/// Queues the new events for the drain.
pub(in crate::usage) async fn insert_pending(
    op: &Op,
    events: &[&Prepared],
    ids: &[EventId],
    written: &HashSet<EventId>,
) -> Result<()> {
    if written.is_empty() {
        return Ok(());
    }
    let now = op.now().micros();
    let new: Vec<(&Prepared, EventId)> = events
        .iter()
        .copied()
        .zip(ids.iter().copied())
        .filter(|(_, id)| written.contains(id))
        .collect();
    let only: Vec<&Prepared> = new.iter().map(|(event, _)| *event).collect();
    Rows::default()
        .int("shard", only.iter().map(|event| i64::from(event.shard)))
        .id("id", new.iter().map(|(_, id)| id.0))
        .id("customer_id", only.iter().map(|event| event.customer.0))
        .id("metric_id", only.iter().map(|event| event.metric.0))
        .int("units", only.iter().map(|event| event.units.raw()))
        .int("occurred_at", only.iter().map(|event| event.occurred_at.map_or(now, Timestamp::micros)))
        .opt_text("properties", properties(&only)?)
        .execute(
            op.tx(),
            "INSERT INTO usage_pending (shard, id, customer_id, metric_id, units, occurred_at, received_at, properties)
             SELECT shard, id, customer_id, metric_id, units, occurred_at, $1, properties FROM {rows} AS v",
            vec![now.into()],
        )
        .await?;
    Ok(())
}

fn properties(events: &[&Prepared]) -> Result<Vec<Option<String>>> {
    let json = |event: &&Prepared| {
        (!event.properties.is_empty())
            .then(|| serde_json::to_string(&event.properties))
            .transpose()
    };
    Ok(events.iter().map(json).collect::<std::result::Result<_, _>>()?)
}

/// The events that hold the keys of others, with the fingerprints of their content.
pub(in crate::usage) async fn known_keys(
    db: &impl ConnectionTrait,
    events: &[&Prepared],
) -> Result<HashMap<(TenantId, String), (EventId, Uuid)>> {
    let rows = Rows::default()
        .id("tenant_id", events.iter().map(|event| event.tenant.0))
        .text("key", events.iter().map(|event| event.key.clone()))
        .query(
            db,
            "SELECT e.tenant_id, e.key, e.id, e.fingerprint
             FROM {rows} AS v JOIN usage_event e ON e.tenant_id = v.tenant_id AND e.key = v.key",
            Vec::new(),
        )
        .await?;
    rows.iter()
        .map(|row| {
            let key = (TenantId(row.try_get("", "tenant_id")?), row.try_get("", "key")?);
            Ok((
                key,
                (EventId(row.try_get("", "id")?), row.try_get("", "fingerprint")?),
            ))
        })
        .collect()
}
