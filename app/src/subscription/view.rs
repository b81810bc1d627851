//! What is read of subscriptions.

use std::collections::BTreeMap;

use domain::{
    cycle::{Cycle, summary::Summary},
    id::{CustomerId, MetricId, SubscriptionId, VariantId},
    subscription::Subscription,
    time::{Period, Timestamp},
};
use entity::{billing_cycle, subscription};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Result;

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionView {
    /// Its id.
    pub id: SubscriptionId,
    /// Whose.
    pub customer: CustomerId,
    /// The vendor's own name for it.
    pub external_id: Option<String>,
    /// The vendor's own notes.
    pub metadata: Map<String, Value>,
    /// To what.
    pub variant: VariantId,
    /// What the next cycle is to have, where that is something else.
    pub next_variant: Option<VariantId>,
    /// What it is in.
    pub state: domain::subscription::state::State,
    /// Billing day, 1 to 31.
    pub billing_day: i8,
    /// Name of the time zone.
    pub zone: String,
    /// The cycle that runs.
    pub cycle: Option<CycleView>,
    /// Number of the last cycle that is paid.
    pub paid_through: i64,
    /// Since when it is overdue.
    pub overdue_since: Option<Timestamp>,
    /// Whether it ends with its cycle.
    pub cancel_at_end: bool,
    /// The contract's window.
    pub contract: Option<Window>,
    /// Days before its end at which that is told.
    pub contract_notice_days: Option<i32>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// From one instant to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// First instant.
    pub start: Timestamp,
    /// First instant after.
    pub end: Timestamp,
}

impl From<Period> for Window {
    fn from(period: Period) -> Self {
        Self {
            start: period.start,
            end: period.end,
        }
    }
}

/// One cycle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CycleView {
    /// Of which subscription.
    pub subscription: SubscriptionId,
    /// Its number.
    pub number: i64,
    /// What the subscription had at its beginning.
    pub variant: VariantId,
    /// What it is in.
    pub state: CycleState,
    /// Its stretch of time.
    pub period: Window,
    /// Whether it is a trial.
    pub trial: bool,
    /// Whether its grants were made.
    pub paid: bool,
    /// First instant at which usage of it is late.
    pub closes_at: Timestamp,
    /// Its grants and bonuses so far.
    pub granted: domain::amount::Credits,
    /// What it came to, with the keys of metrics; there once it has closed.
    pub summary: Option<Summary>,
    /// When it closed.
    pub closed_at: Option<Timestamp>,
}

/// What a cycle is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CycleState {
    /// It goes on.
    Running,
    /// It has ended and waits for late usage.
    Closing,
    /// Its summary is final.
    Closed,
}

impl CycleView {
    /// From its row.
    pub(super) fn of(row: &billing_cycle::Model) -> Result<Self> {
        let cycle = row.noun();
        Ok(Self {
            state: entity::from_text("billing_cycle", &row.state)?,
            summary: row.final_summary()?,
            closed_at: row.closed_at.map(Timestamp::from_micros),
            ..Self::running(SubscriptionId(row.subscription_id), &cycle)
        })
    }

    fn running(subscription: SubscriptionId, cycle: &Cycle) -> Self {
        Self {
            subscription,
            number: cycle.number,
            variant: cycle.variant,
            state: CycleState::Running,
            period: cycle.period.into(),
            trial: cycle.trial,
            paid: cycle.paid,
            closes_at: cycle.closes_at,
            granted: cycle.granted,
            summary: None,
            closed_at: None,
        }
    }
}

impl SubscriptionView {
    pub(super) fn new(row: &subscription::Model, it: &Subscription) -> Result<Self> {
        let contract = it.contract.as_ref();
        Ok(Self {
            id: it.id,
            customer: it.customer,
            external_id: row.external_id.clone(),
            metadata: serde_json::from_str(&row.metadata)?,
            variant: it.variant,
            next_variant: it.next_variant,
            state: it.state,
            billing_day: it.schedule.day,
            zone: it.schedule.zone.name().to_owned(),
            cycle: it.cycle.as_ref().map(|cycle| CycleView::running(it.id, cycle)),
            paid_through: it.paid_through,
            overdue_since: it.overdue_since,
            cancel_at_end: it.cancel_at_end,
            contract: contract.map(|contract| Window {
                start: contract.start,
                end: contract.end,
            }),
            contract_notice_days: contract.and_then(|contract| contract.notice_days),
            created_at: it.created_at,
            ended_at: it.ended_at,
        })
    }
}

/// The metrics of summaries, whose keys are needed to show them.
pub(super) fn metrics_of(cycles: &[CycleView]) -> Vec<MetricId> {
    let summaries = cycles.iter().filter_map(|cycle| cycle.summary.as_ref());
    let mut ids: Vec<MetricId> = summaries.flat_map(|it| it.by_metric.keys().copied()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Keys of metrics by id.
pub type MetricKeys = BTreeMap<MetricId, String>;
