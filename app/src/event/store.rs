//! The SQL of events.

use std::collections::BTreeMap;

use domain::{
    event::{EventType, TypeName},
    id::{BillingEventId, CustomerId, SubscriptionId, TenantId},
    time::Timestamp,
};
use entity::{billing_event, event_feed, from_json};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::Condition,
};

use super::{About, BillingEvent, NewEvent, schema};
use crate::{
    actor::Reach,
    error::{Error, Result},
    notify,
    op::Op,
    page::{Page, Slice, ordered},
    sql::{Rows, statement},
    webhook::{self, News},
};

/// Writes events, and has them published. Two statements for any number; the second of a kind that is told once is an error of the database.
pub(crate) async fn write_in(op: &Op, all: &[NewEvent]) -> Result<()> {
    if !all.is_empty() {
        let ids: Vec<_> = all.iter().map(|_| BillingEventId(op.new_id())).collect();
        write(op, all, &ids).await?;
    }
    Ok(())
}

/// Writes one event, and answers with its id. Two statements.
pub(crate) async fn write_one_in(op: &Op, it: NewEvent) -> Result<BillingEventId> {
    let id = BillingEventId(op.new_id());
    write(op, &[it], &[id]).await?;
    Ok(id)
}

async fn write(op: &Op, all: &[NewEvent], ids: &[BillingEventId]) -> Result<()> {
    for it in all {
        debug_assert_eq!(schema::mismatch(it.kind, &it.data), None, "{}", it.kind);
    }
    let sequences = next_sequences(op, all).await?;
    let data = |it: &NewEvent| serde_json::Value::Object(it.data.clone()).to_string();
    Rows::default()
        .id("id", ids.iter().map(|id| id.0))
        .id("tenant_id", all.iter().map(|it| it.tenant.0))
        .opt_id("customer_id", all.iter().map(|it| it.customer.map(|id| id.0)))
        .opt_id("subscription_id", all.iter().map(|it| it.subscription.map(|id| id.0)))
        .text("kind", all.iter().map(|it| it.kind.to_string()))
        .int("version", all.iter().map(|it| i64::from(it.kind.version())))
        .text("key", all.iter().map(|it| it.key.clone()))
        .int("occurred_at", all.iter().map(|it| it.at.micros()))
        .text("data", all.iter().map(data))
        .opt_int("sequence", sequences)
        .execute(
            op.tx(),
            "INSERT INTO billing_event (id, tenant_id, customer_id, subscription_id, kind, version, key, occurred_at, data,
                created_at, sequence)
             SELECT id, tenant_id, customer_id, subscription_id, kind, version, key, occurred_at, data, $1, sequence
             FROM {rows} AS v",
            vec![op.now().micros().into()],
        )
        .await?;
    op.told(all.iter().map(|it| it.tenant));
    Ok(())
}

/// The numbers of new events among those of their customers, in order. One statement.
async fn next_sequences(op: &Op, all: &[NewEvent]) -> Result<Vec<Option<i64>>> {
    let mut counts: BTreeMap<CustomerId, i64> = BTreeMap::new();
    for customer in all.iter().filter_map(|it| it.customer) {
        *counts.entry(customer).or_default() += 1;
    }
    if counts.is_empty() {
        return Ok(vec![None; all.len()]);
    }
    let rows = Rows::default()
        .id("id", counts.keys().map(|customer| customer.0))
        .int("count", counts.values().copied())
        .query(
            op.tx(),
            "UPDATE account SET event_sequence = event_sequence + v.count FROM {rows} AS v WHERE customer_id = v.id
             RETURNING customer_id, event_sequence",
            Vec::new(),
        )
        .await?;
    let mut next = BTreeMap::new();
    for row in &rows {
        let customer = CustomerId(row.try_get("", "customer_id")?);
        let last: i64 = row.try_get("", "event_sequence")?;
        next.insert(customer, last - counts.get(&customer).copied().unwrap_or(0));
    }
    let number = |it: &NewEvent| {
        let Some(customer) = it.customer else {
            return Ok(None);
        };
        let last = next.get_mut(&customer).ok_or_else(no_account)?;
        *last += 1;
        Ok(Some(*last))
    };
    all.iter().map(number).collect()
}

