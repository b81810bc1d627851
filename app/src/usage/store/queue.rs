//! The queue of accepted events that are still to be debited.

use domain::{
    amount::{Credits, Quantity},
    id::{CustomerId, EventId, MetricId, TenantId},
    ledger::{Account, chain::EntryHash},
    time::Timestamp,
    usage::event::PendingEvent,
};
use entity::{Corrupt, customer, usage_pending};
use sea_orm::{ConnectionTrait, EntityTrait, QueryResult, Value};
use uuid::Uuid;

use crate::{
    customer::{SHARDS, shard_of},
    db::Backend,
    error::Result,
    op::Op,
    sql::{Rows, statement},
};

/// Most shards of one statement, which is written out for so many, so that its text is always the same. On PostgreSQL four runs,
/// which is how many a worker has at once, cover all. On SQLite one does: there is one writer, for which the others would wait.
pub(in crate::usage) fn most_shards(backend: Backend) -> usize {
    match backend {
        Backend::Postgres => 8,
        Backend::Sqlite => SHARDS as usize,
    }
}

/// Stands for no shard.
const NO_SHARD: i32 = -1;

/// Whose events a drain takes.
#[derive(Debug, Clone)]
pub(in crate::usage) enum Chosen {
    /// Those of up to [`most_shards`] shards, without the customers set aside.
    Shards {
        shards: Vec<i32>,
        aside: Vec<CustomerId>,
    },
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
    /// The first events that are chosen, as a table expression: at most so many, from each shard its share.
    fn first(&self, backend: Backend, columns: &str, condition: &str, events: usize) -> String {
        let part = |chosen: &str, limit: usize| {
            format!(
                "SELECT {columns} FROM usage_pending p WHERE {chosen} AND {condition} ORDER BY p.id LIMIT {limit}"
            )
        };
        match self {
            Self::Shards { .. } => (1..=most_shards(backend))
                .map(|shard| {
                    format!(
                        "SELECT * FROM ({}) AS s{shard}",
                        part(&format!("p.shard = ${shard}"), self.share(events))
                    )
                })
                .collect::<Vec<_>>()
                .join(" UNION ALL "),
            Self::Customer { .. } => part("p.customer_id = $1 AND p.received_at < $2", events),
        }
    }

    /// Events that are taken from each shard, of so many in all.
    fn share(&self, events: usize) -> usize {
        match self {
            Self::Shards { shards, .. } => events / shards.len().max(1),
            Self::Customer { .. } => events,
        }
    }

    /// Whether a transaction has reached one of its bounds, so that there may be more behind what it took.
    pub(in crate::usage) fn is_full(
        &self,
        most: Most,
        locked: &[Locked],
        taken: &[(CustomerId, Vec<PendingEvent>)],
    ) -> bool {
        let share = self.share(most.events);
        let full = |shard: i32| {
            let here = taken.iter().filter(|(customer, _)| shard_of(*customer) == shard);
            here.map(|(_, events)| events.len()).sum::<usize>() >= share
        };
        locked.len() >= most.customers
            || match self {
                Self::Shards { shards, .. } => shards.iter().any(|shard| full(*shard)),
                Self::Customer { .. } => taken.iter().any(|(_, events)| events.len() >= share),
            }
    }

    /// The condition that leaves out who is set aside, and the values of the statement.
    fn condition(&self, backend: Backend) -> (&'static str, Vec<Value>, Vec<Uuid>) {
        match self {
            Self::Shards { shards, aside } => {
                let here = aside
                    .iter()
                    .filter(|customer| shards.contains(&shard_of(**customer)));
                let aside: Vec<Uuid> = here.map(|customer| customer.0).collect();
                let condition = if aside.is_empty() {
                    "true"
                } else {
                    "p.customer_id NOT IN (SELECT v.id FROM {rows} AS v)"
                };
                (condition, padded(backend, shards), aside)
            }
            Self::Customer { customer, before } => (
                "true",
                vec![customer.0.into(), before.micros().into()],
                Vec::new(),
            ),
        }
    }

