//! Granting credits.

use domain::{
    amount::Credits,
    credit::block::{Billing, Block, BlockState, DEFAULT_PRIORITY, MAX_BLOCK_METRICS, Source},
    id::{BlockId, CustomerId, TenantId},
    ledger::{Cause, EntryKind},
    rejection::Rejection,
    time::Timestamp,
};
use serde::Serialize;

use super::{BlockView, Locked, Posting, check_description, lock, post_in};
use crate::{
    App,
    actor::{Actor, Scope},
    catalog,
    customer::{self, CustomerRef},
    error::{Error, Result},
    idempotency::{Claim, Once, claim},
    op::Op,
    subscription,
};

/// Attempts to come to an account of which nothing is due.
const ROUNDS: usize = 5;

/// When a grant ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub enum Expiry {
    /// Never.
    #[default]
    Never,
    /// At an instant.
    At(Timestamp),
    /// This many seconds after the grant.
    AfterSeconds(i64),
}

/// Credits to grant.
#[derive(Debug, Clone, Serialize)]
pub struct Grant {
    /// To whom.
    #[serde(skip)]
    pub customer: CustomerRef,
    /// How many; more than zero.
    pub credits: Credits,
    /// Where they come from.
    pub source: Source,
    /// How their use is billed; by source when absent.
    pub billing: Option<Billing>,
    /// Higher burns first.
    pub priority: Option<i32>,
    /// When they end.
    pub expiry: Expiry,
    /// Keys of the metrics they may pay for; `None`: all.
    pub metric_keys: Option<Vec<String>>,
    /// A line for people.
    pub description: Option<String>,
}

/// Grants credits to a customer.
///
/// # Errors
/// No such customer or metric, an amount that is not positive, an expiry in the past.
pub async fn grant(app: &App, actor: &Actor, input: Grant, key: &str) -> Result<Once<BlockView>> {
    actor.require(Scope::CreditWrite)?;
    check_grant(&input)?;
    for _ in 0..ROUNDS {
        let mut op = Op::begin(app).await?;
        let id = customer::resolve(op.tx(), actor.reach(), &input.customer).await?;
        let fresh = match claim(&op, actor.tenant, "grantCredits", key, &(id, &input)).await? {
            Claim::Replay(known) => return Ok(known),
            Claim::Fresh(fresh) => fresh,
        };
        let locked = lock(&mut op, actor.reach(), id).await?;
        if !locked.behind {
            let view = deposit(&mut op, actor, id, locked, input).await?;
            let done = fresh.settle(&op, view).await?;
            op.commit().await?;
            return Ok(done);
        }
        // A turn that is due comes first: it finds the books without this grant.
        op.abandon().await?;
        subscription::catch_up(app, id).await?;
    }
    Err(Error::Unavailable(
        "the customer's subscriptions are moving on".to_owned(),
    ))
}

/// Makes the block, under the lock on the account.
async fn deposit(
    op: &mut Op,
    actor: &Actor,
    id: CustomerId,
    locked: Locked,
    input: Grant,
) -> Result<BlockView> {
    let mut block = new_block(op, &input)?;
    block.metrics = match &input.metric_keys {
        Some(keys) => Some(catalog::metric_ids_in(op.tx(), actor.tenant, keys, "metricKeys").await?),
        None => None,
    };
    let text = input.description.as_deref();
    let effect_key = format!("grant:{}", block.id);
    let whose = (actor.tenant, id);
    put_in(op, whose, locked, &mut block, effect_key, text).await?;
    Ok(BlockView {
        metric_keys: input.metric_keys,
        description: input.description,
        block,
    })
}

/// Puts a block into an account that is locked; overdraft is repaid first where the terms say so. Three statements.
pub(crate) async fn put_in(
    op: &mut Op,
    whose: (TenantId, CustomerId),
    locked: Locked,
    block: &mut Block,
    effect_key: String,
    description: Option<&str>,
) -> Result<()> {
    let mut posting = Posting::of(whose, locked.account);
    let cause = Cause {
        kind: EntryKind::Grant,
        effect_key,
        usage: None,
    };
    let text = (description.unwrap_or("Credits granted"), description);
    posting
        .house(op, locked.bounds.terms.settlement, block, cause, text)
        .await?;
    post_in(op, &[&posting]).await
}

fn check_grant(input: &Grant) -> Result<()> {
    if !input.credits.is_positive() {
        return Err(Rejection::invalid("credits", "a grant must be more than zero credits").into());
    }
    if input
        .metric_keys
        .as_ref()
        .is_some_and(|keys| keys.is_empty() || keys.len() > MAX_BLOCK_METRICS)
    {
        let message = format!("name 1 to {MAX_BLOCK_METRICS} metrics, or leave it out for all");
        return Err(Rejection::invalid("metricKeys", message).into());
    }
    if matches!(input.expiry, Expiry::AfterSeconds(seconds) if seconds <= 0) {
        return Err(Rejection::invalid("expiresAfterSeconds", "it must be more than zero seconds").into());
    }
    check_description(input.description.as_deref())
}

fn new_block(op: &Op, input: &Grant) -> Result<Block> {
    let granted_at = op.present();
    let expires_at = match input.expiry {
        Expiry::Never => None,
        Expiry::At(instant) if instant <= granted_at => {
            return Err(Rejection::invalid("expiresAt", "the expiry must lie in the future").into());
        }
        Expiry::At(instant) => Some(instant),
        Expiry::AfterSeconds(seconds) => Some(granted_at.plus_seconds(seconds)),
    };
    Ok(Block {
        id: BlockId(op.new_id()),
        source: input.source,
        billing: input.billing.unwrap_or_else(|| input.source.default_billing()),
        priority: input.priority.unwrap_or(DEFAULT_PRIORITY),
        credits: input.credits,
        remaining: input.credits,
        granted_at,
        expires_at,
        metrics: None,
        state: BlockState::Active,
    })
}
