//! Draining: pending events of many customers become debits in one transaction.
//!
//! Phases: lock the accounts of the customers whose events come first in id order, take their events out of the queue, read,
//! fold in memory ([`domain::usage::drain`]), write. Some fourteen statements for any number of events and customers, and one more
//! for the cycles where any of them has ever had a subscription, one where usage adjusts a cycle that has closed, one where the terms of
//! any of them bound its overdraft, two to tell where something was written off, and three where any has limits of its own, five where it reaches
//! one. Two workers on the same shard are harmless: the second waits for
//! the locks and then finds other events, or none.
//!
//! Usage accepted at the barrier of its customer or later waits until the step that is due there has been taken, because grants and
//! expiries of that instant come first. Such usage is never taken, whatever the clock of this process says. Customers whose barrier
//! has passed are left out, and so is, for the rest of a run, whoever turns out to have nothing but usage that waits: a shard never
//! spins on it. Whoever moves a barrier wakes the shard.
//!
//! A customer whose events cannot be rated (a price beyond all range, a damaged row) is set aside and parked, so that it stops
//! nobody else. When a run dies without a word, the next ones go customer by customer and count each attempt beforehand, so that
//! the customer that kills workers is found and parked as well.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Instant,
};

use super::{
    overshoot::{self, WrittenOff},
    rating,
    store::{self, Chosen, Locked, Most},
};
use crate::{
    App, catalog,
    credit::{self, BlockChange, Posting},
    customer,
    db::Backend,
    error::{Error, Result},
    failpoint::reach,
    invoice,
    job::work::{self, Duty, RUN_BUDGET},
    measure,
    op::Op,
    spend::{self, Spent},
    subscription,
};
use domain::{
    amount::Credits,
    credit::{
        block::Block,
        burn::{Bound, Funds},
    },
    customer::{Settlement, Terms},
    cycle::late::{Timeline, Timing},
    id::{BlockId, CustomerId, EventId, MetricId, TenantId},
    ledger::{Cause, EntryKind},
    metering::{Price, rule::RuleBook},
    time::Timestamp,
    usage::{
        Counter, CounterKey, CustomerState,
        drain::{Drained, changed_blocks, drain, metrics_of},
        event::PendingEvent,
    },
};
use entity::account;

/// Bounds of one transaction on PostgreSQL: large, because what is paid once per customer and transaction is most of it; small
/// enough that locks are held for a fraction of a second. With 500 customers a wave of thousands was taken shard by shard, in four
/// times as many transactions, and was seen later.
const MOST: Most = Most {
    events: 20_000,
    customers: 2_000,
};
/// Bounds on SQLite, where everybody else waits meanwhile.
const MOST_SQLITE: Most = Most {
    events: 5_000,
    customers: 1_000,
};
/// Most shards of one wake-up.
pub(crate) fn together(backend: Backend) -> usize {
    store::most_shards(backend)
}

/// Attempts at a shard after which a run goes customer by customer.
const CAREFUL_AFTER: i32 = 2;
/// Transactions of one settlement that may find that another worker was first.
const MAX_IDLE_ROUNDS: usize = 20;
/// Attempts at one customer that may fail or die without a word before it is parked.
const MAX_SILENT_DEATHS: i32 = 5;

