//! What vendors are told: one closed catalogue of events, each with the fields that it has. The same event is a row of the feed, a
//! message of the stream, and the body of a webhook.

pub mod catalogue;
pub mod name;

pub use self::{catalogue::EventType, name::TypeName};

/// What a field holds. In JSON, amounts are decimal texts, so that no reader rounds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// A global id.
    Id,
    /// Free text, such as a name or the reason that a bank gives.
    Text,
    /// One of a few lower-case words. New ones may be added.
    Word,
    /// An address to open.
    Url,
    /// Credits.
    Credits,
    /// An amount of money, in the unit of the event's `currency`.
    Amount,
    /// ISO 4217.
    Currency,
    /// RFC 3339, in UTC.
    Instant,
    /// A whole number.
    Whole,
    /// Yes or no.
    Flag,
    /// Two instants, `start` and `end`; half-open.
    Period,
    /// What a cycle came to: `total_credits_consumed`, `net_balance_at_cycle_start`, `net_balance_at_cycle_end`, and
    /// `by_billable_metric` with `units` and `credits` for each metric's key.
    UsageSummary,
    /// A list of blocks, the soonest end first, each with `block_id`, the credits that it has `remaining`, and `expires_at`.
    Blocks,
}

/// One field of an event's `data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub shape: Shape,
    /// Whether it may be null. It is there in any case.
    pub nullable: bool,
}
