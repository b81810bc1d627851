//! Group commit: the events of requests that wait at the same time are written by one transaction.
//!
//! While a commit is under way further requests gather, and the next transaction takes all of them; nothing lingers, so a lone
//! request is written at once and a busy process pays for one commit per gathering. What has gathered well has nothing to gain
//! from waiting longer: two gatherings may be written side by side. Each caller gets its own outcomes after the commit.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use domain::{
    amount::Quantity,
    id::{CustomerId, EventId, MetricId, TenantId, TestClockId},
    metering::rule::Properties,
    time::Timestamp,
    usage::event::PendingEvent,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use uuid::Uuid;

use super::{
    Outcome,
    store::{self, New},
};
use crate::{
    App, Inner,
    db::Backend,
    error::{Error, Result},
    failpoint::reach,
    gathered::{self, Gathered},
    job::drain::Shard,
    measure,
    op::{self, Op},
};

/// Events that may wait to be written: some 50 MB. More are told that we are busy, before memory runs out.
const MAX_WAITING: usize = 100_000;
/// Events in one transaction: enough to make the commit cheap, few enough to keep it short.
const MAX_GATHERED: usize = 5_000;
/// Transactions that may be under way at the same time on PostgreSQL, so that one is prepared while the other is written. SQLite
/// has one writer.
const FLIGHTS: u32 = 2;
/// Events that take off beside another transaction; fewer go on gathering until it has ended.
const BESIDE: usize = 32;
/// How long a write that failed makes the process unready, unless another goes well before. Then it is given a chance: without
/// events nobody would find out that the database takes them again.
const FAILING: Duration = Duration::from_secs(5);

/// A checked event on its way into the database.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) tenant: TenantId,
    pub(super) customer: CustomerId,
    pub(super) shard: i32,
    /// The test clock that the customer lives by.
    pub(super) clock: Option<TestClockId>,
    pub(super) metric: MetricId,
    pub(super) key: String,
    pub(super) fingerprint: Uuid,
    pub(super) units: Quantity,
    pub(super) occurred_at: Option<Timestamp>,
    /// As they are stored, written down by the caller's task; none when there are none.
    pub(super) properties: Option<String>,
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
            properties: self.properties(),
        }
    }
}

impl Prepared {
    /// What to say of it when its key was used before, for an event with this content.
    pub(super) fn known_as(&self, (first, fingerprint): (EventId, Uuid)) -> Outcome {
        if fingerprint == self.fingerprint {
            Outcome::Duplicate(first)
        } else {
            Outcome::Conflict
        }
    }

    fn properties(&self) -> Properties {
        let json = self.properties.as_deref().map(serde_json::from_str);
        // We have written it ourselves.
        json.and_then(std::result::Result::ok).unwrap_or_default()
    }
}

/// The way into the writing task.
pub(crate) struct Collector {
    requests: mpsc::UnboundedSender<Request>,
    /// One permit per event that may wait.
    room: Arc<Semaphore>,
    /// When the last write failed; never, or not since one went well: `None`.
    failed: Mutex<Option<Instant>>,
}

/// Events of one caller.
pub(crate) struct Request {
    events: Vec<Prepared>,
    reply: oneshot::Sender<Result<Vec<Outcome>>>,
    /// Held until the events are written.
    _room: OwnedSemaphorePermit,
}

impl Gathered for Request {
    type Done = Outcome;

    fn pieces(&self) -> usize {
        self.events.len()
    }

    fn into_reply(self) -> oneshot::Sender<Result<Vec<Outcome>>> {
        self.reply
    }
}

impl Collector {
    /// The way in, and the end that [`run`] reads.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Request>) {
        let (requests, receiver) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(MAX_WAITING));
        let failed = Mutex::default();
        (
            Self {
                requests,
                room,
                failed,
            },
            receiver,
        )
    }

    /// Events that wait to be written.
    pub(crate) fn waiting(&self) -> usize {
        MAX_WAITING.saturating_sub(self.room.available_permits())
    }

    /// Whether the writing task lives, has room, and could write.
    pub(crate) fn accepts(&self) -> bool {
        !self.requests.is_closed() && self.room.available_permits() > 0 && !self.is_failing()
    }

    fn is_failing(&self) -> bool {
        let failed = *self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|when| when.elapsed() < FAILING)
    }

    /// Notes how a write went.
    fn note(&self, well: bool) {
        let failed = (!well).then(Instant::now);
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
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
    let flights = Arc::new(Semaphore::new(FLIGHTS as usize));
    while let Some(first) = requests.recv().await {
        let Some(app) = app.upgrade().map(App) else { return };
        let mut gathered = vec![first];
        let Some(seat) = seat(&flights, app.db().backend(), &mut gathered, &mut requests).await else {
            return;
        };
        // In a task of its own: should it panic, its callers are told and the next gathering is written all the same.
        tokio::spawn(async move {
            write_all(&app, gathered).await;
            drop(seat);
        });
    }
}

