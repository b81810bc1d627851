//! At a fixed rate, whatever the server does.
//!
//! A delay counts from the moment at which the request should have been sent. A generator that waits for answers before it
//! goes on would send fewer requests while the server stalls, and so leave out the very delays that matter (coordinated
//! omission).
//!
//! Threads sleep until the moment comes; they wake some 60 microseconds late, ours and the limit alike.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use super::{Requests, http::BlockingConnection};
use crate::{Outcome, stats::Delays};

/// What goes before the measured time.
pub const WARM_UP: Duration = Duration::from_secs(1);

/// Sends `rate` requests a second over one connection for each of `parties` and answers the delay of each.
///
/// # Errors
/// Any answer that is not good.
pub async fn delays(
    address: SocketAddr,
    parties: Vec<Box<dyn Requests>>,
    rate: f64,
    lasting: Duration,
) -> Outcome<Delays> {
    let connections = parties.len();
    let step = Duration::from_secs_f64(1.0 / rate);
    let begin = Instant::now() + Duration::from_millis(50);
    let threads: Vec<_> = parties
        .into_iter()
        .enumerate()
        .map(|(index, party)| {
            let slots = Slots {
                first: begin + step * u32::try_from(index).unwrap_or(0),
                step: step * u32::try_from(connections).unwrap_or(1),
                counted_from: begin + WARM_UP,
                end: begin + WARM_UP + lasting,
            };
            tokio::task::spawn_blocking(move || run(address, party, slots))
        })
        .collect();
    let mut all = Delays::default();
    for thread in threads {
        all.extend(thread.await??);
    }
    Ok(all)
}

/// When one connection sends.
#[derive(Debug, Clone, Copy)]
struct Slots {
    first: Instant,
    step: Duration,
    counted_from: Instant,
    end: Instant,
}

fn run(address: SocketAddr, mut party: Box<dyn Requests>, slots: Slots) -> Outcome<Vec<Duration>> {
    let mut connection = BlockingConnection::open(address)?;
    let mut delays = Vec::new();
    let mut scheduled = slots.first;
    while scheduled < slots.end {
        if let Some(early) = scheduled.checked_duration_since(Instant::now()) {
            thread::sleep(early);
        }
        let answer = connection.exchange(party.next())?;
        if !answer.is_good() {
            let body = String::from_utf8_lossy(answer.body);
            return Err(format!("answered {}: {body}", answer.status).into());
        }
        party.count(answer.body)?;
        if scheduled >= slots.counted_from {
            delays.push(scheduled.elapsed());
        }
        scheduled += slots.step;
    }
    Ok(delays)
}
