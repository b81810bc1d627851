//! Cards that are about to expire: whoever pays with one is told once, a month before.

use domain::{
    id::{PaymentMethodId, TenantId},
    payment::method::{Method, last_warned},
};
use entity::payment_method;

use super::{event, store};
use crate::{
    App,
    error::Result,
    event::{NewEvent, write_in},
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
    write_in(&op, &events).await?;
    op.commit().await?;
    Ok(more)
}

/// `None`: it cannot be read, which keeps nobody else from being told.
fn told(op: &Op, row: payment_method::Model) -> Option<NewEvent> {
    let (id, tenant) = (PaymentMethodId(row.id), TenantId(row.tenant_id));
    match Method::try_from(row) {
        Ok(method) => Some(event::expiring(op, tenant, &method)),
        Err(error) => {
            tracing::error!(method = %id, %error, "a way to pay cannot be read");
            None
        }
    }
}
