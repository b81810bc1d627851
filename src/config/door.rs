//! The limits of the listener.

use std::time::Duration;

use api::{Limits, Network, RateLimits};

use super::{layer::Given, number, settings::Setting};
use crate::failure::{Failure, Outcome};

/// Longest time for anything, in seconds: an hour.
const MAX_SECONDS: u64 = 3_600;
/// Most of anything: one process has no more connections, nor points for its keys.
const MAX_NUMBER: usize = 1_000_000;
/// Most points per second.
const MAX_RATE: u32 = 100_000_000;

/// Reads them.
///
/// # Errors
/// A value that is not allowed.
pub(super) fn limits<'a>(text: impl Fn(Setting) -> Option<&'a Given>) -> Outcome<Limits> {
    let usual = Limits::default();
    let count = |setting, default| number(text(setting), 1, MAX_NUMBER, default);
    let time = |setting, default: Duration| {
        number(text(setting), 1, MAX_SECONDS, default.as_secs()).map(Duration::from_secs)
    };
    let rate = |setting, default| number(text(setting), 0, MAX_RATE, default);
    Ok(Limits {
        connections: count(Setting::MaxConnections, usual.connections)?,
        in_flight: count(Setting::MaxInFlight, usual.in_flight)?,
        head: time(Setting::HeaderTimeoutSeconds, usual.head)?,
        body: time(Setting::BodyTimeoutSeconds, usual.body)?,
        idle: time(Setting::IdleTimeoutSeconds, usual.idle)?,
        query: time(Setting::QueryTimeoutSeconds, usual.query)?,
        mutation: time(Setting::MutationTimeoutSeconds, usual.mutation)?,
        rates: RateLimits {
            usage: rate(Setting::UsageRate, usual.rates.usage)?,
            checks: rate(Setting::CheckRate, usual.rates.checks)?,
            writes: rate(Setting::WriteRate, usual.rates.writes)?,
            reads: rate(Setting::ReadRate, usual.rates.reads)?,
            tokens: rate(Setting::TokenRate, usual.rates.tokens)?,
        },
        failures: rate(Setting::FailedAuthenticationsPerMinute, usual.failures)?,
        proxies: proxies(text(Setting::TrustedProxies))?,
    })
}

/// Addresses and networks, separated by commas.
fn proxies(given: Option<&Given>) -> Outcome<Vec<Network>> {
    let Some(given) = given else { return Ok(Vec::new()) };
    given
        .value
        .split(',')
        .map(|text| text.trim().parse().map_err(|why| Failure::of(&given.source, why)))
        .collect()
}
