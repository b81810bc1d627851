//! When a customer is told that credits will be gone: 30, 7 and 1 days before a block ends.
//!
//! Only blocks with an end of their own are looked at: what ends with a billing cycle comes again with the next one. A stage that lies before
//! the grant, or begins with it, is none of the block's. Blocks that come to the same stage within a day of each other are told of at once.

use std::cmp::Reverse;

use crate::{amount::Credits, id::BlockId, time::Timestamp};

/// Days before the end of a block at which its customer is told, longest first.
pub const STAGES: [i64; 3] = [30, 7, 1];
/// Blocks that come to a stage within so many seconds after the first are told of with it: who buys credits many times a day hears of a stage
/// once a day.
pub const TOGETHER_SECONDS: i64 = DAY;
/// Seconds of a day.
const DAY: i64 = 86_400;

/// A block that its customer may have to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiring {
    /// First instant at which it may pay no longer.
    pub expires_at: Timestamp,
    /// Which.
    pub block: BlockId,
    /// Credits left; zero or more.
    pub remaining: Credits,
    /// When it comes to its next stage.
    pub notice_at: Timestamp,
}

/// What a customer is told at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The stage: days before the end.
    pub days: i64,
    /// When the first of the blocks came to it.
    pub at: Timestamp,
    /// The blocks, at least one, the soonest end first. Each has credits left.
    pub blocks: Vec<Expiring>,
}

/// What comes of a look at a customer's blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// What is told.
    pub notices: Vec<Notice>,
    /// When blocks that were due or told of come to their next stage; `None`: there is none.
    pub next: Vec<(BlockId, Option<Timestamp>)>,
}

/// When a block that ends at an instant comes to its first stage after another instant: its grant, its last stage, or the change of its end.
#[must_use]
pub fn next_notice(after: Timestamp, expires_at: Timestamp) -> Option<Timestamp> {
    stages(expires_at).map(|(_, at)| at).find(|at| *at > after)
}

/// Decides what a customer is told at an instant. `blocks` are those that have come to a stage by then, and those that come to one within
/// [`TOGETHER_SECONDS`] after it. Of stages that were missed only the last is told, and none once the block has ended.
#[must_use]
pub fn look(blocks: &[Expiring], now: Timestamp) -> Told {
    let mut at_stages: Vec<(Reverse<i64>, Timestamp, Expiring)> = blocks
        .iter()
        .filter(|block| block.remaining.is_positive())
        .filter_map(|block| {
            let (days, at) = block.stage(now)?;
            Some((Reverse(days), at, *block))
        })
        .collect();
    at_stages.sort_unstable();
    let mut notices: Vec<Notice> = Vec::new();
    for (Reverse(days), at, block) in at_stages {
        match notices.last_mut() {
            Some(first) if first.days == days && at <= first.at.plus_seconds(TOGETHER_SECONDS) => {
                first.blocks.push(block);
            }
            _ if at <= now => notices.push(Notice {
                days,
                at,
                blocks: vec![block],
            }),
            _ => {}
        }
    }
    let told = |block: &Expiring| notices.iter().any(|notice| notice.blocks.contains(block));
    let passed = blocks
        .iter()
        .filter(|block| block.notice_at <= now || told(block));
    Told {
        next: passed
            .map(|it| (it.block, next_notice(it.notice_at.max(now), it.expires_at)))
            .collect(),
        notices,
    }
}

impl Expiring {
    /// The last stage that the block has come to at an instant, or comes to next, and when it does; `None`: there is none, or it has ended.
    fn stage(&self, now: Timestamp) -> Option<(i64, Timestamp)> {
        let by = self.notice_at.max(now);
        let reached = stages(self.expires_at).filter(|(_, at)| *at <= by);
        reached.last().filter(|_| now < self.expires_at)
    }
}

impl Notice {
    /// Days from an instant until the first of the blocks ends, rounded up: those of the stage, unless it is told late.
    #[must_use]
    pub fn days_left(&self, now: Timestamp) -> i64 {
        let first = self.blocks.first().map_or(now, |block| block.expires_at);
        let micros = first.micros() - now.micros();
        // Rounded up, so that the last hour is a day and not none.
        -(-micros).div_euclid(DAY * 1_000_000)
    }

    /// Credits left in all of the blocks.
    #[must_use]
    pub fn credits(&self) -> Credits {
        // They are a part of the account's total, which is in range.
        Credits::total(self.blocks.iter().map(|block| block.remaining)).unwrap_or(Credits::MAX)
    }
}

/// The stages of a block that ends at an instant, in order: days, and when they come.
fn stages(expires_at: Timestamp) -> impl Iterator<Item = (i64, Timestamp)> {
    STAGES
        .into_iter()
        .map(move |days| (days, expires_at.plus_seconds(-days * DAY)))
}

#[cfg(test)]
mod tests;
