//! Which cycle does usage count in, and what if it comes late?
//!
//! The answer depends on when usage *occurred* and when it was *accepted*, and on the cycles; never on when a worker came round. An
//! event is late when it was accepted at or after the instant at which its cycle closes, whether or not the closing has been
//! done by then. What shows only after the closing has been done counts as accepted at the close ([`Timeline::accepted`]). Every late event has a named outcome: nothing is lost silently.
//!
//! Usage is counted once. Where the cycles of several subscriptions overlap, those of the oldest subscription count, and time that
//! no cycle covers is counted by UTC calendar months. So time falls into disjoint *stretches*, and the first instant of a
//! stretch names the count ([`CounterKey::period_start`](crate::usage::CounterKey)).

use serde::{Deserialize, Serialize};

use super::CycleRef;
use crate::{
    id::SubscriptionId,
    time::{Period, Timestamp},
};

/// What happens to usage that comes after its cycle has closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LatePolicy {
    /// It counts in the cycle that is open, as a line that names the original date.
    #[default]
    CurrentCycle,
    /// It is priced by the tiers of the closed cycle and billed now.
    Adjustment,
    /// It is refused.
    Reject,
}

/// What came of the time at which an event occurred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Timing {
    /// It counts where it belongs.
    OnTime,
    /// It was late and counts in the cycle in which it was accepted.
    LateCurrentCycle,
    /// It was late and is priced by the tiers of its closed cycle.
    LateAdjustment,
    /// It was late and is refused.
    LateRejected,
}

/// A cycle of one of a customer's subscriptions, as far as counting goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountingCycle {
    /// Which.
    pub cycle: CycleRef,
    /// When the subscription was created: the older one counts.
    pub since: Timestamp,
    /// Its stretch of time; it ends early where the subscription did.
    pub period: Period,
    /// First instant at which usage of this cycle is late.
    pub closes_at: Timestamp,
    /// What happens to late usage.
    pub late: LatePolicy,
    /// Whether it has been closed: what it came to has been told.
    pub closed: bool,
}

/// Where usage counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// What came of its time.
    pub timing: Timing,
    /// Where it counts; for [`Timing::LateRejected`], where it would have.
    pub stretch: Stretch,
    /// The stretch in which it occurred, for the line that names it.
    pub occurred_in: Stretch,
}

/// A stretch of time whose usage is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// From its first instant, which names the count, to its end as far as it is known.
    pub period: Period,
    /// The cycle that it is (part of); `None`: a UTC calendar month, or what subscriptions leave of it.
    pub cycle: Option<CycleRef>,
}

/// The order of subscriptions: the older one counts.
fn seniority(cycle: &CountingCycle) -> (Timestamp, SubscriptionId) {
    (cycle.since, cycle.cycle.subscription)
}

/// The cycle that counts at an instant.
fn leading(cycles: &[CountingCycle], instant: Timestamp) -> Option<&CountingCycle> {
    cycles
        .iter()
        .filter(|cycle| cycle.period.contains(instant))
        .min_by_key(|cycle| seniority(cycle))
}

/// The stretch that contains an instant. `cycles` are all of the customer's that may touch it, in any order.
#[must_use]
pub fn stretch(cycles: &[CountingCycle], instant: Timestamp) -> Stretch {
    let leader = leading(cycles, instant);
    let mut period = leader.map_or_else(|| instant.month(), |cycle| cycle.period);
    // An older subscription's cycle takes its part out of a younger one's, and any cycle takes its part out of a month. None of them
    // contains the instant, so each lies before it or after it.
    let elders = cycles
        .iter()
        .filter(|cycle| leader.is_none_or(|leader| seniority(cycle) < seniority(leader)))
        .filter(|cycle| cycle.period.start < cycle.period.end);
    for elder in elders {
        if elder.period.end <= instant {
            period.start = period.start.max(elder.period.end);
        } else {
            period.end = period.end.min(elder.period.start);
        }
    }
    Stretch {
        period,
        cycle: leader.map(|cycle| cycle.cycle),
    }
}

/// A customer's cycles, and the stretch that was asked for last: neighbouring events are nearly always of the same one.
///
/// Without cycles it is the calendar of months, as for a customer without subscriptions.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    cycles: Vec<CountingCycle>,
    last: Option<Stretch>,
}

