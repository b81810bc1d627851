//! Operations: backlogs, and work that needs a person.

use app::job;
use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, Object, SimpleObject};
use domain::{id::WorkId, rejection::Rejection};

use super::{
    caller,
    error::top_level,
    page::{Args, Connection, connection, cost},
    payload::payload,
    scalar::DateTime,
};

/// A class of jobs with its own workers. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "job::Lane")]
pub enum Lane {
    /// Debiting accepted usage.
    Usage,
    /// What time makes due of subscriptions: turns and closes of cycles, renewals, contracts.
    Cycles,
    /// Charging customers.
    Payments,
    /// Publishing what has happened.
    Events,
    /// Webhooks to receivers that answer.
    Webhooks,
    /// Letters, and webhooks to receivers that fail.
    Retries,
    /// Work that time makes due: expiry.
    Upkeep,
}

/// How a lane is doing.
#[derive(SimpleObject)]
pub struct LaneStatus {
    /// Which lane.
    pub lane: Lane,
    /// Duties of the tenant that wait: events to debit, subscriptions to move on, payments to send or to ask
    /// about, events to publish, webhooks to send, blocks to end. Counted up to one million.
    pub backlog: i32,
    /// Since when the oldest waits; null when none does.
    pub oldest_at: Option<DateTime>,
    /// For how many seconds the oldest has waited; 0 when none does.
    pub oldest_age_seconds: i32,
}

/// Work that is set aside until somebody looks at it.
#[derive(SimpleObject)]
pub struct ParkedWork {
    /// Global id.
    pub id: ID,
    /// Kind of work, such as `usage.customer`.
    pub kind: String,
    /// What it is about: a customer's id, or what an unknown wake-up said.
    pub subject: String,
    /// What went wrong last.
    pub error: Option<String>,
    /// When it was first tried.
    pub created_at: DateTime,
    /// When it was parked.
    pub parked_at: DateTime,
}

impl From<job::ParkedWork> for ParkedWork {
    fn from(work: job::ParkedWork) -> Self {
        Self {
            id: work.id.to_string().into(),
            kind: work.kind,
            subject: work.subject,
            error: work.error,
            created_at: work.created_at.into(),
            parked_at: work.updated_at.into(),
        }
    }
}

/// How the work is doing.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct Jobs {
    /// One per lane.
    pub lanes: Vec<LaneStatus>,
    /// When this was so.
    pub as_of: DateTime,
}

#[ComplexObject]
impl Jobs {
    /// Work that is set aside until somebody looks at it, oldest first.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn parked(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<ParkedWork>> {
        let (app, actor) = caller(ctx)?;
        let page = Args {
            first,
            last,
            after,
            before,
        }
        .page::<WorkId>()?;
        let slice = job::parked(app, actor, page).await.map_err(top_level)?;
        Ok(connection(slice, |work| work.id.to_string(), ParkedWork::from))
    }
}

/// Reads of operations.
#[derive(Default)]
pub struct JobQuery;

#[Object]
impl JobQuery {
    /// Backlog and age per lane, and parked work, all of the tenant alone. Needs `operations:read`.
    async fn jobs(&self, ctx: &Context<'_>) -> async_graphql::Result<Jobs> {
        let (app, actor) = caller(ctx)?;
        let status = job::status(app, actor).await.map_err(top_level)?;
        let lane = |lane: job::LaneStatus| LaneStatus {
            lane: lane.lane.into(),
            backlog: i32::try_from(lane.backlog).unwrap_or(i32::MAX),
            oldest_at: lane.oldest.map(DateTime),
            oldest_age_seconds: lane.oldest.map_or(0, |since| {
                i32::try_from(status.as_of.seconds_since(since).max(0)).unwrap_or(i32::MAX)
            }),
        };
        Ok(Jobs {
            lanes: status.lanes.into_iter().map(lane).collect(),
            as_of: status.as_of.into(),
        })
    }
}

/// Parked work to retry.
#[derive(InputObject)]
pub struct RetryWorkInput {
    /// Global id of the work.
    pub work_id: ID,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

payload! {
    /// Result of `retryWork`.
    RetryWorkPayload {
        /// The work as it was when it was parked; null when it was refused.
        work: ParkedWork
    }
}

/// Writes of operations.
#[derive(Default)]
pub struct JobMutation;

#[Object]
impl JobMutation {
    /// Makes parked work due again and wakes a worker. Needs `operations:write`.
    async fn retry_work(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The work to retry.")] input: RetryWorkInput,
    ) -> async_graphql::Result<RetryWorkPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match input.work_id.parse() {
            Ok(id) => job::retry(app, actor, id, &input.idempotency_key).await,
            Err(_) => Err(Rejection::not_found("workId", "work").into()),
        };
        RetryWorkPayload::from_outcome(outcome, ParkedWork::from)
    }
}
