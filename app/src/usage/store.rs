//! The SQL of usage.

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::{
    amount::{Credits, Quantity},
    customer::Settlement,
    id::{CustomerId, EventId, MeteringRuleId, MetricId, TenantId},
    ledger::UsageCause,
    metering::Position,
    time::Timestamp,
    usage::{
        Counter, CounterKey,
        drain::RatedEvent,
        event::{EventState, PendingEvent},
    },
};
use entity::{Corrupt, customer, from_text, to_text, usage_counter, usage_event, usage_pending};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QueryResult, QuerySelect, Value,
};
use uuid::Uuid;

use super::{
    GroupBy, SummaryRequest,
    collector::Prepared,
    keys,
    view::{Rating, SummaryLine, UsageEvent},
};
use crate::{
    actor::Reach,
    error::{Error, Result},
    op::Op,
    page::{Page, Slice, ordered},
    sql::{Rows, is_storable, statement},
};

/// Events shown with the explanation of a ledger entry.
const MAX_EXPLAINED_EVENTS: u64 = 100;
/// Lines of a summary: a year of days for a few metrics.
const MAX_SUMMARY_LINES: i64 = 5_000;

/// Whose events a drain takes.
#[derive(Debug, Clone)]
pub(super) enum Chosen {
    /// Those of a shard, without the customers set aside.
    Shard { shard: i32, aside: Vec<CustomerId> },
    /// Those of one customer, accepted before an instant.
    Customer { customer: CustomerId, before: Timestamp },
}

/// Writes events; answers with the ids of those that are new. In the order of their keys everywhere, so that two processes
/// with the same keys do not wait for each other in a circle.
pub(super) async fn insert_events(
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
                received_at, properties, state)
             SELECT id, tenant_id, customer_id, metric_id, key, fingerprint, units, occurred_at, $1, properties, $2
             FROM {rows} AS v WHERE true ORDER BY tenant_id, key, id
             ON CONFLICT (tenant_id, key) DO NOTHING RETURNING id",
            vec![now.into(), to_text(EventState::Pending).into()],
        )
        .await?;
    found
        .iter()
        .map(|row| Ok(EventId(row.try_get("", "id")?)))
        .collect()
}

