//! The queue of accepted events that are still to be debited.

use std::collections::HashSet;

use domain::{
    amount::{Credits, Quantity},
    id::{CustomerId, EventId, MetricId, TenantId},
    ledger::{Account, chain::EntryHash},
    time::Timestamp,
    usage::event::PendingEvent,
};
use entity::{Corrupt, account, customer, usage_pending};
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
    /// Those of customers, each accepted before an instant.
    Customers(Vec<(CustomerId, Timestamp)>),
}

/// Events of the rows that were accepted before the instant of their customer. Nearly all lie before the earliest of these, `{least}`;
/// only the others are looked at one by one. `IS TRUE` keeps the first condition from becoming a join: events are read in the order of their
/// shard until there are enough, not all events of each customer once for every shard.
const UNHELD: &str = "(p.customer_id IN (SELECT v.id FROM {rows} AS v)) IS TRUE
    AND (p.received_at < {least} OR EXISTS (SELECT 1 FROM {rows} AS v WHERE v.id = p.customer_id AND p.received_at < v.before))";

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
    /// The first instant whose usage has to wait for a subscription; `None`: there never was one.
    pub(in crate::usage) barrier: Option<Timestamp>,
    /// Whether what it spends is counted against limits of the customer's own.
    pub(in crate::usage) spend_managed: bool,
}

impl From<&account::Model> for Locked {
    fn from(row: &account::Model) -> Self {
        Self {
            tenant: TenantId(row.tenant_id),
            customer: CustomerId(row.customer_id),
            account: Account::from(row),
            barrier: row.barrier_at.map(Timestamp::from_micros),
            spend_managed: row.spend_managed != 0,
        }
    }
}

impl Locked {
    /// The first instant whose usage is not asked for.
    fn asked(&self, chosen: &Chosen) -> Timestamp {
        match chosen {
            Chosen::Shards { .. } => Timestamp::MAX,
            Chosen::Customers(all) => {
                let asked = all.iter().find(|(customer, _)| *customer == self.customer);
                asked.map_or(Timestamp::MIN, |(_, before)| *before)
            }
        }
    }

    /// The first instant whose usage must not be taken: what is asked for, and never past the barrier.
    fn before(&self, chosen: &Chosen) -> Timestamp {
        self.asked(chosen).min(self.barrier.unwrap_or(Timestamp::MAX))
    }
}

impl Chosen {
    /// The first events that are chosen, as a table expression: at most so many, from each shard its share. Of one customer they
    /// are always the first.
    fn first(&self, backend: Backend, columns: &str, condition: &str, events: usize) -> String {
        let part = |chosen: &str, limit: usize| {
            format!(
                "SELECT {columns} FROM usage_pending p WHERE {chosen} AND {condition} ORDER BY p.id LIMIT {limit}"
            )
        };
        match (self, backend) {
            (Self::Shards { .. }, _) => (1..=most_shards(backend))
                .map(|shard| {
                    format!(
                        "SELECT * FROM ({}) AS s{shard}",
                        part(&format!("p.shard = ${shard}"), self.share(events))
                    )
                })
                .collect::<Vec<_>>()
                .join(" UNION ALL "),
            // Each by itself, so that a long backlog is not read to its end.
            (Self::Customers(_), Backend::Postgres) => format!(
                "SELECT s.* FROM {{rows}} AS v CROSS JOIN LATERAL ({}) AS s LIMIT {events}",
                part("p.customer_id = v.id AND p.received_at < v.before", events)
            ),
            (Self::Customers(_), Backend::Sqlite) => format!(
                "SELECT {columns} FROM {{rows}} AS v CROSS JOIN usage_pending p
                 WHERE p.customer_id = v.id AND p.received_at < v.before ORDER BY p.id LIMIT {events}"
            ),
        }
    }

