//! Cards that are about to expire: whoever pays with one is told once, a month before.

use entity::payment_method;
use serde_json::json;

use domain::{
    id::{CustomerId, TenantId},
    payment::method::{Method, last_warned},
};

use super::store;
use crate::{
    App,
    error::Result,
    event::{self, NewEvent},
    op::Op,
};

/// Cards that are told of in one transaction.
const BATCH: u64 = 500;

/// Whether cards are about to expire whose owners were not told. One statement.
pub(crate) async fn are_expiring(app: &App) -> Result<bool> {
    let last = last_warned(app.now());
    Ok(!store::expiring(app.db().reader(), last, 1).await?.is_empty())
}

/// Tells of cards that are about to expire. Answers whether more may be. Three statements for any number.
pub(crate) async fn tell_expiring(app: &App) -> Result<bool> {
    let op = Op::begin(app).await?;
    let rows = store::expiring(op.tx(), last_warned(op.now()), BATCH).await?;
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    store::mark_told(&op, &ids).await?;
    let more = rows.len() as u64 == BATCH;
    let events: Vec<NewEvent> = rows.into_iter().filter_map(|row| told(&op, row)).collect();
    event::write_in(&op, &events).await?;
    op.commit().await?;
    Ok(more)
}

/// `None`: it cannot be read, which keeps nobody else from being told.
fn told(op: &Op, row: payment_method::Model) -> Option<NewEvent> {
    let tenant = TenantId(row.tenant_id);
    let customer = CustomerId(row.customer_id);
    let method = match Method::try_from(row) {
        Ok(method) => method,
        Err(error) => {
            tracing::error!(%customer, %error, "a way to pay cannot be read");
            return None;
        }
    };
    let kind = "payment_method.expiring";
    Some(NewEvent {
        tenant,
        customer,
        subscription: None,
        kind,
        key: format!("{kind}:{}", method.id),
        at: op.now(),
        data: event::words([
            ("payment_method_id", json!(method.id)),
            ("customer_id", json!(customer)),
            ("brand", json!(method.face.brand)),
            ("last_four", json!(method.face.last_four)),
            ("is_default", json!(method.is_default)),
            ("expiry_year", json!(method.face.expires.map(|it| it.year))),
            ("expiry_month", json!(method.face.expires.map(|it| it.month))),
        ]),
    })
}
