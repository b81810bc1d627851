//! Putting credits in and taking them out by hand: grants, adjustments, revocation and expiry.

use serde::{Deserialize, Serialize};

use super::{
    block::{Billing, Block, BlockState},
    burn::Funds,
    draws::{Draw, Purse},
};
use crate::{
    amount::{Credits, Overflow},
    customer::Settlement,
    id::BlockId,
    ledger::{Account, Cause, Entry},
    rejection::{Rejection, RejectionCode},
    time::Timestamp,
};

/// Deposits a block. Where the customer settles by the next purchase, any block that is not a budget repays overdraft first.
///
/// # Errors
/// A balance outside the range of credits.
pub fn grant(
    account: &mut Account,
    settlement: Settlement,
    block: &mut Block,
    cause: Cause,
    description: &str,
) -> Result<Vec<Entry>, Overflow> {
    let mut entries = vec![account.deposit(block.id, block.remaining, cause, description)?];
    if settlement == Settlement::NextPurchase {
        entries.extend(repay_from(account, block)?);
    }
    Ok(entries)
}

/// Repays overdraft from one block, unless the block is a budget.
///
/// # Errors
/// None in practice: amounts only shrink.
pub fn repay_from(account: &mut Account, block: &mut Block) -> Result<Vec<Entry>, Overflow> {
    let mut funds = Funds::new(vec![block.clone()], account.overdraft);
    let draws = funds.repay(|_| Credits::MAX)?;
    if let Some(after) = funds.blocks().first() {
        block.remaining = after.remaining;
    }
    draws.iter().map(|draw| account.repayment(*draw)).collect()
}

/// Takes credits out by hand, in burn order and whatever the restriction of a block.
///
/// # Errors
/// Not enough credits: the blocks open now cannot cover the amount. Nothing is then taken.
pub fn take_out(blocks: &[Block], amount: Credits, at: Timestamp) -> Result<Vec<Draw>, Rejection> {
    let funds = Funds::new(blocks.to_vec(), Credits::ZERO);
    let open = funds.blocks().iter().filter(|block| block.is_open_at(at));
    let (draws, left) = draw(open, amount);
    if left > 0 {
        return Err(Rejection::new(
            RejectionCode::InsufficientCredits,
            "credits",
            format!("{} credits more than there are", Credits::from_raw(left)),
        ));
    }
    Ok(draws)
}

/// Draws up to an amount from blocks, in their order; answers with what they could not cover.
fn draw<'a>(blocks: impl Iterator<Item = &'a Block>, amount: Credits) -> (Vec<Draw>, i64) {
    let mut left = amount.raw();
    let mut draws = Vec::new();
    for block in blocks {
        let part = block.remaining.raw().min(left);
        if part > 0 {
            draws.push(Draw {
                from: Purse::Block(block.id),
                credits: Credits::from_raw(part),
            });
            left -= part;
        }
    }
    (draws, left)
}

/// Takes out credits whose money went back: what remains of the block that was bought, then other blocks in burn order, but for budgets, which
/// nobody has paid for. What was used up already becomes overdraft, so that nothing is forgiven in silence.
#[must_use]
pub fn take_back(blocks: &[Block], bought: Option<BlockId>, amount: Credits, at: Timestamp) -> Vec<Draw> {
    let funds = Funds::new(blocks.to_vec(), Credits::ZERO);
    let open = |block: &&Block| block.is_open_at(at) && block.billing != Billing::Budget;
    let (own, others): (Vec<&Block>, Vec<&Block>) = funds
        .blocks()
        .iter()
        .filter(open)
        .partition(|block| Some(block.id) == bought);
    let (mut draws, left) = draw(own.into_iter().chain(others), amount);
    if left > 0 {
        draws.push(Draw {
            from: Purse::Overdraft,
            credits: Credits::from_raw(left),
        });
    }
    draws
}

/// For how long credits last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Life {
    /// For so many seconds; one or more.
    Seconds(i64),
    /// For ever.
    Endless,
}

/// For how long credits that are taken at an instant would have lasted: those of them that last longest. `None`: none are taken from a block.
#[must_use]
pub fn life(blocks: &[Block], draws: &[Draw], at: Timestamp) -> Option<Life> {
    let drawn = |block: &&Block| draws.iter().any(|draw| draw.from == Purse::Block(block.id));
    let life = |block: &Block| match block.expires_at {
        Some(end) => Life::Seconds(end.seconds_since(at).max(1)),
        None => Life::Endless,
    };
    blocks.iter().filter(drawn).map(life).max()
}

/// Ends a block: what remains is gone.
///
/// # Errors
/// None in practice: the balance only shrinks by what it holds.
pub fn end(
    account: &mut Account,
    block: &mut Block,
    state: BlockState,
    cause: Cause,
    description: &str,
) -> Result<Option<Entry>, Overflow> {
    block.state = state;
    let rest = std::mem::take(&mut block.remaining);
    if rest.is_zero() {
        return Ok(None);
    }
    account
        .withdrawal(
            Draw {
                from: Purse::Block(block.id),
                credits: rest,
            },
            cause,
            description,
        )
        .map(Some)
}
