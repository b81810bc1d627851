//! Live subscriptions over WebSocket, 5,000 on one API process: the memory of each, and how long a change takes to reach all of
//! them: one change that everybody watches, and 5,000 customers that change at once.
//!
//! The limit is a bare axum server that keeps as many sockets and sends one text to all of them. It knows no customers and
//! reads no database.
//!
//! Memory is the growth of the resident memory of the process, divided by the subscriptions. The delay of one change begins
//! when its request (`grantCredits`) is sent, so it contains the mutation. The delay of 5,000 changes begins, for each
//! customer, with the transaction of the worker that debits it, as the account's row tells.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    Bench, Outcome,
    by_hand::Hand,
    figure::{Figure, Target},
    load::{
        Requests,
        http::{Connection, graphql, post},
        request::recordings_in_order,
        socket::Socket,
    },
    pair::pair,
    place::Backend,
    process::{KEY, Process},
    stats::Delays,
    world::{World, external_id, now},
};

/// Changes that everybody watches, per turn.
const CHANGES: usize = 5;
/// Times that all customers change, per turn.
const WAVES: usize = 3;
/// Sockets that are opened at the same time.
const OPENED_AT_ONCE: usize = 64;
/// A moment in which the server comes to rest.
const REST: Duration = Duration::from_secs(1);
/// Until what was needed to open sockets is given back: the allocator keeps it for a second, in case it is needed again.
const GIVEN_BACK: Duration = Duration::from_secs(3);
/// How long a change may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

pub async fn run(bench: &Bench, backend: Backend) -> Outcome<Vec<Figure>> {
    let ours = async || {
        let world = bench.world(backend).await?;
        let figures = ours(bench, &world).await?;
        world.remove(bench).await?;
        Ok(figures)
    };
    let limit = async || by_hand(bench).await;
    let ([memory, one_p50, one_p99, all_p50, all_p99], [hand_memory, hand_p50, hand_p99]) =
        pair(bench.scale.rounds, ours, limit).await?;
    let figure = |name: &str, unit, ours, limit, target| {
        Figure::new(name, backend, unit, ours, limit)
            .target(target)
            .against("bare axum WebSocket server, one broadcast")
    };
    Ok(vec![
        figure(
            "subscription_memory",
            "KiB",
            memory,
            hand_memory,
            Target::below(16.0),
        ),
        figure("fan_out_one_p50", "ms", one_p50, hand_p50, Target::NONE),
        figure("fan_out_one_p99", "ms", one_p99, hand_p99, Target::below(250.0)),
        figure("fan_out_all_p50", "ms", all_p50, hand_p50, Target::NONE),
        figure("fan_out_all_p99", "ms", all_p99, hand_p99, Target::below(250.0)),
    ])
}

/// Something reached a socket.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    socket: usize,
    at: Instant,
    /// The same by the clock of the wall.
    micros: i64,
}

/// Open sockets, each read by a task.
struct Crowd {
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    _readers: JoinSet<Outcome<()>>,
}

impl Crowd {
    /// Opens so many sockets; `who` tells which customer each watches, or that it only listens. Returns when all have what comes
    /// first.
    async fn gather(
        address: SocketAddr,
        sockets: usize,
        who: impl Fn(usize) -> Option<usize>,
    ) -> Outcome<Self> {
        let (sender, arrivals) = mpsc::unbounded_channel();
        let mut readers = JoinSet::new();
        let mut opening = JoinSet::new();
        for number in 0..sockets {
            let customer = who(number);
            if opening.len() == OPENED_AT_ONCE
                && let Some(opened) = opening.join_next().await
            {
                read(&mut readers, opened??, &sender);
            }
            opening.spawn(async move {
                let socket = match customer {
                    Some(customer) => {
                        let mut socket = Socket::watch(address, customer).await?;
                        socket.balance().await?;
                        socket
                    }
                    None => Socket::open(address, "/ws", None).await?,
                };
                Outcome::Ok((number, socket))
            });
        }
        while let Some(opened) = opening.join_next().await {
            read(&mut readers, opened??, &sender);
        }
        Ok(Self {
            arrivals,
            _readers: readers,
        })
    }

    /// Waits for something on so many sockets.
    async fn arrivals(&mut self, sockets: usize) -> Outcome<Vec<Arrival>> {
        let mut all = Vec::with_capacity(sockets);
        while all.len() < sockets {
            let next = tokio::time::timeout(PATIENCE, self.arrivals.recv()).await;
            let next = next.map_err(|_| format!("only {} of {sockets} were reached", all.len()))?;
            all.push(next.ok_or("the sockets were closed")?);
        }
        Ok(all)
    }
}

