//! Ending blocks whose time has run out.

use std::collections::HashMap;

use domain::{
    credit::{block::BlockState, grant},
    id::{CustomerId, TenantId},
    ledger::{Account, Cause, EntryKind},
    time::Timestamp,
};

use super::{
    BlockChange, Posting, post_in,
    store::{self, Ending},
};
use crate::{
    App,
    error::{Error, Result},
    job::work::{self, Duty},
    op::Op,
    usage,
};

/// How long after its expiry a block is ended, in seconds: events accepted just before are still on their way in.
const EXPIRY_GRACE_SECONDS: i64 = 5;
/// Customers whose blocks are ended per transaction.
const EXPIRY_BATCH: u64 = 200;

/// Ends the blocks whose time has run out, after debiting the usage accepted before. Answers how many ended.
///
/// Blocks of customers whose usage is parked wait: their end would depend on when the usage is put right. A customer whose
/// blocks cannot be ended is parked, so that it stops nobody else. Blocks that end with a step of a subscription, such as the turn of
/// a cycle, are left to it, and those of customers with a clock of their own end when that clock says so.
pub(crate) async fn expire(app: &App) -> Result<u64> {
    let due = app.now().plus_seconds(-EXPIRY_GRACE_SECONDS);
    let aside = set_aside(app).await?;
    expire_some(app, due, Ending::ByTheWall { aside: &aside }).await
}

/// Ends the blocks of some customers that have run out by an instant.
pub(crate) async fn expire_of(app: &App, customers: &[CustomerId], until: Timestamp) -> Result<u64> {
    expire_some(app, until, Ending::These(customers)).await
}

/// When the first block of some customers runs out by itself.
pub(crate) async fn next_expiry(app: &App, customers: &[CustomerId]) -> Result<Option<Timestamp>> {
    store::next_expiry(app.db().reader(), customers).await
}

async fn expire_some(app: &App, due: Timestamp, whose: Ending<'_>) -> Result<u64> {
    let before = store::usage_before_expiry(app.db().reader(), due, whose, EXPIRY_BATCH).await?;
    // A block that must wait for its customer's usage is left out below; the others must not wait with it.
    match usage::settle(app, &before).await {
        Ok(undone) => {
            for customer in undone.parked.iter().chain(&undone.held) {
                tracing::warn!(%customer, "usage before the expiry of a block could not be debited");
            }
        }
        Err(error) => tracing::warn!(%error, "usage before the expiry of blocks could not be debited"),
    }
    let found = store::with_expired(app.db().reader(), due, whose, EXPIRY_BATCH).await?;
    let customers: Vec<CustomerId> = found.iter().map(|(customer, _)| *customer).collect();
    match end_blocks(app, &customers, due).await {
        Err(Error::Internal(_) | Error::Rejected(_)) => {}
        other => return other,
    }
    let mut ended = 0;
    for (customer, tenant) in found {
        match end_blocks(app, &[customer], due).await {
            Err(error @ (Error::Internal(_) | Error::Rejected(_))) => {
                tracing::error!(%customer, %error, "blocks cannot be ended; the customer is parked");
                work::park(
                    app,
                    Duty::EXPIRY,
                    &customer.to_string(),
                    Some(tenant),
                    &error.to_string(),
                )
                .await?;
            }
            other => ended += other?,
        }
    }
    Ok(ended)
}

/// Ends what is due of some customers, in one transaction: two statements to read, three to write.
async fn end_blocks(app: &App, customers: &[CustomerId], due: Timestamp) -> Result<u64> {
    if customers.is_empty() {
        return Ok(0);
    }
    let mut op = Op::begin(app).await?;
    let mut postings: HashMap<CustomerId, Posting> = HashMap::new();
    for row in op.lock_accounts(customers).await? {
        let posting = Posting {
            tenant: TenantId(row.tenant_id),
            customer: CustomerId(row.customer_id),
            account: Account::from(&row),
            entries: Vec::new(),
            blocks: Vec::new(),
        };
        postings.insert(posting.customer, posting);
    }
    let mut ended = 0;
    // Read under the lock: another worker may have been first.
    for (customer, mut block) in store::expired(op.tx(), due, customers).await? {
        let Some(posting) = postings.get_mut(&customer) else {
            continue;
        };
        let cause = Cause {
            kind: EntryKind::Expiry,
            effect_key: format!("expire:{}", block.id),
            usage: None,
        };
        let text = "Credits expired";
        let entry = grant::end(&mut posting.account, &mut block, BlockState::Expired, cause, text)?;
        posting.entries.extend(entry);
        posting.blocks.push(BlockChange::from(&block));
        ended += 1;
    }
    postings.retain(|_, posting| !posting.blocks.is_empty());
    let postings: Vec<&Posting> = postings.values().collect();
    post_in(&mut op, &postings).await?;
    op.commit().await?;
    Ok(ended)
}

/// Customers whose blocks wait for a person.
async fn set_aside(app: &App) -> Result<Vec<CustomerId>> {
    let mut aside = work::set_aside(app, Duty::CUSTOMER).await?;
    aside.extend(work::set_aside(app, Duty::EXPIRY).await?);
    Ok(aside)
}

/// Whether any block waits to be ended.
pub(crate) async fn expiry_is_due(app: &App) -> Result<bool> {
    let due = app.now().plus_seconds(-EXPIRY_GRACE_SECONDS);
    let aside = set_aside(app).await?;
    store::any_expired(app.db().reader(), due, Ending::ByTheWall { aside: &aside }).await
}
