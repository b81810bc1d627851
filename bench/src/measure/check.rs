//! Checks (`entitlement`) over HTTP: how many a second at 64 connections, and how long one takes at 2,000 a second; against a
//! bare axum handler that reads the same JSON and answers from memory with as many bytes.
//!
//! Fair, because both get the same bytes from the same generator. The delays are measured at a fixed rate and count from the
//! moment at which a request was due, so a stall shows in every request that it delays. They contain what the generator itself
//! needs to wake up; the limit shows how much that is.

use std::net::SocketAddr;

use crate::{
    Bench, Outcome,
    figure::{Figure, Target},
    load::{
        closed, open,
        request::{checks, checks_in_order},
    },
    pair::pair,
    place::Backend,
};

/// Connections for throughput.
const CONNECTIONS: usize = 64;
/// The moderate rate: a few percent of the limit, as a gateway should be run.
pub(super) const RATE: f64 = 2_000.0;
/// Connections at that rate; each sends every eighth millisecond.
pub(super) const PACED: usize = 16;

pub async fn run(bench: &Bench, backend: Backend) -> Outcome<Vec<Figure>> {
    let scale = bench.scale;
    let world = bench.world(backend).await?;
    let api = bench.programs.api(&world.place.url).await?;
    let hand = bench.programs.by_hand(&[]).await?;
    knows(api.address, "/graphql", scale.active).await?;
    let throughput = async |address, path| {
        let parties = checks(path, CONNECTIONS, scale.active);
        closed::rate(address, path, parties, scale.lasting).await
    };
    let delays = async |address, path| {
        let parties = checks(path, PACED, scale.active);
        let mut delays = open::delays(address, parties, RATE, scale.lasting).await?;
        Outcome::Ok([0.5, 0.99, 0.999].map(|share| delays.quantile(share)))
    };
    let ours = async || {
        let rate = throughput(api.address, "/graphql").await?;
        let [p50, p99, p999] = delays(api.address, "/graphql").await?;
        Ok([rate, p50, p99, p999])
    };
    let limit = async || {
        let rate = throughput(hand.address, "/memory").await?;
        let [p50, p99, p999] = delays(hand.address, "/memory").await?;
        Ok([rate, p50, p99, p999])
    };
    let (ours, limit) = pair(scale.rounds, ours, limit).await?;
    hand.stop().await;
    api.stop().await;
    world.remove(bench).await?;
    let figure = |place: usize, name: &str, unit, target| {
        Figure::new(name, backend, unit, ours[place], limit[place])
            .target(target)
            .against("bare axum handler, from memory")
    };
    Ok(vec![
        figure(0, "check_rate", "requests/s", Target::ratio(0.5)),
        figure(1, "check_p50", "ms", Target::NONE),
        figure(2, "check_p99", "ms", Target::below(1.0)),
        figure(3, "check_p999", "ms", Target::NONE),
    ])
}

/// Has a server be asked about each of so many customers once.
pub(super) async fn knows(address: SocketAddr, path: &'static str, customers: usize) -> Outcome<()> {
    let party = |sender, senders| checks_in_order(path, customers, sender, senders);
    closed::know(address, path, customers, party).await
}
