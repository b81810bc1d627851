//! `GET /gate`, as a gateway asks it: how long one answer takes at 2,000 a second; against a bare axum handler that answers 204.
//!
//! As for [`super::check`] the delays count from the moment at which a request was due, and contain what the generator itself needs.

use super::check::{PACED, RATE, knows};
use crate::{
    Bench, Outcome,
    figure::{Figure, Target},
    load::{open, request::gates},
    pair::pair,
    place::Backend,
};

pub async fn run(bench: &Bench, backend: Backend) -> Outcome<Vec<Figure>> {
    let scale = bench.scale;
    let world = bench.world(backend).await?;
    let api = bench.programs.api(&world.place.url).await?;
    let hand = bench.programs.by_hand(&[]).await?;
    let delays = async |address, path| {
        let parties = gates(path, PACED, scale.active);
        let mut delays = open::delays(address, parties, RATE, scale.lasting).await?;
        Outcome::Ok([0.5, 0.99].map(|share| delays.quantile(share)))
    };
    // Both are answered from the same memory.
    knows(api.address, "/graphql", scale.active).await?;
    let ours = async || delays(api.address, "/gate").await;
    let limit = async || delays(hand.address, "/nothing").await;
    let (ours, limit) = pair(scale.rounds, ours, limit).await?;
    hand.stop().await;
    api.stop().await;
    world.remove(bench).await?;
    let figure = |place: usize, name: &str, target| {
        Figure::new(name, backend, "ms", ours[place], limit[place])
            .target(target)
            .against("bare axum handler, 204")
    };
    Ok(vec![
        figure(0, "gate_p50", Target::NONE),
        figure(1, "gate_p99", Target::below(1.0)),
    ])
}
