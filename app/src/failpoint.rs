//! Places where a test may make the program fail: between any two steps of recording, debiting and working.
//!
//! Only with the feature `failpoints`, which nothing but tests switches on; without it [`reach`] is empty and nothing of this
//! is in the program. What happens at a place is told by `fail` in its own words, from the variable `FAILPOINTS` or within
//! the process: `drain.taken=1*return(error)`, `record.inserted=panic`, `op.notified=sleep(100)`. Three words mean something
//! here: `error` is a database that is away, `internal` a bug, and `abort` ends the process where it stands.

use crate::error::Result;

/// A place is reached. `ALL` lists them, with the feature.
///
/// # Errors
/// A test wants one.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(crate) fn reach(_: &'static str) -> Result<()> {
    Ok(())
}

#[cfg(feature = "failpoints")]
pub(crate) use armed::reach;
#[cfg(feature = "failpoints")]
pub use armed::{
    ALL, CYCLES, HOLDS, INVOICES, MESSAGES, NOTICES, PAYMENTS, RECHARGES, RETURNS, SPENDING, reached,
};

#[cfg(feature = "failpoints")]
mod armed {
    use std::{
        collections::BTreeMap,
        sync::{Mutex, MutexGuard, Once, PoisonError},
    };

    use super::Result;
    use crate::error::Error;

    /// Every place of the steps of subscriptions and of test clocks, in the order in which they are reached.
    pub const CYCLES: &[&str] = &[
        "cycles.chosen",
        "cycles.settled",
        "cycles.locked",
        "cycles.read",
        "cycles.decided",
        "cycles.granted",
        "cycles.posted",
        "cycles.turned",
        "cycles.told",
        "cycles.written",
        "cycles.committed",
        "clock.settled",
        "clock.moved",
    ];

    /// Every place of a payment, in the order in which they are reached.
    pub const PAYMENTS: &[&str] = &[
        "payment.decided",
        "payment.taken",
        "payment.answered",
        "payment.granted",
        "payment.written",
        "payment.concluded",
    ];

    /// Every place at which an auto-recharge is decided and heard of, besides those of its payment, in the order in which they are reached.
    pub const RECHARGES: &[&str] = &[
        "recharge.found",
        "recharge.decided",
        "recharge.written",
        "recharge.heard",
    ];

    /// Every place of a refund or a dispute, in the order in which they are reached.
    pub const RETURNS: &[&str] = &[
        "return.decided",
        "return.answered",
        "return.booked",
        "invoice.refunded",
        "return.concluded",
    ];

    /// Every place of an invoice, from the close of its cycle to its payment, besides those of the payment.
    pub const INVOICES: &[&str] = &[
        "invoice.chosen",
        "invoice.settled",
        "invoice.filed",
        "invoice.issued",
        "invoice.written",
        "invoice.billed",
        "invoice.due",
        "invoice.stepped",
        "invoice.heard",
        "renewal.chosen",
        "renewal.filed",
        "change.chosen",
        "change.filed",
        "late.chosen",
        "late.filed",
        "renewal.done",
        "invoice.paying",
        "invoice.credited",
    ];

    /// Every place of an event's way to whoever wants to hear of it, in the order in which they are reached.
    pub const MESSAGES: &[&str] = &[
        "event.numbered",
        "event.told",
        "webhook.claimed",
        "webhook.read",
        "webhook.concluded",
        "webhook.disabled",
        "mail.taken",
        "mail.sent",
    ];

    /// Every place at which it is counted what a customer spends, besides those of the drain and of an event, in the order in which they are
    /// reached.
    pub const SPENDING: &[&str] = &["spend.read", "spend.counted", "spend.told"];

    /// Every place at which customers are told about their credits, besides those of debits and events.
    pub const NOTICES: &[&str] = &["low.found", "low.written", "expiring.read", "expiring.written"];

    /// Every place of a hold, in the order in which they are reached. Those of `op` are parts of every commit, and a capture comes by those of
    /// the drain.
    pub const HOLDS: &[&str] = &[
        "hold.locked",
        "hold.read",
        "hold.decided",
        "hold.inserted",
        "hold.recorded",
        "hold.written",
        "hold.debited",
    ];

    /// Every place of usage, in the order in which an event comes by. Those of `op` are parts of every commit.
    pub const ALL: &[&str] = &[
        "record.asked",
        "record.checked",
        "record.gathered",
        "record.begun",
        "record.listed",
        "record.inserted",
        "record.known",
        "record.committed",
        "record.told",
        "record.waking",
        "wake.marked",
        "op.pushed",
        "op.notified",
        "op.committed",
        "record.woken",
        "job.begun",
        "drain.chosen",
        "drain.begun",
        "drain.locked",
        "drain.taken",
        "drain.priced",
        "drain.placed",
        "drain.counted",
        "drain.funded",
        "drain.read",
        "drain.folded",
        "drain.rated",
        "drain.advanced",
        "drain.rehoused",
        "drain.spent",
        "drain.told",
        "post.accounts",
        "post.blocks",
        "post.entries",
        "drain.written",
        "drain.committed",
        "careful.chosen",
        "careful.attempted",
        "careful.drained",
        "careful.cleared",
        "job.ran",
        "job.finished",
        "job.again",
    ];

    static REACHED: Mutex<BTreeMap<&'static str, usize>> = Mutex::new(BTreeMap::new());
    static ARMED: Once = Once::new();

    /// The places that were reached since this was asked last, and how often.
    pub fn reached() -> BTreeMap<&'static str, usize> {
        std::mem::take(&mut *lock())
    }

    pub(crate) fn reach(name: &'static str) -> Result<()> {
        ARMED.call_once(arm);
        debug_assert!(
            [
                ALL, CYCLES, HOLDS, INVOICES, MESSAGES, NOTICES, PAYMENTS, RECHARGES, RETURNS, SPENDING
            ]
            .iter()
            .any(|places| places.contains(&name)),
            "{name} is not listed"
        );
        *lock().entry(name).or_default() += 1;
        fail::fail_point!(name, |what| strike(name, what.as_deref()));
        Ok(())
    }

    /// By hand rather than by `fail::FailScenario`, which would forget what the process itself has asked for.
    fn arm() {
        let asked = std::env::var("FAILPOINTS").unwrap_or_default();
        for (name, actions) in asked.split(';').filter_map(|one| one.split_once('=')) {
            if let Err(problem) = fail::cfg(name, actions) {
                tracing::error!(name, problem, "not a failpoint");
            }
        }
    }

    fn strike(name: &str, what: Option<&str>) -> Result<()> {
        match what {
            Some("abort") => std::process::abort(),
            Some("internal") => Err(Error::Internal(format!("failpoint {name}"))),
            _ => Err(Error::Unavailable(format!("failpoint {name}"))),
        }
    }

    fn lock() -> MutexGuard<'static, BTreeMap<&'static str, usize>> {
        REACHED.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
