//! What vendors are told about payments.

use domain::payment::{Payment, State};
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
    let mut data = Map::new();
    for (name, value) in [
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
    ] {
        data.insert(name.to_owned(), value);
    }
    data
}
