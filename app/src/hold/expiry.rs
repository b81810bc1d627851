//! Freeing what nobody has ended: holds past their deadline. They count no more from that instant on, whenever a worker comes round;
//! here the rows are told.

use domain::{id::CustomerId, time::Timestamp};

use super::store::{self, Changes};
use crate::{App, error::Result, op::Op};

/// Customers whose holds are freed per transaction.
const BATCH: usize = 200;

/// Frees the holds past their deadline of customers that live by the clock on the wall. Answers how many. One statement to look, and six
/// for any number of holds of up to [`BATCH`] customers.
pub(crate) async fn expire(app: &App) -> Result<u64> {
    let due = store::due(app.db().reader(), app.now(), BATCH).await?;
    free(app, &due, None).await
}

/// Whether any hold waits to be freed. One statement.
pub(crate) async fn is_due(app: &App) -> Result<bool> {
    Ok(!store::due(app.db().reader(), app.now(), 1).await?.is_empty())
}

/// Frees the holds of some customers that are past their deadline at an instant.
pub(crate) async fn expire_of(app: &App, customers: &[CustomerId], until: Timestamp) -> Result<u64> {
    let next = next_deadline(app, customers).await?;
    match next.is_some_and(|next| next <= until) {
        true => free(app, customers, Some(until)).await,
        false => Ok(0),
    }
}

/// When the first open hold of some customers comes to its deadline. One statement.
pub(crate) async fn next_deadline(app: &App, customers: &[CustomerId]) -> Result<Option<Timestamp>> {
    store::next_deadline(app.db().reader(), customers).await
}

async fn free(app: &App, customers: &[CustomerId], until: Option<Timestamp>) -> Result<u64> {
    if customers.is_empty() {
        return Ok(0);
    }
    let mut op = Op::begin(app).await?;
    op.lock_accounts(customers).await?;
    let until = until.unwrap_or(op.now());
    let mut changes = Changes::default();
    let over = store::expire(&op, customers, until).await?;
    for (customer, credits) in &over {
        changes.ended(*customer, *credits);
    }
    changes.write(&mut op).await?;
    op.commit().await?;
    Ok(over.len() as u64)
}