fn no_account() -> Error {
    Error::Internal("an event is about a customer without an account".to_owned())
}

/// An event that waits to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unpublished {
    pub(super) id: BillingEventId,
    pub(super) customer: Option<CustomerId>,
    pub(super) sequence: Option<i64>,
    pub(super) kind: TypeName,
}

/// Tenants with events that wait to be published.
pub(super) async fn unpublished_tenants(db: &impl ConnectionTrait) -> Result<Vec<TenantId>> {
    let rows = db
        .query_all_raw(statement(
            db,
            "SELECT DISTINCT tenant_id FROM billing_event WHERE position IS NULL",
            Vec::new(),
        ))
        .await?;
    rows.iter()
        .map(|row| Ok(TenantId(row.try_get("", "tenant_id")?)))
        .collect()
}

/// Locks a tenant's feed, and answers with the number of the last event in it. One statement.
pub(super) async fn lock_feed(op: &Op, tenant: TenantId) -> Result<i64> {
    let row = op
        .tx()
        .query_one_raw(statement(
            op.tx(),
            "INSERT INTO event_feed (tenant_id, position, forgotten) VALUES ($1, 0, 0)
             ON CONFLICT (tenant_id) DO UPDATE SET position = event_feed.position RETURNING position",
            vec![tenant.0.into()],
        ))
        .await?;
    let row = row.ok_or_else(|| Error::Internal("a feed that cannot be locked".to_owned()))?;
    Ok(row.try_get("", "position")?)
}

/// The oldest events of a tenant that wait, at most so many, and with each of a customer those that come before it. Numbers of a customer
/// are given under the lock on its account, so whoever sees one sees those before it as well. In the order of ids. One statement.
pub(super) async fn unpublished(op: &Op, tenant: TenantId, most: u64) -> Result<Vec<Unpublished>> {
    let rows = op
        .tx()
        .query_all_raw(statement(
            op.tx(),
            "WITH oldest AS (SELECT id, customer_id, sequence, kind FROM billing_event
                WHERE tenant_id = $1 AND position IS NULL ORDER BY id LIMIT $2),
             reached AS (SELECT customer_id, MAX(sequence) AS sequence FROM oldest WHERE customer_id IS NOT NULL
                GROUP BY customer_id)
             SELECT id, customer_id, sequence, kind FROM oldest
             UNION SELECT e.id, e.customer_id, e.sequence, e.kind FROM reached r
             JOIN billing_event e ON e.customer_id = r.customer_id AND e.sequence < r.sequence AND e.position IS NULL
             ORDER BY id",
            vec![tenant.0.into(), most.into()],
        ))
        .await?;
    let one = |row: &sea_orm::QueryResult| {
        Ok(Unpublished {
            id: BillingEventId(row.try_get("", "id")?),
            customer: row
                .try_get::<Option<uuid::Uuid>>("", "customer_id")?
                .map(CustomerId),
            sequence: row.try_get("", "sequence")?,
            kind: TypeName::of(&row.try_get::<String>("", "kind")?),
        })
    };
    rows.iter().map(one).collect()
}

/// Gives events their numbers, from the one after `last`. Two statements for any number.
pub(super) async fn publish(op: &Op, tenant: TenantId, last: i64, order: &[Unpublished]) -> Result<()> {
    Rows::default()
        .id("id", order.iter().map(|it| it.id.0))
        .int("place", (last..).take(order.len()).map(|before| before + 1))
        .execute(
            op.tx(),
            "UPDATE billing_event SET position = v.place FROM {rows} AS v WHERE billing_event.id = v.id",
            Vec::new(),
        )
        .await?;
    let published = i64::try_from(order.len()).unwrap_or(i64::MAX);
    op.tx()
        .execute_raw(statement(
            op.tx(),
            "UPDATE event_feed SET position = position + $2 WHERE tenant_id = $1",
            vec![tenant.0.into(), published.into()],
        ))
        .await?;
    Ok(())
}

