//! Recording in batches: `recordUsage` with 100 and with 1,000 events per request, through the whole server, against set-based
//! inserts of the same rows into the same two tables, written by hand, with the same number of events per transaction.
//!
//! Fair, because both write durable rows under the same unique key into tables that grow alike (both in one database, in
//! turns), and both answer only after the commit. The limit has no HTTP, no JSON from outside, no checks and no answers per
//! event. The server may gather several requests into one transaction; that is its merit. No worker runs: debiting is
//! measured by itself.

use std::time::{Duration, Instant};

use app::clock::Ids;
use tokio::task::JoinSet;

use crate::{
    Bench, Outcome,
    by_hand::{Hand, insert::Rows},
    figure::{Figure, Target},
    load::{closed, request::recordings},
    pair::pair,
    place::Backend,
    world::World,
};

/// Requests at the same time: enough to keep two cores busy, whatever their size.
const CONNECTIONS: [(usize, usize); 2] = [(100, 16), (1_000, 8)];
/// Writers of the limit on PostgreSQL; more do not help on two cores. SQLite has one.
const WRITERS: usize = 4;
/// What goes before the measured time, as for ours.
const WARM_UP: Duration = Duration::from_millis(500);

pub async fn run(bench: &Bench, backend: Backend) -> Outcome<Vec<Figure>> {
    let scale = bench.scale;
    let world = bench.world(backend).await?;
    let api = bench.programs.api(&world.place.url).await?;
    let hand = Hand::connect(&world.place, WRITERS as u32).await?;
    let mut figures = Vec::new();
    for (events, connections) in CONNECTIONS {
        let mut turn = 0;
        let ours = async || {
            let parties = recordings("/graphql", connections, events, scale.active, true);
            Ok([closed::rate(api.address, "recordUsage", parties, scale.lasting).await?])
        };
        let limit = async || {
            turn += 1;
            let name = format!("hand-{events}-{turn}");
            Ok([inserts(&hand, &world, &name, events, scale.active, scale.lasting).await?])
        };
        let ([ours], [limit]) = pair(scale.rounds, ours, limit).await?;
        figures.push(
            Figure::new(format!("record_{events}"), backend, "events/s", ours, limit)
                .target(Target::ratio(0.6))
                .against("set-based inserts into the same tables"),
        );
    }
    hand.close().await;
    api.stop().await;
    world.remove(bench).await?;
    Ok(figures)
}

/// Events per second that are written by hand.
async fn inserts(
    hand: &Hand,
    world: &World,
    name: &str,
    events: usize,
    among: usize,
    lasting: Duration,
) -> Outcome<f64> {
    let begin = Instant::now() + WARM_UP;
    let end = begin + lasting;
    let writers = if matches!(hand, Hand::Postgres(_)) {
        WRITERS
    } else {
        1
    };
    let mut running = JoinSet::new();
    for writer in 0..writers {
        let (hand, world, prefix) = (hand.clone(), world.clone(), format!("{name}-{writer}"));
        running.spawn(async move {
            let ids = Ids::default();
            let mut counted = 0;
            for batch in 0.. {
                let first = batch * events;
                let who = |number: usize| world.customers[number * 7_919 % among];
                let rows = Rows::of(&prefix, first..first + events, who, &ids);
                hand.insert(&world, &rows).await?;
                let now = Instant::now();
                if now >= end {
                    break;
                }
                if now >= begin {
                    counted += events;
                }
            }
            Outcome::Ok(counted)
        });
    }
    let mut counted = 0;
    while let Some(ended) = running.join_next().await {
        counted += ended??;
    }
    Ok(counted as f64 / lasting.as_secs_f64())
}
