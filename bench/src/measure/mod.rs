//! One file per measurement: what is compared, and why that is fair.

mod check;
mod cycles;
mod drain;
mod gate;
mod jobs;
mod live;
mod record;
mod single;
mod visible;
pub mod webhooks;

use clap::ValueEnum;

use crate::{Bench, Outcome, figure::Figure, place::Backend};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Measurement {
    /// Recording in batches.
    Record,
    /// Recording one by one.
    Single,
    /// Debiting.
    Drain,
    /// Checks.
    Check,
    /// The door for gateways.
    Gate,
    /// Cycles that end.
    Cycles,
    /// From accepted to visible.
    Visible,
    /// The queue.
    Jobs,
    /// Signed messages.
    Webhooks,
    /// Live subscriptions.
    Live,
}

impl Measurement {
    /// Everything, in the order in which it is measured.
    pub const ALL: [Self; 10] = [
        Self::Record,
        Self::Single,
        Self::Drain,
        Self::Check,
        Self::Gate,
        Self::Cycles,
        Self::Visible,
        Self::Jobs,
        Self::Webhooks,
        Self::Live,
    ];

    /// For people.
    pub fn what(self) -> &'static str {
        match self {
            Self::Record => "recording in batches",
            Self::Single => "recording one event per request",
            Self::Drain => "debiting what was recorded",
            Self::Check => "checks",
            Self::Gate => "the door for gateways",
            Self::Cycles => "cycles that end at the same moment",
            Self::Visible => "from accepted to visible",
            Self::Jobs => "jobs through the queue",
            Self::Webhooks => "signed messages",
            Self::Live => "live subscriptions",
        }
    }

    /// Measures.
    ///
    /// # Errors
    /// Something does not work, or works wrongly.
    pub async fn run(self, bench: &Bench, backend: Backend) -> Outcome<Vec<Figure>> {
        match self {
            Self::Record => record::run(bench, backend).await,
            Self::Single => single::run(bench, backend).await,
            Self::Drain => drain::run(bench, backend).await,
            Self::Check => check::run(bench, backend).await,
            Self::Gate => gate::run(bench, backend).await,
            Self::Cycles => cycles::run(bench, backend).await,
            Self::Visible => visible::run(bench, backend).await,
            Self::Jobs => jobs::run(bench, backend).await,
            Self::Webhooks => webhooks::run(bench, backend).await,
            Self::Live => live::run(bench, backend).await,
        }
    }
}
