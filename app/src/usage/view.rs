//! What is read of usage.

use domain::{
    amount::{Credits, Quantity},
    credit::draws::Draws,
    cycle::late::Timing,
    id::{CustomerId, EventId, MeteringRuleId, MetricId},
    metering::{Position, rule::Properties},
    time::Timestamp,
    usage::{CounterKey, event::EventState},
};

/// One accepted event and, once it is debited, what it came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageEvent {
    /// Its id.
    pub id: EventId,
    /// Who used it.
    pub customer: CustomerId,
    /// What was used.
    pub metric: MetricId,
    /// Key of the metric.
    pub metric_key: String,
    /// Chosen by the producer.
    pub key: String,
    /// How much.
    pub units: Quantity,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When it was accepted, or counts as accepted.
    pub received_at: Timestamp,
    /// Facts that a rule may match on.
    pub properties: Properties,
    /// What has become of it.
    pub state: EventState,
    /// What it cost; `None` while it is pending.
    pub rating: Option<Rating>,
    /// When it was debited or taken back.
    pub settled_at: Option<Timestamp>,
}

/// What an event came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rating {
    /// Which version priced it; `None`: it was free of charge.
    pub rule: Option<MeteringRuleId>,
    /// The count it moved.
    pub counter: CounterKey,
    /// Whether it came in time, and where it counts if not.
    pub timing: Timing,
    /// The count before it.
    pub from: Position,
    /// What it cost.
    pub credits: Credits,
    /// Where that was drawn from.
    pub draws: Draws,
}

/// How a summary is split, besides by metric.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GroupBy {
    /// Not at all.
    #[default]
    Metric,
    /// By UTC day.
    Day,
    /// By the stretch that is counted together: the UTC calendar month, or the billing cycle where there is one.
    Month,
}

/// Debited usage, summed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// First instant; `None`: from the beginning.
    pub from: Option<Timestamp>,
    /// First instant after; `None`: to the end.
    pub to: Option<Timestamp>,
    /// One line per metric and stretch of time.
    pub lines: Vec<SummaryLine>,
}

/// One line of a summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryLine {
    /// Key of the metric.
    pub metric_key: String,
    /// First instant of the day, or of what is counted together; `None` when not split by time.
    pub period_start: Option<Timestamp>,
    /// Units used.
    pub units: Quantity,
    /// Events counted.
    pub events: i64,
    /// Credits debited.
    pub credits: Credits,
}
