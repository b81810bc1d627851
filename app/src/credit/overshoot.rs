//! The report of what a vendor has written off: usage that took an overdraft beyond its bound.
//!
//! Every figure is a sum of ledger entries of the kind `WRITE_OFF`, less what was taken back of them. One statement each.

use std::collections::HashMap;

use domain::{
    amount::Credits,
    id::{CustomerId, EntryId},
    rejection::Rejection,
    time::Period,
};

use super::{store, view::LedgerLine};
use crate::{
    App,
    actor::{Actor, Scope},
    error::Result,
    page::{Page, Slice},
};

/// What was written off of all customers in a stretch of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WrittenOff {
    /// How many credits; below zero where more was taken back than written off.
    pub credits: Credits,
    /// Of how many customers.
    pub customers: i64,
}

/// A write-off, or what was taken back of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteOff {
    /// Whose usage it was.
    pub customer: CustomerId,
    /// The line of the ledger.
    pub line: LedgerLine,
}

/// A place in the list of write-offs: when it was written, in microseconds, and its entry.
pub type WriteOffKey = (i64, EntryId);

/// What the tenant has written off of all its customers in a stretch of time.
///
/// # Errors
/// The scope is missing, or the credential is a token of one customer; an end before the beginning.
pub async fn written_off_in(app: &App, actor: &Actor, period: Period) -> Result<WrittenOff> {
    actor.require_for_all(Scope::CreditRead)?;
    check_period(period)?;
    store::written_off_between(app.db().reader(), actor.reach(), period).await
}

/// The write-offs of all the tenant's customers in a stretch of time, newest first.
///
/// # Errors
/// As for [`written_off_in`].
pub async fn write_offs(
    app: &App,
    actor: &Actor,
    period: Period,
    page: Page<WriteOffKey>,
) -> Result<Slice<WriteOff>> {
    actor.require_for_all(Scope::CreditRead)?;
    check_period(period)?;
    store::write_offs(app.db().reader(), actor.reach(), period, page).await
}

/// What was written off of each of some customers, ever. Whoever is not named has nothing written off.
///
/// # Errors
/// The scope is missing.
pub async fn written_off_of(
    app: &App,
    actor: &Actor,
    customers: &[CustomerId],
) -> Result<HashMap<CustomerId, Credits>> {
    actor.require(Scope::CreditRead)?;
    store::written_off_of(app.db().reader(), actor.reach(), customers).await
}

fn check_period(period: Period) -> Result<()> {
    if period.end < period.start {
        return Err(Rejection::invalid("to", "the end lies before the beginning").into());
    }
    Ok(())
}
