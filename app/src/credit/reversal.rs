//! Credits of a payment whose money goes back, and comes again.

use domain::{
    amount::Credits,
    credit::{
        block::{Billing, Block},
        grant,
    },
    customer::Settlement,
    id::{BlockId, CustomerId, TenantId},
    ledger::{Cause, EntryKind},
};

use super::{BlockChange, Locked, Posting, adjustment_block, post_in, store};
use crate::{error::Result, op::Op};

/// Credits to take because money went back, or to give again because it came again.
pub(crate) struct Reversal<'a> {
    /// What was bought with the money.
    pub(crate) bought: Option<BlockId>,
    /// More than zero: to take; less: to give again.
    pub(crate) credits: Credits,
    /// For how long what is given again lasts, in seconds; `None`: for ever.
    pub(crate) lasts_seconds: Option<i64>,
    /// Makes it happen once.
    pub(crate) key: &'a str,
    /// A line for people.
    pub(crate) text: &'a str,
}

/// Takes or gives credits of an account that is locked. Credits to take that were used already become overdraft; credits given again repay
/// overdraft first, since it may be what the taking left. Five statements.
pub(crate) async fn reverse_in(
    op: &mut Op,
    (tenant, customer): (TenantId, CustomerId),
    locked: Locked,
    reversal: Reversal<'_>,
) -> Result<()> {
    let mut posting = Posting {
        tenant,
        customer,
        account: locked.account,
        entries: Vec::new(),
        blocks: Vec::new(),
    };
    if reversal.credits.is_positive() {
        take(op, &mut posting, &reversal).await?;
    } else {
        give(op, &mut posting, &reversal).await?;
    }
    post_in(op, &[&posting]).await
}

async fn take(op: &Op, posting: &mut Posting, reversal: &Reversal<'_>) -> Result<()> {
    let mut blocks = store::open_blocks(op.tx(), posting.customer).await?;
    for draw in grant::take_back(&blocks, reversal.bought, reversal.credits, op.present()) {
        let cause = cause(format!("{}:{}", reversal.key, draw.from));
        let entry = posting.account.withdrawal(draw, cause, reversal.text)?;
        if let Some(block) = blocks.iter_mut().find(|block| Some(block.id) == entry.block) {
            block.remaining = block.remaining.minus(draw.credits)?;
            posting.blocks.push(BlockChange::from(&*block));
        }
        posting.entries.push(entry);
    }
    Ok(())
}

async fn give(op: &Op, posting: &mut Posting, reversal: &Reversal<'_>) -> Result<()> {
    let now = op.present();
    let mut block = Block {
        // Somebody has paid for it.
        billing: Billing::Prepaid,
        expires_at: reversal.lasts_seconds.map(|seconds| now.plus_seconds(seconds)),
        ..adjustment_block(op, reversal.credits.negated()?, now)
    };
    let cause = cause(reversal.key.to_owned());
    posting.entries = grant::grant(
        &mut posting.account,
        Settlement::NextPurchase,
        &mut block,
        cause,
        reversal.text,
    )?;
    store::insert_block(op, posting.tenant, posting.customer, &block, Some(reversal.text)).await
}

fn cause(effect_key: String) -> Cause {
    Cause {
        kind: EntryKind::Reversal,
        effect_key,
        usage: None,
    }
}
