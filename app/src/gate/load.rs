//! Reading customers for the gate: seven statements for any number of them, or one when nothing has changed.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use domain::{
    credit::burn::Funds,
    gate::Standing,
    id::{CustomerId, TenantId},
    time::Timestamp,
    usage::{CustomerState, event::PendingEvent},
};

use super::{
    entry::{Begun, Entry, Read},
    memory::Wanted,
};
use crate::{App, catalog::shelf::Known, credit, error::Result, op, usage};

/// An entry whose read is under way.
struct Reading {
    tenant: TenantId,
    customer: CustomerId,
    entry: Arc<Entry>,
    begun: Begun,
}

/// Reads customers, and tells whoever waits for them.
pub(super) async fn read(app: &App, wanted: Vec<Wanted>) {
    let begin = |wanted: Wanted| Reading {
        begun: wanted.entry.begin(),
        tenant: wanted.tenant,
        customer: wanted.customer,
        entry: wanted.entry,
    };
    let as_of = app.now();
    let readings: Vec<Reading> = wanted.into_iter().map(begin).collect();
    let (confirm, mut load): (Vec<_>, Vec<_>) = readings.into_iter().partition(|it| it.begun.confirm);
    load.extend(confirmed(app, confirm, as_of).await);
    if load.is_empty() {
        return;
    }
    match all(app, &load, as_of).await {
        Ok(mut found) => {
            for reading in load {
                match found.remove(&reading.customer) {
                    Some(read) => reading.entry.finish(&reading.begun, read),
                    None => reading.entry.fail(&reading.begun),
                }
            }
        }
        Err(error) => failed(&load, &error),
    }
}

/// Confirms what has not changed; answers with the rest.
async fn confirmed(app: &App, readings: Vec<Reading>, as_of: Timestamp) -> Vec<Reading> {
    if readings.is_empty() {
        return Vec::new();
    }
    let ids: Vec<CustomerId> = readings.iter().map(|it| it.customer).collect();
    let revisions = match credit::revisions(app.db().reader(), &ids).await {
        Ok(revisions) => revisions,
        Err(error) => {
            failed(&readings, &error);
            return Vec::new();
        }
    };
    let mut changed = Vec::new();
    for reading in readings {
        if revisions.get(&reading.customer).copied() == reading.begun.revision {
            reading.entry.confirm(&reading.begun, as_of);
        } else {
            changed.push(reading);
        }
    }
    changed
}

fn failed(readings: &[Reading], error: &crate::Error) {
    tracing::warn!(%error, customers = readings.len(), "the gate could not read customers");
    for reading in readings {
        reading.entry.fail(&reading.begun);
    }
}

/// Everything about customers, of one moment.
async fn all(app: &App, readings: &[Reading], as_of: Timestamp) -> Result<HashMap<CustomerId, Read>> {
    let ids: Vec<CustomerId> = readings.iter().map(|it| it.customer).collect();
    // Before the snapshot: nobody may hold one connection while waiting for another.
    let prices = price_lists(app, readings).await?;
    let tx = op::snapshot(app).await?;
    let mut accounts = credit::present_in(&tx, &ids).await?;
    let mut waiting = usage::standing::waiting_in(&tx, &ids).await?;
    let first = first_cycle(app, as_of, &waiting);
    let mut counters = usage::standing::counters_in(&tx, &ids, first).await?;
    let mut refundable = BTreeSet::new();
    for known in prices.values() {
        refundable.extend(usage::refundable(&known.list.rules, &counters));
    }
    let mut blocks = credit::blocks_in(&tx, &ids, &refundable).await?;
    drop(tx);
    let mut found = HashMap::new();
    for reading in readings {
        let customer = reading.customer;
        let (Some(present), Some(prices)) = (accounts.remove(&customer), prices.get(&reading.tenant)) else {
            continue;
        };
        let state = CustomerState {
            customer,
            settlement: present.terms.settlement,
            funds: Funds::new(
                blocks.remove(&customer).unwrap_or_default(),
                present.account.overdraft,
            ),
            counters: counters.remove(&customer).unwrap_or_default(),
            account: present.account,
        };
        let waiting = waiting.remove(&customer).unwrap_or_else(|| Some(Vec::new()));
        found.insert(
            customer,
            Read {
                counted: waiting
                    .iter()
                    .flatten()
                    .map(|event| event.id)
                    .collect::<HashSet<_>>(),
                standing: stand(present.terms, state, waiting.as_deref(), prices),
                revision: present.revision,
                as_of,
            },
        );
    }
    Ok(found)
}

/// The customer moved on by what waits. `None`: that cannot be counted, so nobody can say what is left.
fn stand(
    terms: domain::customer::Terms,
    state: CustomerState,
    waiting: Option<&[PendingEvent]>,
    prices: &Known,
) -> Option<Standing> {
    let customer = state.customer;
    let mut standing = Standing::new(terms, state);
    let Some(waiting) = waiting else {
        tracing::warn!(%customer, "too much usage waits to be debited; the gate cannot answer");
        return None;
    };
    match standing.count(&prices.list.rules, waiting) {
        Ok(()) => Some(standing),
        Err(problem) => {
            tracing::error!(%customer, %problem, "waiting usage cannot be counted by the gate");
            None
        }
    }
}

/// The earliest cycle that waiting or new events can move.
fn first_cycle(
    app: &App,
    now: Timestamp,
    waiting: &HashMap<CustomerId, Option<Vec<PendingEvent>>>,
) -> Timestamp {
    /// Microseconds in a day.
    const DAY: i64 = 86_400_000_000;
    let oldest = now
        .micros()
        .saturating_sub(app.limits().back_date_days.saturating_mul(DAY));
    let oldest = Timestamp::from_micros(oldest).month().start;
    let waiting = waiting.values().flatten().flatten();
    waiting
        .map(|event| event.occurred_at.month().start)
        .fold(oldest, Timestamp::min)
}

async fn price_lists(app: &App, readings: &[Reading]) -> Result<HashMap<TenantId, Arc<Known>>> {
    let tenants: HashSet<TenantId> = readings.iter().map(|it| it.tenant).collect();
    let mut lists = HashMap::new();
    for tenant in tenants {
        lists.insert(tenant, app.shelf().of(app, tenant).await?);
    }
    Ok(lists)
}
