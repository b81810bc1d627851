//! Draining: pending events of many customers become debits in one transaction.
//!
//! Phases: lock the accounts of the customers whose events come first in id order, take their events out of the queue, read,
//! fold in memory ([`domain::usage::drain`]), write. Some fourteen statements for any number of events and customers. Two workers on
//! the same shard are harmless: the second waits for the locks and then finds other events, or none.
//!
//! A customer whose events cannot be rated (a price beyond all range, a damaged row) is set aside and parked, so that it stops
//! nobody else. When a run dies without a word, the next ones go customer by customer and count each attempt beforehand, so that
//! the customer that kills workers is found and parked as well.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Instant,
};

use super::{
    rating,
    store::{self, Chosen, Locked, Most},
};
use crate::{
    App, catalog,
    credit::{self, BlockChange, Posting},
    db::Backend,
    error::{Error, Result},
    failpoint::reach,
    job::work::{self, Duty, RUN_BUDGET},
    measure,
    op::Op,
};
use domain::{
    amount::Credits,
    credit::{block::Block, burn::Funds, draws::Purse},
    customer::Settlement,
    id::{BlockId, CustomerId, MetricId, TenantId},
    ledger::{Cause, EntryKind},
    metering::{Price, rule::RuleBook},
    time::Timestamp,
    usage::{
        Counter, CounterKey, CustomerState,
        drain::{Drained, changed_blocks, drain, metrics_of},
        event::PendingEvent,
    },
};

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
    let mut busy = careful;
    for together in shards.chunks(together(app.db().backend())) {
        busy |= !careful && step(app, together, careful).await?;
    }
    if !busy {
        return Ok(false);
    }
    for shard in shards {
        while step(app, std::slice::from_ref(shard), careful).await? {
            if begun.elapsed() > RUN_BUDGET {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Debits some of what waits in shards. Answers whether to look again. What arrives meanwhile wakes the shard again.
async fn step(app: &App, shards: &[i32], careful: bool) -> Result<bool> {
    let aside = work::set_aside(app, Duty::CUSTOMER).await?;
    reach("drain.chosen")?;
    let chosen = Chosen::Shards {
        shards: shards.to_vec(),
        aside,
    };
    if careful {
        one_customer(app, chosen).await
    } else {
        Ok(round(app, chosen).await?.more)
    }
}

/// Debits all usage of one customer that was accepted before an instant.
///
/// # Errors
/// The customer's usage is parked: what should follow it in time has to wait.
pub(crate) async fn settle_usage(app: &App, customer: CustomerId, before: Timestamp) -> Result<()> {
    loop {
        // Asked first: what is parked may be what kills whoever touches it.
        if work::is_set_aside(app, Duty::CUSTOMER, &customer.to_string()).await? {
            let problem = format!("usage of {customer} needs attention first; see parked work");
            return Err(Error::Unavailable(problem));
        }
        if round(app, Chosen::Customer { customer, before }).await?.events == 0 {
            return Ok(());
        }
    }
}

/// One customer at a time, with the attempt counted before it begins. Answers whether there was one.
async fn one_customer(app: &App, chosen: Chosen) -> Result<bool> {
    let Some((customer, tenant)) = store::first_waiting(app.db().reader(), &chosen).await? else {
        return Ok(false);
    };
    let subject = customer.to_string();
    reach("careful.chosen")?;
    let attempts = work::count(app, Duty::CUSTOMER, &subject, tenant).await?;
    reach("careful.attempted")?;
    if attempts.is_none_or(|attempts| attempts > MAX_SILENT_DEATHS) {
        let problem = "debiting this customer's usage failed or killed its worker again and again";
        work::park(app, Duty::CUSTOMER, &subject, Some(tenant), problem).await?;
        return Ok(true);
    }
    let chosen = Chosen::Customer {
        customer,
        before: Timestamp::MAX,
    };
    match round(app, chosen).await {
        Ok(_) => {
            reach("careful.drained")?;
            if !work::is_set_aside(app, Duty::CUSTOMER, &subject).await? {
                work::clear(app, Duty::CUSTOMER, &subject).await?;
            }
            reach("careful.cleared")?;
            Ok(true)
        }
        // Nobody else may suffer from what cannot be read or written for this customer.
        Err(Error::Internal(problem)) => {
            work::park(app, Duty::CUSTOMER, &subject, Some(tenant), &problem).await?;
            Ok(true)
        }
        // The attempt stays counted, so that a failure that never passes ends by being parked.
        Err(error) => Err(error),
    }
}

/// What a transaction came to.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// Events that were debited or set aside.
    events: usize,
    /// Whether it left some behind that it saw, or may have seen.
    more: bool,
}

/// One transaction.
async fn round(app: &App, chosen: Chosen) -> Result<Progress> {
    // Looked up outside the transaction: nothing to do must cost nothing.
    if !store::any_pending(app.db().reader(), &chosen).await? {
        return Ok(Progress::default());
    }
    let most = match app.db().backend() {
        Backend::Postgres => MOST,
        Backend::Sqlite => MOST_SQLITE,
    };
    let begun = Instant::now();
    let mut op = Op::begin(app).await?;
    reach("drain.begun")?;
    let locked = store::lock_waiting(&mut op, &chosen, most).await?;
    reach("drain.locked")?;
    let events = store::take_pending(&op, &chosen, &locked, most.events).await?;
    reach("drain.taken")?;
    if events.is_empty() {
        // Another worker was first; there may be more behind what it took.
        return Ok(Progress {
            events: 0,
            more: !locked.is_empty(),
        });
    }
    let total: usize = events.iter().map(|(_, events)| events.len()).sum();
    let full = chosen.is_full(most, &locked, &events);
    let folded = read(&op, &locked, events).await?.fold();
    reach("drain.folded")?;
    if !folded.failed.is_empty() {
        // Their events stay in the queue: all of it is taken back, and without them the next round comes through.
        op.abandon().await?;
        set_aside(app, folded.failed).await?;
        return Ok(Progress {
            events: total,
            more: true,
        });
    }
    write(&mut op, folded.done).await?;
    reach("drain.written")?;
    op.commit().await?;
    reach("drain.committed")?;
    measure::drained(total, begun);
    Ok(Progress {
        events: total,
        more: full,
    })
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
}

async fn read(op: &Op, locked: &[Locked], events: Vec<(CustomerId, Vec<PendingEvent>)>) -> Result<Batch> {
    let customers: Vec<CustomerId> = events.iter().map(|(customer, _)| *customer).collect();
    let rules = catalog::rule_book_in(op.tx(), &metrics(&events)).await?;
    reach("drain.priced")?;
    let mut counters = store::counters(op.tx(), &events).await?;
    reach("drain.counted")?;
    let refundable = refundable(&rules, &counters);
    let mut blocks = credit::blocks_in(op.tx(), &customers, &refundable).await?;
    reach("drain.funded")?;
    let settlements = store::settlements(op.tx(), &customers).await?;
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
            settlement: settlements.get(&customer).copied().unwrap_or_default(),
            funds: Funds::new(blocks.remove(&customer).unwrap_or_default(), account.overdraft),
            counters: counters.remove(&customer).unwrap_or_default(),
            account,
        };
        batch.customers.push((locked.tenant, state, events));
    }
    Ok(batch)
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
    draws
        .filter_map(|draw| match draw.from {
            Purse::Block(block) => Some(block),
            Purse::Overdraft => None,
        })
        .collect()
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
        }
    }
}

async fn write(op: &mut Op, mut done: Vec<Debited>) -> Result<()> {
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
    reach("drain.advanced")?;
    for debited in &mut done {
        rehouse(op, debited).await?;
    }
    reach("drain.rehoused")?;
    let postings: Vec<&Posting> = done.iter().map(|debited| &debited.posting).collect();
    credit::post_in(op, &postings).await
}

/// What falling prices return for an overdraft that has been repaid since goes into a block of its own.
async fn rehouse(op: &Op, debited: &mut Debited) -> Result<()> {
    let (settlement, homeless) = (debited.settlement, debited.drained.homeless);
    if !homeless.is_positive() {
        return Ok(());
    }
    let first = debited.events.first();
    let first = first.map(|event| event.id.to_string()).unwrap_or_default();
    let cause = Cause {
        kind: EntryKind::Debit,
        effect_key: format!("return:{first}"),
        usage: None,
    };
    credit::rehouse_in(op, &mut debited.posting, settlement, homeless, cause).await
}
