//! What people see of the work: backlogs, and what is parked until somebody looks at it.

use domain::{
    id::{CustomerId, WorkId},
    rejection::{Rejection, RejectionCode},
    time::Timestamp,
};
use entity::work as row;
use serde::{Deserialize, Serialize};

use super::{
    KINDS, Kind, Lane, Wakeup, cycles, drain, expire,
    store::{self, Reach},
    work::Duty,
};
use crate::{
    App,
    actor::{Actor, Scope},
    customer::shard_of,
    error::Result,
    idempotency::{Claim, Once, claim},
    op::Op,
    page::{Page, Slice},
};

/// How a lane is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneStatus {
    /// Which lane.
    pub lane: Lane,
    /// Duties that wait: events to debit, subscriptions to move on, blocks to end. Counted up to one million.
    pub backlog: i64,
    /// Since when the oldest waits.
    pub oldest: Option<Timestamp>,
}

/// How the work is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// One per lane.
    pub lanes: Vec<LaneStatus>,
    /// When this was so.
    pub as_of: Timestamp,
}

/// How the work of all tenants is doing, for those who run the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// One per lane.
    pub lanes: Vec<LaneStatus>,
    /// Shards with usage that is not debited.
    pub shards_waiting: usize,
    /// How much work of each kind is parked; every known kind, and `other`.
    pub parked: Vec<(&'static str, i64)>,
    /// When this was so.
    pub as_of: Timestamp,
}

/// Work that needs a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedWork {
    /// Its id.
    pub id: WorkId,
    /// Kind of work, such as `usage.customer`.
    pub kind: String,
    /// What it is about: a customer's id, or what an unknown wake-up said.
    pub subject: String,
    /// What went wrong last.
    pub error: Option<String>,
    /// When it was first tried.
    pub created_at: Timestamp,
    /// When it was parked.
    pub updated_at: Timestamp,
}

impl From<row::Model> for ParkedWork {
    fn from(row: row::Model) -> Self {
        Self {
            id: WorkId(row.id),
            kind: row.kind,
            subject: row.subject,
            error: row.error,
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
        }
    }
}

/// How the work of all tenants is doing. Seven statements. Without an actor: it is shown to those who run the process, never
/// through the API.
///
/// # Errors
/// The database is out of reach.
pub async fn overview(app: &App) -> Result<Overview> {
    let db = app.db().reader();
    let as_of = app.now();
    Ok(Overview {
        lanes: lanes([
            store::usage_backlog(db).await?,
            store::cycles_backlog(db, as_of).await?,
            store::payments_backlog(db, as_of, None).await?,
            store::events_backlog(db, None).await?,
            store::webhooks_backlog(db, as_of, None, false).await?,
            store::webhooks_backlog(db, as_of, None, true).await?,
            store::expiry_backlog(db, as_of).await?,
        ]),
        shards_waiting: store::shards_with_usage(db).await?.len(),
        parked: parked_by_kind(store::count_parked(db).await?),
        as_of,
    })
}

/// Every kind that work can be of, so that a kind without any is shown as well and a stranger cannot add one.
fn parked_by_kind(found: Vec<(String, i64)>) -> Vec<(&'static str, i64)> {
    let known = KINDS.iter().map(|kind| kind.name);
    let known = known.chain([Duty::CUSTOMER, Duty::SUBSCRIPTION, Duty::EXPIRY, Duty::UNKNOWN]);
    let mut counts: Vec<_> = known.chain(["other"]).map(|kind| (kind, 0)).collect();
    let other = counts.len() - 1;
    for (kind, rows) in found {
        let place = counts.iter().position(|(known, _)| *known == kind);
        counts[place.unwrap_or(other)].1 += rows;
    }
    counts
}

/// Backlog and age per lane of the actor's tenant, as rows tell. Seven statements.
///
/// # Errors
/// The scope is missing.
pub async fn status(app: &App, actor: &Actor) -> Result<Status> {
    actor.require(Scope::OperationsRead)?;
    let (db, now) = (app.db().reader(), app.now());
    let usage = store::usage_backlog_of(db, actor.tenant).await?;
    let cycles = store::cycles_backlog_of(db, actor.tenant, now).await?;
    let tenant = Some(actor.tenant);
    let payments = store::payments_backlog(db, now, tenant).await?;
    let events = store::events_backlog(db, tenant).await?;
    let webhooks = store::webhooks_backlog(db, now, tenant, false).await?;
    let retries = store::webhooks_backlog(db, now, tenant, true).await?;
    let upkeep = store::expiry_backlog_of(db, actor.tenant, now).await?;
    Ok(Status {
        lanes: lanes([usage, cycles, payments, events, webhooks, retries, upkeep]),
        as_of: now,
    })
}

