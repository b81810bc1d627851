//! What is asked at the same time about the same customers is done by one transaction.
//!
//! Whoever holds, captures or releases needs the lock on the account. A thousand requests at once for one customer would each take a
//! connection to the database and wait there for the one before. So they ask here: while a transaction is under way, what is asked about
//! its customers gathers, and flies together when it has ended. What is asked about others flies beside it. Nothing lingers, so a lone
//! request is done at once; what concerns one customer is done in the order in which it was asked.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Weak},
};

use domain::id::CustomerId;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::JoinSet,
};

use crate::{
    App, Inner,
    db::Backend,
    error::{Error, Result},
    gathered::{self, Gathered},
};

/// Pieces of work that may wait: some ten megabytes. More are told that we are busy.
const MAX_WAITING: usize = 20_000;
/// Pieces of work in one transaction: enough to make it cheap for each, few enough to keep it short.
const MAX_TOGETHER: usize = 500;

/// Transactions of one kind that may be under way at once. SQLite has one writer.
fn flights(backend: Backend) -> usize {
    match backend {
        Backend::Postgres => 4,
        Backend::Sqlite => 1,
    }
}

/// Something that is done under the lock on a customer's account.
pub(crate) trait Work: Clone + Send + Sync + 'static {
    /// What becomes of it.
    type Done: Send + 'static;

    /// Whose account is locked for it.
    fn customer(&self) -> CustomerId;

    /// Does it for many, in one transaction: what has become of each, in order.
    fn run(app: &App, all: Vec<Self>) -> impl Future<Output = Result<Vec<Self::Done>>> + Send;
}

/// Work of one caller.
pub(crate) struct Request<W: Work> {
    work: Vec<W>,
    reply: oneshot::Sender<Result<Vec<W::Done>>>,
    /// Held until it is done.
    _room: OwnedSemaphorePermit,
}

impl<W: Work> Gathered for Request<W> {
    type Done = W::Done;

    fn pieces(&self) -> usize {
        self.work.len()
    }

    fn into_reply(self) -> oneshot::Sender<Result<Vec<W::Done>>> {
        self.reply
    }
}

/// The way to the task that gathers work.
pub(crate) struct Gathering<W: Work> {
    requests: mpsc::UnboundedSender<Request<W>>,
    /// One permit per piece of work that may wait.
    room: Arc<Semaphore>,
}

impl<W: Work> Gathering<W> {
    /// The way in, and the end that [`run`] reads.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Request<W>>) {
        let (requests, receiver) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(MAX_WAITING));
        (Self { requests, room }, receiver)
    }

    /// Hands work over and waits for what becomes of it.
    pub(super) async fn done(&self, work: Vec<W>) -> Result<Vec<W::Done>> {
        if work.is_empty() {
            return Ok(Vec::new());
        }
        let unavailable = |problem: &str| Error::Unavailable(problem.to_owned());
        let permits = u32::try_from(work.len()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(permits);
        let room = room.map_err(|_| unavailable("too many reservations wait for their turn"))?;
        let (reply, done) = oneshot::channel();
        let request = Request {
            work,
            reply,
            _room: room,
        };
        self.requests
            .send(request)
            .map_err(|_| unavailable("the process is stopping"))?;
        done.await
            .map_err(|_| unavailable("it may not have been done; ask again"))?
    }
}

/// Does what callers hand over until the application is dropped.
pub(crate) async fn run<W: Work>(app: Weak<Inner>, mut requests: mpsc::UnboundedReceiver<Request<W>>) {
    let mut waiting: VecDeque<Request<W>> = VecDeque::new();
    let mut busy: HashSet<CustomerId> = HashSet::new();
    let mut under_way: JoinSet<Vec<CustomerId>> = JoinSet::new();
    loop {
        tokio::select! {
            request = requests.recv() => match request {
                Some(request) => waiting.push_back(request),
                None => return,
            },
            Some(ended) = under_way.join_next(), if !under_way.is_empty() => {
                for customer in ended.unwrap_or_default() {
                    busy.remove(&customer);
                }
            }
        }
        while let Ok(request) = requests.try_recv() {
            waiting.push_back(request);
        }
        let Some(app) = app.upgrade().map(App) else { return };
        while under_way.len() < flights(app.db().backend()) {
            let together = take_off(&mut waiting, &busy);
            if together.is_empty() {
                break;
            }
            let customers: Vec<CustomerId> = together.iter().flat_map(customers_of).collect();
            busy.extend(&customers);
            let app = app.clone();
            under_way.spawn(async move {
                // In a task of its own: should it panic, its callers are told, and its customers are free again.
                let _ = tokio::spawn(async move { fly(&app, together).await }).await;
                customers
            });
        }
    }
}

