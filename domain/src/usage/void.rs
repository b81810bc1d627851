//! Taking one event back, once.
//!
//! Afterwards the count of the cycle stands as if the event had never been, and so does its total: what returns is
//! `C(u) − C(u − n)`, which is the event's own cost unless a tier lies between. It returns first to the purses that paid for
//! the event, then to those last debited for the metric; what belonged to a block that has expired returns to nowhere. What the count has
//! written off comes back before all of that, to the vendor.

use super::{CounterKey, CustomerState, UsageError, event::PendingEvent};
use crate::{
    amount::{Credits, Overflow},
    credit::{
        block::Block,
        burn::GivenBack,
        draws::{Draw, Draws, Moved, Moves, Purse},
    },
    customer::Settlement,
    ledger::{Cause, Entry, EntryKind, UsageCause},
    metering::{Position, rule::MeteringRule},
    time::Timestamp,
};

/// The event to take back, as it was rated.
#[derive(Debug, Clone)]
pub struct RatedUsage<'a> {
    /// The event.
    pub event: PendingEvent,
    /// The version that priced it; `None`: it was free of charge.
    pub rule: Option<&'a MeteringRule>,
    /// The count it moved.
    pub counter: CounterKey,
    /// Where its cost was drawn from; empty when it returned credits.
    pub draws: Draws,
}

/// What taking it back came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Voided {
    /// New ledger entries, in order.
    pub entries: Vec<Entry>,
    /// Credits that the cycle costs less now (negative: more, where a volume tier is lost).
    pub credits: Credits,
    /// Of these, credits that returned to nowhere because their block has ended.
    pub lapsed: Credits,
    /// Of these, credits that had been overdraft and were repaid since. The caller puts them into a new block.
    pub homeless: Credits,
}

/// Takes a rated event back at an instant. `state` moves on; on an error it must be dropped.
///
/// # Errors
/// A count or a balance outside its range.
pub fn void(state: &mut CustomerState, usage: &RatedUsage<'_>, at: Timestamp) -> Result<Voided, UsageError> {
    let voided = take_back(state, usage, at).map_err(|_| UsageError::TooLarge(usage.event.id))?;
    state.check()?;
    Ok(voided)
}

fn take_back(state: &mut CustomerState, usage: &RatedUsage<'_>, at: Timestamp) -> Result<Voided, Overflow> {
    let count = state.counters.entry(usage.counter).or_default();
    let to = count.position.without(usage.event.units)?;
    let credits = match usage.rule {
        // An empty cycle costs nothing, whatever versions have priced it.
        _ if to.events == 0 => count.credits,
        // Not more than the cycle has cost, should a later version have moved the count into a dearer tier.
        Some(rule) => rule.price.between(to, count.position)?.min(count.credits),
        None => Credits::ZERO,
    };
    let from = count.position;
    count.position = to;
    count.credits = count.credits.minus(credits)?;
    if credits.is_negative() {
        return charge_again(state, usage, credits, at);
    }
    let draws = owners(&mut count.draws, &usage.draws, credits)?;
    let given = state.funds.give_back(&draws, at)?;
    let mut voided = Voided {
        credits,
        lapsed: given.lapsed,
        homeless: given.homeless,
        ..Voided::default()
    };
    let mut moves = Moves::default();
    for part in &given.returns {
        moves.add(part.to, part.credits)?;
    }
    let mut moves = moves.as_slice().to_vec();
    // First it is overdraft again, so that the overdraft never dips below zero.
    moves.sort_by_key(|part| part.purse != Purse::WrittenOff);
    for Moved { purse, credits } in moves {
        let cause = cause(usage, from, to, purse);
        let text = match purse {
            Purse::WrittenOff => "Usage taken back: not written off any more",
            Purse::Block(_) | Purse::Overdraft => "Usage taken back",
        };
        voided
            .entries
            .push(state.account.refund(purse, credits, cause, text)?);
    }
    repay_overdraft(state, &given, &mut voided)?;
    Ok(voided)
}

/// Had the event never been, its credits would have paid for what became overdraft after it. No more than returned.
fn repay_overdraft(
    state: &mut CustomerState,
    given: &GivenBack,
    voided: &mut Voided,
) -> Result<(), Overflow> {
    if state.settlement != Settlement::NextPurchase {
        return Ok(());
    }
    let returned = |block: &Block| {
        let part = given
            .returns
            .iter()
            .find(|part| part.to == Purse::Block(block.id));
        part.map_or(Credits::ZERO, |part| part.credits)
    };
    for draw in state.funds.repay(returned)? {
        voided.entries.push(state.account.repayment(draw)?);
    }
    Ok(())
}

/// Losing a cheap volume tier makes the rest dearer: the difference is debited like usage.
fn charge_again(
    state: &mut CustomerState,
    usage: &RatedUsage<'_>,
    credits: Credits,
    at: Timestamp,
) -> Result<Voided, Overflow> {
    let mut voided = Voided {
        credits,
        ..Voided::default()
    };
    let count = state.counters.entry(usage.counter).or_default();
    let position = count.position;
    let mut moves = Moves::default();
    for draw in state.funds.burn(credits.negated()?, usage.event.metric, at)? {
        count.draws.push(draw)?;
        moves.add(draw.from, draw.credits)?;
    }
    for &Moved { purse: from, credits } in moves.as_slice() {
        let cause = cause(usage, position.after(usage.event.units)?, position, from);
        let text = match from {
            Purse::WrittenOff => "Usage taken back, volume price lost, beyond the bound: written off",
            Purse::Block(_) | Purse::Overdraft => "Usage taken back, volume price lost",
        };
        let draw = Draw { from, credits };
        voided.entries.push(state.account.withdrawal(draw, cause, text)?);
    }
    Ok(voided)
}

/// Whose credits return: what was written off, then the event's own purses, then those last debited for the same count.
fn owners(all: &mut Draws, own: &Draws, amount: Credits) -> Result<Vec<Draw>, Overflow> {
    let mut returns = Draws::default();
    let written_off = all.forget(Draw {
        from: Purse::WrittenOff,
        credits: amount,
    });
    returns.push(Draw {
        from: Purse::WrittenOff,
        credits: written_off,
    })?;
    let mut left = amount.minus(written_off)?;
    for draw in own.as_slice().iter().rev() {
        // Only what the count still holds: a price drop or another void may have returned some of it.
        let credits = all.forget(Draw {
            credits: draw.credits.min(left),
            ..*draw
        });
        left = left.minus(credits)?;
        returns.push(Draw { credits, ..*draw })?;
    }
    for draw in all.pop(left) {
        returns.push(draw)?;
    }
    Ok(returns.as_slice().to_vec())
}

fn cause(usage: &RatedUsage<'_>, from: Position, to: Position, purse: Purse) -> Cause {
    Cause {
        kind: match purse {
            Purse::WrittenOff => EntryKind::WriteOff,
            Purse::Block(_) | Purse::Overdraft => EntryKind::Void,
        },
        effect_key: format!("void:{}:{purse}", usage.event.id),
        usage: Some(UsageCause {
            metric: usage.event.metric,
            rule: usage.rule.map(|rule| rule.id),
            period_start: usage.counter.period_start,
            from,
            to,
            first_event: usage.event.id,
            last_event: usage.event.id,
            events: 1,
        }),
    }
}
