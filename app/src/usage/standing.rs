//! What the gate reads of usage: what waits, and how far the counts have come.

use std::collections::HashMap;

use domain::{
    id::CustomerId,
    time::Timestamp,
    usage::{Counter, CounterKey, event::PendingEvent},
};
use entity::{usage_counter, usage_pending};
use sea_orm::ConnectionTrait;

use crate::{error::Result, sql::Rows};

/// Waiting events that are read for one customer. One that has more is not answered for: its usage is far behind.
const MAX_WAITING: usize = 10_000;
/// Waiting events that are read for many customers at once: some 5 MB.
const MAX_WAITING_TOGETHER: usize = 20_000;

/// The waiting events of customers, in the order of acceptance; `None` for one that has more than can be counted. One
/// statement; one more per customer when there are very many.
pub(crate) async fn waiting_in(
    db: &impl ConnectionTrait,
    customers: &[CustomerId],
) -> Result<HashMap<CustomerId, Option<Vec<PendingEvent>>>> {
    let rows = read(db, customers, MAX_WAITING_TOGETHER + 1).await?;
    let mut waiting = HashMap::new();
    if rows.len() <= MAX_WAITING_TOGETHER {
        put(&mut waiting, rows)?;
        return Ok(waiting);
    }
    for customer in customers {
        put(&mut waiting, read(db, &[*customer], MAX_WAITING + 1).await?)?;
    }
    Ok(waiting)
}

async fn read(
    db: &impl ConnectionTrait,
    customers: &[CustomerId],
    limit: usize,
) -> Result<Vec<usage_pending::Model>> {
    let sql = format!(
        "SELECT p.* FROM {{rows}} AS v JOIN usage_pending p ON p.customer_id = v.id
         ORDER BY p.customer_id, p.id LIMIT {limit}"
    );
    Ok(Rows::of(customers)
        .select::<usage_pending::Entity>(db, &sql)
        .await?)
}

fn put(
    waiting: &mut HashMap<CustomerId, Option<Vec<PendingEvent>>>,
    rows: Vec<usage_pending::Model>,
) -> Result<()> {
    for row in rows {
        let events = waiting
            .entry(CustomerId(row.customer_id))
            .or_insert_with(|| Some(Vec::new()));
        if let Some(known) = events {
            known.push(PendingEvent::try_from(&row)?);
            if known.len() > MAX_WAITING {
                *events = None;
            }
        }
    }
    Ok(())
}

/// The counts of customers that began at an instant of each or later. One statement.
pub(crate) async fn counters_in(
    db: &impl ConnectionTrait,
    customers: &[(CustomerId, Timestamp)],
) -> Result<HashMap<CustomerId, HashMap<CounterKey, Counter>>> {
    let rows = Rows::default()
        .id("id", customers.iter().map(|(customer, _)| customer.0))
        .int("first", customers.iter().map(|(_, first)| first.micros()))
        .select::<usage_counter::Entity>(
            db,
            "SELECT c.* FROM {rows} AS v JOIN usage_counter c ON c.customer_id = v.id AND c.period_start >= v.first",
        )
        .await?;
    let mut counters: HashMap<CustomerId, HashMap<CounterKey, Counter>> = HashMap::new();
    for row in rows {
        let (customer, key, counter) = row.noun()?;
        counters.entry(customer).or_default().insert(key, counter);
    }
    Ok(counters)
}
