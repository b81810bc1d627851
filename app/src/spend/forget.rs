//! Forgetting what was spent long ago, which nobody asks for any more: limits are those of the present, and what usage came to is kept with
//! the usage.

use domain::{id::CustomerId, time::Timestamp};

use super::store;
use crate::{App, error::Result, op::Op};

/// Days of which what was spent is kept, back from the customer's own present, and then to the beginning of a month: what is shown, told and
/// taken back needs two months.
const KEPT_DAYS: i64 = 100;
/// Days more until months are forgotten: so one that is found is older than the beginning of the month up to which is kept.
const SLACK_DAYS: i64 = 31;
/// Months that are found at once, each of a customer whose past is forgotten then: a dozen rows for a month.
const BATCH: u64 = 200;
/// Seconds in a day.
const DAY: i64 = 86_400;

/// Whether there is something to be forgotten. One statement.
pub(crate) async fn are_old(app: &App) -> Result<bool> {
    Ok(!old(app, 1).await?.is_empty())
}

/// Forgets what customers have spent in months that are long over. Answers whether more may be. One statement to look, and three for up to
/// [`BATCH`] customers.
///
/// From then on what is counted begins later (`spend_setting.since`): late usage of before counts against no limit, and the audit compares what
/// is kept.
pub(crate) async fn forget_old(app: &App) -> Result<bool> {
    let found = old(app, BATCH).await?;
    if found.is_empty() {
        return Ok(false);
    }
    let customers: Vec<CustomerId> = found.iter().map(|(customer, _)| *customer).collect();
    let mut op = Op::begin(app).await?;
    // Whoever counts what is spent has the account locked, and believes what the setting says meanwhile.
    op.lock_accounts(&customers).await?;
    let since = |now: Timestamp| now.plus_seconds(-KEPT_DAYS * DAY).month().start;
    let kept: Vec<(CustomerId, Timestamp)> = found
        .iter()
        .map(|(customer, now)| (*customer, since(*now)))
        .collect();
    store::forget_before(&op, &kept).await?;
    op.commit().await?;
    Ok(true)
}

/// Customers of whom too much is kept, each with its own present.
async fn old(app: &App, most: u64) -> Result<Vec<(CustomerId, Timestamp)>> {
    let age_seconds = (KEPT_DAYS + SLACK_DAYS) * DAY;
    store::old(app.db().reader(), app.now(), age_seconds, most).await
}
