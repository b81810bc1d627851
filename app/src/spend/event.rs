//! What is told about limits.

use domain::{
    event::EventType,
    spend::tally::{Limit, Reached},
    time::Timestamp,
};
use entity::to_text;
use serde_json::json;

use super::store::Setting;
use crate::{
    event::{self, NewEvent},
    op::Op,
};

/// The types of events that a customer's own URL hears of.
pub(super) const TYPES: [EventType; 2] = [EventType::SpendThresholdReached, EventType::SpendBudgetReached];

/// That a limit is reached.
pub(super) fn of(op: &Op, setting: &Setting, reached: &Reached, at: Timestamp) -> NewEvent {
    let (kind, field) = match reached.limit {
        Limit::Threshold => (EventType::SpendThresholdReached, "threshold"),
        Limit::Budget => (EventType::SpendBudgetReached, "budget"),
    };
    let lower = |text: String| text.to_lowercase();
    let period = reached.period;
    NewEvent {
        tenant: setting.tenant,
        customer: Some(setting.customer),
        subscription: None,
        kind,
        // Under the lock on the account each limit of a period is told once.
        key: format!("{kind}:{}", op.new_id()),
        at,
        data: event::words([
            ("customer_id", json!(setting.customer)),
            ("span", json!(lower(to_text(reached.span)))),
            (
                "period",
                json!({ "start": period.start.to_string(), "end": period.end.to_string() }),
            ),
            (field, json!(reached.credits)),
            ("used", json!(reached.used)),
            ("mode", json!(lower(to_text(reached.mode)))),
        ]),
    }
}