fn read(
    readers: &mut JoinSet<Outcome<()>>,
    (number, mut socket): (usize, Socket),
    to: &mpsc::UnboundedSender<Arrival>,
) {
    let to = to.clone();
    readers.spawn(async move {
        loop {
            let text = socket.text().await?;
            // What the protocol itself says is no change.
            if text.contains("\"ping\"") {
                continue;
            }
            let arrival = Arrival {
                socket: number,
                at: Instant::now(),
                micros: now(),
            };
            if to.send(arrival).is_err() {
                return Ok(());
            }
        }
    });
}

/// Memory in KiB, delays in ms.
async fn ours(bench: &Bench, world: &World) -> Outcome<[f64; 5]> {
    let sockets = bench.scale.subscribers;
    let api = bench.programs.api(&world.place.url).await?;
    let (mut crowd, memory) = grown(&api, sockets, Some).await?;
    let mut all = Delays::default();
    let worker = bench.programs.worker(&world.place.url)?;
    tokio::time::sleep(REST).await;
    for _ in 0..WAVES {
        all.extend(all_at_once(&api, world, &mut crowd, sockets).await?);
    }
    worker.stop().await;
    drop(crowd);
    let mut crowd = Crowd::gather(api.address, sockets, |_| Some(0)).await?;
    tokio::time::sleep(REST).await;
    let mut one = Delays::default();
    let mut connection = Connection::open(api.address).await?;
    for change in 0..CHANGES {
        let request = grant(change);
        let sent = Instant::now();
        let answer = connection.exchange(&request).await?;
        let good =
            answer.status == 200 && crate::load::http::find(answer.body, b"\"userErrors\":[]").is_some();
        if !good {
            return Err(format!("grantCredits: {}", String::from_utf8_lossy(answer.body)).into());
        }
        one.extend(
            crowd
                .arrivals(sockets)
                .await?
                .iter()
                .map(|arrival| arrival.at - sent),
        );
    }
    drop(crowd);
    api.stop().await;
    Ok([
        memory,
        one.quantile(0.5),
        one.quantile(0.99),
        all.quantile(0.5),
        all.quantile(0.99),
    ])
}

/// Sockets, and KiB of resident memory that each of them costs the server.
async fn grown(
    server: &Process,
    sockets: usize,
    who: impl Fn(usize) -> Option<usize>,
) -> Outcome<(Crowd, f64)> {
    let before = server.memory()?;
    let crowd = Crowd::gather(server.address, sockets, who).await?;
    tokio::time::sleep(GIVEN_BACK).await;
    let memory = (server.memory()? - before) / sockets as f64 / 1024.0;
    Ok((crowd, memory))
}

/// One event for every customer that is watched.
async fn all_at_once(
    api: &Process,
    world: &World,
    crowd: &mut Crowd,
    sockets: usize,
) -> Outcome<Vec<Duration>> {
    /// Events in a request.
    const EVENTS: usize = 500;
    let mut requests = recordings_in_order(EVENTS, sockets, 0, 1);
    let mut connection = Connection::open(api.address).await?;
    for _ in 0..sockets / EVENTS {
        let (request, _) = requests.next_of();
        let answer = connection.exchange(request).await?;
        requests.count(answer.body)?;
    }
    let arrivals = crowd.arrivals(sockets).await?;
    let hand = Hand::connect(&world.place, 1).await?;
    let changed = hand.changed_at().await?;
    hand.close().await;
    let delay = |arrival: &Arrival| {
        let began = changed
            .get(&world.customers[arrival.socket])
            .copied()
            .unwrap_or(arrival.micros);
        Duration::from_micros(arrival.micros.saturating_sub(began).unsigned_abs())
    };
    Ok(arrivals.iter().map(delay).collect())
}

fn grant(change: usize) -> Vec<u8> {
    let document = "mutation Grant($customer: String!, $key: String!) { grantCredits(input: {externalCustomerId: $customer,
        credits: \"1\", source: PROMOTION, idempotencyKey: $key}) { userErrors { code message } } }";
    let variables = json!({ "customer": external_id(0), "key": format!("live-{change}") });
    post("/graphql", KEY, &graphql(document, &variables))
}

async fn by_hand(bench: &Bench) -> Outcome<[f64; 3]> {
    let sockets = bench.scale.subscribers;
    let server = bench.programs.by_hand(&[]).await?;
    let (mut crowd, memory) = grown(&server, sockets, |_| None).await?;
    let mut delays = Delays::default();
    let mut connection = Connection::open(server.address).await?;
    let text = r#"{"id":"1","type":"next","payload":{"data":{"balanceUpdated":{"sequence":2,"remaining":"1000000001"}}}}"#;
    for _ in 0..CHANGES {
        let sent = Instant::now();
        connection.exchange(&post("/broadcast", KEY, text)).await?;
        delays.extend(
            crowd
                .arrivals(sockets)
                .await?
                .iter()
                .map(|arrival| arrival.at - sent),
        );
    }
    drop(crowd);
    server.stop().await;
    Ok([memory, delays.quantile(0.5), delays.quantile(0.99)])
}
