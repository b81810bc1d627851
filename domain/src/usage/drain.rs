//! Draining: a customer's pending events become debits.
//!
//! Events are folded in the order of acceptance. Each moves a [`super::Counter`] and costs the difference of two
//! cumulative prices; the blocks open when it was accepted pay in burn order; the rest is overdraft. A block granted after
//! the event does not pay for it, but may repay the overdraft, exactly as if the event had been drained before the grant. So
//! the end state does not depend on when workers come round.
//!
//! Where the customer's terms bound the overdraft ([`crate::customer::Terms::bound`]), what an event takes beyond the bound is written off.
//! The ledger tells of the debit in full and of the write-off.
//!
//! Entries are one per (metric, rule, cycle, purse) and batch; late usage has entries of its own that name its original cycle.
//! Splitting a batch changes how many entries there are, never what they add up to.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Counter, CounterKey, CustomerState, UsageError, event::PendingEvent};
use crate::{
    amount::{Credits, Overflow, Quantity},
    credit::{
        block::Block,
        burn::Funds,
        draws::{Draw, Draws, Moved, Moves, Purse},
    },
    customer::Settlement,
    cycle::late::{Placement, Timing},
    id::{BlockId, EventId, MeteringRuleId, MetricId},
    ledger::{Cause, Entry, EntryKind, UsageCause},
    metering::{
        Position,
        rule::{MeteringRule, RuleBook, select},
    },
    time::Period,
};

/// What one event came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RatedEvent {
    /// Which event.
    pub id: EventId,
    /// Which version priced it; `None`: there was no price, it was counted free of charge.
    pub rule: Option<MeteringRuleId>,
    /// The count it moved.
    pub counter: CounterKey,
    /// Whether it came in time, and where it counts if not. Never [`Timing::LateRejected`].
    pub timing: Timing,
    /// The count before it.
    pub from: Position,
    /// What it cost. Negative where it made past usage cheaper.
    pub credits: Credits,
    /// Where that was drawn from (to where it returned, for a negative cost).
    pub draws: Draws,
}

/// What a batch came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drained {
    /// One per event, in order.
    pub events: Vec<RatedEvent>,
    /// New ledger entries, in order.
    pub entries: Vec<Entry>,
    /// Of what falling prices return, credits that returned to nowhere because their block has ended.
    pub lapsed: Credits,
    /// Of these, credits that had been overdraft and were repaid since. The caller puts them into a new block.
    pub homeless: Credits,
}

/// Debits a batch of one customer's events. `state` moves on; on an error it must be dropped.
///
/// # Errors
/// A count, a cost or a balance outside its range.
pub fn drain(
    state: &mut CustomerState,
    rules: &RuleBook,
    events: &[PendingEvent],
) -> Result<Drained, UsageError> {
    let mut fold = Fold::default();
    fold.drained.events.reserve_exact(events.len());
    for event in events {
        fold.take(state, rules, event)
            .map_err(|_| UsageError::TooLarge(event.id))?;
    }
    let last = events.last().map_or(EventId(Uuid::nil()), |event| event.id);
    let drained = fold.post(state, rules).map_err(|_| UsageError::TooLarge(last))?;
    state.check()?;
    Ok(drained)
}

/// A batch in the making.
#[derive(Default)]
struct Fold {
    groups: Groups,
    repayments: Vec<Draw>,
    drained: Drained,
    /// What the event at hand moves; kept so that it need not be allocated for each.
    moved: Moves,
    drawn: Vec<Draw>,
}

impl Fold {
    fn take(
        &mut self,
        state: &mut CustomerState,
        rules: &RuleBook,
        event: &PendingEvent,
    ) -> Result<(), Overflow> {
        let placed = state
            .timeline
            .place_accepted(event.occurred_at, event.received_at);
        let rated = self.rate(state, rules, event, &placed)?;
        let late = placed.timing.is_late().then_some(placed.occurred_in.period);
        self.groups.add(&rated, event, late, self.moved.as_slice())?;
        self.repayments.extend(repay_from_later_blocks(state, event)?);
        self.drained.events.push(rated);
        Ok(())
    }

