//! What time makes due: turns and closes of cycles, renewals, ends of contracts.
//!
//! A transaction takes the next step of each of up to [`BATCH`] customers, and what is due at the very same instant: their accounts are
//! locked in id order, the usage accepted before the step has been debited, the rules decide ([`domain::subscription::portfolio`]), and all of it is
//! written, with some twenty statements for any number. A step that has been taken is not due any more, so that any number
//! of workers may come to the same customer, and one that was killed leaves nothing half done. However late they come, each
//! step is taken as of its own instant, in order.

use std::{
    collections::{BTreeSet, HashMap},
    time::Instant,
};

use domain::{
    id::{CustomerId, TenantId},
    subscription::due::{Due, Task},
    time::Timestamp,
};

use super::{
    held::{Held, Session, block_ids},
    store,
    write::{Outcome, write},
};
use crate::{
    App,
    customer::{SHARDS, shard_of},
    error::{Error, Result},
    failpoint::reach,
    job::{
        drain::Shard,
        work::{self, Duty, RUN_BUDGET},
    },
    op::Op,
    test_clock, usage,
    waker::Wakes,
};

/// How long after its instant a step is taken, in seconds: usage accepted just before is still on its way in. The gate does not
/// wait, because it foresees what is about to happen.
pub(crate) const GRACE_SECONDS: i64 = 5;
/// Customers of one transaction: enough that what a transaction costs by itself is shared, few enough that locks are held for a
/// fraction of a second.
const BATCH: usize = 500;
/// Steps that are taken for one customer before somebody's request is served: years of a monthly plan.
const MAX_STEPS: usize = 10_000;

/// A customer with something due, and since when.
type Waiting = (CustomerId, Timestamp);

/// Shards with something due.
pub(crate) async fn due_shards(app: &App) -> Result<Vec<i32>> {
    let aside = set_aside(app).await?;
    store::due_shards(app.db().reader(), SHARDS, now(app), &aside).await
}

/// The instant up to which steps are taken.
fn now(app: &App) -> Timestamp {
    app.now().plus_seconds(-GRACE_SECONDS)
}

/// Takes what is due in a shard for at most [`RUN_BUDGET`]. Answers whether something is left.
pub(crate) async fn advance_shard(app: &App, shard: i32) -> Result<bool> {
    let begun = Instant::now();
    loop {
        let aside = set_aside(app).await?;
        reach("cycles.chosen")?;
        let until = now(app);
        let due = store::due(app.db().reader(), shard, until, &aside, BATCH).await?;
        if due.is_empty() {
            return Ok(false);
        }
        one_by_one_if_need_be(app, &due, until).await?;
        if begun.elapsed() > RUN_BUDGET {
            return Ok(true);
        }
    }
}

/// Customers whose subscriptions, or whose usage, wait for a person.
async fn set_aside(app: &App) -> Result<Vec<CustomerId>> {
    let mut aside = work::set_aside(app, Duty::CUSTOMER).await?;
    aside.extend(work::set_aside(app, Duty::SUBSCRIPTION).await?);
    Ok(aside)
}

/// Takes a step of each. A customer that cannot go on is parked, so that it stops nobody else.
async fn one_by_one_if_need_be(
    app: &App,
    due: &[(CustomerId, TenantId, Timestamp)],
    until: Timestamp,
) -> Result<()> {
    let waiting: Vec<Waiting> = due.iter().map(|(customer, _, at)| (*customer, *at)).collect();
    match step(app, &waiting, until).await {
        Err(Error::Internal(_) | Error::Rejected(_)) => {}
        other => return other.map(|_| ()),
    }
    for (customer, tenant, at) in due {
        match step(app, &[(*customer, *at)], until).await {
            Err(error @ (Error::Internal(_) | Error::Rejected(_))) => {
                park(app, *tenant, *customer, &error).await?;
            }
            other => drop(other?),
        }
    }
    Ok(())
}

/// Sets a customer aside whose subscriptions cannot go on.
async fn park(app: &App, tenant: TenantId, customer: CustomerId, error: &Error) -> Result<()> {
    tracing::error!(%customer, %error, "subscriptions cannot go on; the customer is parked");
    let (subject, problem) = (customer.to_string(), error.to_string());
    work::park(app, Duty::SUBSCRIPTION, &subject, Some(tenant), &problem).await
}

/// One step of each customer, in one transaction. Answers whose usage is parked: what should follow it in time has to wait.
async fn step(app: &App, waiting: &[Waiting], until: Timestamp) -> Result<BTreeSet<CustomerId>> {
    let unsettled = usage::settle(app, waiting).await?;
    let parked: BTreeSet<CustomerId> = unsettled.parked.into_iter().collect();
    reach("cycles.settled")?;
    let due: HashMap<CustomerId, Timestamp> = waiting
        .iter()
        .copied()
        .filter(|(customer, _)| !parked.contains(customer))
        .collect();
    let customers: Vec<CustomerId> = due.keys().copied().collect();
    if customers.is_empty() {
        return Ok(parked);
    }
    let mut op = Op::begin(app).await?;
    let accounts = op.lock_accounts(&customers).await?;
    reach("cycles.locked")?;
    // Customers of clocks are moved by these, to what they show.
    let clock = accounts
        .iter()
        .all(|account| account.clock_id.is_some())
        .then_some(until);
    let held = Held::read_until(&op, accounts, &due, clock).await?;
    let settled = settled(&op, &due).await?;
    reach("cycles.read")?;
    let mut outcomes = Vec::with_capacity(held.customers.len());
    for customer in held.customers {
        let mut session = customer.session(&held.offers);
        // What was accepted meanwhile comes first; the next round debits it.
        if settled.contains(&session.customer()) {
            let settled_before = due[&session.customer()];
            take(&op, &mut session, settled_before.min(until))?;
            outcomes.push(session.outcome()?);
        }
    }
    reach("cycles.decided")?;
    write(&mut op, &mut outcomes).await?;
    reach("cycles.written")?;
    op.commit().await?;
    reach("cycles.committed")?;
    release(app, &outcomes).await?;
    Ok(parked)
}

