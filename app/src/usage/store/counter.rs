//! The counts of the cycles.

use std::collections::HashMap;

use domain::{
    amount::{Credits, Overflow},
    cycle::late::Timeline,
    id::{CustomerId, MeteringRuleId, MetricId, TenantId},
    metering::Position,
    time::Timestamp,
    usage::{Counter, CounterKey, event::PendingEvent},
};
use entity::usage_counter;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};
use uuid::Uuid;

use crate::{
    error::Result,
    op::Op,
    sql::{Rows, statement},
};

/// The counts that customers' events will move. Customers without a timeline count by months. One statement.
pub(in crate::usage) async fn counters(
    db: &impl ConnectionTrait,
    events: &[(CustomerId, Vec<PendingEvent>)],
    timelines: &mut HashMap<CustomerId, Timeline>,
) -> Result<HashMap<CustomerId, HashMap<CounterKey, Counter>>> {
    let mut wanted = Vec::with_capacity(events.len());
    for (customer, events) in events {
        let mut months = Timeline::default();
        let timeline = timelines.get_mut(customer).unwrap_or(&mut months);
        let begun = wanted.len();
        for event in events {
            let placed = timeline.place_accepted(event.occurred_at, event.received_at);
            let start = placed.stretch.period.start;
            let key = (customer.0, event.metric.0, start.micros());
            if !wanted[begun..].contains(&key) {
                wanted.push(key);
            }
        }
    }
    let rows = Rows::default()
        .id("customer_id", wanted.iter().map(|(customer, ..)| *customer))
        .id("metric_id", wanted.iter().map(|(_, metric, _)| *metric))
        .int("period_start", wanted.iter().map(|(.., start)| *start))
        .select::<usage_counter::Entity>(
            db,
            "SELECT c.* FROM {rows} AS v JOIN usage_counter c
             ON c.customer_id = v.customer_id AND c.metric_id = v.metric_id AND c.period_start = v.period_start",
        )
        .await?;
    let mut counters: HashMap<CustomerId, HashMap<CounterKey, Counter>> =
        HashMap::with_capacity(events.len());
    for row in rows {
        let (customer, key, counter) = row.noun()?;
        counters.entry(customer).or_default().insert(key, counter);
    }
    Ok(counters)
}

/// One count; at zero when there is none.
pub(in crate::usage) async fn counter(
    db: &impl ConnectionTrait,
    customer: CustomerId,
    key: CounterKey,
) -> Result<Counter> {
    let row = usage_counter::Entity::find_by_id((
        customer.0,
        key.metric.0,
        key.line.map_or(Uuid::nil(), |line| line.0),
        key.period_start.micros(),
    ))
    .one(db)
    .await?;
    Ok(match row {
        Some(row) => row.noun()?.2,
        None => Counter::default(),
    })
}

pub(in crate::usage) async fn position(
    db: &impl ConnectionTrait,
    customer: CustomerId,
    metric: MetricId,
    line: Option<MeteringRuleId>,
    period_start: Timestamp,
) -> Result<Position> {
    Ok(counter(
        db,
        customer,
        CounterKey {
            metric,
            line,
            period_start,
        },
    )
    .await?
    .position)
}

/// The counts of all lines of a metric's prices in one.
pub(in crate::usage) async fn position_in_all(
    db: &impl ConnectionTrait,
    customer: CustomerId,
    metric: MetricId,
    period_start: Timestamp,
) -> Result<Position> {
    let rows = usage_counter::Entity::find()
        .filter(usage_counter::Column::CustomerId.eq(customer.0))
        .filter(usage_counter::Column::MetricId.eq(metric.0))
        .filter(usage_counter::Column::PeriodStart.eq(period_start.micros()))
        .all(db)
        .await?;
    let mut all = Position::default();
    for row in rows {
        let one = row.noun()?.2.position;
        all.units = all.units.plus(one.units)?;
        all.events = all.events.checked_add(one.events).ok_or(Overflow)?;
    }
    Ok(all)
}

/// What usage costs that is counted from an instant on, of all metrics. One statement.
pub(crate) async fn used_in(
    db: &impl ConnectionTrait,
    customer: CustomerId,
    period_start: Timestamp,
) -> Result<Credits> {
    let sql = "SELECT CAST(COALESCE(SUM(c.credits), 0) AS bigint) AS used FROM usage_counter c
         WHERE c.customer_id = $1 AND c.period_start = $2";
    let values = vec![customer.0.into(), period_start.micros().into()];
    let row = db.query_one_raw(statement(db, sql, values)).await?;
    let used = row.map(|row| row.try_get("", "used")).transpose()?;
    Ok(Credits::from_raw(used.unwrap_or_default()))
}

/// Writes counts.
pub(in crate::usage) async fn put_counters(
    op: &Op,
    all: &[(TenantId, CustomerId, CounterKey, &Counter)],
) -> Result<()> {
    Rows::default()
        .id("customer_id", all.iter().map(|(_, customer, ..)| customer.0))
        .id("metric_id", all.iter().map(|(_, _, key, _)| key.metric.0))
        .id("line_id", all.iter().map(|(_, _, key, _)| key.line.map_or(Uuid::nil(), |line| line.0)))
        .int("period_start", all.iter().map(|(_, _, key, _)| key.period_start.micros()))
        .id("tenant_id", all.iter().map(|(tenant, ..)| tenant.0))
        .int("units", all.iter().map(|(.., counter)| counter.position.units.raw()))
        .int("events", all.iter().map(|(.., counter)| counter.position.events))
        .int("credits", all.iter().map(|(.., counter)| counter.credits.raw()))
        .text("draws", all.iter().map(|(.., counter)| counter.draws.to_string()))
        .execute(
            op.tx(),
            "INSERT INTO usage_counter (customer_id, metric_id, line_id, period_start, tenant_id, units, events,
                credits, draws)
             SELECT customer_id, metric_id, line_id, period_start, tenant_id, units, events, credits, draws
             FROM {rows} AS v WHERE true
             ON CONFLICT (customer_id, metric_id, line_id, period_start) DO UPDATE SET
                units = excluded.units, events = excluded.events, credits = excluded.credits, draws = excluded.draws",
            Vec::new(),
        )
        .await?;
    Ok(())
}