/// Queues the new events for the drain.
pub(super) async fn insert_pending(
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
pub(super) async fn known_keys(
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

/// The customers whose events come first, with their tenants. A look without locks.
pub(super) async fn customers_waiting(
    db: &impl ConnectionTrait,
    chosen: &Chosen,
    events: u64,
    customers: usize,
) -> Result<Vec<(CustomerId, TenantId)>> {
    let first: Vec<Uuid> = chosen
        .filter()
        .select_only()
        .column(usage_pending::Column::CustomerId)
        .limit(events)
        .into_tuple()
        .all(db)
        .await?;
    let mut seen = HashSet::new();
    let ids: Vec<Uuid> = first
        .into_iter()
        .filter(|id| seen.insert(*id))
        .take(customers)
        .collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let tenants: Vec<(Uuid, Uuid)> = customer::Entity::find()
        .select_only()
        .columns([customer::Column::Id, customer::Column::TenantId])
        .filter(customer::Column::Id.is_in(ids))
        .into_tuple()
        .all(db)
        .await?;
    Ok(tenants
        .into_iter()
        .map(|(id, tenant)| (CustomerId(id), TenantId(tenant)))
        .collect())
}

impl Chosen {
    /// The pending events in the order of acceptance.
    fn filter(&self) -> sea_orm::Select<usage_pending::Entity> {
        let all = usage_pending::Entity::find().order_by_asc(usage_pending::Column::Id);
        match self {
            Self::Shard { shard, aside } => all
                .filter(usage_pending::Column::Shard.eq(*shard))
                .filter(usage_pending::Column::CustomerId.is_not_in(aside.iter().map(|customer| customer.0))),
            Self::Customer { customer, before } => all
                .filter(usage_pending::Column::CustomerId.eq(customer.0))
                .filter(usage_pending::Column::ReceivedAt.lt(before.micros())),
        }
    }
}

/// The pending events of customers whose accounts are locked.
pub(super) async fn pending(
    db: &impl ConnectionTrait,
    chosen: &Chosen,
    customers: &[CustomerId],
    limit: u64,
) -> Result<HashMap<CustomerId, Vec<PendingEvent>>> {
    let rows = chosen
        .filter()
        .filter(usage_pending::Column::CustomerId.is_in(customers.iter().map(|customer| customer.0)))
        .limit(limit)
        .all(db)
        .await?;
    let mut events: HashMap<CustomerId, Vec<PendingEvent>> = HashMap::new();
    for row in rows {
        events
            .entry(CustomerId(row.customer_id))
            .or_default()
            .push(PendingEvent::try_from(&row)?);
    }
    Ok(events)
}

pub(super) async fn is_waiting(
    db: &impl ConnectionTrait,
    customer: CustomerId,
    before: Timestamp,
) -> Result<bool> {
    let first = Chosen::Customer { customer, before }
        .filter()
        .limit(1)
        .one(db)
        .await?;
    Ok(first.is_some())
}

/// The counts that events will move.
pub(super) async fn counters(
    db: &impl ConnectionTrait,
    customers: &[CustomerId],
    events: &[PendingEvent],
) -> Result<HashMap<CustomerId, HashMap<CounterKey, Counter>>> {
    let metrics: HashSet<Uuid> = events.iter().map(|event| event.metric.0).collect();
    let periods: HashSet<i64> = events
        .iter()
        .map(|event| event.occurred_at.month().start.micros())
        .collect();
    let rows = usage_counter::Entity::find()
        .filter(usage_counter::Column::CustomerId.is_in(customers.iter().map(|customer| customer.0)))
        .filter(usage_counter::Column::MetricId.is_in(metrics))
        .filter(usage_counter::Column::PeriodStart.is_in(periods))
        .all(db)
        .await?;
    let mut counters: HashMap<CustomerId, HashMap<CounterKey, Counter>> = HashMap::new();
    for row in rows {
        let (customer, key, counter) = row.noun()?;
        counters.entry(customer).or_default().insert(key, counter);
    }
    Ok(counters)
}

/// One count; at zero when there is none.
pub(super) async fn counter(
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

pub(super) async fn position(
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

/// Who pays back overdrafts.
pub(super) async fn settlements(
    db: &impl ConnectionTrait,
    customers: &[CustomerId],
) -> Result<HashMap<CustomerId, Settlement>> {
    let rows: Vec<(Uuid, String)> = customer::Entity::find()
        .select_only()
        .columns([customer::Column::Id, customer::Column::Settlement])
        .filter(customer::Column::Id.is_in(customers.iter().map(|customer| customer.0)))
        .into_tuple()
        .all(db)
        .await?;
    rows.iter()
        .map(|(id, text)| Ok((CustomerId(*id), from_text("customer", text)?)))
        .collect()
}

/// Takes rated events out of the queue. All of them must still be there: the accounts are locked.
pub(super) async fn take_pending(op: &Op, rated: &[(i32, EventId)]) -> Result<()> {
    let taken = Rows::default()
        .int("shard", rated.iter().map(|(shard, _)| i64::from(*shard)))
        .id("id", rated.iter().map(|(_, id)| id.0))
        .execute(
            op.tx(),
            "DELETE FROM usage_pending WHERE (shard, id) IN (SELECT shard, id FROM {rows} AS v)",
            Vec::new(),
        )
        .await?
        .rows_affected();
    if taken != rated.len() as u64 {
        return Err(Error::Unavailable(
            "pending events were taken by somebody else".to_owned(),
        ));
    }
    Ok(())
}

/// Marks events with what they came to.
pub(super) async fn mark_rated(op: &Op, rated: &[&RatedEvent]) -> Result<()> {
    Rows::default()
        .id("id", rated.iter().map(|event| event.id.0))
        .opt_id("rule_id", rated.iter().map(|event| event.rule.map(|rule| rule.0)))
        .opt_id(
            "line_id",
            rated.iter().map(|event| event.counter.line.map(|line| line.0)),
        )
        .int(
            "period_start",
            rated.iter().map(|event| event.counter.period_start.micros()),
        )
        .int("from_units", rated.iter().map(|event| event.from.units.raw()))
        .int("from_events", rated.iter().map(|event| event.from.events))
        .int("credits", rated.iter().map(|event| event.credits.raw()))
        .text("draws", rated.iter().map(|event| event.draws.to_string()))
        .execute(
            op.tx(),
            "UPDATE usage_event SET state = $1, settled_at = $2, rule_id = v.rule_id, line_id = v.line_id,
                period_start = v.period_start, from_units = v.from_units, from_events = v.from_events,
                credits = v.credits, draws = v.draws
             FROM {rows} AS v WHERE usage_event.id = v.id",
            vec![to_text(EventState::Rated).into(), op.now().micros().into()],
        )
        .await?;
    Ok(())
}

/// Writes counts.
pub(super) async fn put_counters(
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

pub(super) async fn forget_pending(op: &Op, shard: i32, id: EventId) -> Result<()> {
    usage_pending::Entity::delete_by_id((shard, id.0))
        .exec(op.tx())
        .await?;
    Ok(())
}

pub(super) async fn mark_voided(op: &Op, id: EventId) -> Result<()> {
    let row = usage_event::ActiveModel {
        id: sea_orm::ActiveValue::Set(id.0),
        state: sea_orm::ActiveValue::Set(to_text(EventState::Voided)),
        settled_at: sea_orm::ActiveValue::Set(Some(op.now().micros())),
        ..Default::default()
    };
    usage_event::Entity::update(row).exec(op.tx()).await?;
    Ok(())
}

pub(super) async fn event_by_key(
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

pub(super) async fn event_by_id(
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

pub(super) async fn events(
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

/// The first events of the batch behind a ledger entry: those of its customer, metric and rule between its first and last.
pub(super) async fn events_between(
    db: &impl ConnectionTrait,
    reach: Reach,
    customer: CustomerId,
    cause: &UsageCause,
) -> Result<Vec<UsageEvent>> {
    let mut batch = within(reach)
        .filter(usage_event::Column::Id.between(cause.first_event.0, cause.last_event.0))
        .filter(usage_event::Column::CustomerId.eq(customer.0))
        .filter(usage_event::Column::MetricId.eq(cause.metric.0))
        .filter(usage_event::Column::PeriodStart.eq(cause.period_start.micros()));
    batch = match cause.rule {
        Some(rule) => batch.filter(usage_event::Column::RuleId.eq(rule.0)),
        None => batch.filter(usage_event::Column::RuleId.is_null()),
    };
    let rows = batch
        .order_by_asc(usage_event::Column::Id)
        .limit(MAX_EXPLAINED_EVENTS)
        .all(db)
        .await?;
    views(db, reach.tenant(), rows).await
}

fn within(reach: Reach) -> sea_orm::Select<usage_event::Entity> {
    usage_event::Entity::find()
        .filter(reach.condition(usage_event::Column::TenantId, usage_event::Column::CustomerId))
}

/// Events together with the keys of their metrics.
async fn views(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    rows: Vec<usage_event::Model>,
) -> Result<Vec<UsageEvent>> {
    let keys = keys(db, tenant, rows.iter().map(|row| MetricId(row.metric_id))).await?;
    rows.into_iter().map(|row| view(row, &keys)).collect()
}

fn view(row: usage_event::Model, keys: &BTreeMap<MetricId, String>) -> Result<UsageEvent> {
    let corrupt = |problem: String| Corrupt {
        table: "usage_event",
        problem,
    };
    let metric = MetricId(row.metric_id);
    let properties = row.properties.as_deref().map(serde_json::from_str).transpose()?;
    let rating = match (row.credits, row.period_start) {
        (Some(credits), Some(period_start)) => Some(Rating {
            rule: row.rule_id.map(MeteringRuleId),
            counter: CounterKey {
                metric,
                line: row.line_id.map(MeteringRuleId),
                period_start: Timestamp::from_micros(period_start),
            },
            from: Position {
                units: Quantity::from_raw(row.from_units.unwrap_or(0)),
                events: row.from_events.unwrap_or(0),
            },
            credits: Credits::from_raw(credits),
            draws: row
                .draws
                .unwrap_or_default()
                .parse()
                .map_err(|_| corrupt(format!("draws of {}", row.id)))?,
        }),
        _ => None,
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
        state: from_text("usage_event", &row.state)?,
        rating,
        settled_at: row.settled_at.map(Timestamp::from_micros),
    })
}

/// Sums over the counts of all cycles: a few rows per metric, whatever the number of events.
pub(super) async fn summary_of_counters(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    customer: CustomerId,
    group_by: GroupBy,
) -> Result<Vec<SummaryLine>> {
    let stretch = match group_by {
        GroupBy::Month => "c.period_start",
        GroupBy::Metric | GroupBy::Day => "CAST(0 AS bigint)",
    };
    let sql = format!(
        "SELECT m.key AS key, {stretch} AS stretch, CAST(SUM(c.units) AS bigint) AS units,
            CAST(SUM(c.events) AS bigint) AS events, CAST(SUM(c.credits) AS bigint) AS credits
         FROM usage_counter c JOIN metric m ON m.id = c.metric_id
         WHERE c.tenant_id = $1 AND c.customer_id = $2 GROUP BY m.key, {stretch} ORDER BY 2, m.key LIMIT $3"
    );
    let values = vec![tenant.0.into(), customer.0.into(), MAX_SUMMARY_LINES.into()];
    let rows = db.query_all_raw(statement(db, &sql, values)).await?;
    rows.iter().map(|row| summary_line(row, group_by)).collect()
}

/// Sums over the debited events of a stretch of time.
pub(super) async fn summary_of_events(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    customer: CustomerId,
    request: SummaryRequest,
) -> Result<Vec<SummaryLine>> {
    /// Microseconds in a day.
    const DAY: i64 = 86_400_000_000;
    let stretch = match request.group_by {
        GroupBy::Metric => "CAST(0 AS bigint)".to_owned(),
        GroupBy::Day => format!("e.occurred_at / {DAY} * {DAY}"),
        // The first instant of the month is what the drain has counted the event under.
        GroupBy::Month => "e.period_start".to_owned(),
    };
    let sql = format!(
        "SELECT m.key AS key, {stretch} AS stretch, CAST(SUM(e.units) AS bigint) AS units, COUNT(*) AS events,
            CAST(SUM(e.credits) AS bigint) AS credits
         FROM usage_event e JOIN metric m ON m.id = e.metric_id
         WHERE e.tenant_id = $1 AND e.customer_id = $2 AND e.occurred_at >= $3 AND e.occurred_at < $4 AND e.state = $5
         GROUP BY m.key, {stretch} ORDER BY 2, m.key LIMIT $6"
    );
    let values: Vec<Value> = vec![
        tenant.0.into(),
        customer.0.into(),
        request.from.unwrap_or(Timestamp::MIN).micros().into(),
        request.to.map_or(i64::MAX, Timestamp::micros).into(),
        to_text(EventState::Rated).into(),
        MAX_SUMMARY_LINES.into(),
    ];
    let rows = db.query_all_raw(statement(db, &sql, values)).await?;
    rows.iter()
        .map(|row| summary_line(row, request.group_by))
        .collect()
}

fn summary_line(row: &QueryResult, group_by: GroupBy) -> Result<SummaryLine> {
    Ok(SummaryLine {
        metric_key: row.try_get("", "key")?,
        period_start: match group_by {
            GroupBy::Metric => None,
            GroupBy::Day | GroupBy::Month => Some(Timestamp::from_micros(row.try_get("", "stretch")?)),
        },
        units: Quantity::from_raw(row.try_get("", "units")?),
        events: row.try_get("", "events")?,
        credits: Credits::from_raw(row.try_get("", "credits")?),
    })
}
