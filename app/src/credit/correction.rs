//! Putting credits right by hand: adjustments and revocations.
//!
//! Both follow all usage that was accepted before the request: it is debited first, so that what they find does not depend on
//! when a worker comes round.

use domain::{
    amount::Credits,
    credit::{block::BlockState, grant},
    customer::Settlement,
    id::{BlockId, CustomerId, TenantId},
    ledger::{Account, Cause, EntryKind},
    rejection::{Rejection, RejectionCode},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Adjusted, Balance, BlockChange, BlockView, LedgerLine, Locked, Posting, adjustment_block,
    check_description, lock, post_in, store, view::Bounds,
};
use crate::{
    App,
    actor::{Actor, Scope},
    customer::{self, CustomerRef},
    error::{Error, Result},
    idempotency::{Claim, Fresh, Once, claim},
    op::Op,
    subscription, usage,
};

/// Attempts to debit usage that was accepted before a request and still arrives.
const SETTLE_ROUNDS: usize = 5;

/// A correction by hand.
#[derive(Debug, Clone, Serialize)]
pub struct Adjust {
    /// Whose credits.
    #[serde(skip)]
    pub customer: CustomerRef,
    /// How many to add (positive) or take (negative).
    pub credits: Credits,
    /// Why, for the ledger.
    pub description: Option<String>,
}

/// Puts credits right by hand. What is added repays overdraft first, whoever settles it; the rest becomes a block. What is
/// taken leaves the blocks in burn order.
///
/// # Errors
/// No such customer, nothing to do, or more to take than there is.
pub async fn adjust(app: &App, actor: &Actor, input: Adjust, key: &str) -> Result<Once<Adjusted>> {
    actor.require(Scope::CreditWrite)?;
    if input.credits.is_zero() {
        return Err(Rejection::invalid("credits", "an adjustment of zero changes nothing").into());
    }
    check_description(input.description.as_deref())?;
    // Usage accepted before comes first: it may use what is taken, and its overdraft is repaid by what is added.
    let id = customer::resolve(app.db().reader(), actor.reach(), &input.customer).await?;
    let begun = begin_settled(app, actor, id, "adjustCredits", key, &(id, &input)).await?;
    let Settled {
        mut op,
        fresh,
        account,
        bounds,
    } = match begun {
        Begun::Replay(known) => return Ok(known),
        Begun::Settled(settled) => *settled,
    };
    let text = input
        .description
        .clone()
        .unwrap_or_else(|| "Credits adjusted".to_owned());
    let posting = if input.credits.is_positive() {
        add(&op, actor.tenant, id, account, input.credits, &text).await?
    } else {
        take(&op, actor.tenant, id, account, input.credits.negated()?, &text).await?
    };
    let hashes = posting.hashes(op.now());
    let head = hashes.last().copied().unwrap_or(posting.account.head);
    let entries = posting
        .entries
        .iter()
        .zip(hashes)
        .map(|(entry, hash)| LedgerLine::new(id, entry, hash, op.now()))
        .collect();
    let pending = store::pending_count(op.tx(), id).await?;
    let balance = Balance::new(&posting.account, head, &bounds, pending, op.now());
    post_in(&mut op, &[&posting]).await?;
    let done = fresh
        .settle(
            &op,
            Adjusted {
                customer: id,
                entries,
                balance,
            },
        )
        .await?;
    op.commit().await?;
    Ok(done)
}

async fn add(
    op: &Op,
    tenant: TenantId,
    customer: CustomerId,
    account: Account,
    credits: Credits,
    text: &str,
) -> Result<Posting> {
    let mut posting = Posting::of((tenant, customer), account);
    let mut block = adjustment_block(op, credits, op.present());
    let cause = Cause {
        kind: EntryKind::Adjustment,
        effect_key: format!("adjust:{}", block.id),
        usage: None,
    };
    // As if the next purchase settled: an adjustment is how MANUAL and NEXT_INVOICE overdrafts are put right by hand.
    let text = (text, Some(text));
    posting
        .house(op, Settlement::NextPurchase, &mut block, cause, text)
        .await?;
    Ok(posting)
}