/// Drains shards for at most [`RUN_BUDGET`], so that busy ones let others have their turn. `attempt` counts from 1 since they
/// last went well. Answers whether events may be left.
///
/// What has gathered a little is debited in one transaction. A backlog is taken shard by shard: many events of few customers cost
/// less than few events of many.
pub(crate) async fn drain_shards(app: &App, shards: &[i32], attempt: i32) -> Result<bool> {
    let careful = attempt > CAREFUL_AFTER;
    let begun = Instant::now();
    let mut held = store::held(app.db().reader(), app.now()).await?;
    let mut busy = careful;
    for together in shards.chunks(together(app.db().backend())) {
        busy |= !careful && step(app, together, careful, &mut held).await?;
    }
    if !busy {
        return Ok(false);
    }
    for shard in shards {
        while step(app, std::slice::from_ref(shard), careful, &mut held).await? {
            if begun.elapsed() > RUN_BUDGET {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Debits some of what waits in shards, but for customers whose usage is held. Answers whether to look again. What arrives meanwhile
/// wakes the shard again.
async fn step(app: &App, shards: &[i32], careful: bool, held: &mut Vec<CustomerId>) -> Result<bool> {
    let mut aside = work::set_aside(app, Duty::CUSTOMER).await?;
    aside.extend_from_slice(held);
    reach("drain.chosen")?;
    let chosen = Chosen::Shards {
        shards: shards.to_vec(),
        aside,
    };
    let progress = if careful {
        one_customer(app, &chosen).await?
    } else {
        round(app, &chosen).await?
    };
    held.extend(progress.held);
    Ok(progress.more)
}

/// Those of some shards with usage that has not to wait for a subscription. No statement for none, else one; and one more for each
/// shard while the usage of any customer is held.
pub(crate) async fn unheld(app: &App, shards: Vec<i32>) -> Result<Vec<i32>> {
    if shards.is_empty() {
        return Ok(shards);
    }
    let db = app.db().reader();
    let aside = store::held(db, app.now()).await?;
    if aside.is_empty() {
        return Ok(shards);
    }
    let mut due = Vec::with_capacity(shards.len());
    for shard in shards {
        let chosen = Chosen::Shards {
            shards: vec![shard],
            aside: aside.clone(),
        };
        if store::any_pending(db, &chosen).await? {
            due.push(shard);
        }
    }
    Ok(due)
}

/// Customers of whom usage is left that was to be debited.
#[derive(Debug, Default)]
pub(crate) struct Unsettled {
    /// It is parked, or could not be debited and is parked now.
    pub(crate) parked: Vec<CustomerId>,
    /// It waits for a subscription.
    pub(crate) held: Vec<CustomerId>,
}

/// Debits all usage that customers' instants come after. Few transactions for many customers; one look when nothing waits.
///
/// # Errors
/// Others are debiting the usage all the time, or cannot.
pub(crate) async fn settle(app: &App, all: &[(CustomerId, Timestamp)]) -> Result<Unsettled> {
    let mut left = all.to_vec();
    let (mut parked, mut held) = (Vec::new(), Vec::new());
    let mut idle = 0;
    while !left.is_empty() && store::any_pending(app.db().reader(), &Chosen::Customers(left.clone())).await? {
        // Asked first: what is parked may be what kills whoever touches it.
        let ids: Vec<CustomerId> = left.iter().map(|(customer, _)| *customer).collect();
        let aside = work::set_aside_among(app, Duty::CUSTOMER, &ids).await?;
        left.retain(|(customer, _)| !aside.contains(customer));
        parked.extend(aside);
        if left.is_empty() {
            break;
        }
        let progress = match transact(app, &Chosen::Customers(left.clone())).await {
            Err(Error::Internal(problem)) => one_by_one(app, &left, problem).await?,
            done => done?,
        };
        left.retain(|(customer, _)| !progress.held.contains(customer));
        if progress.events == 0 && progress.held.is_empty() {
            // Another worker was first; it may have left some.
            idle += 1;
        }
        if idle > MAX_IDLE_ROUNDS {
            return Err(Error::Unavailable("usage is still on its way".to_owned()));
        }
        held.extend(progress.held);
    }
    Ok(Unsettled {
        parked: still_waiting(app, all, parked).await?,
        held: still_waiting(app, all, held).await?,
    })
}

/// Customers that cannot be debited together, each by itself. Nobody else may suffer from what cannot be read or written for one.
async fn one_by_one(app: &App, all: &[(CustomerId, Timestamp)], problem: String) -> Result<Progress> {
    let mut sum = Progress::default();
    for one in all {
        let chosen = Chosen::Customers(vec![*one]);
        let done = match all {
            [_] => Err(Error::Internal(problem.clone())),
            _ => round(app, &chosen).await,
        };
        match done {
            Ok(progress) => {
                sum.events += progress.events;
                sum.held.extend(progress.held);
            }
            Err(Error::Internal(problem)) => {
                let waiting = store::first_waiting(app.db().reader(), &chosen).await?;
                let failed = waiting.map(|(customer, tenant)| (tenant, customer, problem));
                sum.events += failed.iter().len();
                set_aside(app, failed.into_iter().collect()).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(sum)
}

/// Those of some customers of whom usage is still to be debited. No statement for none.
async fn still_waiting(
    app: &App,
    all: &[(CustomerId, Timestamp)],
    some: Vec<CustomerId>,
) -> Result<Vec<CustomerId>> {
    if some.is_empty() {
        return Ok(some);
    }
    let asked: Vec<_> = all.iter().filter(|(id, _)| some.contains(id)).copied().collect();
    let waiting = store::waiting_before(app.db().reader(), &asked).await?;
    Ok(some.into_iter().filter(|id| waiting.contains(id)).collect())
}

/// Debits all usage of customers that was accepted before an instant of each, none of them past its barrier. Few transactions for many
/// customers; one look when nothing waits. Answers whose usage is parked and so could not be debited: what should follow it in
/// time has to wait.
///
/// # Errors
/// An instant lies behind the barrier that stands now, and usage is held there.
pub(crate) async fn settle_many(app: &App, all: &[(CustomerId, Timestamp)]) -> Result<Vec<CustomerId>> {
    let undone = settle(app, all).await?;
    match undone.held.first() {
        None => Ok(undone.parked),
        Some(customer) => Err(waits_for_subscription(*customer)),
    }
}

/// Debits all usage of one customer that was accepted before an instant.
///
/// # Errors
/// The customer's usage is parked, or held behind a barrier that has passed: what should follow it in time has to wait.
pub(crate) async fn settle_usage(app: &App, customer: CustomerId, before: Timestamp) -> Result<()> {
    match settle_many(app, &[(customer, before)]).await?.is_empty() {
        true => Ok(()),
        false => Err(Error::Unavailable(format!(
            "usage of {customer} needs attention first; see parked work"
        ))),
    }
}

/// The same for a request of somebody, which comes after all that is due before it: where usage is held, the customer's
/// subscriptions are brought up to date first.
///
/// # Errors
/// The customer's usage is parked, or what is due of its subscriptions cannot be done.
pub(crate) async fn settle_up_to_date(app: &App, customer: CustomerId, before: Timestamp) -> Result<()> {
    if !settle(app, &[(customer, before)]).await?.held.is_empty() {
        subscription::catch_up(app, customer).await?;
    }
    settle_usage(app, customer, before).await
}

fn waits_for_subscription(customer: CustomerId) -> Error {
    Error::Unavailable(format!("usage of {customer} waits for its subscription"))
}

/// One customer at a time, with the attempt counted before it begins. There is more as long as there was one.
async fn one_customer(app: &App, chosen: &Chosen) -> Result<Progress> {
    let Some((customer, tenant)) = store::first_waiting(app.db().reader(), chosen).await? else {
        return Ok(Progress::default());
    };
    let more = |held| Progress {
        events: 0,
        more: true,
        held,
    };
    let subject = customer.to_string();
    reach("careful.chosen")?;
    let attempts = work::count(app, Duty::CUSTOMER, &subject, tenant).await?;
    reach("careful.attempted")?;
    if attempts.is_none_or(|attempts| attempts > MAX_SILENT_DEATHS) {
        let problem = "debiting this customer's usage failed or killed its worker again and again";
        work::park(app, Duty::CUSTOMER, &subject, Some(tenant), problem).await?;
        return Ok(more(Vec::new()));
    }
    match round(app, &Chosen::Customers(vec![(customer, Timestamp::MAX)])).await {
        Ok(progress) => {
            reach("careful.drained")?;
            if !work::is_set_aside(app, Duty::CUSTOMER, &subject).await? {
                work::clear(app, Duty::CUSTOMER, &subject).await?;
            }
            reach("careful.cleared")?;
            Ok(more(progress.held))
        }
        // Nobody else may suffer from what cannot be read or written for this customer.
        Err(Error::Internal(problem)) => {
            work::park(app, Duty::CUSTOMER, &subject, Some(tenant), &problem).await?;
            Ok(more(Vec::new()))
        }
        // The attempt stays counted, so that a failure that never passes ends by being parked.
        Err(error) => Err(error),
    }
}

/// What a transaction came to.
#[derive(Debug, Default)]
struct Progress {
    /// Events that were debited or set aside.
    events: usize,
    /// Whether it left some behind that it saw, or may have seen.
    more: bool,
    /// Customers of whom it found nothing but usage that has to wait for a subscription.
    held: Vec<CustomerId>,
}

/// One transaction, if there is anything to do.
async fn round(app: &App, chosen: &Chosen) -> Result<Progress> {
    // Looked up outside the transaction: nothing to do must cost nothing.
    if store::any_pending(app.db().reader(), chosen).await? {
        transact(app, chosen).await
    } else {
        Ok(Progress::default())
    }
}

/// One transaction.
async fn transact(app: &App, chosen: &Chosen) -> Result<Progress> {
    let most = match app.db().backend() {
        Backend::Postgres => MOST,
        Backend::Sqlite => MOST_SQLITE,
    };
    let begun = Instant::now();
    let mut op = Op::begin(app).await?;
    reach("drain.begun")?;
    let locked = store::lock_waiting(&mut op, chosen, most).await?;
    reach("drain.locked")?;
    let events = store::take_pending(&op, chosen, &locked, most.events).await?;
    reach("drain.taken")?;
    let held = chosen.held(&locked, &events);
    if events.is_empty() {
        // Another worker was first, or all of it is held; there may be more behind.
        return Ok(Progress {
            events: 0,
            more: !locked.is_empty(),
            held,
        });
    }
    let total: usize = events.iter().map(|(_, events)| events.len()).sum();
    let more = chosen.is_full(most, &locked, &events) || !held.is_empty();
    let folded = read(&op, &locked, events).await?.fold();
    reach("drain.folded")?;
    if !folded.failed.is_empty() {
        // Their events stay in the queue: all of it is taken back, and without them the next round comes through.
        op.abandon().await?;
        set_aside(app, folded.failed).await?;
        return Ok(Progress {
            events: total,
            more: true,
            held,
        });
    }
    write(&mut op, &locked, folded.done).await?;
    reach("drain.written")?;
    op.commit().await?;
    reach("drain.committed")?;
    measure::drained(total, begun);
    Ok(Progress {
        events: total,
        more,
        held,
    })
}

/// Debits what waits of customers inside an open operation that has locked their accounts, as far as it fits one transaction. Answers of
/// whom everything was debited. Some thirteen statements, one when nothing waits.
///
/// # Errors
/// [`Error::Internal`]: usage of one of them cannot be debited. Then the operation must be dropped.
pub(crate) async fn debit_in(op: &mut Op, accounts: &[account::Model]) -> Result<HashSet<CustomerId>> {
    if accounts.is_empty() {
        return Ok(HashSet::new());
    }
    let most = match Backend::of(op.tx()) {
        Backend::Postgres => MOST,
        Backend::Sqlite => MOST_SQLITE,
    };
    let locked: Vec<Locked> = accounts.iter().map(Locked::from).collect();
    let all = locked.iter().map(|it| (it.customer, Timestamp::MAX));
    let chosen = Chosen::Customers(all.collect());
    let events = store::take_pending(op, &chosen, &locked, most.events).await?;
    let full = chosen.is_full(most, &locked, &events);
    let done: HashSet<CustomerId> = events.iter().map(|(customer, _)| *customer).collect();
    if !events.is_empty() {
        let folded = read(op, &locked, events).await?.fold();
        if let Some((_, customer, problem)) = folded.failed.first() {
            return Err(Error::Internal(format!("{customer}: {problem}")));
        }
        write(op, &locked, folded.done).await?;
    }
    // With more than fits there may be more behind; usage behind a barrier was not taken at all or ends there.
    let behind = |it: &&Locked| it.barrier.is_some_and(|barrier| barrier <= op.now());
    let behind: HashSet<CustomerId> = locked.iter().filter(behind).map(|it| it.customer).collect();
    Ok(done
        .into_iter()
        .filter(|customer| !full && !behind.contains(customer))
        .collect())
}

async fn set_aside(app: &App, failed: Vec<(TenantId, CustomerId, String)>) -> Result<()> {
    for (tenant, customer, problem) in failed {
        tracing::error!(%customer, problem, "usage cannot be debited and is parked");
        work::park(app, Duty::CUSTOMER, &customer.to_string(), Some(tenant), &problem).await?;
    }
    Ok(())
}

/// All that a transaction decides on.
struct Batch {
    rules: RuleBook,
    customers: Vec<(TenantId, CustomerState, Vec<PendingEvent>)>,
}

/// What it decided.
#[derive(Default)]
struct Folded {
    done: Vec<Debited>,
    failed: Vec<(TenantId, CustomerId, String)>,
}

/// One customer's part.
struct Debited {
    posting: Posting,
    events: Vec<PendingEvent>,
    drained: Drained,
    counters: Vec<(CounterKey, Counter)>,
    settlement: Settlement,
    /// The most that usage may let it owe; `None`: there is no such bound.
    bound: Option<Credits>,
}

async fn read(op: &Op, locked: &[Locked], mut events: Vec<(CustomerId, Vec<PendingEvent>)>) -> Result<Batch> {
    let customers: Vec<CustomerId> = events.iter().map(|(customer, _)| *customer).collect();
    let rules = catalog::rule_book_in(op.tx(), &metrics(&events)).await?;
    reach("drain.priced")?;
    let mut timelines = timelines(op, locked, &events).await?;
    let belated = accept_anew(&mut events, &mut timelines);
    store::accepted_anew(op, &belated).await?;
    reach("drain.placed")?;
    let mut counters = store::counters(op.tx(), &events, &mut timelines).await?;
    reach("drain.counted")?;
    let refundable = refundable(&rules, &counters);
    let mut blocks = credit::blocks_in(op.tx(), &customers, &refundable).await?;
    reach("drain.funded")?;
    let terms = customer::terms_in(op.tx(), &customers).await?;
    let mut bounds = bounds(op, &terms, &events).await?;
    reach("drain.read")?;
    let mut batch = Batch {
        rules,
        customers: Vec::with_capacity(customers.len()),
    };
    let mut accounts = locked.iter();
    for (customer, events) in events {
        // Both are in the order of customers.
        let Some(locked) = accounts.find(|locked| locked.customer == customer) else {
            return Err(Error::Internal(format!("{customer} is not locked")));
        };
        let account = locked.account;
        let state = CustomerState {
            customer,
            settlement: terms.get(&customer).copied().unwrap_or_default().settlement,
            funds: Funds::new(blocks.remove(&customer).unwrap_or_default(), account.overdraft)
                .bounded(bounds.remove(&customer)),
            counters: counters.remove(&customer).unwrap_or_default(),
            account,
            timeline: timelines.remove(&customer).unwrap_or_default(),
        };
        batch.customers.push((locked.tenant, state, events));
    }
    Ok(batch)
}

/// How far usage may let customers owe, for those whose terms say so. One statement, none without such customers.
async fn bounds(
    op: &Op,
    terms: &HashMap<CustomerId, Terms>,
    events: &[(CustomerId, Vec<PendingEvent>)],
) -> Result<HashMap<CustomerId, Bound>> {
    let bounded = |(customer, events): &(CustomerId, Vec<PendingEvent>)| {
        let first = events.iter().map(|event| event.received_at).min();
        Some((*customer, terms.get(customer)?.bound()?, first))
    };
    credit::bounds_in(op.tx(), events.iter().filter_map(bounded).collect()).await
}

/// The cycles of those customers that have ever had a subscription. One statement, none without such customers.
async fn timelines(
    op: &Op,
    locked: &[Locked],
    events: &[(CustomerId, Vec<PendingEvent>)],
) -> Result<HashMap<CustomerId, Timeline>> {
    let subscribed = locked.iter().filter(|it| it.barrier.is_some());
    let subscribed: HashSet<CustomerId> = subscribed.map(|it| it.customer).collect();
    let events = || {
        events
            .iter()
            .filter(|(customer, _)| subscribed.contains(customer))
    };
    let instants = events()
        .flat_map(|(_, events)| events)
        .map(|event| event.occurred_at.min(event.received_at));
    match instants.min() {
        None => Ok(HashMap::new()),
        Some(since) => {
            let customers: Vec<CustomerId> = events().map(|(customer, _)| *customer).collect();
            subscription::timelines_in(op.tx(), &customers, since).await
        }
    }
}

/// What shows only after its cycle was closed counts as accepted at the close; answers with such events. There are none unless
/// the database stood still for longer than closing waits, or a test clock was moved at that very moment.
fn accept_anew(
    events: &mut [(CustomerId, Vec<PendingEvent>)],
    timelines: &mut HashMap<CustomerId, Timeline>,
) -> Vec<(EventId, Timestamp)> {
    let mut belated = Vec::new();
    for (customer, events) in events {
        let Some(timeline) = timelines.get_mut(customer) else {
            continue;
        };
        for event in events {
            let at = timeline.accepted(event.occurred_at, event.received_at);
            if at != event.received_at {
                event.received_at = at;
                belated.push((event.id, at));
            }
        }
    }
    belated
}

/// The metrics that a batch needs the rules of.
fn metrics(events: &[(CustomerId, Vec<PendingEvent>)]) -> Vec<MetricId> {
    let mut metrics = BTreeSet::new();
    for (_, events) in events {
        metrics.extend(metrics_of(events));
    }
    metrics.into_iter().collect()
}

/// Spent blocks that a falling volume price could return credits to. Other prices only rise.
pub(crate) fn refundable(
    rules: &RuleBook,
    counters: &HashMap<CustomerId, HashMap<CounterKey, Counter>>,
) -> BTreeSet<BlockId> {
    let falls = |key: &CounterKey| {
        rules.get(&key.metric).is_some_and(|metric| {
            metric
                .rules
                .iter()
                .any(|rule| Some(rule.line) == key.line && matches!(rule.price, Price::Volume(_)))
        })
    };
    let draws = counters
        .values()
        .flatten()
        .filter(|(key, _)| falls(key))
        .flat_map(|(_, it)| it.draws.as_slice());
    draws.filter_map(|draw| draw.from.block()).collect()
}

impl Batch {
    fn fold(self) -> Folded {
        let mut folded = Folded::default();
        for (tenant, mut state, events) in self.customers {
            let customer = state.customer;
            let before: Vec<(BlockId, Credits)> = state
                .funds
                .blocks()
                .iter()
                .map(|block| (block.id, block.remaining))
                .collect();
            match drain(&mut state, &self.rules, &events) {
                Ok(drained) => folded
                    .done
                    .push(Debited::new(tenant, state, &before, events, drained)),
                Err(overflow) => folded.failed.push((tenant, customer, overflow.to_string())),
            }
        }
        folded
    }
}

impl Debited {
    fn new(
        tenant: TenantId,
        state: CustomerState,
        before: &[(BlockId, Credits)],
        events: Vec<PendingEvent>,
        mut drained: Drained,
    ) -> Self {
        let changed: HashSet<BlockId> = changed_blocks(before, &state)
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        let is_changed = |block: &&Block| changed.contains(&block.id);
        let posting = Posting {
            tenant,
            customer: state.customer,
            account: state.account,
            entries: std::mem::take(&mut drained.entries),
            blocks: state
                .funds
                .blocks()
                .iter()
                .filter(is_changed)
                .map(BlockChange::from)
                .collect(),
        };
        let settlement = state.settlement;
        let bound = state.funds.bound().map(|bound| bound.most);
        let touched: HashSet<CounterKey> = drained.events.iter().map(|event| event.counter).collect();
        let counters = state
            .counters
            .into_iter()
            .filter(|(key, _)| touched.contains(key))
            .collect();
        Self {
            posting,
            events,
            drained,
            counters,
            settlement,
            bound,
        }
    }

    /// What it wrote off, as of the usage, whenever a worker came round.
    fn written_off(&self) -> Option<WrittenOff> {
        let at = self.events.last()?.received_at;
        WrittenOff::of(&self.posting, self.bound?, at)
    }
}

async fn write(op: &mut Op, locked: &[Locked], mut done: Vec<Debited>) -> Result<()> {
    let mut ratings = Vec::new();
    let mut counters = Vec::new();
    for debited in &done {
        let Posting { tenant, customer, .. } = debited.posting;
        rating::pack(
            tenant,
            customer,
            &debited.events,
            &debited.drained.events,
            &mut ratings,
        )?;
        let moved = debited.counters.iter();
        counters.extend(moved.map(|(key, counter)| (tenant, customer, *key, counter)));
    }
    store::insert_ratings(op, ratings).await?;
    reach("drain.rated")?;
    store::put_counters(op, &counters).await?;
    invoice::mark_late_in(op, &late(&done)).await?;
    reach("drain.advanced")?;
    for debited in &mut done {
        rehouse(op, debited).await?;
    }
    reach("drain.rehoused")?;
    spend::count_in(op, &spent(locked, &done)).await?;
    reach("drain.spent")?;
    overshoot::tell_in(op, done.iter().filter_map(Debited::written_off)).await?;
    reach("drain.told")?;
    let postings: Vec<&Posting> = done.iter().map(|debited| &debited.posting).collect();
    credit::post_in(op, &postings).await
}

/// What customers have spent that count it against limits of their own.
fn spent(locked: &[Locked], done: &[Debited]) -> Vec<Spent> {
    let managed = locked.iter().filter(|it| it.spend_managed);
    let managed: HashSet<CustomerId> = managed.map(|it| it.customer).collect();
    let counted = done.iter().filter(|it| managed.contains(&it.posting.customer));
    let spent = counted.flat_map(|debited| {
        let customer = debited.posting.customer;
        let rated = debited.events.iter().zip(&debited.drained.events);
        rated.map(move |(event, rated)| Spent {
            customer,
            occurred_at: event.occurred_at,
            credits: rated.credits,
            corrected: Credits::ZERO,
        })
    });
    spent.collect()
}

/// Whose usage counts in a cycle that closed before it came, and in which stretch of time, each once.
fn late(done: &[Debited]) -> Vec<(CustomerId, Timestamp)> {
    let all = done.iter().flat_map(|debited| {
        let customer = debited.posting.customer;
        let events = debited.drained.events.iter();
        let late = events.filter(|event| event.timing == Timing::LateAdjustment);
        late.map(move |event| (customer, event.counter.period_start))
    });
    all.collect::<BTreeSet<_>>().into_iter().collect()
}

/// What falling prices return for an overdraft that has been repaid since goes into a block of its own.
async fn rehouse(op: &Op, debited: &mut Debited) -> Result<()> {
    let (settlement, homeless) = (debited.settlement, debited.drained.homeless);
    if !homeless.is_positive() {
        return Ok(());
    }
    let (Some(first), Some(last)) = (debited.events.first(), debited.events.last()) else {
        return Ok(());
    };
    // As of the usage, whenever a worker came round.
    let (first, at) = (first.id, last.received_at);
    let cause = Cause {
        kind: EntryKind::Debit,
        effect_key: format!("return:{first}"),
        usage: None,
    };
    credit::rehouse_in(op, &mut debited.posting, settlement, homeless, at, cause).await
}
