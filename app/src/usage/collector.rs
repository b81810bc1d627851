//! Group commit: the events of requests that wait at the same time are written by one transaction.
//!
//! One task writes. While a commit is under way further requests gather, and the next transaction takes all of them; nothing
//! lingers, so a lone request is written at once and a busy process pays for one commit per gathering. Each caller gets its
//! own outcomes after the commit.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Weak},
};

use domain::{
    amount::Quantity,
    id::{CustomerId, EventId, MetricId, TenantId},
    metering::rule::Properties,
    time::Timestamp,
    usage::event::PendingEvent,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use uuid::Uuid;

use super::{Outcome, store};
use crate::{
    App, Inner,
    error::{Error, Result},
    job,
    op::Op,
};

/// Events that may wait to be written: some 50 MB. More are told that we are busy, before memory runs out.
const MAX_WAITING: usize = 100_000;
/// Events in one transaction: enough to make the commit cheap, few enough to keep it short.
const MAX_GATHERED: usize = 5_000;

/// A checked event on its way into the database.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) tenant: TenantId,
    pub(super) customer: CustomerId,
    pub(super) shard: i32,
    pub(super) metric: MetricId,
    pub(super) key: String,
    pub(super) fingerprint: Uuid,
    pub(super) units: Quantity,
    pub(super) occurred_at: Option<Timestamp>,
    pub(super) properties: Properties,
}

impl Prepared {
    /// The event as it waits to be debited.
    fn pending(&self, id: EventId, received_at: Timestamp) -> PendingEvent {
        PendingEvent {
            id,
            metric: self.metric,
            units: self.units,
            occurred_at: self.occurred_at.unwrap_or(received_at),
            received_at,
            properties: self.properties.clone(),
        }
    }
}

/// The way into the writing task.
pub(crate) struct Collector {
    requests: mpsc::UnboundedSender<Request>,
    /// One permit per event that may wait.
    room: Arc<Semaphore>,
}

/// Events of one caller.
pub(crate) struct Request {
    events: Vec<Prepared>,
    reply: oneshot::Sender<Result<Vec<Outcome>>>,
    /// Held until the events are written.
    _room: OwnedSemaphorePermit,
}

impl Collector {
    /// The way in, and the end that [`run`] reads.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Request>) {
        let (requests, receiver) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(MAX_WAITING));
        (Self { requests, room }, receiver)
    }

    /// Hands events over and waits for their outcomes.
    pub(super) async fn store(&self, events: Vec<Prepared>) -> Result<Vec<Outcome>> {
        let unavailable = |problem: &str| Error::Unavailable(problem.to_owned());
        let permits = u32::try_from(events.len()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room)
            .try_acquire_many_owned(permits)
            .map_err(|_| unavailable("too many events wait to be written"))?;
        let (reply, outcome) = oneshot::channel();
        let request = Request {
            events,
            reply,
            _room: room,
        };
        self.requests
            .send(request)
            .map_err(|_| unavailable("the process is stopping"))?;
        outcome
            .await
            .map_err(|_| unavailable("the events may not have been written; send them again"))?
    }
}

/// Writes what callers hand over until the application is dropped.
pub(crate) async fn run(app: Weak<Inner>, mut requests: mpsc::UnboundedReceiver<Request>) {
    while let Some(first) = requests.recv().await {
        let Some(app) = app.upgrade().map(App) else { return };
        let mut gathered = vec![first];
        let mut events = gathered[0].events.len();
        while events < MAX_GATHERED
            && let Ok(next) = requests.try_recv()
        {
            events += next.events.len();
            gathered.push(next);
        }
        // In a task of its own: should it panic, its callers are told and the next gathering is written all the same.
        let _ = tokio::spawn(async move { write_all(&app, gathered).await }).await;
    }
}

async fn write_all(app: &App, mut requests: Vec<Request>) {
    let all: Vec<&Prepared> = requests.iter().flat_map(|request| &request.events).collect();
    match write(app, &all).await {
        Ok(mut outcomes) => {
            wake(app, &all);
            for request in requests {
                let rest = outcomes.split_off(request.events.len());
                // A caller that has gone away misses its answer only; its events are written.
                let _ = request.reply.send(Ok(outcomes));
                outcomes = rest;
            }
        }
        // One request must not spoil the others: each is tried by itself.
        Err(Error::Internal(problem)) if requests.len() > 1 => {
            tracing::error!(
                problem,
                requests = requests.len(),
                "gathered events could not be written together"
            );
            for request in requests {
                Box::pin(write_all(app, vec![request])).await;
            }
        }
        Err(error) => {
            let last = requests.pop();
            for request in requests {
                let _ = request.reply.send(Err(Error::Unavailable(error.to_string())));
            }
            if let Some(request) = last {
                let _ = request.reply.send(Err(error));
            }
        }
    }
}

/// One transaction for events of any tenants: two statements, and one more when keys were known.
async fn write(app: &App, events: &[&Prepared]) -> Result<Vec<Outcome>> {
    let op = Op::begin(app).await?;
    let ids: Vec<EventId> = events.iter().map(|_| EventId(op.new_id())).collect();
    let written = store::insert_events(&op, events, &ids).await?;
    let known = if written.len() == events.len() {
        HashMap::new()
    } else {
        let rest: Vec<&Prepared> = events
            .iter()
            .zip(&ids)
            .filter(|(_, id)| !written.contains(id))
            .map(|(event, _)| *event)
            .collect();
        store::known_keys(op.tx(), &rest).await?
    };
    store::insert_pending(&op, events, &ids, &written).await?;
    let received_at = op.now();
    op.commit().await?;
    for (event, id) in events.iter().zip(&ids).filter(|(_, id)| written.contains(id)) {
        app.gate()
            .accepted(event.customer, || event.pending(*id, received_at));
    }
    let outcome = |(event, id): (&&Prepared, &EventId)| {
        if written.contains(id) {
            return Ok(Outcome::Accepted(*id));
        }
        match known.get(&(event.tenant, event.key.clone())) {
            Some((first, fingerprint)) if *fingerprint == event.fingerprint => Ok(Outcome::Duplicate(*first)),
            Some(_) => Ok(Outcome::Conflict),
            None => Err(Error::Unavailable(
                "an event with the same key is under way".to_owned(),
            )),
        }
    };
    events.iter().zip(&ids).map(outcome).collect()
}

/// Wakes the workers, without making anybody wait for it: a wake-up that is lost costs time only.
fn wake(app: &App, events: &[&Prepared]) {
    let shards: BTreeSet<i32> = events.iter().map(|event| event.shard).collect();
    let app = app.clone();
    tokio::spawn(async move {
        if let Err(error) = job::drain::wake(&app, &shards).await {
            tracing::warn!(%error, "workers could not be woken; the sweep will find the events");
        }
    });
}
