//! From accepted to visible: at 5,000 events a second of 1,000 customers, how long after `recordUsage` was answered does a
//! WebSocket subscriber see a balance that contains the event? API and one worker run as they do without options.
//!
//! The limit is the shortest way there is: events are inserted by hand at the same rate, one task is told in memory and debits
//! them with the SQL by hand, and an event counts as visible when that has committed. It has no queue, no second process, no
//! notification and no socket.
//!
//! Balances count: a customer's n-th accepted event is visible once the balance has fallen by the price of n events.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use app::clock::Ids;
use tokio::{sync::Notify, task::JoinSet};

use crate::{
    Bench, Outcome,
    by_hand::{Hand, insert::Rows},
    figure::{Figure, Target},
    load::{Requests, http::Connection, request::recordings_in_order, socket::Socket},
    pair::pair,
    place::Backend,
    stats::Delays,
    world::{EVENT_COSTS, World},
};

/// Events per request.
const EVENTS: usize = 10;
/// Requests per second: 5,000 events.
const RATE: u32 = 500;
/// Connections that send.
const SENDERS: u32 = 10;
/// Customers that are watched, every so many.
const WATCHED_EVERY: usize = 10;
/// What is not counted at the beginning.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long the last events may take.
const PATIENCE: Duration = Duration::from_secs(20);

pub async fn run(bench: &Bench, backend: Backend) -> Outcome<Vec<Figure>> {
    let lasting = bench.scale.lasting;
    let ours = async || {
        let world = bench.world(backend).await?;
        let delays = ours(bench, &world, lasting).await?;
        world.remove(bench).await?;
        quantiles(delays)
    };
    let limit = async || {
        let world = bench.world(backend).await?;
        let delays = by_hand(&world, bench.scale.active, lasting).await?;
        world.remove(bench).await?;
        quantiles(delays)
    };
    let (ours, limit) = pair(bench.scale.rounds, ours, limit).await?;
    let figure = |place: usize, name: &str, target| {
        Figure::new(name, backend, "ms", ours[place], limit[place])
            .target(target)
            .against("insert and debit by hand, told in memory")
    };
    Ok(vec![
        figure(0, "visible_p50", Target::NONE),
        figure(1, "visible_p99", Target::below(300.0)),
    ])
}

fn quantiles(mut delays: Delays) -> Outcome<[f64; 2]> {
    if delays.is_empty() {
        return Err("nothing was seen".into());
    }
    Ok([0.5, 0.99].map(|share| delays.quantile(share)))
}

/// When the events of each watched customer were accepted and seen.
#[derive(Debug, Default)]
struct Seen {
    accepted: Vec<Instant>,
    visible: Vec<Instant>,
}

type Book = Arc<Vec<Mutex<Seen>>>;

