//! Reading customers for the gate: seven statements for any number of them (eight where any has ever had a subscription), or one
//! when nothing has changed.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use domain::{
    credit::{block::Block, burn::Funds},
    cycle::late::Timeline,
    gate::Standing,
    id::{CustomerId, TenantId},
    time::Timestamp,
    usage::{Counter, CounterKey, CustomerState, event::PendingEvent},
};
use sea_orm::ConnectionTrait;

use super::{
    entry::{Begun, Entry, Read},
    memory::Wanted,
};
use crate::{
    App,
    catalog::shelf::Known,
    credit::{self, Present},
    error::Result,
    op, subscription,
    usage::{self, DAY_MICROS},
};

/// An entry whose read is under way.
struct Reading {
    tenant: TenantId,
    customer: CustomerId,
    entry: Arc<Entry>,
    begun: Begun,
}

/// Reads customers, and tells whoever waits for them.
pub(super) async fn read(app: &App, wanted: Vec<Wanted>) {
    let as_of = app.now();
    let begin = |wanted: Wanted| Reading {
        begun: wanted.entry.begin(as_of),
        tenant: wanted.tenant,
        customer: wanted.customer,
        entry: wanted.entry,
    };
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
    let oldest = oldest(app, &ids, as_of, &waiting);
    let mut timelines = timelines(&tx, &accounts, &oldest).await?;
    let first = first_counts(&oldest, &mut timelines);
    let mut counters = usage::standing::counters_in(&tx, &first).await?;
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
        let loaded = Loaded {
            customer,
            present,
            blocks: blocks.remove(&customer).unwrap_or_default(),
            counters: counters.remove(&customer).unwrap_or_default(),
            timeline: timelines.remove(&customer).unwrap_or_default(),
            waiting: waiting.remove(&customer).unwrap_or_else(|| Some(Vec::new())),
        };
        found.insert(customer, loaded.read(prices, as_of));
    }
    Ok(found)
}

/// One customer as a moment of the database shows it.
struct Loaded {
    customer: CustomerId,
    present: Present,
    blocks: Vec<Block>,
    counters: HashMap<CounterKey, Counter>,
    timeline: Timeline,
    /// Accepted usage that is not debited yet, in the order of acceptance; `None`: more than can be counted.
    waiting: Option<Vec<PendingEvent>>,
}

impl Loaded {
    /// What the gate remembers of it.
    fn read(self, prices: &Known, as_of: Timestamp) -> Read {
        let waiting = self.waiting.iter().flatten();
        Read {
            counted: waiting.map(|event| event.id).collect(),
            revision: self.present.revision,
            as_of,
            until: self.until(as_of),
            standing: self.stand(prices),
        }
    }

    /// Until when this may be believed: until a step of a subscription is due. A step that is due already is taken by the workers,
    /// and changes the account; a customer with a clock of its own is told of by that clock in the same way.
    fn until(&self, as_of: Timestamp) -> Timestamp {
        let barrier = self.present.barrier.filter(|_| self.present.clock.is_none());
        barrier
            .filter(|barrier| *barrier > as_of)
            .unwrap_or(Timestamp::MAX)
    }

    /// The customer moved on by what waits. `None`: that cannot be counted, so nobody can say what is left.
    fn stand(self, prices: &Known) -> Option<Standing> {
        let Self {
            customer,
            present,
            waiting,
            ..
        } = self;
        let Some(waiting) = waiting else {
            tracing::warn!(%customer, "too much usage waits to be debited; the gate cannot answer");
            return None;
        };
        // Usage that waits for a subscription comes after the step which is due there.
        let barrier = present.barrier.unwrap_or(Timestamp::MAX);
        let (sooner, later): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|event| event.received_at < barrier);
        let state = CustomerState {
            customer,
            settlement: present.terms.settlement,
            funds: Funds::new(self.blocks, present.account.overdraft),
            counters: self.counters,
            account: present.account,
            timeline: self.timeline,
        };
        let mut standing = Standing::new(present.terms, present.admission, state);
        for events in [sooner, later] {
            if let Err(problem) = standing.count(&prices.list.rules, &events) {
                tracing::error!(%customer, %problem, "waiting usage cannot be counted by the gate");
                return None;
            }
        }
        Some(standing)
    }
}

/// The earliest instant at which waiting or new usage of each customer may have occurred.
fn oldest(
    app: &App,
    customers: &[CustomerId],
    now: Timestamp,
    waiting: &HashMap<CustomerId, Option<Vec<PendingEvent>>>,
) -> HashMap<CustomerId, Timestamp> {
    let limit = app.limits().back_date_days.saturating_mul(DAY_MICROS);
    let limit = Timestamp::from_micros(now.micros().saturating_sub(limit));
    let of = |customer: &CustomerId| {
        let waiting = waiting.get(customer).into_iter().flatten().flatten();
        let first = waiting.map(|event| event.occurred_at.min(event.received_at));
        (*customer, first.fold(limit, Timestamp::min))
    };
    customers.iter().map(of).collect()
}

/// The cycles of those customers that have ever had a subscription. One statement, none without such customers.
async fn timelines(
    db: &impl ConnectionTrait,
    accounts: &HashMap<CustomerId, Present>,
    oldest: &HashMap<CustomerId, Timestamp>,
) -> Result<HashMap<CustomerId, Timeline>> {
    let subscribed = accounts.iter().filter(|(_, present)| present.barrier.is_some());
    let subscribed: Vec<CustomerId> = subscribed.map(|(customer, _)| *customer).collect();
    let since = subscribed
        .iter()
        .filter_map(|customer| oldest.get(customer))
        .min();
    match since {
        None => Ok(HashMap::new()),
        Some(since) => subscription::timelines_in(db, &subscribed, *since).await,
    }
}

/// The beginning of the earliest count that waiting or new usage of each customer can move: that of a calendar month, or of a cycle that
/// may have begun long ago.
fn first_counts(
    oldest: &HashMap<CustomerId, Timestamp>,
    timelines: &mut HashMap<CustomerId, Timeline>,
) -> Vec<(CustomerId, Timestamp)> {
    let mut months = Timeline::default();
    let first = |(customer, oldest): (&CustomerId, &Timestamp)| {
        let timeline = timelines.get_mut(customer).unwrap_or(&mut months);
        (*customer, timeline.stretch(*oldest).period.start)
    };
    oldest.iter().map(first).collect()
}

async fn price_lists(app: &App, readings: &[Reading]) -> Result<HashMap<TenantId, Arc<Known>>> {
    let tenants: HashSet<TenantId> = readings.iter().map(|it| it.tenant).collect();
    let mut lists = HashMap::new();
    for tenant in tenants {
        lists.insert(tenant, app.shelf().of(app, tenant).await?);
    }
    Ok(lists)
}
