//! The queue of accepted events that are still to be debited.

use domain::{
    amount::{Credits, Quantity},
    id::{CustomerId, EventId, MetricId, TenantId},
    ledger::Account,
    time::Timestamp,
    usage::event::PendingEvent,
};
use entity::{Corrupt, customer, usage_pending};
use sea_orm::{ConnectionTrait, EntityTrait, QueryResult, Value};
use uuid::Uuid;

use crate::{
    customer::shard_of,
    db::Backend,
    error::Result,
    op::Op,
    sql::{Rows, statement},
};

/// Whose events a drain takes.
#[derive(Debug, Clone)]
pub(in crate::usage) enum Chosen {
    /// Those of a shard, without the customers set aside.
    Shard { shard: i32, aside: Vec<CustomerId> },
    /// Those of one customer, accepted before an instant.
    Customer { customer: CustomerId, before: Timestamp },
}

/// The bounds of one transaction.
#[derive(Debug, Clone, Copy)]
pub(in crate::usage) struct Most {
    /// Events that are taken.
    pub(in crate::usage) events: usize,
    /// Customers whose accounts are locked.
    pub(in crate::usage) customers: usize,
}

/// An account whose row is locked.
#[derive(Debug, Clone, Copy)]
pub(in crate::usage) struct Locked {
    pub(in crate::usage) tenant: TenantId,
    pub(in crate::usage) customer: CustomerId,
    pub(in crate::usage) account: Account,
}

impl Chosen {
    /// Runs a statement over the rows `p` of the queue that are `{chosen}`.
    async fn query(&self, db: &impl ConnectionTrait, sql: &str) -> Result<Vec<QueryResult>> {
        let (condition, values, aside): (_, Vec<Value>, Vec<Uuid>) = match self {
            Self::Shard { shard, aside } => {
                let here = aside.iter().filter(|customer| shard_of(**customer) == *shard);
                (
                    "p.shard = $1",
                    vec![(*shard).into()],
                    here.map(|customer| customer.0).collect(),
                )
            }
            Self::Customer { customer, before } => (
                "p.customer_id = $1 AND p.received_at < $2",
                vec![customer.0.into(), before.micros().into()],
                Vec::new(),
            ),
        };
        if aside.is_empty() {
            let sql = sql.replace("{chosen}", condition);
            return Ok(db.query_all_raw(statement(db, &sql, values)).await?);
        }
        let condition = format!("{condition} AND p.customer_id NOT IN (SELECT v.id FROM {{rows}} AS v)");
        let sql = sql.replace("{chosen}", &condition);
        Ok(Rows::default().id("id", aside).query(db, &sql, values).await?)
    }
}

/// Whether there is anything to do. A look without locks.
pub(in crate::usage) async fn any_pending(db: &impl ConnectionTrait, chosen: &Chosen) -> Result<bool> {
    let first = chosen
        .query(db, "SELECT 1 FROM usage_pending p WHERE {chosen} LIMIT 1")
        .await?;
    Ok(!first.is_empty())
}

/// The customer whose events come first. A look without locks.
pub(in crate::usage) async fn first_waiting(
    db: &impl ConnectionTrait,
    chosen: &Chosen,
) -> Result<Option<(CustomerId, TenantId)>> {
    let sql = "SELECT p.customer_id FROM usage_pending p WHERE {chosen} ORDER BY p.id LIMIT 1";
    let first = chosen.query(db, sql).await?;
    let Some(row) = first.first() else { return Ok(None) };
    let found = customer::Entity::find_by_id(row.try_get_by_index::<Uuid>(0)?)
        .one(db)
        .await?;
    Ok(found.map(|row| (CustomerId(row.id), TenantId(row.tenant_id))))
}

