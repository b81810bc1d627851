//! What vendors are told about payments.

use domain::payment::{
    Payment, State,
    returned::{self, Return},
};
use entity::to_text;
use serde_json::{Map, Value, json};

use crate::{
    error::Result,
    event::{self, NewEvent},
    op::Op,
};

/// Tells where a payment has come to. Each state is told once; that it was sent is not news.
pub(super) async fn tell(op: &Op, payment: &Payment) -> Result<()> {
    let kind = match payment.progress.state {
        State::Created | State::Submitted | State::Processing | State::Unknown => return Ok(()),
        State::RequiresAction => "payment.requires_action",
        State::Succeeded => "payment.succeeded",
        State::Failed => "payment.failed",
        State::Quarantined => "payment.quarantined",
    };
    let new = NewEvent {
        tenant: payment.tenant,
        customer: payment.customer,
        subscription: None,
        kind,
        key: format!("{kind}:{}", payment.id),
        at: op.now(),
        data: data(payment),
    };
    event::write_in(op, &[new]).await
}

fn data(payment: &Payment) -> Map<String, Value> {
    let progress = &payment.progress;
    event::words([
        ("payment_id", json!(payment.id)),
        ("customer_id", json!(payment.customer)),
        ("purpose", json!(to_text(payment.purpose).to_lowercase())),
        ("amount", json!(payment.amount.amount())),
        ("currency", json!(payment.amount.currency)),
        ("credits", json!(payment.credits)),
        (
            "decline_code",
            json!(progress.decline.map(|why| to_text(why).to_lowercase())),
        ),
        ("action_url", json!(progress.action_url)),
    ])
}

/// Tells what has become of money that goes back. That a refund is under way is not news; that a bank asks is.
pub(super) async fn tell_return(
    op: &Op,
    payment: &Payment,
    it: &Return,
    before: returned::State,
) -> Result<()> {
    use returned::{Kind, State};
    let was_told = before >= State::Pending;
    let kind = match (it.kind, it.state) {
        (Kind::Refund, State::Returned) => "payment.refunded",
        (Kind::Refund, State::Undone) => "payment.refund_failed",
        (Kind::Dispute, State::Pending) => "payment.dispute_inquiry",
        (Kind::Dispute, State::Contested) => "payment.disputed",
        (Kind::Dispute, State::Returned) => "payment.dispute_lost",
        (Kind::Dispute, State::Undone) if was_told => "payment.dispute_won",
        _ => return Ok(()),
    };
    let new = NewEvent {
        tenant: it.tenant,
        customer: it.customer,
        subscription: None,
        kind,
        key: format!("{kind}:{}", it.id),
        at: op.now(),
        data: event::words([
            ("payment_id", json!(it.payment)),
            ("return_id", json!(it.id)),
            ("customer_id", json!(it.customer)),
            ("purpose", json!(to_text(payment.purpose).to_lowercase())),
            ("amount", json!(it.amount.amount())),
            ("currency", json!(it.amount.currency)),
            ("credits", json!(it.credits)),
            ("reason", json!(it.reason)),
        ]),
    };
    event::write_in(op, &[new]).await
}
