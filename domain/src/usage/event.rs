//! What a producer may send, and why one event of a batch can be refused.

use serde::{Deserialize, Serialize};

use crate::{
    amount::Quantity,
    id::{EventId, MetricId},
    metering::rule::Properties,
    time::Timestamp,
};

/// Longest idempotency key, in bytes.
pub const MAX_KEY: usize = 255;
/// Most events in one request.
pub const MAX_EVENTS: usize = 1_000;

/// An accepted event that has not been debited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingEvent {
    /// Its name; the order of names is the order of acceptance.
    pub id: EventId,
    /// What was used.
    pub metric: MetricId,
    /// How much; zero or more.
    pub units: Quantity,
    /// When it happened: decides the price and the cycle.
    pub occurred_at: Timestamp,
    /// When it was accepted: decides which blocks may pay.
    pub received_at: Timestamp,
    /// Facts that a rule may match on.
    pub properties: Properties,
}

impl PendingEvent {
    /// The instant as of which prices are known to it: that of its acceptance. A customer with a test clock may accept at an earlier
    /// time than it is; what had been written by then is known all the same.
    #[must_use]
    pub fn known_at(&self) -> Timestamp {
        let made = self.id.made_at().unwrap_or(self.received_at);
        self.received_at.max(made)
    }
}

/// What has become of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EventState {
    /// Accepted, to be debited in a moment.
    Pending,
    /// Debited.
    Rated,
    /// Taken back.
    Voided,
}

/// Why one event of a batch was refused. The others are not affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Refusal {
    /// The key was used before for an event with other content.
    #[error("the idempotency key was used before with other content")]
    IdempotencyConflict,
    /// The key is empty, too long, or not visible ASCII.
    #[error("an idempotency key has 1 to 255 visible ASCII characters")]
    InvalidKey,
    /// No such customer.
    #[error("there is no such customer")]
    UnknownCustomer,
    /// No such metric.
    #[error("there is no such metric")]
    UnknownMetric,
    /// The metric accepts no new usage.
    #[error("the metric is archived")]
    ArchivedMetric,
    /// The units are not a decimal number with at most six places.
    #[error("units must be a decimal number with at most six decimal places")]
    InvalidUnits,
    /// The units are below zero; use `voidUsage` to take usage back.
    #[error("units must not be negative; use voidUsage to take usage back")]
    NegativeUnits,
    /// More than five minutes in the future.
    #[error("it lies more than five minutes in the future")]
    OccurredInFuture,
    /// Older than the back-date limit.
    #[error("it is older than the back-date limit")]
    OccurredTooLongAgo,
    /// The billing cycle in which it happened has closed, and the customer's plan refuses late usage.
    #[error("its billing cycle has closed, and the plan refuses late usage")]
    LateForCycle,
    /// Too many properties, or one that is too long or not a plain value.
    #[error("properties must be at most 16 plain values of at most 256 bytes")]
    InvalidProperties,
}

/// Whether a text may be an idempotency key: 1 to 255 visible ASCII characters.
#[must_use]
pub fn is_key(text: &str) -> bool {
    (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
