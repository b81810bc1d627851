//! How much is measured.

use std::time::Duration;

/// The sizes of a run.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Turns of ours and the limit.
    pub rounds: usize,
    /// Measured time of one turn under load.
    pub lasting: Duration,
    /// Customers, where it does not matter how many; at least as many as subscribers.
    pub customers: usize,
    /// Customers that usage is spread over.
    pub active: usize,
    /// Customers of the drain with many.
    pub many: usize,
    /// Events that are drained.
    pub drained: usize,
    /// Customers whose cycles end at the same moment.
    pub subscribed: usize,
    /// Live subscriptions.
    pub subscribers: usize,
    /// Jobs.
    pub jobs: usize,
    /// Signed messages.
    pub messages: usize,
}

impl Scale {
    /// What the figures in the README are measured with.
    pub const FULL: Self = Self {
        rounds: 3,
        lasting: Duration::from_secs(5),
        customers: 5_000,
        active: 1_000,
        many: 100_000,
        drained: 1_000_000,
        subscribed: 10_000,
        subscribers: 5_000,
        jobs: 20_000,
        messages: 20_000,
    };

    /// A look at whether everything runs.
    pub const QUICK: Self = Self {
        rounds: 1,
        lasting: Duration::from_secs(1),
        customers: 1_000,
        active: 1_000,
        many: 5_000,
        drained: 50_000,
        subscribed: 1_000,
        subscribers: 500,
        jobs: 1_000,
        messages: 2_000,
    };
}