/// How far a tenant's feed goes, and up to where it has been forgotten.
pub(super) async fn feed(db: &impl ConnectionTrait, tenant: TenantId) -> Result<(i64, i64)> {
    let row = event_feed::Entity::find_by_id(tenant.0).one(db).await?;
    Ok(row.map_or((0, 0), |row| (row.position, row.forgotten)))
}

/// Which published events are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch<'a> {
    /// Those after this number.
    pub(super) after: i64,
    /// Up to this one; `None`: however far they go.
    pub(super) through: Option<i64>,
    /// Of these types; `None`: all.
    pub(super) types: Option<&'a [EventType]>,
}

/// Published events of a stretch, in order, at most so many. One statement.
pub(super) async fn read(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    stretch: Stretch<'_>,
    most: u64,
) -> Result<Vec<BillingEvent>> {
    use billing_event::Column;
    let named = |types: &[EventType]| Column::Kind.is_in(types.iter().map(|it| it.as_str()));
    let through = stretch.through.map(|through| Column::Position.lte(through));
    let found = billing_event::Entity::find()
        .filter(
            Condition::all()
                .add(Column::TenantId.eq(tenant.0))
                .add(Column::Position.gt(stretch.after))
                .add_option(through)
                .add_option(stretch.types.map(named)),
        )
        .order_by_asc(Column::Position)
        .limit(most)
        .all(db)
        .await?;
    found.into_iter().map(view).collect()
}

/// Published events after a number, up to another, in order, at most so many; with their numbers. One statement.
pub(crate) async fn news_between(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    after: i64,
    through: Option<i64>,
    most: u64,
) -> Result<Vec<(i64, News)>> {
    let rows = db
        .query_all_raw(statement(
            db,
            "SELECT id, customer_id, kind, position FROM billing_event
             WHERE tenant_id = $1 AND position > $2 AND position <= $3 ORDER BY position LIMIT $4",
            vec![
                tenant.0.into(),
                after.into(),
                through.unwrap_or(i64::MAX).into(),
                most.into(),
            ],
        ))
        .await?;
    let one = |row: &sea_orm::QueryResult| {
        let news = News {
            event: BillingEventId(row.try_get("", "id")?),
            customer: row
                .try_get::<Option<uuid::Uuid>>("", "customer_id")?
                .map(CustomerId),
            kind: TypeName::of(&row.try_get::<String>("", "kind")?),
        };
        Ok((row.try_get("", "position")?, news))
    };
    rows.iter().map(one).collect()
}

/// A row as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Row(pub(crate) billing_event::Model);

/// Events by id. One statement.
pub(crate) async fn rows_by_id(
    db: &impl ConnectionTrait,
    ids: &[BillingEventId],
) -> Result<BTreeMap<BillingEventId, Row>> {
    let rows = Rows::default()
        .id("id", ids.iter().map(|id| id.0))
        .select::<billing_event::Entity>(
            db,
            "SELECT e.* FROM {rows} AS v JOIN billing_event e ON e.id = v.id",
        )
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| (BillingEventId(row.id), Row(row)))
        .collect())
}

/// The oldest event that was written before an instant and is published.
pub(super) async fn any_before(db: &impl ConnectionTrait, before: Timestamp) -> Result<bool> {
    let old = billing_event::Entity::find()
        .filter(billing_event::Column::CreatedAt.lt(before.micros()))
        .filter(billing_event::Column::Position.is_not_null());
    Ok(old.one(db).await?.is_some())
}

