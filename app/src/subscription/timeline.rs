//! What cycles say about where usage counts.

use std::collections::HashMap;

use domain::{
    cycle::late::{CountingCycle, Timeline},
    id::CustomerId,
    time::Timestamp,
};
use entity::billing_cycle;
use sea_orm::ConnectionTrait;

use crate::{error::Result, sql::Rows};

/// Cycles that end after an instant, and those that end in what may be one stretch with it: an elder's cycle cuts the beginning off
/// a younger one's, which may have begun long before.
const CYCLES: &str = "SELECT c.* FROM {rows} AS v JOIN billing_cycle c ON c.customer_id = v.id
    WHERE c.period_end > COALESCE(
        (SELECT MIN(d.period_start) FROM billing_cycle d
         WHERE d.customer_id = v.id AND d.period_end > $1 AND d.period_start < $1), $1)";

/// The timelines of customers, good for usage that occurred and was accepted at `since` or later. Customers without any cycle are left
/// out: theirs is the default. One statement for any number; callers skip it where no account has a barrier, since such a customer
/// never had a subscription.
///
/// # Errors
/// A row that does not say what it should.
pub(crate) async fn timelines_in(
    db: &impl ConnectionTrait,
    customers: &[CustomerId],
    since: Timestamp,
) -> Result<HashMap<CustomerId, Timeline>> {
    // Where no cycle runs, the stretch is what cycles leave of the calendar month.
    let since = since.month().start;
    let rows = Rows::of(customers)
        .select_with::<billing_cycle::Entity>(db, CYCLES, vec![since.micros().into()])
        .await?;
    let mut cycles: HashMap<CustomerId, Vec<CountingCycle>> = HashMap::new();
    for row in rows {
        cycles
            .entry(CustomerId(row.customer_id))
            .or_default()
            .push(row.counting()?);
    }
    Ok(cycles
        .into_iter()
        .map(|(customer, cycles)| (customer, Timeline::new(cycles)))
        .collect())
}
