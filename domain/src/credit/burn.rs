//! Burning: which block pays next, and how credits go back.
//!
//! The order is total, so that every worker on every database takes the same block:
//! **higher priority first**, then expiring before never-expiring, then sooner expiry, then free before prepaid before budget,
//! then older, then id. Credits that expire are used before credits that stay (source P3); a postpaid budget of priority 10
//! burns before included credits of priority 0 (source P4).

use std::cmp::Reverse;

use super::{
    block::{Billing, Block, BlockState},
    draws::{Draw, Purse},
};
use crate::{
    amount::{Credits, Overflow},
    id::MetricId,
    time::Timestamp,
};

/// The place of a block in the burn order; smaller burns first.
#[must_use]
pub fn rank(block: &Block) -> impl Ord + use<> {
    let billing = match block.billing {
        Billing::Free => 0,
        Billing::Prepaid => 1,
        Billing::Budget => 2,
    };
    (
        Reverse(block.priority),
        block.expires_at.is_none(),
        block.expires_at,
        billing,
        block.granted_at,
        block.id,
    )
}

/// The blocks and the overdraft of one customer, while they are worked on. Blocks stand in burn order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Funds {
    blocks: Vec<Block>,
    overdraft: Credits,
    bound: Option<Bound>,
}

/// How far usage may let the overdraft grow. What lands beyond is written off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The most that usage lets the customer owe, zero or more.
    pub most: Credits,
    /// What blocks have repaid of the overdraft that were granted after usage which is still to be debited. When that usage was accepted it was
    /// still owed, so whoever comes round late finds the same room as whoever comes at once.
    pub repaid: Vec<Repaid>,
}

/// Overdraft that a block has repaid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repaid {
    /// When the block was granted.
    pub granted_at: Timestamp,
    /// How much it has repaid, more than zero.
    pub credits: Credits,
}

impl Bound {
    /// What more may be owed for usage that was accepted at an instant, zero or more.
    fn room(&self, overdraft: Credits, at: Timestamp) -> Credits {
        let since = self.repaid.iter().filter(|it| it.granted_at > at);
        let since: i128 = since.map(|it| i128::from(it.credits.raw())).sum();
        let room = i128::from(self.most.raw()) - i128::from(overdraft.raw()) - since;
        Credits::from_raw(i64::try_from(room.max(0)).unwrap_or(i64::MAX))
    }
}

/// Credits that went back to one purse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Return {
    /// Where they went.
    pub to: Purse,
    /// How many. For [`Purse::Overdraft`] the overdraft shrank by as much, for [`Purse::WrittenOff`] what the vendor has taken upon itself.
    pub credits: Credits,
}

/// What became of credits that were given back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenBack {
    /// What found its purse.
    pub returns: Vec<Return>,
    /// What belonged to a block that has expired or was revoked, and is gone.
    pub lapsed: Credits,
    /// What belonged to an overdraft that has been repaid since, and needs a new block.
    pub homeless: Credits,
}

impl Funds {
    /// Blocks in any order, and the overdraft (zero or more).
    #[must_use]
    pub fn new(mut blocks: Vec<Block>, overdraft: Credits) -> Self {
        blocks.sort_by_cached_key(rank);
        Self {
            blocks,
            overdraft,
            bound: None,
        }
    }

    /// The same funds with a bound on what usage may let the customer owe; `None`: without one.
    #[must_use]
    pub fn bounded(self, bound: Option<Bound>) -> Self {
        Self { bound, ..self }
    }

    /// Other blocks and another overdraft under the same bound.
    #[must_use]
    pub fn with(&self, blocks: Vec<Block>, overdraft: Credits) -> Self {
        Self::new(blocks, overdraft).bounded(self.bound.clone())
    }

    /// Blocks in burn order.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// What no block could cover, zero or more.
    #[must_use]
    pub fn overdraft(&self) -> Credits {
        self.overdraft
    }

    /// How far usage may let the overdraft grow; `None`: without a bound.
    #[must_use]
    pub fn bound(&self) -> Option<&Bound> {
        self.bound.as_ref()
    }

    /// Takes `amount` (zero or more) for a metric from the blocks open at `at`, in order; the rest becomes overdraft, and
    /// what is beyond the bound is written off.
    ///
    /// # Errors
    /// An overdraft outside the range of credits. The funds are then half used and must be dropped.
    pub fn burn(&mut self, amount: Credits, metric: MetricId, at: Timestamp) -> Result<Vec<Draw>, Overflow> {
        let mut draws = Vec::new();
        self.burn_into(&mut draws, amount, metric, at)?;
        Ok(draws)
    }