    /// Runs a statement over the events `{first}`, with these columns, of those that are chosen.
    async fn query(
        &self,
        db: &impl ConnectionTrait,
        sql: &str,
        columns: &str,
        events: usize,
    ) -> Result<Vec<QueryResult>> {
        let backend = Backend::of(db);
        let (condition, values, aside) = self.condition(backend);
        let sql = sql.replace("{first}", &self.first(backend, columns, condition, events));
        if aside.is_empty() {
            return Ok(db.query_all_raw(statement(db, &sql, values)).await?);
        }
        Ok(Rows::default().id("id", aside).query(db, &sql, values).await?)
    }
}

/// The numbers of shards as values, always [`most_shards`].
fn padded(backend: Backend, shards: &[i32]) -> Vec<Value> {
    let all = shards.iter().copied().chain(std::iter::repeat(NO_SHARD));
    all.take(most_shards(backend)).map(Value::from).collect()
}

/// Whether there is anything to do. A look without locks.
pub(in crate::usage) async fn any_pending(db: &impl ConnectionTrait, chosen: &Chosen) -> Result<bool> {
    let first = chosen
        .query(
            db,
            "SELECT 1 FROM ({first}) AS first LIMIT 1",
            "p.id",
            most_shards(Backend::of(db)),
        )
        .await?;
    Ok(!first.is_empty())
}

/// The customer whose events come first. A look without locks.
pub(in crate::usage) async fn first_waiting(
    db: &impl ConnectionTrait,
    chosen: &Chosen,
) -> Result<Option<(CustomerId, TenantId)>> {
    let sql = "SELECT first.customer_id FROM ({first}) AS first ORDER BY first.id LIMIT 1";
    let first = chosen
        .query(db, sql, "p.customer_id, p.id", most_shards(Backend::of(db)))
        .await?;
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
        "SELECT a.customer_id, a.tenant_id, a.sequence, a.blocks, a.overdraft, a.head FROM account a
         WHERE a.customer_id IN (
            SELECT first.customer_id FROM ({{first}}) AS first
            GROUP BY first.customer_id ORDER BY MIN(first.received_at) LIMIT {customers})
         ORDER BY a.customer_id {lock}"
    );
    let rows = chosen
        .query(op.tx(), &sql, "p.customer_id, p.received_at", events)
        .await?;
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
                    head: EntryHash::from_bytes(&row.try_get_by_index::<Vec<u8>>(5)?).unwrap_or_default(),
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
    let backend = Backend::of(op.tx());
    let (place, open, close) = match backend {
        Backend::Postgres => ("ctid", "= ANY (ARRAY(", "))"),
        Backend::Sqlite => ("rowid", "IN (", ")"),
    };
    let (condition, values) = match chosen {
        Chosen::Shards { shards, .. } => (
            "p.customer_id IN (SELECT v.id FROM {rows} AS v)",
            padded(backend, shards),
        ),
        Chosen::Customer { customer, before } => ("true", vec![customer.0.into(), before.micros().into()]),
    };
    let sql = format!(
        "DELETE FROM usage_pending WHERE {place} {open}{}{close}
         RETURNING customer_id, id, metric_id, units, occurred_at, received_at, properties",
        chosen.first(backend, &format!("p.{place}"), condition, events)
    );
    let rows = match chosen {
        Chosen::Shards { .. } => {
            let customers = locked.iter().map(|it| it.customer.0);
            Rows::default()
                .id("id", customers)
                .query(op.tx(), &sql, values)
                .await?
        }
        Chosen::Customer { .. } if locked.is_empty() => Vec::new(),
        Chosen::Customer { .. } => op.tx().query_all_raw(statement(op.tx(), &sql, values)).await?,
    };
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
