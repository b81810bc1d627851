//! The entries of one customer, replayed one after the other from where the last audit stood, or from the beginning.

use std::collections::{BTreeMap, HashSet};

use domain::{
    amount::Credits,
    id::{BlockId, CustomerId, EntryId},
    ledger::{EntryKind, chain::EntryHash},
};
use entity::{account, ledger_entry};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Check, Findings};

/// Where a replay stands. Kept between audits, so that an audit costs what is new and not what has ever been.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::audit) struct Place {
    /// Number of the last entry.
    pub(in crate::audit) sequence: i64,
    /// Its hash.
    pub(in crate::audit) head: EntryHash,
    /// Balance after it.
    pub(in crate::audit) balance: i64,
    /// Overdraft after it.
    pub(in crate::audit) overdraft: i64,
    /// What blocks hold by their entries, without the empty ones.
    pub(in crate::audit) blocks: BTreeMap<BlockId, i64>,
    /// The latest instant at which the account has moved. Not always the last: clocks of processes disagree, and may be set back.
    pub(in crate::audit) instant: i64,
    /// What was debited at that very instant: ratings of the same instant may still be compared with it.
    pub(in crate::audit) debits: Vec<(Option<BlockId>, i64)>,
    /// What was written off, less what was taken back of it.
    #[serde(default)]
    pub(in crate::audit) written_off: i64,
    /// What may be owed whatever the bound of the overdraft.
    #[serde(default)]
    pub(in crate::audit) excused: Excused,
}

/// What may be owed although it lies beyond the bound that was agreed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::audit) struct Excused {
    /// Number of the last entry when the bound was agreed.
    since: i64,
    /// What was owed then.
    owed: i64,
    /// What was added since because money went back.
    reversed: i64,
}

/// What was debited, by instant and purse (`None`: the overdraft). Positive when credits were drawn.
pub(in crate::audit) type Debits = BTreeMap<(i64, Option<Uuid>), i128>;

/// A replay under way.
#[derive(Debug)]
pub(in crate::audit) struct Replay {
    pub(in crate::audit) place: Place,
    pub(in crate::audit) debits: Debits,
    /// Blocks that entries of this replay have touched.
    pub(in crate::audit) touched: HashSet<Uuid>,
    /// First deposits seen: block and credits.
    pub(in crate::audit) deposits: BTreeMap<Uuid, i64>,
    /// Effect keys of the first entries of blocks that were seen.
    pub(in crate::audit) causes: BTreeMap<Uuid, String>,
    ended: HashSet<Uuid>,
    from_beginning: bool,
    /// Number of the last entry when the present bound of the overdraft was agreed.
    bounded_from: i64,
}

impl Replay {
    /// Goes on from a place, of a customer the bound of whose overdraft was agreed after an entry.
    pub(in crate::audit) fn from(place: Place, bounded_from: i64) -> Self {
        let debits = place
            .debits
            .iter()
            .map(|(block, credits)| ((place.instant, block.map(|block| block.0)), i128::from(*credits)))
            .collect();
        let mut replay = Self {
            from_beginning: place.sequence == 0,
            bounded_from,
            place,
            debits,
            touched: HashSet::new(),
            deposits: BTreeMap::new(),
            causes: BTreeMap::new(),
            ended: HashSet::new(),
        };
        replay.excuse(0);
        replay
    }

    /// Notes what may be owed whatever the bound: what is owed when it is agreed, and what reversals add afterwards.
    fn excuse(&mut self, reversed: i64) {
        let place = &mut self.place;
        if place.sequence == self.bounded_from {
            place.excused = Excused {
                since: self.bounded_from,
                owed: place.overdraft,
                reversed: 0,
            };
        } else {
            place.excused.reversed = place.excused.reversed.saturating_add(reversed.max(0));
        }
    }

    /// Takes the next entry. After a fault it goes on from what the entry says, so that one fault is one finding.
    pub(in crate::audit) fn take(&mut self, entry: &ledger_entry::Model, found: &mut Findings) {
        let id = EntryId {
            customer: CustomerId(entry.customer_id),
            sequence: entry.sequence,
        };
        self.number(entry, id, found);
        self.totals(entry, id, found);
        self.block(entry, id, found);
        self.note_debit(entry);
        if entry.kind == EntryKind::WriteOff.as_str() {
            self.place.written_off = self.place.written_off.saturating_add(entry.credits);
        }
        let reversal = entry.kind == EntryKind::Reversal.as_str();
        self.excuse(if reversal { entry.overdraft_change } else { 0 });
    }

