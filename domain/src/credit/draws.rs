//! Where credits were drawn from, most recent last, so that they can go back where they came from.

use std::{fmt, fmt::Write as _, str::FromStr};

use crate::{
    amount::{Credits, Overflow},
    id::{BlockId, NotAnId},
};

/// How the overdraft is called in rows.
pub const OVERDRAFT: &str = "overdraft";
/// How what was written off is called in rows.
pub const WRITTEN_OFF: &str = "written_off";

/// A place that credits are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purse {
    /// A block.
    Block(BlockId),
    /// What no block could cover, and the customer owes.
    Overdraft,
    /// What no block could cover, and the vendor has taken upon itself.
    WrittenOff,
}

impl Purse {
    /// The block, if it is one.
    #[must_use]
    pub fn block(self) -> Option<BlockId> {
        match self {
            Self::Block(id) => Some(id),
            Self::Overdraft | Self::WrittenOff => None,
        }
    }
}

/// Credits drawn from one purse, more than zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// From where.
    pub from: Purse,
    /// How much.
    pub credits: Credits,
}

/// Net amounts per purse, ordered by last use. A purse occurs once.
///
/// What was written off stands behind all others, whenever that was, and so is the first that comes back: had there been less usage, less
/// of it would have been beyond the bound.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draws(Vec<Draw>);

impl Draws {
    /// Adds a draw; its purse becomes the last used.
    ///
    /// # Errors
    /// A total outside the range of credits.
    pub fn push(&mut self, draw: Draw) -> Result<(), Overflow> {
        let mut credits = draw.credits;
        let mut end = self.end_for(draw.from);
        // Nearly always the purse in use is the last one: no move is needed then.
        if let Some(index) = self.0.iter().rposition(|known| known.from == draw.from) {
            credits = credits.plus(self.0[index].credits)?;
            if index + 1 == end {
                self.0[index].credits = credits;
                return Ok(());
            }
            self.0.remove(index);
            end -= 1;
        }
        if credits.is_positive() {
            let from = draw.from;
            self.0.insert(end, Draw { from, credits });
        }
        Ok(())
    }

    /// Behind which place a purse stands when it was used last.
    fn end_for(&self, purse: Purse) -> usize {
        let written_off = self.0.last().is_some_and(|last| last.from == Purse::WrittenOff);
        self.0.len() - usize::from(written_off && purse != Purse::WrittenOff)
    }

    /// Takes back up to `amount`, last used first. Returns what was found.
    pub fn pop(&mut self, amount: Credits) -> Vec<Draw> {
        let mut left = amount.raw();
        let mut found = Vec::new();
        while left > 0 {
            let Some(last) = self.0.last_mut() else { break };
            let part = last.credits.raw().min(left);
            left -= part;
            found.push(Draw {
                from: last.from,
                credits: Credits::from_raw(part),
            });
            last.credits = Credits::from_raw(last.credits.raw() - part);
            if last.credits.is_zero() {
                self.0.pop();
            }
        }
        found
    }

    /// Removes up to `credits` of one purse, wherever it stands. Returns what was found.
    pub fn forget(&mut self, draw: Draw) -> Credits {
        let Some(index) = self.0.iter().position(|known| known.from == draw.from) else {
            return Credits::ZERO;
        };
        let held = self.0[index].credits;
        if draw.credits < held {
            self.0[index].credits = Credits::from_raw(held.raw() - draw.credits.raw());
            return draw.credits;
        }
        self.0.remove(index);
        held
    }

    /// Every draw, last used last.
    #[must_use]
    pub fn as_slice(&self) -> &[Draw] {
        &self.0
    }

    /// Whether nothing was drawn.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Signed changes, one per purse: positive when credits were drawn from it. What was written off was overdraft first: the ledger tells of
/// the usage in full, and then of the write-off.
#[derive(Debug, Default)]
pub(crate) struct Moves(Vec<Moved>);

/// Signed change of one purse.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moved {
    pub(crate) purse: Purse,
    pub(crate) credits: Credits,
}