/// Waits until what has gathered may be written; whatever comes in meanwhile is written with it. `None`: never.
async fn seat(
    flights: &Arc<Semaphore>,
    backend: Backend,
    gathered: &mut Vec<Request>,
    requests: &mut mpsc::UnboundedReceiver<Request>,
) -> Option<OwnedSemaphorePermit> {
    loop {
        gather(gathered, requests);
        let free = free_seats(backend, events_of(gathered));
        tokio::select! {
            biased;
            seats = Arc::clone(flights).acquire_many_owned(free) => {
                gather(gathered, requests);
                let mut seats = seats.ok()?;
                return seats.split(seats_taken(backend));
            }
            Some(next) = requests.recv(), if free > 1 => gathered.push(next),
        }
    }
}

/// How many seats must be free for so many events to take off: one beside another transaction, or all.
fn free_seats(backend: Backend, events: usize) -> u32 {
    match backend {
        Backend::Postgres if events >= BESIDE => 1,
        Backend::Postgres | Backend::Sqlite => FLIGHTS,
    }
}

/// How many seats a transaction takes. On SQLite there is none beside it.
fn seats_taken(backend: Backend) -> usize {
    match backend {
        Backend::Postgres => 1,
        Backend::Sqlite => FLIGHTS as usize,
    }
}

fn events_of(requests: &[Request]) -> usize {
    requests.iter().map(|request| request.events.len()).sum()
}

/// Adds what waits, up to the most events of a transaction.
fn gather(gathered: &mut Vec<Request>, requests: &mut mpsc::UnboundedReceiver<Request>) {
    let mut events = events_of(gathered);
    while events < MAX_GATHERED
        && let Ok(next) = requests.try_recv()
    {
        events += next.events.len();
        gathered.push(next);
    }
}

async fn write_all(app: &App, requests: Vec<Request>) {
    let all: Vec<&Prepared> = requests.iter().flat_map(|request| &request.events).collect();
    let written = write(app, &all).await;
    // What is wrong with one request says nothing of the database.
    app.collector()
        .note(!matches!(written, Err(Error::Unavailable(_))));
    for request in gathered::answer(requests, written, "events") {
        Box::pin(write_all(app, vec![request])).await;
    }
}

/// One transaction for events of any tenants: one statement (two on SQLite), and one more after it when keys were known.
async fn write(app: &App, events: &[&Prepared]) -> Result<Vec<Outcome>> {
    write_at(app, events, None).await
}

/// The same for events that are accepted at the time of a test clock.
pub(super) async fn write_at(app: &App, events: &[&Prepared], at: Option<Timestamp>) -> Result<Vec<Outcome>> {
    let begun = Instant::now();
    reach("record.gathered")?;
    let Written { ids, refused } = insert(app, events, at).await?;
    measure::committed(events.len(), begun);
    let known = if refused.is_empty() {
        HashMap::new()
    } else {
        let of_refused = events.iter().zip(&ids).filter(|(_, id)| refused.contains(id));
        let rest: Vec<&Prepared> = of_refused.map(|(event, _)| *event).collect();
        let known = store::known_keys(app.db().reader(), &rest).await?;
        reach("record.known")?;
        known
    };
    let outcome = |(event, id): (&&Prepared, &EventId)| {
        if !refused.contains(id) {
            return Ok(Outcome::Accepted(*id));
        }
        match known.get(&(event.tenant, event.key.clone())) {
            Some(known) => Ok(event.known_as(*known)),
            None => Err(Error::Unavailable(
                "an event with the same key is under way".to_owned(),
            )),
        }
    };
    events.iter().zip(&ids).map(outcome).collect()
}

/// What a transaction wrote.
struct Written {
    /// The ids that the events were given.
    ids: Vec<EventId>,
    /// Those whose keys were taken.
    refused: HashSet<EventId>,
}

