//! Subscriptions: what their cycles mean for usage.

mod timeline;

use domain::id::CustomerId;

pub(crate) use self::timeline::timelines_in;
use crate::{App, error::Result};

/// Takes the steps that are due of a customer's subscriptions, because something that somebody wants has to come after them. Called
/// when usage waits behind a barrier that has passed; the caller then looks again.
///
/// # Errors
/// A step cannot be taken.
#[expect(
    clippy::unused_async,
    reason = "nothing makes subscriptions yet, so none is ever due"
)]
pub(crate) async fn catch_up(_app: &App, _customer: CustomerId) -> Result<()> {
    Ok(())
}