impl Moves {
    /// Adds a change, and where it is one of what was written off, the same of the overdraft that it was.
    pub(crate) fn add(&mut self, purse: Purse, credits: Credits) -> Result<(), Overflow> {
        if purse == Purse::WrittenOff {
            self.sum_up(Purse::Overdraft, credits)?;
        }
        self.sum_up(purse, credits)
    }

    fn sum_up(&mut self, purse: Purse, credits: Credits) -> Result<(), Overflow> {
        match self.0.iter_mut().find(|known| known.purse == purse) {
            Some(known) => known.credits = known.credits.plus(credits)?,
            None => self.0.push(Moved { purse, credits }),
        }
        Ok(())
    }

    /// Forgets all, and keeps the room.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The changes, in the order of first use.
    pub(crate) fn as_slice(&self) -> &[Moved] {
        &self.0
    }
}

impl fmt::Display for Purse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block(id) => id.fmt(f),
            Self::Overdraft => f.write_str(OVERDRAFT),
            Self::WrittenOff => f.write_str(WRITTEN_OFF),
        }
    }
}

impl fmt::Display for Draws {
    /// `blk_…:1500000,overdraft:20`, in micro-credits; the form kept in rows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, draw) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_char(',')?;
            }
            write!(f, "{}:{}", draw.from, draw.credits.raw())?;
        }
        Ok(())
    }
}

impl FromStr for Draws {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let draw = |part: &str| {
            let (from, raw) = part.split_once(':').ok_or(NotAnId)?;
            let from = match from {
                OVERDRAFT => Purse::Overdraft,
                WRITTEN_OFF => Purse::WrittenOff,
                id => Purse::Block(id.parse()?),
            };
            Ok(Draw {
                from,
                credits: Credits::from_raw(raw.parse().map_err(|_| NotAnId)?),
            })
        };
        text.split(',')
            .filter(|part| !part.is_empty())
            .map(draw)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const WRITE_OFF: u128 = 99;

    fn draw(block: u128, raw: i64) -> Draw {
        let from = match block {
            0 => Purse::Overdraft,
            WRITE_OFF => Purse::WrittenOff,
            id => Purse::Block(BlockId(Uuid::from_u128(id))),
        };
        Draw {
            from,
            credits: Credits::from_raw(raw),
        }
    }

    fn draws(list: &[(u128, i64)]) -> Draws {
        let mut all = Draws::default();
        for &(block, raw) in list {
            all.push(draw(block, raw)).unwrap_or_else(|_| panic!("{list:?}"));
        }
        all
    }

    #[test]
    fn last_in_first_out() {
        let mut all = draws(&[(1, 10), (2, 20), (1, 5), (0, 3)]);
        assert_eq!(all.as_slice(), [draw(2, 20), draw(1, 15), draw(0, 3)]);
        assert_eq!(all.pop(Credits::from_raw(10)), [draw(0, 3), draw(1, 7)]);
        assert_eq!(all.as_slice(), [draw(2, 20), draw(1, 8)]);
        all.forget(draw(2, 100));
        assert_eq!(all.pop(Credits::from_raw(100)), [draw(1, 8)]);
        assert!(all.is_empty());
    }

    #[test]
    fn what_was_written_off_comes_back_first() {
        let mut all = draws(&[
            (1, 10),
            (WRITE_OFF, 3),
            (2, 20),
            (WRITE_OFF, 1),
            (1, 5),
            (1, 1),
            (0, 2),
        ]);
        let wanted = [draw(2, 20), draw(1, 16), draw(0, 2), draw(WRITE_OFF, 4)];
        assert_eq!(all.as_slice(), wanted);
        assert_eq!(
            all.pop(Credits::from_raw(7)),
            [draw(WRITE_OFF, 4), draw(0, 2), draw(1, 1)]
        );
        assert_eq!(all.as_slice(), [draw(2, 20), draw(1, 15)]);
    }

    #[test]
    fn text_form() {
        for all in [
            draws(&[]),
            draws(&[(1, 10), (0, 3)]),
            draws(&[(0, 3), (WRITE_OFF, 7)]),
        ] {
            assert_eq!(all.to_string().parse(), Ok(all));
        }
        assert!("blk_nonsense:3".parse::<Draws>().is_err());
        assert!("overdraft".parse::<Draws>().is_err());
    }
}