    fn number(&mut self, entry: &ledger_entry::Model, id: EntryId, found: &mut Findings) {
        let due = self.place.sequence + 1;
        found.expect(entry.sequence == due, Check::LedgerSequence, id, || {
            format!("number {} follows number {}", entry.sequence, due - 1)
        });
        self.place.sequence = entry.sequence;
        let hash = self.place.head.next(&entry.content());
        found.expect(hash.as_bytes() == entry.hash, Check::LedgerChain, id, || {
            format!("its content and the entry before give {hash}, it has another hash")
        });
        self.place.head = EntryHash::from_bytes(&entry.hash).unwrap_or_default();
    }

    fn totals(&mut self, entry: &ledger_entry::Model, id: EntryId, found: &mut Findings) {
        let balance = i128::from(self.place.balance) + i128::from(entry.credits);
        let overdraft = i128::from(self.place.overdraft) + i128::from(entry.overdraft_change);
        let holds = (i128::from(entry.balance_after), i128::from(entry.overdraft_after))
            == (balance, overdraft)
            && entry.overdraft_after >= 0;
        found.expect(holds, Check::LedgerBalance, id, || {
            format!(
                "it says balance {} and overdraft {}, they come to {balance} and {overdraft}",
                entry.balance_after, entry.overdraft_after
            )
        });
        (self.place.balance, self.place.overdraft) = (entry.balance_after, entry.overdraft_after);
    }

    fn block(&mut self, entry: &ledger_entry::Model, id: EntryId, found: &mut Findings) {
        let Some(block) = entry.block_id else {
            found.expect(
                i128::from(entry.credits) == -i128::from(entry.overdraft_change),
                Check::LedgerBalance,
                id,
                || "credits came from no block and no overdraft".to_owned(),
            );
            return;
        };
        let first = self.touched.insert(block) && self.from_beginning;
        if first || entry.kind == EntryKind::Grant.as_str() {
            self.deposits.entry(block).or_insert(entry.credits);
            self.causes
                .entry(block)
                .or_insert_with(|| entry.effect_key.clone());
        }
        found.expect(!self.ended.contains(&block), Check::BlockEnded, id, || {
            format!("{} had ended before", BlockId(block))
        });
        if entry.kind == EntryKind::Expiry.as_str() || entry.kind == EntryKind::Revocation.as_str() {
            self.ended.insert(block);
        }
        let change = entry.credits.saturating_add(entry.overdraft_change);
        let held = self.place.blocks.entry(BlockId(block)).or_default();
        *held = held.saturating_add(change);
        if *held == 0 {
            self.place.blocks.remove(&BlockId(block));
        }
    }

    fn note_debit(&mut self, entry: &ledger_entry::Model) {
        // Credits that return for a repaid overdraft go into a block of their own and say nothing of usage.
        if entry.kind != EntryKind::Debit.as_str() || entry.metric_id.is_none() {
            return;
        }
        let sum = self.debits.entry((entry.created_at, entry.block_id)).or_default();
        *sum -= i128::from(entry.credits);
    }

    /// Compares what is owed with the most that terms let usage take it to. A place that knows nothing of these terms says nothing.
    pub(in crate::audit) fn bounded(&self, who: CustomerId, bound: Option<Credits>, found: &mut Findings) {
        let Excused {
            since,
            owed,
            reversed,
        } = self.place.excused;
        let Some(bound) = bound.filter(|_| since == self.bounded_from) else {
            return;
        };
        let most = i128::from(bound.raw().max(owed)) + i128::from(reversed);
        let overdraft = self.place.overdraft;
        found.expect(i128::from(overdraft) <= most, Check::AccountBound, who, || {
            format!("{overdraft} are owed, its terms allow {most}")
        });
    }

    /// Compares the end with the account.
    pub(in crate::audit) fn finish(&mut self, account: &account::Model, found: &mut Findings) {
        let who = CustomerId(account.customer_id);
        let place = &self.place;
        found.expect(
            account.sequence == place.sequence,
            Check::LedgerSequence,
            who,
            || {
                format!(
                    "the account says {} entries, the last is {}",
                    account.sequence, place.sequence
                )
            },
        );
        found.expect(
            account.head == place.head.as_bytes(),
            Check::LedgerChain,
            who,
            || format!("the last entry has the hash {}, the account another", place.head),
        );
        let balance = i128::from(account.blocks) - i128::from(account.overdraft);
        let holds = (balance, account.overdraft) == (i128::from(place.balance), place.overdraft);
        found.expect(holds, Check::LedgerBalance, who, || {
            format!(
                "the account says balance {balance} and overdraft {}, the last entry {} and {}",
                account.overdraft, place.balance, place.overdraft
            )
        });
        let debited = self.debits.keys().next_back().map(|(instant, _)| *instant);
        let at = self
            .place
            .instant
            .max(account.updated_at)
            .max(debited.unwrap_or(i64::MIN));
        self.place.instant = at;
        self.place.debits = self
            .debits
            .range((at, None)..=(at, Some(Uuid::max())))
            .filter_map(|((_, block), sum)| Some((block.map(BlockId), i64::try_from(*sum).ok()?)))
            .collect();
    }
}
