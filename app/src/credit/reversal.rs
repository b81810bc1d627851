//! Credits of a payment whose money goes back, and comes again.

use domain::{
    amount::Credits,
    credit::{
        block::{Billing, Block},
        grant::{self, Life},
    },
    customer::Settlement,
    id::{BlockId, CustomerId, TenantId},
    ledger::{Cause, EntryKind},
};

use super::{Locked, Posting, adjustment_block, post_in, store};
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
/// overdraft first, since it may be what the taking left. Answers for how long what was taken would have lasted; `None`: nothing was there to be
/// taken. Five statements.
pub(crate) async fn reverse_in(
    op: &mut Op,
    whose: (TenantId, CustomerId),
    locked: Locked,
    reversal: Reversal<'_>,
) -> Result<Option<Life>> {
    let mut posting = Posting::of(whose, locked.account);
    let life = if reversal.credits.is_positive() {
        take(op, &mut posting, &reversal).await?
    } else {
        give(op, &mut posting, &reversal).await?;
        None
    };
    post_in(op, &[&posting]).await?;
    Ok(life)
}

async fn take(op: &Op, posting: &mut Posting, reversal: &Reversal<'_>) -> Result<Option<Life>> {
    let mut blocks = store::open_blocks(op.tx(), posting.customer).await?;
    let draws = grant::take_back(&blocks, reversal.bought, reversal.credits, op.present());
    let life = grant::life(&blocks, &draws, op.present());
    let cause = |from| cause(format!("{}:{from}", reversal.key));
    posting.take_out(&mut blocks, draws, cause, reversal.text)?;
    Ok(life)
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
    let text = (reversal.text, Some(reversal.text));
    posting
        .house(op, Settlement::NextPurchase, &mut block, cause, text)
        .await
}

fn cause(effect_key: String) -> Cause {
    Cause {
        kind: EntryKind::Reversal,
        effect_key,
        usage: None,
    }
}
