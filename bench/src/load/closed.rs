//! As fast as it goes: each connection sends its next request when the last one was answered.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{Requests, http::Connection};
use crate::Outcome;

/// What goes before the measured time: caches fill and connections settle.
const WARM_UP: Duration = Duration::from_millis(500);
/// Connections over which a server gets to know its customers.
const KNOWING: usize = 16;

/// Loads a server with one connection for each of `parties` and answers how much was counted per second.
///
/// # Errors
/// Any answer that is not good: a fast refusal must not look like speed.
pub async fn rate(
    address: SocketAddr,
    path: &'static str,
    parties: Vec<Box<dyn Requests>>,
    lasting: Duration,
) -> Outcome<f64> {
    let begin = Instant::now() + WARM_UP;
    let end = begin + lasting;
    let mut running = JoinSet::new();
    for party in parties {
        running.spawn(run(address, path, party, begin, end));
    }
    let mut counted = 0;
    while let Some(ended) = running.join_next().await {
        counted += ended??;
    }
    Ok(counted as f64 / lasting.as_secs_f64())
}

/// Has a server get to know so many customers before anything is measured, as one does that has been running for a while: `party` makes
/// what one of some senders sends, which go through the customers together. Parties that are measured go through all of them side by
/// side, so that whoever is new would be waited for by all.
///
/// # Errors
/// Any answer that is not good.
pub async fn know<P: Requests>(
    address: SocketAddr,
    path: &'static str,
    customers: usize,
    party: impl Fn(usize, usize) -> P,
) -> Outcome<()> {
    let requests = customers.div_ceil(KNOWING);
    let mut running = JoinSet::new();
    for sender in 0..KNOWING {
        let mut party = party(sender, KNOWING);
        running.spawn(async move {
            let mut connection = Connection::open(address).await?;
            for _ in 0..requests {
                exchange(&mut connection, path, &mut party).await?;
            }
            Outcome::Ok(())
        });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}

async fn run(
    address: SocketAddr,
    path: &'static str,
    mut party: Box<dyn Requests>,
    begin: Instant,
    end: Instant,
) -> Outcome<u64> {
    let mut connection = Connection::open(address).await?;
    let mut counted = 0;
    loop {
        let good = exchange(&mut connection, path, party.as_mut()).await?;
        let now = Instant::now();
        if now >= end {
            return Ok(counted);
        }
        if now >= begin {
            counted += good;
        }
    }
}

/// One request, and how much its answer counts.
async fn exchange(connection: &mut Connection, path: &str, party: &mut dyn Requests) -> Outcome<u64> {
    let answer = connection.exchange(party.next()).await?;
    if answer.status != 200 {
        let body = String::from_utf8_lossy(answer.body);
        return Err(format!("{path} answered {}: {body}", answer.status).into());
    }
    Ok(party.count(answer.body)?)
}