    /// Prices one event, moves its count, and takes the cost from the purses or returns it to those last debited.
    fn rate(
        &mut self,
        state: &mut CustomerState,
        rules: &RuleBook,
        event: &PendingEvent,
        placed: &Placement,
    ) -> Result<RatedEvent, Overflow> {
        let rule = rules.get(&event.metric).and_then(|metric| {
            select(
                &metric.rules,
                &event.properties,
                event.occurred_at,
                event.known_at(),
            )
        });
        let counter = CounterKey {
            metric: event.metric,
            line: rule.map(|rule| rule.line),
            period_start: placed.stretch.period.start,
        };
        let count: &mut Counter = state.counters.entry(counter).or_default();
        let from = count.position;
        let to = from.after(event.units)?;
        let credits = rule.map_or(Ok(Credits::ZERO), |rule: &MeteringRule| {
            rule.price.between(from, to)
        })?;
        // A drop under a version that began in mid-cycle returns no more than the cycle has cost.
        let credits = credits.max(count.credits.negated()?);
        count.position = to;
        count.credits = count.credits.plus(credits)?;
        let mut rated = RatedEvent {
            id: event.id,
            rule: rule.map(|rule| rule.id),
            counter,
            timing: placed.timing,
            from,
            credits,
            draws: Draws::default(),
        };
        self.moved.clear();
        if credits.is_negative() {
            self.give_back(count, &mut state.funds, event, &mut rated)?;
        } else {
            self.burn(count, &mut state.funds, event, &mut rated)?;
        }
        Ok(rated)
    }

    fn burn(
        &mut self,
        count: &mut Counter,
        funds: &mut Funds,
        event: &PendingEvent,
        rated: &mut RatedEvent,
    ) -> Result<(), Overflow> {
        self.drawn.clear();
        funds.burn_into(&mut self.drawn, rated.credits, event.metric, event.received_at)?;
        for &draw in &self.drawn {
            count.draws.push(draw)?;
            rated.draws.push(draw)?;
            self.moved.add(draw.from, draw.credits)?;
        }
        Ok(())
    }

    fn give_back(
        &mut self,
        count: &mut Counter,
        funds: &mut Funds,
        event: &PendingEvent,
        rated: &mut RatedEvent,
    ) -> Result<(), Overflow> {
        let draws = count.draws.pop(rated.credits.negated()?);
        let given = funds.give_back(&draws, event.received_at)?;
        self.drained.lapsed = self.drained.lapsed.plus(given.lapsed)?;
        self.drained.homeless = self.drained.homeless.plus(given.homeless)?;
        for part in given.returns {
            rated.draws.push(Draw {
                from: part.to,
                credits: part.credits,
            })?;
            self.moved.add(part.to, part.credits.negated()?)?;
        }
        Ok(())
    }

    fn post(mut self, state: &mut CustomerState, rules: &RuleBook) -> Result<Drained, Overflow> {
        self.drained.entries = self.groups.post(state, rules)?;
        for draw in merged(&self.repayments)? {
            self.drained.entries.push(state.account.repayment(draw)?);
        }
        Ok(self.drained)
    }
}

/// The overdraft that an event left is repaid by what was granted after it.
fn repay_from_later_blocks(state: &mut CustomerState, event: &PendingEvent) -> Result<Vec<Draw>, Overflow> {
    if state.settlement != Settlement::NextPurchase || state.funds.overdraft().is_zero() {
        return Ok(Vec::new());
    }
    let later = |block: &Block| {
        if block.granted_at > event.received_at {
            Credits::MAX
        } else {
            Credits::ZERO
        }
    };
    state.funds.repay(later)
}

/// One draw per block.
fn merged(draws: &[Draw]) -> Result<Vec<Draw>, Overflow> {
    let mut all = Draws::default();
    for draw in draws {
        all.push(*draw)?;
    }
    Ok(all.as_slice().to_vec())
}

/// What goes into one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct GroupKey {
    counter: CounterKey,
    rule: Option<MeteringRuleId>,
    purse: Purse,
    /// Of late usage, the stretch in which it occurred.
    late: Option<Period>,
}

/// Entries in the making, in the order of first touch.
#[derive(Default)]
struct Groups {
    places: HashMap<GroupKey, usize>,
    last: usize,
    groups: Vec<Group>,
}

struct Group {
    key: GroupKey,
    credits: i128,
    units: Quantity,
    cause: UsageCause,
}