async fn take(
    op: &Op,
    tenant: TenantId,
    customer: CustomerId,
    account: Account,
    credits: Credits,
    text: &str,
) -> Result<Posting> {
    let mut posting = Posting::of((tenant, customer), account);
    let mut blocks = store::open_blocks(op.tx(), customer).await?;
    let adjustment = op.new_id().simple().to_string();
    let draws = grant::take_out(&blocks, credits, op.present())?;
    let cause = |from| Cause {
        kind: EntryKind::Adjustment,
        effect_key: format!("adjust:{adjustment}:{from}"),
        usage: None,
    };
    posting.take_out(&mut blocks, draws, cause, text)?;
    Ok(posting)
}

/// Takes a block back: what remains of it is gone. Usage accepted before is debited first.
///
/// # Errors
/// No such block, or one that has ended.
pub async fn revoke(app: &App, actor: &Actor, id: BlockId, key: &str) -> Result<Once<BlockView>> {
    actor.require(Scope::CreditWrite)?;
    let unknown = || Rejection::not_found("blockId", "block");
    let owner = store::owner(app.db().reader(), actor.reach(), id)
        .await?
        .ok_or_else(unknown)?;
    let begun = begin_settled(app, actor, owner, "revokeBlock", key, &id).await?;
    let Settled {
        mut op,
        fresh,
        mut account,
        ..
    } = match begun {
        Begun::Replay(known) => return Ok(known),
        Begun::Settled(settled) => *settled,
    };
    let mut view = store::get_block(op.tx(), actor.reach(), id)
        .await?
        .ok_or_else(unknown)?;
    if view.block.state != BlockState::Active {
        let message = "the block has expired or was revoked before";
        return Err(Rejection::new(RejectionCode::BlockNotActive, "blockId", message).into());
    }
    let cause = Cause {
        kind: EntryKind::Revocation,
        effect_key: format!("revoke:{id}"),
        usage: None,
    };
    let entry = grant::end(
        &mut account,
        &mut view.block,
        BlockState::Revoked,
        cause,
        "Credits revoked",
    )?;
    let blocks = vec![BlockChange::from(&view.block)];
    let entries = entry.into_iter().collect();
    post_in(
        &mut op,
        &[&Posting {
            tenant: actor.tenant,
            customer: owner,
            account,
            entries,
            blocks,
        }],
    )
    .await?;
    let done = fresh.settle(&op, view).await?;
    op.commit().await?;
    Ok(done)
}

/// An operation on a locked account whose usage accepted before the request is debited.
struct Settled {
    op: Op,
    fresh: Fresh,
    account: Account,
    bounds: Bounds,
}

/// Whether a request is new.
enum Begun<T> {
    Settled(Box<Settled>),
    Replay(Once<T>),
}

/// Begins an operation that must come after all usage accepted before the request. A request that was made before is
/// answered at once.
async fn begin_settled<T: DeserializeOwned>(
    app: &App,
    actor: &Actor,
    customer: CustomerId,
    mutation: &'static str,
    key: &str,
    input: &impl Serialize,
) -> Result<Begun<T>> {
    let requested_at = app.now();
    for _ in 0..SETTLE_ROUNDS {
        let mut op = Op::begin(app).await?;
        let fresh = match claim(&op, actor.tenant, mutation, key, input).await? {
            Claim::Replay(known) => return Ok(Begun::Replay(known)),
            Claim::Fresh(fresh) => fresh,
        };
        let Locked {
            account,
            bounds,
            behind,
        } = lock(&mut op, actor.reach(), customer).await?;
        // A clock of the customer's own says when its usage was accepted.
        let before = op.own_time().unwrap_or(requested_at);
        if !behind && !usage::is_waiting(op.tx(), customer, before).await? {
            return Ok(Begun::Settled(Box::new(Settled {
                op,
                fresh,
                account,
                bounds,
            })));
        }
        op.abandon().await?;
        if behind {
            subscription::catch_up(app, customer).await?;
        }
        usage::settle_up_to_date(app, customer, before).await?;
    }
    Err(Error::Unavailable(format!(
        "usage of {customer} is still on its way"
    )))
}