/// Those who have no usage left that was accepted before their step.
async fn settled(op: &Op, due: &HashMap<CustomerId, Timestamp>) -> Result<BTreeSet<CustomerId>> {
    let asked: Vec<(CustomerId, Timestamp)> = due.iter().map(|(customer, at)| (*customer, *at)).collect();
    let waiting = usage::waiting_before_in(op.tx(), &asked).await?;
    Ok(due
        .keys()
        .copied()
        .filter(|customer| !waiting.contains(customer))
        .collect())
}

/// Takes the step that is due, if it still is: another worker may have been first, or the catalog has changed. What is due at the
/// same instant follows at once, because the usage before it has been debited as well: a turn, and the close of a cycle that
/// takes no late usage.
fn take(op: &Op, session: &mut Session<'_>, until: Timestamp) -> Result<()> {
    let mut first: Option<Due> = None;
    while let Some((due, subscription)) = session.portfolio.next_due()? {
        if first.map_or(due.at > until, |first| !follows(first, due)) {
            break;
        }
        if due.task == Task::Close && !session.has_counts(subscription) {
            break;
        }
        if first.is_none() && due.task.holds_usage() {
            session.sweep(due.at)?;
        }
        let moved = session.portfolio.take(subscription, due, block_ids(op))?;
        session.moved.push(moved);
        first.get_or_insert(due);
    }
    Ok(())
}

/// Whether a step can be taken in the transaction of another one. Blocks that have run out by themselves are ended before the first only.
fn follows(first: Due, next: Due) -> bool {
    next.at == first.at && (first.task.holds_usage() || !next.task.holds_usage())
}

/// Usage that had to wait for a step may go on.
async fn release(app: &App, outcomes: &[Outcome]) -> Result<()> {
    let moved = |outcome: &&Outcome| {
        let before = outcome.before.barrier_at;
        before.is_some() && before != Some(outcome.barrier.unwrap_or(Timestamp::MAX).micros())
    };
    let ids: Vec<(CustomerId, Timestamp)> = outcomes
        .iter()
        .filter(moved)
        .map(|outcome| (CustomerId(outcome.before.customer_id), Timestamp::MAX))
        .collect();
    if ids.is_empty() {
        return Ok(());
    }
    let waiting = usage::waiting_before_in(app.db().reader(), &ids).await?;
    let shards: BTreeSet<Shard> = waiting.into_iter().map(shard_of).map(Shard).collect();
    if shards.is_empty() {
        return Ok(());
    }
    Shard::wake(app, shards).await
}

/// Takes everything that is due of some customers up to an instant, one step at a time. Answers whether something was.
///
/// # Errors
/// A customer that cannot go on, or whose usage is parked.
pub(crate) async fn advance_customers(app: &App, customers: &[CustomerId], until: Timestamp) -> Result<bool> {
    for steps in 0..MAX_STEPS {
        let due = store::due_of(app.db().reader(), customers).await?;
        let waiting: Vec<Waiting> = due.into_iter().filter(|(_, at)| *at <= until).collect();
        if waiting.is_empty() {
            return Ok(steps > 0);
        }
        if let Some(customer) = step(app, &waiting, until).await?.first() {
            let problem = format!("usage of {customer} needs attention first; see parked work");
            return Err(Error::Unavailable(problem));
        }
    }
    Err(Error::Unavailable(
        "the subscriptions are too far behind; the workers catch up".to_owned(),
    ))
}

/// The same for customers of a clock, of whom none stops the others: who cannot go on is parked, and whose usage is parked is left out.
pub(crate) async fn advance_each(
    app: &App,
    tenant: TenantId,
    customers: &[CustomerId],
    until: Timestamp,
) -> Result<()> {
    match advance_customers(app, customers, until).await {
        Err(Error::Internal(_) | Error::Rejected(_) | Error::Unavailable(_)) => {}
        other => return other.map(|_| ()),
    }
    for customer in customers {
        match advance_customers(app, &[*customer], until).await {
            Err(error @ (Error::Internal(_) | Error::Rejected(_))) => {
                park(app, tenant, *customer, &error).await?;
            }
            Err(error @ Error::Unavailable(_)) => {
                if !work::is_set_aside(app, Duty::CUSTOMER, &customer.to_string()).await? {
                    return Err(error);
                }
            }
            other => drop(other?),
        }
    }
    Ok(())
}

/// Takes what is due of a customer now, before somebody's request is served.
///
/// # Errors
/// As for [`advance_customers`].
pub(crate) async fn catch_up(app: &App, customer: CustomerId) -> Result<bool> {
    let now = test_clock::now_of(app, customer).await?;
    advance_customers(app, &[customer], now).await
}
