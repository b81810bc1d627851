//! What vendors are told about payments.

use std::fmt::Display;

use domain::{
    event::EventType,
    id::{CustomerId, TenantId},
    payment::{
        Payment, State,
        method::Method,
        returned::{self, Return},
    },
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
        State::RequiresAction => EventType::PaymentRequiresAction,
        State::Succeeded => EventType::PaymentSucceeded,
        State::Failed => EventType::PaymentFailed,
        State::Quarantined => EventType::PaymentQuarantined,
    };
    let whose = (payment.tenant, payment.customer);
    event::write_in(op, &[new(op, whose, kind, payment.id, data(payment))]).await
}

/// Something that is told once of whatever `about` names.
fn new(
    op: &Op,
    (tenant, customer): (TenantId, CustomerId),
    kind: EventType,
    about: impl Display,
    data: Map<String, Value>,
) -> NewEvent {
    NewEvent {
        tenant,
        customer: Some(customer),
        subscription: None,
        kind,
        key: format!("{kind}:{about}"),
        at: op.now(),
        data,
    }
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
    (before, note): (returned::State, Option<String>),
) -> Result<()> {
    use returned::{Kind, State};
    let was_told = before >= State::Pending;
    let kind = match (it.kind, it.state) {
        (Kind::Refund, State::Returned) => EventType::PaymentRefunded,
        (Kind::Refund, State::Undone) => EventType::PaymentRefundFailed,
        (Kind::Dispute, State::Pending) => EventType::PaymentDisputeInquiry,
        (Kind::Dispute, State::Contested) => EventType::PaymentDisputed,
        (Kind::Dispute, State::Returned) => EventType::PaymentDisputeLost,
        (Kind::Dispute, State::Undone) if was_told => EventType::PaymentDisputeWon,
        _ => return Ok(()),
    };
    let data = event::words([
        ("payment_id", json!(it.payment)),
        ("return_id", json!(it.id)),
        ("customer_id", json!(it.customer)),
        ("purpose", json!(to_text(payment.purpose).to_lowercase())),
        ("amount", json!(it.amount.amount())),
        ("currency", json!(it.amount.currency)),
        ("credits", json!(it.credits)),
        ("reason", json!(it.reason)),
        // That stands although the money has come again.
        ("credit_note_number", json!(note)),
    ]);
    event::write_in(op, &[new(op, (it.tenant, it.customer), kind, it.id, data)]).await
}

/// That a way to pay is about to expire.
pub(super) fn expiring(op: &Op, tenant: TenantId, method: &Method) -> NewEvent {
    let (face, customer) = (&method.face, method.customer);
    let data = event::words([
        ("payment_method_id", json!(method.id)),
        ("customer_id", json!(customer)),
        ("brand", json!(face.brand)),
        ("last_four", json!(face.last_four)),
        ("is_default", json!(method.is_default)),
        ("expiry_year", json!(face.expires.map(|it| it.year))),
        ("expiry_month", json!(face.expires.map(|it| it.month))),
    ]);
    new(
        op,
        (tenant, customer),
        EventType::PaymentMethodExpiring,
        method.id,
        data,
    )
}