/// Forgets published events that were written before an instant, at most so many, with what became of their messages; those that wait to
/// be sent stay. Answers how many. Five statements.
pub(super) async fn forget_before(op: &Op, before: Timestamp, most: u64) -> Result<usize> {
    let rows = op
        .tx()
        .query_all_raw(statement(
            op.tx(),
            "SELECT e.id, e.tenant_id, e.position FROM billing_event e WHERE e.created_at < $1 AND e.position IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM webhook_delivery d JOIN webhook_endpoint w ON w.id = d.endpoint_id
                    WHERE d.event_id = e.id AND d.state = 'PENDING' AND w.state = 'ENABLED')
             ORDER BY e.created_at LIMIT $2",
            vec![before.micros().into(), most.into()],
        ))
        .await?;
    let mut ids = Vec::with_capacity(rows.len());
    let mut furthest: BTreeMap<uuid::Uuid, i64> = BTreeMap::new();
    for row in &rows {
        ids.push(BillingEventId(row.try_get("", "id")?));
        let position: i64 = row.try_get("", "position")?;
        let reached = furthest.entry(row.try_get("", "tenant_id")?).or_default();
        *reached = position.max(*reached);
    }
    if ids.is_empty() {
        return Ok(0);
    }
    webhook::forget_in(op, &ids).await?;
    notify::forget_in(op, &ids).await?;
    Rows::default()
        .id("id", ids.iter().map(|id| id.0))
        .execute(
            op.tx(),
            "DELETE FROM billing_event WHERE id IN (SELECT id FROM {rows} AS v)",
            Vec::new(),
        )
        .await?;
    Rows::default()
        .id("id", furthest.keys().copied())
        .int("place", furthest.values().copied())
        .execute(
            op.tx(),
            "UPDATE event_feed SET forgotten = v.place FROM {rows} AS v
             WHERE tenant_id = v.id AND forgotten < v.place",
            Vec::new(),
        )
        .await?;
    Ok(ids.len())
}

fn within(reach: Reach) -> sea_orm::Select<billing_event::Entity> {
    let condition = reach.condition(billing_event::Column::TenantId, billing_event::Column::CustomerId);
    billing_event::Entity::find().filter(condition)
}

pub(super) async fn list(
    db: &impl ConnectionTrait,
    reach: Reach,
    about: About,
    kinds: Option<&[EventType]>,
    page: Page<BillingEventId>,
) -> Result<Slice<BillingEvent>> {
    let about = match about {
        About::Customer(id) => billing_event::Column::CustomerId.eq(id.0),
        About::Subscription(id) => billing_event::Column::SubscriptionId.eq(id.0),
    };
    let kinds = kinds.map(|kinds| billing_event::Column::Kind.is_in(kinds.iter().map(|it| it.as_str())));
    let all = within(reach)
        .filter(about)
        .filter(Condition::all().add_option(kinds));
    let mut newest_first = ordered(all, billing_event::Column::Id);
    newest_first.desc();
    page.map(|id| id.0).read(newest_first, db).await?.try_map(view)
}

pub(super) async fn get(
    db: &impl ConnectionTrait,
    reach: Reach,
    id: BillingEventId,
) -> Result<Option<BillingEvent>> {
    let row = within(reach)
        .filter(billing_event::Column::Id.eq(id.0))
        .one(db)
        .await?;
    row.map(view).transpose()
}

fn view(row: billing_event::Model) -> Result<BillingEvent> {
    Ok(BillingEvent {
        data: from_json("billing_event", &row.data)?,
        id: BillingEventId(row.id),
        kind: TypeName::of(&row.kind),
        version: row.version,
        customer: row.customer_id.map(CustomerId),
        subscription: row.subscription_id.map(SubscriptionId),
        occurred_at: Timestamp::from_micros(row.occurred_at),
        created_at: Timestamp::from_micros(row.created_at),
        sequence: row.sequence,
        position: row.position,
    })
}
