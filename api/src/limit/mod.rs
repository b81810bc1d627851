//! What the listener allows: how long, how many, how often.

mod failures;
mod peer;
mod rate;

use std::time::Duration;

pub use self::peer::Network;
pub(crate) use self::{
    failures::Failures,
    peer::{Peer, caller_address},
    rate::{Charge, Rates, Spent},
};

/// Limits of the listener, for an operator to set. The defaults protect the process; a limit that protects one customer from
/// another is for the operator to choose.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most connections at once, live ones included. Further ones wait to be accepted.
    pub connections: usize,
    /// Most requests executed at once. Further ones are answered with 503.
    pub in_flight: usize,
    /// How long the head of a request may take from its first byte.
    pub head: Duration,
    /// How long the body of a request may take.
    pub body: Duration,
    /// How long a connection may wait for a request, and how long a reader may accept nothing of a reply.
    pub idle: Duration,
    /// How long a query may take; then it is stopped.
    pub query: Duration,
    /// How long the answer to a mutation is waited for; the mutation goes on.
    pub mutation: Duration,
    /// Points per second and credential.
    pub rates: RateLimits,
    /// Failed authentications per minute and address; 0: no limit. Secrets cannot be guessed, so this protects the database.
    pub failures: u32,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub proxies: Vec<Network>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 25_000,
            in_flight: 512,
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            query: Duration::from_secs(10),
            mutation: Duration::from_secs(30),
            rates: RateLimits::default(),
            failures: 600,
            proxies: Vec::new(),
        }
    }
}

/// Points per second and credential, by what a request is about; 0: no limit. Twice as many may come at once. A request costs one
/// point per 50 fields and values of its document and one per 16 KiB of its body, so that a hundred events are one point.
#[derive(Debug, Clone, Copy)]
pub struct RateLimits {
    /// Recording usage. More than a process of two cores can take in, so that only many keys together shed load.
    pub usage: u32,
    /// Asking the gate.
    pub checks: u32,
    /// Other mutations.
    pub writes: u32,
    /// Other queries, and the beginnings of subscriptions.
    pub reads: u32,
    /// Whatever a token of one customer asks for: a dashboard that people look at.
    pub tokens: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            usage: 50_000,
            checks: 100_000,
            writes: 2_000,
            reads: 2_000,
            tokens: 20,
        }
    }
}