    /// Events that are taken from each shard, of so many in all.
    fn share(&self, events: usize) -> usize {
        match self {
            Self::Shards { shards, .. } => events / shards.len().max(1),
            Self::Customers(_) => events,
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
        let count = |shard: Option<i32>| -> usize {
            let here = |customer| shard.is_none_or(|shard| shard_of(customer) == shard);
            let here = taken.iter().filter(|(customer, _)| here(*customer));
            here.map(|(_, events)| events.len()).sum()
        };
        locked.len() >= most.customers
            || match self {
                Self::Shards { shards, .. } => shards.iter().any(|shard| count(Some(*shard)) >= share),
                Self::Customers(_) => count(None) >= share,
            }
    }

    /// Customers whose account was locked and whose events all lie at their barrier or later: none of them was taken.
    pub(in crate::usage) fn held(
        &self,
        locked: &[Locked],
        taken: &[(CustomerId, Vec<PendingEvent>)],
    ) -> Vec<CustomerId> {
        // In the order of customers.
        let idle = |it: &&Locked| {
            taken
                .binary_search_by_key(&it.customer, |(customer, _)| *customer)
                .is_err()
        };
        locked
            .iter()
            .filter(|it| it.barrier.is_some_and(|barrier| barrier < it.asked(self)))
            .filter(idle)
            .map(|it| it.customer)
            .collect()
    }

    /// The condition that leaves out who is set aside, the values of the statement, and its rows, if it has any.
    fn condition(&self, backend: Backend) -> (&'static str, Vec<Value>, Option<Rows>) {
        match self {
            Self::Shards { shards, aside } => {
                let here = aside
                    .iter()
                    .filter(|customer| shards.contains(&shard_of(**customer)));
                let aside: Vec<Uuid> = here.map(|customer| customer.0).collect();
                if aside.is_empty() {
                    ("true", padded(backend, shards), None)
                } else {
                    let condition = "p.customer_id NOT IN (SELECT v.id FROM {rows} AS v)";
                    (
                        condition,
                        padded(backend, shards),
                        Some(Rows::default().id("id", aside)),
                    )
                }
            }
            Self::Customers(all) => ("true", Vec::new(), Some(limits(all))),
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
        let (condition, values, rows) = self.condition(backend);
        let first = self.first(backend, columns, condition, events);
        let sql = sql.replace("{first}", &first);
        match rows {
            Some(rows) => Ok(rows.query(db, &sql, values).await?),
            None => Ok(db.query_all_raw(statement(db, &sql, values)).await?),
        }
    }
}

/// Customers as rows, each with the first instant whose usage is left alone.
fn limits(all: &[(CustomerId, Timestamp)]) -> Rows {
    Rows::default()
        .id("id", all.iter().map(|(customer, _)| customer.0))
        .int("before", all.iter().map(|(_, before)| before.micros()))
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
        "SELECT a.customer_id, a.tenant_id, a.sequence, a.blocks, a.overdraft, a.head, a.barrier_at,
            a.watched_balance, a.low_balance, a.spend_managed FROM account a
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
                    watched_balance: row.try_get_by_index::<Option<i64>>(7)?.map(Credits::from_raw),
                    low_balance: row.try_get_by_index::<Option<i64>>(8)?.map(Credits::from_raw),
                },
                barrier: row
                    .try_get_by_index::<Option<i64>>(6)?
                    .map(Timestamp::from_micros),
                spend_managed: row.try_get_by_index::<i32>(9)? != 0,
            })
        })
        .collect()
}

/// Takes the first events of customers whose accounts are locked out of the queue, in the order of customers and then of
/// acceptance. What was accepted at the barrier of its customer or later stays. One statement.
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
    let before: Vec<_> = locked.iter().map(|it| (it.customer, it.before(chosen))).collect();
    let (condition, values) = match chosen {
        Chosen::Shards { shards, .. } => {
            let mut values = padded(backend, shards);
            let least = before.iter().map(|(_, before)| *before).min();
            values.push(least.unwrap_or(Timestamp::MIN).micros().into());
            (UNHELD.replace("{least}", &format!("${}", values.len())), values)
        }
        Chosen::Customers(_) => ("true".to_owned(), Vec::new()),
    };
    let first = chosen.first(backend, &format!("p.{place}"), &condition, events);
    let sql = format!(
        "DELETE FROM usage_pending WHERE {place} {open}{first}{close}
         RETURNING customer_id, id, metric_id, units, occurred_at, received_at, properties"
    );
    let rows = limits(&before).query(op.tx(), &sql, values).await?;
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

/// The customers of whom usage that was accepted before their instant is still to be debited. One statement.
pub(in crate::usage) async fn waiting_before(
    db: &impl ConnectionTrait,
    all: &[(CustomerId, Timestamp)],
) -> Result<HashSet<CustomerId>> {
    let sql = "SELECT v.id AS id FROM {rows} AS v WHERE EXISTS (
        SELECT 1 FROM usage_pending p WHERE p.customer_id = v.id AND p.received_at < v.before)";
    let rows = limits(all).query(db, sql, Vec::new()).await?;
    rows.iter()
        .map(|row| Ok(CustomerId(row.try_get_by_index(0)?)))
        .collect()
}

/// The customers with waiting usage whose barrier has passed, by the clock on the wall or by their own. One statement, over the
/// accounts whose barrier has passed: nearly always none.
pub(in crate::usage) async fn held(db: &impl ConnectionTrait, now: Timestamp) -> Result<Vec<CustomerId>> {
    let sql = "SELECT a.customer_id FROM account a
         WHERE a.barrier_at <= $1 AND a.clock_id IS NULL
            AND EXISTS (SELECT 1 FROM usage_pending p WHERE p.customer_id = a.customer_id)
         UNION ALL SELECT a.customer_id FROM test_clock t JOIN account a ON a.clock_id = t.id
         WHERE a.barrier_at <= t.now_at
            AND EXISTS (SELECT 1 FROM usage_pending p WHERE p.customer_id = a.customer_id)";
    let rows = db
        .query_all_raw(statement(db, sql, vec![now.micros().into()]))
        .await?;
    rows.iter()
        .map(|row| Ok(CustomerId(row.try_get_by_index(0)?)))
        .collect()
}

/// Takes one event out of the queue; `false` when it is not there.
pub(in crate::usage) async fn forget_pending(op: &Op, shard: i32, id: EventId) -> Result<bool> {
    let gone = usage_pending::Entity::delete_by_id((shard, id.0))
        .exec(op.tx())
        .await?;
    Ok(gone.rows_affected == 1)
}
