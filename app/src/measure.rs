//! What the use-cases count, so that each place that counts needs one line.

use std::{sync::LazyLock, time::Instant};

use domain::gate::Reason;
use metrics::{Counter, Histogram, counter, histogram};

use crate::{telemetry as t, usage::Outcome};

/// Outcomes of usage events, as they are answered.
pub(crate) fn outcomes(outcomes: &[Outcome]) {
    let mut counts = [
        ("accepted", 0),
        ("duplicate", 0),
        ("conflict", 0),
        ("rejected", 0),
    ];
    for outcome in outcomes {
        let place = match outcome {
            Outcome::Accepted(_) => 0,
            Outcome::Duplicate(_) => 1,
            Outcome::Conflict => 2,
            Outcome::Rejected(refusal) => {
                let reason = serde_json::to_value(refusal).unwrap_or_default();
                let reason = reason.as_str().unwrap_or("OTHER").to_owned();
                counter!(t::USAGE_REJECTED, "reason" => reason).increment(1);
                3
            }
        };
        counts[place].1 += 1;
    }
    for (outcome, events) in counts.into_iter().filter(|(_, events)| *events > 0) {
        counter!(t::USAGE_EVENTS, "outcome" => outcome).increment(events);
    }
}

/// A commit of usage events.
pub(crate) fn committed(events: usize, begun: Instant) {
    histogram!(t::USAGE_COMMIT_EVENTS).record(events as f64);
    histogram!(t::USAGE_COMMIT_SECONDS).record(begun.elapsed().as_secs_f64());
}

/// A transaction of the drain.
pub(crate) fn drained(events: usize, begun: Instant) {
    counter!(t::DRAINED_EVENTS).increment(events as u64);
    histogram!(t::DRAIN_EVENTS).record(events as f64);
    histogram!(t::DRAIN_SECONDS).record(begun.elapsed().as_secs_f64());
}

/// What the gate can answer, as figures call it.
const ANSWERS: [&str; 10] = [
    "allowed",
    "insufficient_credits",
    "overage_limit_reached",
    "unknown_customer",
    "outage",
    "subscription_overdue",
    "subscription_paused",
    "other",
    "daily_budget_reached",
    "monthly_budget_reached",
];

/// Where answers of the gate are counted: looked up once, because a check takes a few microseconds.
static CHECKS: LazyLock<[Counter; 10]> =
    LazyLock::new(|| ANSWERS.map(|outcome| counter!(t::CHECKS, "outcome" => outcome)));
static CHECK_HITS: LazyLock<Histogram> = LazyLock::new(|| histogram!(t::CHECK_SECONDS, "source" => "hit"));
static CHECK_MISSES: LazyLock<Histogram> = LazyLock::new(|| histogram!(t::CHECK_SECONDS, "source" => "miss"));

/// An answer of the gate: whether its facts were remembered, and since when the question was under way.
pub(crate) fn checked(allowed: bool, reason: Option<Reason>, hit: bool, begun: Instant) {
    let outcome = match reason {
        _ if allowed => 0,
        Some(Reason::InsufficientCredits) => 1,
        Some(Reason::OverageLimitReached) => 2,
        Some(Reason::UnknownCustomer) => 3,
        Some(Reason::Outage) => 4,
        Some(Reason::SubscriptionOverdue) => 5,
        Some(Reason::SubscriptionPaused) => 6,
        None => 7,
        Some(Reason::DailyBudgetReached) => 8,
        Some(Reason::MonthlyBudgetReached) => 9,
    };
    CHECKS[outcome].increment(1);
    let times = if hit { &CHECK_HITS } else { &CHECK_MISSES };
    times.record(begun.elapsed().as_secs_f64());
}
