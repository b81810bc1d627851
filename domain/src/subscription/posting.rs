//! From a decision to the books: what it does to blocks, totals and ledger.

use super::Decision;
use crate::{
    amount::{Credits, Overflow},
    credit::{
        block::{Block, BlockState, Source},
        draws::{Draw, Purse},
        grant,
    },
    cycle::grants::NewBlock,
    id::BlockId,
    ledger::{Cause, Entry, EntryKind},
    time::Timestamp,
    usage::{CustomerState, UsageError},
};

/// What a block has left, and what has become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockAfter {
    /// Which.
    pub id: BlockId,
    /// Credits left.
    pub remaining: Credits,
    /// What has become of it.
    pub state: BlockState,
}

/// What a decision does to the books, to be written in one transaction with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Posted {
    /// New ledger entries, in order.
    pub entries: Vec<Entry>,
    /// Blocks that were there before and are changed.
    pub changed: Vec<BlockAfter>,
    /// Blocks that expire at another instant than before.
    pub moved: Vec<(BlockId, Timestamp)>,
    /// Blocks that are new, each with what it was made from.
    pub made: Vec<(Block, NewBlock)>,
}

impl Decision {
    /// Moves a customer's credits as the decision says: takes back, ends, grants, in this order. New credits that are no budget
    /// repay overdraft first where the customer settles by the next purchase. `state` moves on; on an error it must be dropped.
    ///
    /// # Errors
    /// A balance outside its range, or blocks that are not those that the decision was made of.
    pub fn post(
        &self,
        state: &mut CustomerState,
        mut new_id: impl FnMut() -> BlockId,
    ) -> Result<Posted, UsageError> {
        let posted = self
            .move_credits(state, &mut new_id)
            .map_err(|_| UsageError::Books)?;
        state.check()?;
        Ok(posted)
    }

    fn move_credits(
        &self,
        state: &mut CustomerState,
        new_id: &mut impl FnMut() -> BlockId,
    ) -> Result<Posted, Overflow> {
        let mut posted = Posted {
            moved: self.moved.clone(),
            ..Posted::default()
        };
        let mut blocks = state.funds.blocks().to_vec();
        self.take_back(state, &mut blocks, &mut posted)?;
        posted.end(state, &mut blocks, &self.ended)?;
        for block in &mut blocks {
            if let Some((_, end)) = self.moved.iter().find(|(id, _)| *id == block.id) {
                block.expires_at = Some(*end);
            }
        }
        for new in &self.granted {
            let mut block = new.clone().into_block(new_id());
            let cause = Cause {
                kind: EntryKind::Grant,
                effect_key: new.effect_key.clone(),
                usage: None,
            };
            let account = &mut state.account;
            let entries = grant::grant(account, state.settlement, &mut block, cause, describe(new.source))?;
            posted.entries.extend(entries);
            posted.made.push((block.clone(), new.clone()));
            blocks.push(block);
        }
        state.funds = state.funds.with(blocks, state.account.overdraft);
        Ok(posted)
    }

    /// Credits of the time that is left, when the plan changes.
    fn take_back(
        &self,
        state: &mut CustomerState,
        blocks: &mut [Block],
        posted: &mut Posted,
    ) -> Result<(), Overflow> {
        let (id, revision) = (self.subscription.id, self.subscription.revision);
        for taken in &self.taken {
            let block = blocks.iter_mut().find(|block| block.id == taken.block);
            let block = block.ok_or(Overflow)?;
            block.remaining = block.remaining.minus(taken.credits)?;
            let draw = Draw {
                from: Purse::Block(block.id),
                credits: taken.credits,
            };
            let cause = Cause {
                kind: EntryKind::Proration,
                effect_key: format!("change:{id}:{revision}:{}", block.id),
                usage: None,
            };
            let text = "Plan changed: credits of the time left";
            posted.entries.push(state.account.withdrawal(draw, cause, text)?);
            posted.note(block);
        }
        Ok(())
    }
}

impl Posted {
    /// Ends blocks, and nothing else.
    pub(super) fn ending(state: &mut CustomerState, ended: &[BlockId]) -> Result<Self, UsageError> {
        let mut posted = Self::default();
        let mut blocks = state.funds.blocks().to_vec();
        posted
            .end(state, &mut blocks, ended)
            .map_err(|_| UsageError::Books)?;
        state.funds = state.funds.with(blocks, state.account.overdraft);
        state.check()?;
        Ok(posted)
    }

    /// Blocks whose time is over. Empty ones are not among the funds, and end all the same.
    fn end(
        &mut self,
        state: &mut CustomerState,
        blocks: &mut Vec<Block>,
        ended: &[BlockId],
    ) -> Result<(), Overflow> {
        for &id in ended {
            let Some(place) = blocks.iter().position(|block| block.id == id) else {
                self.changed.retain(|after| after.id != id);
                self.changed.push(BlockAfter {
                    id,
                    remaining: Credits::ZERO,
                    state: BlockState::Expired,
                });
                continue;
            };
            let mut block = blocks.swap_remove(place);
            let cause = Cause {
                kind: EntryKind::Expiry,
                effect_key: format!("expire:{id}"),
                usage: None,
            };
            let account = &mut state.account;
            let entry = grant::end(account, &mut block, BlockState::Expired, cause, "Credits expired")?;
            self.entries.extend(entry);
            self.note(&block);
        }
        Ok(())
    }

    fn note(&mut self, block: &Block) {
        self.changed.retain(|after| after.id != block.id);
        self.changed.push(BlockAfter {
            id: block.id,
            remaining: block.remaining,
            state: block.state,
        });
    }
}

/// The line of the ledger.
fn describe(source: Source) -> &'static str {
    match source {
        Source::PlanGrant => "Credits of the plan",
        Source::Included => "Credits included with the plan",
        Source::Bonus => "Bonus of the plan",
        Source::Promotion => "Promotion of the plan",
        Source::Trial => "Credits of the trial",
        Source::Rollover => "Credits rolled over",
        Source::Purchase | Source::Adjustment => "Credits granted",
    }
}