/// Writes events, and tells the gate and the workers of those that are new, as soon as they are committed.
async fn insert(app: &App, events: &[&Prepared], at: Option<Timestamp>) -> Result<Written> {
    let (new, received_at, refused) = match app.db().backend() {
        Backend::Postgres => {
            let now = app.now();
            let new = numbered(events, || EventId(app.ids().next(now)));
            reach("record.begun")?;
            let at = at.unwrap_or(now);
            let refused = op::alone(store::insert_events(app.db().writer(), &new, at)).await?;
            reach("record.inserted")?;
            (new, at, refused)
        }
        Backend::Sqlite => {
            let op = Op::begin(app).await?;
            reach("record.begun")?;
            let new = numbered(events, || EventId(op.new_id()));
            let at = at.unwrap_or(op.now());
            let refused = store::insert_events(op.tx(), &new, at).await?;
            reach("record.inserted")?;
            op.commit().await?;
            (new, at, refused)
        }
    };
    reach("record.committed")?;
    let accepted = || new.iter().filter(|(_, id)| !refused.contains(id));
    for (event, id) in accepted() {
        app.gate()
            .accepted(event.customer, || event.pending(*id, received_at));
    }
    app.shards()
        .touched(app, accepted().map(|(event, _)| Shard(event.shard)).collect());
    reach("record.told")?;
    let ids = new.into_iter().map(|(_, id)| id).collect();
    Ok(Written { ids, refused })
}

fn numbered<'a>(events: &[&'a Prepared], id: impl Fn() -> EventId) -> Vec<New<'a>> {
    events.iter().map(|event| (*event, id())).collect()
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, future::join_all};

    use super::*;

    fn events(count: usize) -> Vec<Prepared> {
        let event = Prepared {
            tenant: TenantId(Uuid::nil()),
            customer: CustomerId(Uuid::nil()),
            shard: 0,
            clock: None,
            metric: MetricId(Uuid::nil()),
            key: "k".to_owned(),
            fingerprint: Uuid::nil(),
            units: Quantity::ZERO,
            occurred_at: None,
            properties: None,
        };
        vec![event; count]
    }

    /// What waits is bounded: more is refused at once, and welcome again when there is room.
    #[tokio::test]
    async fn the_waiting_room_has_an_end() {
        let (collector, mut requests) = Collector::new();
        let waiting: Vec<_> = (0..MAX_WAITING / 1_000)
            .map(|_| collector.store(events(1_000)))
            .collect();
        let mut waiting = Box::pin(join_all(waiting));
        assert!(waiting.as_mut().now_or_never().is_none());
        let refused = collector.store(events(1)).now_or_never();
        assert!(matches!(refused, Some(Err(Error::Unavailable(_)))), "{refused:?}");
        let mut gathered = vec![requests.recv().await.unwrap()];
        gather(&mut gathered, &mut requests);
        assert_eq!(gathered.len(), MAX_GATHERED / 1_000);
        drop(gathered);
        assert!(
            collector.store(events(5_000)).now_or_never().is_none(),
            "there is room again"
        );
    }

    /// A lone request goes at once; few wait for the transaction under way, and fly with what comes meanwhile; many fly beside it.
    #[tokio::test]
    async fn few_gather_and_many_take_off() {
        let (collector, mut requests) = Collector::new();
        let flights = Arc::new(Semaphore::new(FLIGHTS as usize));
        let send = |count| {
            let mut storing = Box::pin(collector.store(events(count)));
            assert!(storing.as_mut().now_or_never().is_none());
            storing
        };
        let mut waiting = vec![send(1)];
        let mut gathered = vec![requests.recv().await.unwrap()];
        let take_off = seat(&flights, Backend::Postgres, &mut gathered, &mut requests);
        let first = take_off.now_or_never().flatten().unwrap();
        waiting.push(send(1));
        let mut gathered = vec![requests.recv().await.unwrap()];
        {
            let mut few = Box::pin(seat(&flights, Backend::Postgres, &mut gathered, &mut requests));
            assert!(few.as_mut().now_or_never().is_none(), "it gathers");
            waiting.push(send(BESIDE - 2));
            assert!(few.as_mut().now_or_never().is_none(), "still too few");
            waiting.push(send(1));
            assert!(
                few.now_or_never().flatten().is_some(),
                "enough to fly beside the first"
            );
        }
        assert_eq!(events_of(&gathered), BESIDE);
        drop(first);
        // On SQLite nothing flies beside another.
        let mut alone = vec![];
        let seat_taken = seat(&flights, Backend::Sqlite, &mut alone, &mut requests);
        let held = seat_taken.now_or_never().flatten().unwrap();
        waiting.push(send(MAX_GATHERED));
        let mut many = vec![requests.recv().await.unwrap()];
        let second = seat(&flights, Backend::Sqlite, &mut many, &mut requests);
        assert!(second.now_or_never().is_none());
        drop(held);
    }
}
