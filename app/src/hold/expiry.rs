//! Freeing what nobody has ended: holds past their deadline. They count no more from that instant on, whenever a worker comes round;
//! here the rows are told.

use domain::{id::CustomerId, time::Timestamp};

use super::store::{self, Changes};
use crate::{
    App,
    error::{Error, Result},
    op::Op,
};

/// Customers whose holds are freed per transaction.
const BATCH: usize = 200;

/// Frees the holds past their deadline of customers that live by the clock on the wall. Answers how many. One statement to look, and six
/// for any number of holds of up to [`BATCH`] customers.
pub(crate) async fn expire(app: &App) -> Result<u64> {
    let due = store::due(app.db().reader(), app.now(), BATCH).await?;
    match free(app, &due, None).await {
        Err(Error::Internal(_)) if due.len() > 1 => one_by_one(app, &due).await,
        done => done,
    }
}

/// Customers whose holds cannot be freed together, each by itself: nobody else may suffer from an account that does not add up. The audit tells of
/// that one.
async fn one_by_one(app: &App, due: &[CustomerId]) -> Result<u64> {
    let mut freed = 0;
    for customer in due {
        match free(app, std::slice::from_ref(customer), None).await {
            Err(error @ Error::Internal(_)) => {
                tracing::error!(%customer, %error, "holds past their deadline cannot be freed");
            }
            done => freed += done?,
        }
    }
    Ok(freed)
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
    let all: Vec<(CustomerId, Timestamp)> = customers.iter().map(|customer| (*customer, until)).collect();
    let over = store::expire(&op, &all).await?;
    for (customer, credits) in &over {
        changes.ended(*customer, *credits);
    }
    changes.write(&mut op).await?;
    op.commit().await?;
    Ok(over.len() as u64)
}
