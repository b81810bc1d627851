//! Telling that credits will be gone: 30, 7 and 1 days before a block ends.

use domain::{
    credit::expiring::{self, Expiring, Notice, TOGETHER_SECONDS},
    event::EventType,
    id::{CustomerId, TenantId},
    time::Timestamp,
};
use serde_json::{Value, json};

use super::store;
use crate::{
    App,
    error::Result,
    event::{self, NewEvent},
    failpoint::reach,
    op::Op,
};

/// Customers that are told in one transaction.
const BATCH: u64 = 200;
/// Most blocks that an event lists, those that end first: a message stays small whatever a customer has bought. Its sums are of all.
const MAX_LISTED: usize = 100;

/// Whether blocks have come to a stage, but for those of customers that live by a clock of their own. One statement.
pub(crate) async fn expiring_are_due(app: &App) -> Result<bool> {
    Ok(!store::due(app.db().reader(), app.now(), 1).await?.is_empty())
}

/// Tells customers of blocks that have come to a stage, but for those that live by a clock of their own. Answers whether more may be due. One
/// statement to look, and five for up to [`BATCH`] customers.
pub(crate) async fn tell_expiring(app: &App) -> Result<bool> {
    let due = store::due(app.db().reader(), app.now(), BATCH).await?;
    tell(app, &due, None).await?;
    Ok(due.len() as u64 == BATCH)
}

/// Tells some customers of blocks that have come to a stage at an instant.
pub(crate) async fn tell_expiring_of(app: &App, customers: &[CustomerId], until: Timestamp) -> Result<()> {
    let due = store::due_of(app.db().reader(), customers, until).await?;
    tell(app, &due, Some(until)).await
}

/// When the first block of some customers comes to a stage after an instant. One statement.
pub(crate) async fn next_notice(
    app: &App,
    customers: &[CustomerId],
    after: Timestamp,
) -> Result<Option<Timestamp>> {
    store::next_notice(app.db().reader(), customers, after).await
}

async fn tell(app: &App, customers: &[CustomerId], until: Option<Timestamp>) -> Result<()> {
    if customers.is_empty() {
        return Ok(());
    }
    let mut op = Op::begin(app).await?;
    op.lock_accounts(customers).await?;
    let now = until.unwrap_or_else(|| op.now());
    // Read under the lock: another worker may have been first.
    let found = store::blocks(op.tx(), customers, now.plus_seconds(TOGETHER_SECONDS)).await?;
    reach("expiring.read")?;
    let (mut next, mut events) = (Vec::new(), Vec::new());
    for ((tenant, customer), blocks) in &found {
        let told = expiring::look(blocks, now);
        next.extend(told.next);
        events.extend(told.notices.iter().map(|it| event(*tenant, *customer, it, now)));
    }
    store::put_notices(&op, &next).await?;
    event::write_in(&op, &events).await?;
    reach("expiring.written")?;
    op.commit().await
}

fn event(tenant: TenantId, customer: CustomerId, notice: &Notice, now: Timestamp) -> NewEvent {
    let kind = EventType::CreditsExpiring;
    let (days, blocks) = (notice.days, &notice.blocks);
    let first = blocks
        .first()
        .map(|it| format!("{}:{}", it.block, it.expires_at.micros()));
    let end = |block: Option<&Expiring>| json!(block.map(|it| it.expires_at.to_string()));
    NewEvent {
        tenant,
        customer: Some(customer),
        subscription: None,
        kind,
        // A block whose end was moved comes to its stages again.
        key: format!("{kind}:{days}:{}", first.unwrap_or_default()),
        at: notice.at,
        data: event::words([
            ("customer_id", json!(customer)),
            ("stage_days", json!(days)),
            ("days_remaining", json!(notice.days_left(now))),
            ("credits", json!(notice.credits())),
            ("first_expires_at", end(blocks.first())),
            ("last_expires_at", end(blocks.last())),
            ("block_count", json!(blocks.len())),
            ("blocks", blocks.iter().take(MAX_LISTED).map(listed).collect()),
        ]),
    }
}

fn listed(block: &Expiring) -> Value {
    json!({
        "block_id": block.block,
        "remaining": block.remaining,
        "expires_at": block.expires_at.to_string(),
    })
}