fn note(book: &Book, customer: usize, what: impl FnOnce(&mut Seen)) {
    if customer.is_multiple_of(WATCHED_EVERY) {
        what(
            &mut book[customer / WATCHED_EVERY]
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}

async fn ours(bench: &Bench, world: &World, lasting: Duration) -> Outcome<Delays> {
    let among = bench.scale.active;
    let api = bench.programs.api(&world.place.url).await?;
    let worker = bench.programs.worker(&world.place.url)?;
    let book: Book = Arc::new(
        (0..among.div_ceil(WATCHED_EVERY))
            .map(|_| Mutex::default())
            .collect(),
    );
    let mut watching = JoinSet::new();
    for customer in (0..among).step_by(WATCHED_EVERY) {
        let mut socket = Socket::watch(api.address, customer).await?;
        let first = socket.balance().await?;
        watching.spawn(follow(socket, customer, first, Arc::clone(&book)));
    }
    let begin = Instant::now();
    send_all(api.address, among, begin, lasting, &book).await?;
    let everything = || {
        book.iter().all(|seen| {
            let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.visible.len() >= seen.accepted.len()
        })
    };
    let sent = Instant::now();
    while !everything() {
        if sent.elapsed() > PATIENCE {
            return Err("some events were never seen".into());
        }
        if let Some(ended) = watching.try_join_next() {
            ended??;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    watching.abort_all();
    worker.stop().await;
    api.stop().await;
    Ok(delays(&book, begin + WARM_UP))
}

/// Notes when which event became visible.
async fn follow(mut socket: Socket, customer: usize, first: i64, book: Book) -> Outcome<()> {
    loop {
        let used = (first - socket.balance().await?) / EVENT_COSTS;
        let now = Instant::now();
        note(&book, customer, |seen| {
            seen.visible.resize((used as usize).max(seen.visible.len()), now);
        });
    }
}

/// Sends at the rate, whatever the answers do.
async fn send_all(
    address: SocketAddr,
    among: usize,
    begin: Instant,
    lasting: Duration,
    book: &Book,
) -> Outcome<()> {
    let mut senders = JoinSet::new();
    let step = Duration::from_secs(1) / RATE;
    for sender in 0..SENDERS {
        let book = Arc::clone(book);
        let mut requests = recordings_in_order(EVENTS, among, sender as usize, SENDERS as usize);
        senders.spawn(async move {
            let mut connection = Connection::open(address).await?;
            let mut due = begin + step * sender;
            while due < begin + WARM_UP + lasting {
                tokio::time::sleep_until(due.into()).await;
                let (request, customers) = requests.next_of();
                let answer = connection.exchange(request).await?;
                requests.count(answer.body)?;
                let now = Instant::now();
                for customer in customers {
                    note(&book, customer, |seen| seen.accepted.push(now));
                }
                due += step * SENDERS;
            }
            Outcome::Ok(())
        });
    }
    while let Some(ended) = senders.join_next().await {
        ended??;
    }
    Ok(())
}

/// The n-th accepted is the n-th seen; what was seen before its answer arrived took no time.
fn delays(book: &Book, from: Instant) -> Delays {
    let mut all = Delays::default();
    for seen in book.iter() {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.accepted.sort_unstable();
        let pairs = seen.accepted.iter().zip(&seen.visible);
        all.extend(
            pairs
                .filter(|(accepted, _)| **accepted >= from)
                .map(|(accepted, visible)| visible.saturating_duration_since(*accepted)),
        );
    }
    all
}

async fn by_hand(world: &World, among: usize, lasting: Duration) -> Outcome<Delays> {
    let hand = Hand::connect(&world.place, SENDERS + 1).await?;
    let begin = Instant::now();
    let end = begin + WARM_UP + lasting;
    let step = Duration::from_secs(1) / RATE;
    let waiting: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let told = Arc::new(Notify::new());
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let (hand, world) = (hand.clone(), world.clone());
        let (waiting, told) = (Arc::clone(&waiting), Arc::clone(&told));
        senders.spawn(async move {
            let ids = Ids::default();
            let mut due = begin + step * sender;
            for batch in 0.. {
                if due >= end {
                    break;
                }
                tokio::time::sleep_until(due.into()).await;
                let first = batch * EVENTS;
                let who =
                    |number: usize| world.customers[(number * SENDERS as usize + sender as usize) % among];
                let rows = Rows::of(&format!("visible-{sender}"), first..first + EVENTS, who, &ids);
                hand.insert(&world, &rows).await?;
                let now = Instant::now();
                let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.extend(std::iter::repeat_n(now, EVENTS));
                told.notify_one();
                due += step * SENDERS;
            }
            Outcome::Ok(())
        });
    }
    let mut all = Delays::default();
    loop {
        let accepted = std::mem::take(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if !accepted.is_empty() {
            hand.drain_once(world).await?;
            let counted = accepted.iter().filter(|accepted| **accepted >= begin + WARM_UP);
            all.extend(counted.map(Instant::elapsed));
        } else if senders.is_empty() {
            break;
        } else {
            tokio::select! {
                () = told.notified() => {}
                Some(ended) = senders.join_next() => ended??,
            }
        }
    }
    hand.close().await;
    Ok(all)
}