/// Locks the accounts of the customers whose events come first, in id order, and moves the operation's instant to after the
/// wait. One statement.
pub(in crate::usage) async fn lock_waiting(op: &mut Op, chosen: &Chosen, most: Most) -> Result<Vec<Locked>> {
    let lock = match Backend::of(op.tx()) {
        Backend::Postgres => "FOR UPDATE OF a",
        Backend::Sqlite => "",
    };
    let Most { events, customers } = most;
    let sql = format!(
        "SELECT a.customer_id, a.tenant_id, a.sequence, a.blocks, a.overdraft FROM account a
         WHERE a.customer_id IN (
            SELECT first.customer_id FROM (
                SELECT p.customer_id, p.received_at FROM usage_pending p WHERE {{chosen}} ORDER BY p.id LIMIT {events}
            ) AS first GROUP BY first.customer_id ORDER BY MIN(first.received_at) LIMIT {customers})
         ORDER BY a.customer_id {lock}"
    );
    let rows = chosen.query(op.tx(), &sql).await?;
    op.refresh();
    rows.iter()
        .map(|row| {
            Ok(Locked {
                customer: CustomerId(row.try_get_by_index(0)?),
                tenant: TenantId(row.try_get_by_index(1)?),
                account: Account {
                    sequence: row.try_get_by_index(2)?,
                    blocks: Credits::from_raw(row.try_get_by_index(3)?),
                    overdraft: Credits::from_raw(row.try_get_by_index(4)?),
                },
            })
        })
        .collect()
}

/// Takes the first events of customers whose accounts are locked out of the queue, in the order of customers and then of
/// acceptance. One statement.
pub(in crate::usage) async fn take_pending(
    op: &Op,
    chosen: &Chosen,
    locked: &[Locked],
    events: usize,
) -> Result<Vec<(CustomerId, Vec<PendingEvent>)>> {
    // The physical place of a row saves looking its key up once more. It cannot change: the accounts are locked.
    let (place, all) = match Backend::of(op.tx()) {
        Backend::Postgres => ("ctid", "= ANY (ARRAY"),
        Backend::Sqlite => ("rowid", "IN ("),
    };
    let condition = match chosen {
        Chosen::Shard { .. } => "p.shard = $1 AND p.customer_id IN (SELECT v.id FROM {rows} AS v)",
        Chosen::Customer { .. } => "p.customer_id IN (SELECT v.id FROM {rows} AS v) AND p.received_at < $1",
    };
    let value: Value = match chosen {
        Chosen::Shard { shard, .. } => (*shard).into(),
        Chosen::Customer { before, .. } => before.micros().into(),
    };
    let sql = format!(
        "DELETE FROM usage_pending WHERE {place} {all} (
            SELECT p.{place} FROM usage_pending p WHERE {condition} ORDER BY p.id LIMIT {events}))
         RETURNING customer_id, id, metric_id, units, occurred_at, received_at, properties"
    );
    let rows = Rows::default()
        .id("id", locked.iter().map(|it| it.customer.0))
        .query(op.tx(), &sql, vec![value])
        .await?;
    let mut taken = rows.iter().map(pending).collect::<Result<Vec<_>>>()?;
    taken.sort_unstable_by_key(|(customer, event)| (*customer, event.id));
    let mut events: Vec<(CustomerId, Vec<PendingEvent>)> = Vec::with_capacity(locked.len());
    for (customer, event) in taken {
        match events.last_mut() {
            Some((last, events)) if *last == customer => events.push(event),
            _ => events.push((customer, vec![event])),
        }
    }
    Ok(events)
}

fn pending(row: &QueryResult) -> Result<(CustomerId, PendingEvent)> {
    let properties: Option<String> = row.try_get_by_index(6)?;
    let properties = properties.as_deref().map(serde_json::from_str).transpose();
    let event = PendingEvent {
        id: EventId(row.try_get_by_index(1)?),
        metric: MetricId(row.try_get_by_index(2)?),
        units: Quantity::from_raw(row.try_get_by_index(3)?),
        occurred_at: Timestamp::from_micros(row.try_get_by_index(4)?),
        received_at: Timestamp::from_micros(row.try_get_by_index(5)?),
        properties: properties
            .map_err(|error| Corrupt {
                table: "usage_pending",
                problem: error.to_string(),
            })?
            .unwrap_or_default(),
    };
    Ok((CustomerId(row.try_get_by_index(0)?), event))
}

/// Whether usage of a customer that was accepted before an instant is still to be debited.
pub(in crate::usage) async fn is_waiting(
    db: &impl ConnectionTrait,
    customer: CustomerId,
    before: Timestamp,
) -> Result<bool> {
    any_pending(db, &Chosen::Customer { customer, before }).await
}

/// Takes one event out of the queue; `false` when it is not there.
pub(in crate::usage) async fn forget_pending(op: &Op, shard: i32, id: EventId) -> Result<bool> {
    let gone = usage_pending::Entity::delete_by_id((shard, id.0))
        .exec(op.tx())
        .await?;
    Ok(gone.rows_affected == 1)
}