impl Timing {
    /// Whether it came after its cycle had closed.
    #[must_use]
    pub fn is_late(self) -> bool {
        self != Self::OnTime
    }
}

impl Timeline {
    /// All of a customer's cycles that may touch the events to be placed, in any order.
    #[must_use]
    pub fn new(cycles: Vec<CountingCycle>) -> Self {
        Self { cycles, last: None }
    }

    /// Adds a cycle, or says how one has changed.
    pub fn put(&mut self, cycle: CountingCycle) {
        self.last = None;
        match self.cycles.iter_mut().find(|known| known.cycle == cycle.cycle) {
            Some(known) => *known = cycle,
            None => self.cycles.push(cycle),
        }
    }

    /// Places an event that occurred at one instant and was accepted at another.
    pub fn place(&mut self, occurred_at: Timestamp, received_at: Timestamp) -> Placement {
        let occurred_in = self.stretch(occurred_at);
        let late = self
            .cycles
            .iter()
            .find(|cycle| Some(cycle.cycle) == occurred_in.cycle && cycle.closes_at <= received_at)
            .map(|cycle| cycle.late);
        let (timing, stretch) = match late {
            None => (Timing::OnTime, occurred_in),
            Some(LatePolicy::CurrentCycle) => (Timing::LateCurrentCycle, self.stretch(received_at)),
            Some(LatePolicy::Adjustment) => (Timing::LateAdjustment, occurred_in),
            Some(LatePolicy::Reject) => (Timing::LateRejected, occurred_in),
        };
        Placement {
            timing,
            stretch,
            occurred_in,
        }
    }

    /// Places an event that was accepted, which is always debited: one that came too late for its cycle, and was accepted all the
    /// same because that cycle was another then, counts where it was accepted.
    pub fn place_accepted(&mut self, occurred_at: Timestamp, received_at: Timestamp) -> Placement {
        let placed = self.place(occurred_at, received_at);
        if placed.timing != Timing::LateRejected {
            return placed;
        }
        Placement {
            timing: Timing::LateCurrentCycle,
            stretch: self.stretch(received_at),
            ..placed
        }
    }

    /// The instant at which usage counts as accepted. Closing waits for what is being recorded, but not forever: what a stalled
    /// database shows only after the cycle in which it would count was closed, counts as accepted at the last close. What
    /// a closed cycle came to has been told, and stays.
    pub fn accepted(&mut self, occurred_at: Timestamp, received_at: Timestamp) -> Timestamp {
        let counts_in = self.place_accepted(occurred_at, received_at).stretch.cycle;
        let closed = || self.cycles.iter().filter(|cycle| cycle.closed);
        let told = closed().any(|cycle| Some(cycle.cycle) == counts_in && received_at < cycle.closes_at);
        let last = closed().map(|cycle| cycle.closes_at).max();
        last.filter(|_| told).unwrap_or(received_at)
    }

    /// The stretch that contains an instant.
    pub fn stretch(&mut self, instant: Timestamp) -> Stretch {
        match self.last {
            Some(last) if last.period.contains(instant) => last,
            _ => *self.last.insert(stretch(&self.cycles, instant)),
        }
    }

    /// Whether a cycle begins at an instant, also one that ended as soon: it counted what was debited at that instant.
    #[must_use]
    pub fn begins_at(&self, instant: Timestamp) -> bool {
        self.cycles.iter().any(|cycle| cycle.period.start == instant)
    }

    /// The stretches that a cycle consists of: one, unless an older subscription's cycles took parts out of it. Their first instants
    /// name the counts that its summary adds up.
    #[must_use]
    pub fn stretches_of(&self, cycle: CycleRef) -> Vec<Period> {
        let Some(whole) = self.cycles.iter().find(|it| it.cycle == cycle) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let mut at = whole.period.start;
        while at < whole.period.end {
            let here = stretch(&self.cycles, at);
            if here.cycle == Some(cycle) {
                found.push(here.period);
            }
            // A calendar month may begin before, but never ends here.
            at = here.period.end;
        }
        found
    }
}
