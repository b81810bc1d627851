//! What a customer was given, and what it has used of that in the present period: the head of a billing console (source P2, "Overview").

use domain::{amount::Credits, id::CustomerId, time::Period};

use super::store;
use crate::{
    App,
    actor::{Actor, Scope},
    customer::{self, CustomerRef},
    error::Result,
    subscription, test_clock, usage,
};

/// A customer's credits at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overview {
    /// All credits that were bought or granted, whatever has become of them. Budgets and what was taken back do not count.
    pub granted: Credits,
    /// What is counted together at present: the cycle of the oldest subscription, or the calendar month of UTC.
    pub period: Period,
    /// What debited usage of this period cost.
    pub used: Credits,
}

/// A customer's credits at a glance. Five statements.
///
/// # Errors
/// The scope is missing, or no such customer.
pub async fn overview(app: &App, actor: &Actor, customer: CustomerId) -> Result<Overview> {
    actor.require(Scope::CreditRead)?;
    let db = app.db().reader();
    let customer = customer::resolve(db, actor.reach(), &CustomerRef::Id(customer)).await?;
    let now = test_clock::now_of(app, customer).await?;
    let mut timelines = subscription::timelines_in(db, &[customer], now).await?;
    let mut timeline = timelines.remove(&customer).unwrap_or_default();
    let period = timeline.stretch(now).period;
    Ok(Overview {
        granted: store::granted(db, customer).await?,
        period,
        used: usage::used_in(db, customer, period.start).await?,
    })
}
