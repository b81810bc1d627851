//! How long events are kept.

use super::store;
use crate::{App, error::Result, op::Op};

/// Events that are forgotten in one transaction.
const BATCH: u64 = 1_000;
/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

fn oldest(app: &App) -> domain::time::Timestamp {
    let kept = app.limits().event_retention_days.saturating_mul(DAY);
    domain::time::Timestamp::from_micros(app.now().micros().saturating_sub(kept))
}

/// Whether events are older than they are kept. One statement.
pub(crate) async fn are_old(app: &App) -> Result<bool> {
    store::any_before(app.db().reader(), oldest(app)).await
}

/// Forgets events that are older than they are kept, and what became of their messages. Answers whether more may be.
pub(crate) async fn forget_old(app: &App) -> Result<bool> {
    let op = Op::begin(app).await?;
    let forgotten = store::forget_before(&op, oldest(app), BATCH).await?;
    op.commit().await?;
    Ok(forgotten as u64 == BATCH)
}