fn customers_of<W: Work>(request: &Request<W>) -> impl Iterator<Item = CustomerId> {
    request.work.iter().map(Work::customer)
}

/// The requests that come first and have none of the customers that are busy, nor of those that wait before them.
fn take_off<W: Work>(waiting: &mut VecDeque<Request<W>>, busy: &HashSet<CustomerId>) -> Vec<Request<W>> {
    let (mut together, mut left) = (Vec::new(), VecDeque::with_capacity(waiting.len()));
    let (mut before, mut pieces) = (HashSet::new(), 0);
    for request in waiting.drain(..) {
        let free = customers_of(&request).all(|it| !busy.contains(&it) && !before.contains(&it));
        if free && (pieces == 0 || pieces + request.work.len() <= MAX_TOGETHER) {
            pieces += request.work.len();
            together.push(request);
        } else {
            before.extend(customers_of(&request));
            left.push_back(request);
        }
    }
    *waiting = left;
    together
}

async fn fly<W: Work>(app: &App, requests: Vec<Request<W>>) {
    let all = requests.iter().flat_map(|request| request.work.iter().cloned());
    let done = W::run(app, all.collect()).await;
    for request in gathered::answer(requests, done, "holds") {
        Box::pin(fly(app, vec![request])).await;
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[derive(Clone)]
    struct For(u128);

    impl Work for For {
        type Done = ();

        fn customer(&self) -> CustomerId {
            CustomerId(Uuid::from_u128(self.0))
        }

        async fn run(_: &App, all: Vec<Self>) -> Result<Vec<()>> {
            Ok(vec![(); all.len()])
        }
    }

    fn request(of: &[u128]) -> Request<For> {
        let room = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        Request {
            work: of.iter().map(|number| For(*number)).collect(),
            reply: oneshot::channel().0,
            _room: room,
        }
    }

    fn numbers<'a>(all: impl IntoIterator<Item = &'a Request<For>>) -> Vec<Vec<u128>> {
        let of = |request: &Request<For>| request.work.iter().map(|it| it.0).collect();
        all.into_iter().map(of).collect()
    }

    #[test]
    fn who_is_busy_gathers_and_keeps_its_order() {
        let mut waiting = VecDeque::from([request(&[1]), request(&[2, 3]), request(&[3]), request(&[4, 4])]);
        let busy = HashSet::from([For(2).customer()]);
        let together = take_off(&mut waiting, &busy);
        assert_eq!(numbers(&together), [vec![1], vec![4, 4]]);
        // 3 is free, but comes after one that is not.
        assert_eq!(numbers(&waiting), [vec![2, 3], vec![3]]);
        let together = take_off(&mut waiting, &HashSet::new());
        assert_eq!(numbers(&together), [vec![2, 3], vec![3]]);
    }

    #[test]
    fn a_flight_is_bounded_and_a_large_request_flies_alone() {
        let mut waiting = VecDeque::from([
            request(&[1; 600]),
            request(&[2]),
            request(&[3; 300]),
            request(&[4; 300]),
        ]);
        assert_eq!(take_off(&mut waiting, &HashSet::new()).len(), 1);
        assert_eq!(take_off(&mut waiting, &HashSet::new()).len(), 2);
        assert_eq!(take_off(&mut waiting, &HashSet::new()).len(), 1);
        assert!(waiting.is_empty());
    }
}
