//! Reading customers for the gate: seven statements for any number of them (one more where any has ever had a subscription, one where any
//! has open holds, two where any has limits of its own, one where usage waits of any whose overdraft has a bound, and five where a step of a
//! subscription is due), or one when nothing has changed.
//!
//! A step that is due and not taken yet is foreseen: the customer is moved on in memory by the rules that the worker will follow.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use domain::{
    credit::{
        block::Block,
        burn::{Bound, Funds},
    },
    cycle::late::Timeline,
    gate::Standing,
    hold::Hold,
    id::{CustomerId, TenantId},
    plan::Offers,
    spend::standing::Spending,
    subscription::portfolio::Agreement,
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
    hold, op, spend, subscription,
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
        tenant: wanted.entry.tenant,
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
    // Before the snapshot: nobody may hold one connection while waiting for another.
    let whose: Vec<(TenantId, CustomerId)> = readings.iter().map(|it| (it.tenant, it.customer)).collect();
    let prices = price_lists(app, &whose).await?;
    let tx = op::snapshot(app).await?;
    read_in(app, &tx, &whose, &prices, as_of).await
}

/// The standings of customers as a transaction sees them, at what is their present then. Whoever cannot be counted is left out. Seven
/// statements, and up to ten more as above.
pub(crate) async fn standings_in(
    app: &App,
    db: &impl ConnectionTrait,
    whose: &[(TenantId, CustomerId)],
    prices: &HashMap<TenantId, Arc<Known>>,
    as_of: Timestamp,
) -> Result<HashMap<CustomerId, Standing>> {
    let read = read_in(app, db, whose, prices, as_of).await?;
    let standing = |(customer, read): (CustomerId, Read)| Some((customer, read.standing?));
    Ok(read.into_iter().filter_map(standing).collect())
}

async fn read_in(
    app: &App,
    tx: &impl ConnectionTrait,
    whose: &[(TenantId, CustomerId)],
    prices: &HashMap<TenantId, Arc<Known>>,
    as_of: Timestamp,
) -> Result<HashMap<CustomerId, Read>> {
    let ids: Vec<CustomerId> = whose.iter().map(|(_, customer)| *customer).collect();
    let mut accounts = credit::present_in(tx, &ids).await?;
    let mut waiting = usage::standing::waiting_in(tx, &ids).await?;
    let oldest = oldest(app, &ids, as_of, &waiting);
    let mut timelines = timelines(tx, &accounts, &oldest).await?;
    let first = first_counts(&oldest, &mut timelines);
    let mut counters = usage::standing::counters_in(tx, &first).await?;
    let mut refundable = BTreeSet::new();
    for known in prices.values() {
        refundable.extend(usage::refundable(&known.list.rules, &counters));
    }
    let mut blocks = credit::blocks_in(tx, &ids, &refundable).await?;
    let holding = accounts.iter().filter(|(_, present)| present.holds > 0);
    let holding: Vec<CustomerId> = holding.map(|(customer, _)| *customer).collect();
    let mut holds = hold::open_in(tx, &holding).await?;
    let managed = accounts.iter().filter(|(_, present)| present.spend_managed);
    let managed: Vec<CustomerId> = managed.map(|(customer, _)| *customer).collect();
    let mut spendings = spend::spendings_in(tx, &managed, as_of).await?;
    let mut bounds = bounds(tx, &accounts, &waiting).await?;
    let mut foreseen = foreseen(tx, &accounts, as_of).await?;
    let mut found = HashMap::new();
    for &(tenant, customer) in whose {
        let (Some(present), Some(prices)) = (accounts.remove(&customer), prices.get(&tenant)) else {
            continue;
        };
        let loaded = Loaded {
            customer,
            present,
            blocks: blocks.remove(&customer).unwrap_or_default(),
            holds: holds.remove(&customer).unwrap_or_default(),
            spending: spendings.remove(&customer),
            counters: counters.remove(&customer).unwrap_or_default(),
            timeline: timelines.remove(&customer).unwrap_or_default(),
            waiting: waiting.remove(&customer).unwrap_or_else(|| Some(Vec::new())),
            bound: bounds.remove(&customer),
        };
        let agreements = foreseen.agreements.remove(&customer);
        found.insert(customer, loaded.read(prices, agreements, &foreseen.offers, as_of));
    }
    Ok(found)
}

/// One customer as a moment of the database shows it.
struct Loaded {
    customer: CustomerId,
    present: Present,
    blocks: Vec<Block>,
    holds: Vec<Hold>,
    spending: Option<Spending>,
    counters: HashMap<CounterKey, Counter>,
    timeline: Timeline,
    /// Accepted usage that is not debited yet, in the order of acceptance; `None`: more than can be counted.
    waiting: Option<Vec<PendingEvent>>,
    /// How far usage may let it owe.
    bound: Option<Bound>,
}

