//! What vendors are told about auto-recharges. Charges themselves are told as payments.

use domain::{
    event::EventType,
    money::Money,
    recharge::{Reason, Recharge, State},
    time::Timestamp,
};
use entity::to_text;
use serde_json::{Map, Value, json};

use crate::{
    event::{self, NewEvent},
    op::Op,
};

/// Tells what has become of one that does not charge although it should. That it rests after a charge is not news.
pub(super) fn told(op: &Op, recharge: &Recharge, before: State, at: Timestamp) -> Option<NewEvent> {
    let kind = match (recharge.state, recharge.reason) {
        (State::Waiting, Some(Reason::JustCharged)) => return None,
        (State::Waiting, Some(_)) => EventType::AutoRechargeHeld,
        (State::Paused, _) if before != State::Paused => EventType::AutoRechargePaused,
        (State::Disabled, _) if before != State::Disabled => EventType::AutoRechargeDisabled,
        _ => return None,
    };
    Some(new(op, recharge, kind, at, Map::new()))
}

/// Tells that a share of the month's cap is spent, in percent.
pub(super) fn cap(op: &Op, recharge: &Recharge, percent: i64, at: Timestamp) -> NewEvent {
    let percent = event::words([("percent", json!(percent))]);
    new(op, recharge, EventType::AutoRechargeCapUsed, at, percent)
}

fn new(op: &Op, recharge: &Recharge, kind: EventType, at: Timestamp, more: Map<String, Value>) -> NewEvent {
    let lower = |text: String| text.to_lowercase();
    let cap = recharge.rule.monthly_cap;
    let mut data = event::words([
        ("customer_id", json!(recharge.customer)),
        ("state", json!(lower(to_text(recharge.state)))),
        (
            "reason",
            json!(recharge.reason.map(|reason| lower(to_text(reason)))),
        ),
        (
            "next_attempt_at",
            json!(recharge.next_at.map(|at| at.to_string())),
        ),
        ("payment_id", json!(recharge.payment)),
        ("monthly_cap", json!(cap.amount())),
        (
            "spent",
            json!(Money::of(recharge.spent.at(at).in_month, cap.currency).amount()),
        ),
        ("currency", json!(cap.currency)),
    ]);
    data.extend(more);
    NewEvent {
        tenant: recharge.tenant,
        customer: Some(recharge.customer),
        subscription: None,
        kind,
        // Under the lock on the account each change is written once.
        key: format!("{kind}:{}", op.new_id()),
        at,
        data,
    }
}