impl Groups {
    fn add(
        &mut self,
        rated: &RatedEvent,
        event: &PendingEvent,
        late: Option<Period>,
        moved: &[Moved],
    ) -> Result<(), Overflow> {
        let to = rated.from.after(event.units)?;
        for part in moved {
            let key = GroupKey {
                counter: rated.counter,
                rule: rated.rule,
                purse: part.purse,
                late,
            };
            // Nearly always the group of the event before.
            let place = match self.groups.get(self.last) {
                Some(group) if group.key == key => self.last,
                _ => *self.places.entry(key).or_insert(self.groups.len()),
            };
            self.last = place;
            if place == self.groups.len() {
                self.groups.push(Group {
                    key,
                    credits: 0,
                    units: Quantity::ZERO,
                    cause: UsageCause {
                        metric: event.metric,
                        rule: rated.rule,
                        period_start: rated.counter.period_start,
                        from: rated.from,
                        to,
                        first_event: event.id,
                        last_event: event.id,
                        events: 0,
                    },
                });
            }
            let group = &mut self.groups[place];
            group.credits += i128::from(part.credits.raw());
            group.units = group.units.plus(event.units)?;
            group.cause.to = to;
            group.cause.last_event = event.id;
            group.cause.events += 1;
        }
        Ok(())
    }

    fn post(mut self, state: &mut CustomerState, rules: &RuleBook) -> Result<Vec<Entry>, Overflow> {
        // What returns to blocks comes first, and what returns to the overdraft or is written off of it last, so that neither total
        // dips below zero on the way.
        self.groups.sort_by_key(|group| match group.key.purse {
            Purse::Block(_) if group.credits < 0 => 0,
            Purse::Overdraft if group.credits < 0 => 2,
            Purse::WrittenOff if group.credits > 0 => 2,
            _ => 1,
        });
        let mut entries = Vec::with_capacity(self.groups.len());
        for group in self.groups.into_iter().filter(|group| group.credits != 0) {
            let purse = group.key.purse;
            let text = describe(rules, &group);
            let cause = Cause {
                kind: match purse {
                    Purse::WrittenOff => EntryKind::WriteOff,
                    Purse::Block(_) | Purse::Overdraft => EntryKind::Debit,
                },
                effect_key: format!("debit:{}:{purse}", group.cause.first_event),
                usage: Some(group.cause),
            };
            let amount = i64::try_from(group.credits.unsigned_abs()).map_err(|_| Overflow)?;
            let amount = Credits::from_raw(amount);
            entries.push(if group.credits > 0 {
                state.account.withdrawal(
                    Draw {
                        from: purse,
                        credits: amount,
                    },
                    cause,
                    &text,
                )?
            } else {
                state.account.refund(purse, amount, cause, &text)?
            });
        }
        Ok(entries)
    }
}

/// `API call: 15000 call in 150 events, late, of 2026-01-01 to 2026-02-01`.
fn describe(rules: &RuleBook, group: &Group) -> String {
    let (name, unit) = rules
        .get(&group.cause.metric)
        .map_or(("Usage", "unit"), |metric| (&metric.name, &metric.unit));
    let events = group.cause.events;
    let plural = if events == 1 { "event" } else { "events" };
    let beyond = match group.key.purse {
        Purse::Block(_) => "",
        Purse::Overdraft => ", beyond the credits",
        Purse::WrittenOff if group.credits > 0 => ", beyond the bound: written off",
        Purse::WrittenOff => ": not written off any more",
    };
    let late = group.key.late;
    let late = late.map_or_else(String::new, |period| format!(", late, of {}", period.in_words()));
    format!(
        "{name}: {} {unit} in {events} {plural}{beyond}{late}",
        group.units
    )
}

/// The metrics that a batch needs the rules of, without repetition.
#[must_use]
pub fn metrics_of(events: &[PendingEvent]) -> Vec<MetricId> {
    let mut metrics: Vec<MetricId> = events.iter().map(|event| event.metric).collect();
    metrics.sort_unstable();
    metrics.dedup();
    metrics
}

/// The blocks whose remaining credits differ between two states of the same funds.
#[must_use]
pub fn changed_blocks(before: &[(BlockId, Credits)], after: &CustomerState) -> Vec<(BlockId, Credits)> {
    let before: HashMap<_, _> = before.iter().copied().collect();
    after
        .funds
        .blocks()
        .iter()
        .filter(|block| before.get(&block.id) != Some(&block.remaining))
        .map(|block| (block.id, block.remaining))
        .collect()
}