    /// The same, appending to a list that is at hand.
    ///
    /// # Errors
    /// As for [`Self::burn`].
    pub fn burn_into(
        &mut self,
        draws: &mut Vec<Draw>,
        amount: Credits,
        metric: MetricId,
        at: Timestamp,
    ) -> Result<(), Overflow> {
        let mut left = amount;
        for block in &mut self.blocks {
            if left.is_zero() {
                return Ok(());
            }
            if block.remaining.is_zero() || !block.is_open_at(at) || !block.pays_for(metric) {
                continue;
            }
            let part = left.min(block.remaining);
            block.remaining = block.remaining.minus(part)?;
            left = left.minus(part)?;
            draws.push(Draw {
                from: Purse::Block(block.id),
                credits: part,
            });
        }
        let room = self.bound.as_ref();
        let room = room.map_or(Credits::MAX, |bound| bound.room(self.overdraft, at));
        let owed = left.min(room);
        self.overdraft = self.overdraft.plus(owed)?;
        for (from, credits) in [(Purse::Overdraft, owed), (Purse::WrittenOff, left.minus(owed)?)] {
            if !credits.is_zero() {
                draws.push(Draw { from, credits });
            }
        }
        Ok(())
    }

    /// Gives draws back to where they came from, in the order given.
    ///
    /// # Errors
    /// A sum outside the range of credits.
    pub fn give_back(&mut self, draws: &[Draw], at: Timestamp) -> Result<GivenBack, Overflow> {
        let mut given = GivenBack::default();
        for draw in draws {
            match draw.from {
                Purse::Overdraft => {
                    let part = draw.credits.min(self.overdraft);
                    self.overdraft = self.overdraft.minus(part)?;
                    given.homeless = given.homeless.plus(draw.credits.minus(part)?)?;
                    given.note(Purse::Overdraft, part);
                }
                // Nobody has paid for it, so it is a gift to nobody: it only is not written off any more.
                Purse::WrittenOff => given.note(Purse::WrittenOff, draw.credits),
                Purse::Block(id) => {
                    let block = self
                        .blocks
                        .iter_mut()
                        .find(|block| block.id == id && block.can_take_back(at));
                    let room = block
                        .as_ref()
                        .map_or(Ok(Credits::ZERO), |it| it.credits.minus(it.remaining))?;
                    let part = draw.credits.min(room);
                    if let Some(block) = block {
                        block.remaining = block.remaining.plus(part)?;
                    }
                    given.lapsed = given.lapsed.plus(draw.credits.minus(part)?)?;
                    given.note(draw.from, part);
                }
            }
        }
        Ok(given)
    }

    /// Repays overdraft from blocks that are not a budget, in the order in which they were granted and from each at most what
    /// `most` allows. Returns what each block paid.
    ///
    /// # Errors
    /// None in practice: amounts only shrink.
    pub fn repay(&mut self, most: impl Fn(&Block) -> Credits) -> Result<Vec<Draw>, Overflow> {
        let mut order: Vec<usize> = (0..self.blocks.len()).collect();
        order.sort_by_key(|&index| (self.blocks[index].granted_at, self.blocks[index].id));
        let mut draws = Vec::new();
        for index in order {
            let block = &mut self.blocks[index];
            let part = self.overdraft.min(block.remaining).min(most(block));
            if part.is_zero() || block.billing == Billing::Budget {
                continue;
            }
            block.remaining = block.remaining.minus(part)?;
            self.overdraft = self.overdraft.minus(part)?;
            if let Some(bound) = &mut self.bound {
                bound.repaid.push(Repaid {
                    granted_at: block.granted_at,
                    credits: part,
                });
            }
            draws.push(Draw {
                from: Purse::Block(block.id),
                credits: part,
            });
        }
        Ok(draws)
    }
}

impl Block {
    /// Whether credits may return: the block is there and its time has not run out.
    fn can_take_back(&self, at: Timestamp) -> bool {
        self.state == BlockState::Active && self.expires_at.is_none_or(|end| at < end)
    }
}

impl GivenBack {
    fn note(&mut self, to: Purse, credits: Credits) {
        if credits.is_positive() {
            self.returns.push(Return { to, credits });
        }
    }
}
