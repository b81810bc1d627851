//! One event per request, at 64 and at 256 connections, against two servers written by hand:
//!
//! * one that reads the JSON of the same request and answers from memory: what HTTP and JSON alone cost on this machine;
//! * one that reads it and does one durable insert of one row into one table per request: what everyone writes first.
//!
//! Fair, because all three are axum in a process of their own, get the same bytes from the same generator over the same number
//! of connections that are kept alive, and share the two cores with it. Ours authenticates, checks, and writes two rows; it
//! gets ahead of one insert per request by writing what waits at the same time in one transaction.

use crate::{
    Bench, Outcome,
    figure::{Figure, Target},
    load::{
        closed,
        request::{recordings, recordings_in_order},
    },
    pair::pair,
    place::Backend,
};

pub async fn run(bench: &Bench, backend: Backend) -> Outcome<Vec<Figure>> {
    let scale = bench.scale;
    let world = bench.world(backend).await?;
    let api = bench.programs.api(&world.place.url).await?;
    let ids = format!("{},{},{}", world.tenant, world.customers[0], world.metric);
    let options = ["--database-url", &world.place.url, "--ids", &ids].map(str::to_owned);
    let hand = bench.programs.by_hand(&options).await?;
    let party = |sender, senders| recordings_in_order(1, scale.active, sender, senders);
    closed::know(api.address, "/graphql", scale.active, party).await?;
    let mut figures = Vec::new();
    for connections in [64, 256] {
        let rate = async |address, path, checked| {
            let parties = recordings(path, connections, 1, scale.active, checked);
            closed::rate(address, path, parties, scale.lasting).await
        };
        let ours = async || Ok([rate(api.address, "/graphql", true).await?]);
        let limits = async || {
            Ok([
                rate(hand.address, "/memory", false).await?,
                rate(hand.address, "/insert", false).await?,
            ])
        };
        let ([ours], [memory, insert]) = pair(scale.rounds, ours, limits).await?;
        let figure = |name: &str, limit| {
            Figure::new(
                format!("single_{connections}_{name}"),
                backend,
                "requests/s",
                ours,
                limit,
            )
        };
        figures.push(
            figure("of_memory", memory)
                .target(Target::ratio(0.3))
                .against("bare axum handler, from memory"),
        );
        figures.push(
            figure("of_insert", insert)
                .target(Target::ratio(3.0))
                .against("bare axum handler, one insert each"),
        );
    }
    hand.stop().await;
    api.stop().await;
    world.remove(bench).await?;
    Ok(figures)
}
