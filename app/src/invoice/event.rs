//! What vendors are told about invoices. Words and amounts as on the invoice; everything else is asked for.

use domain::{event::EventType, id::BillingEventId};
use entity::to_text;
use serde_json::json;

use super::view::Filed;
use crate::{
    error::Result,
    event::{self, NewEvent},
    op::Op,
};

/// Tells something about an invoice. Under the lock on the account each step is taken once.
pub(super) async fn tell(op: &Op, kind: EventType, filed: &Filed) -> Result<()> {
    let invoice = &filed.invoice;
    let data = event::words([
        ("invoice_id", json!(invoice.id)),
        ("customer_id", json!(invoice.customer)),
        ("number", json!(invoice.number)),
        ("state", json!(to_text(invoice.state).to_lowercase())),
        ("kind", json!(to_text(invoice.kind).to_lowercase())),
        ("total", json!(invoice.totals.total.amount())),
        ("amount_due", json!(invoice.totals.due.amount())),
        ("currency", json!(invoice.currency)),
        ("due_at", json!(invoice.due_at.map(|at| at.to_string()))),
    ]);
    let new = NewEvent {
        tenant: invoice.tenant,
        customer: Some(invoice.customer),
        subscription: invoice.cycle.map(|cycle| cycle.subscription),
        kind,
        key: format!("{kind}:{}:{}", invoice.id, BillingEventId(op.new_id())),
        at: op.present(),
        data,
    };
    event::write_in(op, &[new]).await
}