type Backlog = (i64, Option<Timestamp>);

/// Of each lane, in their order.
fn lanes(all: [Backlog; Lane::ALL.len()]) -> Vec<LaneStatus> {
    let status = |(lane, (backlog, oldest))| LaneStatus {
        lane,
        backlog,
        oldest,
    };
    Lane::ALL.into_iter().zip(all).map(status).collect()
}

/// Parked work of the actor's tenant, oldest first.
///
/// # Errors
/// The scope is missing.
pub async fn parked(app: &App, actor: &Actor, page: Page<WorkId>) -> Result<Slice<ParkedWork>> {
    actor.require(Scope::OperationsRead)?;
    store::list_parked(app.db().reader(), Reach::Tenant(actor.tenant), page)
        .await?
        .try_map(|row| Ok(ParkedWork::from(row)))
}

/// One piece of parked work.
///
/// # Errors
/// The scope is missing.
pub async fn parked_by_id(app: &App, actor: &Actor, id: WorkId) -> Result<Option<ParkedWork>> {
    actor.require(Scope::OperationsRead)?;
    Ok(store::get_parked(app.db().reader(), actor.tenant, id)
        .await?
        .map(ParkedWork::from))
}

/// Makes parked work due again and wakes a worker.
///
/// # Errors
/// No such work, or it is not parked.
pub async fn retry(app: &App, actor: &Actor, id: WorkId, key: &str) -> Result<Once<ParkedWork>> {
    actor.require(Scope::OperationsWrite)?;
    let mut op = Op::begin(app).await?;
    let fresh = match claim(&op, actor.tenant, "retryWork", key, &id).await? {
        Claim::Replay(known) => return Ok(known),
        Claim::Fresh(fresh) => fresh,
    };
    let work = retry_in(&mut op, Reach::Tenant(actor.tenant), id).await?;
    let done = fresh.settle(&op, work).await?;
    op.commit().await?;
    Ok(done)
}

/// Parked work of all tenants, and what belongs to none, oldest first. Without an actor: for those who run the process.
///
/// # Errors
/// The database is out of reach.
pub async fn parked_anywhere(app: &App, page: Page<WorkId>) -> Result<Slice<ParkedWork>> {
    store::list_parked(app.db().reader(), Reach::Everything, page)
        .await?
        .try_map(|row| Ok(ParkedWork::from(row)))
}

/// Makes parked work of whomever due again. Without an actor: for those who run the process.
///
/// # Errors
/// No such work, or it is not parked.
pub async fn retry_anywhere(app: &App, id: WorkId) -> Result<ParkedWork> {
    let mut op = Op::begin(app).await?;
    let work = retry_in(&mut op, Reach::Everything, id).await?;
    op.commit().await?;
    Ok(work)
}

async fn retry_in(op: &mut Op, reach: Reach, id: WorkId) -> Result<ParkedWork> {
    let row = store::lock(op, reach, id)
        .await?
        .ok_or_else(|| Rejection::not_found("workId", "work"))?;
    if row.state != store::PARKED {
        let message = "the work is not parked";
        return Err(Rejection::new(RejectionCode::WorkNotParked, "workId", message).into());
    }
    store::forget(op, id).await?;
    if let Some(wakeup) = wakeups(&row) {
        op.wake(wakeup);
    }
    Ok(ParkedWork::from(row))
}

/// Who has to be woken so that parked work is done.
fn wakeups(row: &row::Model) -> Option<Wakeup> {
    match row.kind.as_str() {
        Duty::CUSTOMER => {
            let customer: CustomerId = row.subject.parse().ok()?;
            Some(drain::KIND.wakeup(&[shard_of(customer).to_string()]))
        }
        Duty::SUBSCRIPTION => {
            let customer: CustomerId = row.subject.parse().ok()?;
            Some(cycles::KIND.wakeup(&[shard_of(customer).to_string()]))
        }
        Duty::EXPIRY => Some(expire::KIND.wakeup(&["all".to_owned()])),
        Duty::UNKNOWN => {
            let envelope: super::Envelope = serde_json::from_str(&row.subject).ok()?;
            let lane = Kind::of(&envelope.kind)?.lane;
            Some(Wakeup { lane, envelope })
        }
        name => Kind::of(name).map(|kind| kind.wakeup(std::slice::from_ref(&row.subject))),
    }
}