impl Loaded {
    /// What the gate remembers of it.
    fn read(
        self,
        prices: &Known,
        agreements: Option<Vec<Agreement>>,
        offers: &Offers,
        as_of: Timestamp,
    ) -> Read {
        let waiting = self.waiting.iter().flatten();
        let counted = waiting.map(|event| event.id).collect();
        let (revision, clock) = (self.present.revision, self.present.clock);
        let barrier = self.present.barrier;
        let stood = match agreements {
            Some(agreements) => match clock {
                None => self.foresee(prices, agreements, offers, as_of),
                Some(now) => {
                    let own = offers
                        .iter()
                        .map(|(id, offer)| (*id, offer.clone().by_clock(now)));
                    self.foresee(prices, agreements, &own.collect(), now)
                }
            },
            None => self.stand(prices).map(|standing| (standing, barrier)),
        };
        let (standing, next) = match stood {
            Some((standing, next)) => (Some(standing), next),
            None => (None, None),
        };
        Read {
            standing,
            revision,
            as_of,
            clock,
            // A customer with a clock of its own is told of by that clock, which changes its account.
            until: next.filter(|_| clock.is_none()).unwrap_or(Timestamp::MAX),
            counted,
        }
    }

    /// The customer as the books say, and the usage that waits. `None`: more than can be counted.
    fn begin(self) -> Option<(Standing, Vec<PendingEvent>)> {
        let Some(waiting) = self.waiting else {
            tracing::warn!(customer = %self.customer, "too much usage waits to be debited; the gate cannot answer");
            return None;
        };
        if self.present.spend_managed && self.spending.is_none() {
            tracing::error!(customer = %self.customer, "limits cannot be read; the gate cannot answer");
            return None;
        }
        let state = CustomerState {
            customer: self.customer,
            settlement: self.present.terms.settlement,
            funds: Funds::new(self.blocks, self.present.account.overdraft).bounded(self.bound),
            counters: self.counters,
            account: self.present.account,
            timeline: self.timeline,
        };
        let standing = Standing::new(self.present.terms, self.present.admission, state);
        let standing = standing.with_holds(self.holds).with_spending(self.spending);
        Some((standing, waiting))
    }

    /// The customer moved on by what waits. `None`: that cannot be counted, so nobody can say what is left.
    fn stand(self, prices: &Known) -> Option<Standing> {
        let customer = self.customer;
        let (mut standing, waiting) = self.begin()?;
        match standing.count(&prices.list.rules, &waiting) {
            Ok(()) => Some(standing),
            Err(problem) => {
                tracing::error!(%customer, %problem, "waiting usage cannot be counted by the gate");
                None
            }
        }
    }

    /// The same with the steps of subscriptions that are due, and when the next one is.
    fn foresee(
        self,
        prices: &Known,
        agreements: Vec<Agreement>,
        offers: &Offers,
        now: Timestamp,
    ) -> Option<(Standing, Option<Timestamp>)> {
        let customer = self.customer;
        let (standing, waiting) = self.begin()?;
        let foreseen = standing.foresee(agreements, offers, &prices.list.rules, &waiting, now);
        foreseen
            .inspect_err(
                |problem| tracing::error!(%customer, %problem, "the gate cannot foresee a subscription"),
            )
            .ok()
    }
}

/// How far usage may let customers owe, for those whose terms say so. One statement, none where none of them has usage that waits.
async fn bounds(
    db: &impl ConnectionTrait,
    accounts: &HashMap<CustomerId, Present>,
    waiting: &HashMap<CustomerId, Option<Vec<PendingEvent>>>,
) -> Result<HashMap<CustomerId, Bound>> {
    let bounded = |(customer, present): (&CustomerId, &Present)| {
        let events = waiting.get(customer).into_iter().flatten().flatten();
        let first = events.map(|event| event.received_at).min();
        Some((*customer, present.terms.bound()?, first))
    };
    credit::bounds_in(db, accounts.iter().filter_map(bounded).collect()).await
}

/// What the subscriptions have agreed to of which a step is due. No statement when none is.
async fn foreseen(
    db: &impl ConnectionTrait,
    accounts: &HashMap<CustomerId, Present>,
    as_of: Timestamp,
) -> Result<subscription::Agreed> {
    let due = |present: &Present| {
        let now = present.clock.unwrap_or(as_of);
        present.barrier.is_some_and(|barrier| barrier <= now)
    };
    let due = accounts.iter().filter(|(_, present)| due(present));
    let due: Vec<CustomerId> = due.map(|(customer, _)| *customer).collect();
    if due.is_empty() {
        return Ok(subscription::Agreed::default());
    }
    subscription::agreed_in(db, &due).await
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

async fn price_lists(app: &App, whose: &[(TenantId, CustomerId)]) -> Result<HashMap<TenantId, Arc<Known>>> {
    let tenants: HashSet<TenantId> = whose.iter().map(|(tenant, _)| *tenant).collect();
    let mut lists = HashMap::new();
    for tenant in tenants {
        lists.insert(tenant, app.shelf().of(app, tenant).await?);
    }
    Ok(lists)
}
