//! Writing accepted events.

use std::collections::{HashMap, HashSet};

use domain::{
    id::{EventId, TenantId},
    time::Timestamp,
};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::{db::Backend, error::Result, failpoint::reach, sql::Rows, usage::collector::Prepared};

/// Both tables at once: only what is new is queued, and the answer is what was not.
const INSERT_POSTGRES: &str = "WITH v AS MATERIALIZED (SELECT * FROM {rows} AS given),
    new AS (
        INSERT INTO usage_event (id, tenant_id, customer_id, metric_id, key, fingerprint, units, occurred_at, received_at,
            properties)
        SELECT id, tenant_id, customer_id, metric_id, key, fingerprint, units, occurred_at, $1, properties
        FROM v ORDER BY tenant_id, key, id
        ON CONFLICT (tenant_id, key) DO NOTHING RETURNING id),
    queued AS (
        INSERT INTO usage_pending (shard, id, customer_id, metric_id, units, occurred_at, received_at, properties)
        SELECT v.shard, v.id, v.customer_id, v.metric_id, v.units, v.occurred_at, $1, v.properties
        FROM v JOIN new ON new.id = v.id)
    SELECT v.id FROM v WHERE NOT EXISTS (SELECT 1 FROM new WHERE new.id = v.id)";

const INSERT_SQLITE: &str =
    "INSERT INTO usage_event (id, tenant_id, customer_id, metric_id, key, fingerprint, units,
        occurred_at, received_at, properties)
    SELECT id, tenant_id, customer_id, metric_id, key, fingerprint, units, occurred_at, $1, properties
    FROM {rows} AS v WHERE true ORDER BY tenant_id, key, id
    ON CONFLICT (tenant_id, key) DO NOTHING RETURNING id";

const QUEUE_SQLITE: &str =
    "INSERT INTO usage_pending (shard, id, customer_id, metric_id, units, occurred_at, received_at,
        properties)
    SELECT shard, id, customer_id, metric_id, units, occurred_at, $1, properties FROM {rows} AS v";

/// An event that is to be written, and its id.
pub(in crate::usage) type New<'a> = (&'a Prepared, EventId);

/// Writes events accepted at an instant and queues those that are new; answers with the ids of the others. In the order of their
/// keys everywhere, so that two processes with the same keys do not wait for each other in a circle. One statement on PostgreSQL,
/// which needs no transaction around it; two on SQLite, which do.
pub(in crate::usage) async fn insert_events(
    db: &impl ConnectionTrait,
    events: &[New<'_>],
    now: Timestamp,
) -> Result<HashSet<EventId>> {
    let named = queue_rows(events, now)
        .id("tenant_id", events.iter().map(|(event, _)| event.tenant.0))
        .text("key", events.iter().map(|(event, _)| event.key.clone()))
        .id("fingerprint", events.iter().map(|(event, _)| event.fingerprint));
    let values = || vec![now.micros().into()];
    if Backend::of(db) == Backend::Postgres {
        let refused = named.query(db, INSERT_POSTGRES, values()).await?;
        return refused
            .iter()
            .map(|row| Ok(EventId(row.try_get_by_index(0)?)))
            .collect();
    }
    let mut refused: HashSet<EventId> = events.iter().map(|(_, id)| *id).collect();
    for row in named.query(db, INSERT_SQLITE, values()).await? {
        refused.remove(&EventId(row.try_get_by_index(0)?));
    }
    let new: Vec<_> = events
        .iter()
        .copied()
        .filter(|(_, id)| !refused.contains(id))
        .collect();
    reach("record.listed")?;
    if !new.is_empty() {
        queue_rows(&new, now).execute(db, QUEUE_SQLITE, values()).await?;
    }
    Ok(refused)
}

/// What the queue keeps of events.
fn queue_rows(events: &[New<'_>], now: Timestamp) -> Rows {
    let all = || events.iter().map(|(event, _)| *event);
    Rows::default()
        .id("id", events.iter().map(|(_, id)| id.0))
        .int("shard", all().map(|event| i64::from(event.shard)))
        .id("customer_id", all().map(|event| event.customer.0))
        .id("metric_id", all().map(|event| event.metric.0))
        .int("units", all().map(|event| event.units.raw()))
        .int(
            "occurred_at",
            all().map(|event| event.occurred_at.unwrap_or(now).micros()),
        )
        .opt_text("properties", all().map(|event| event.properties.clone()))
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
