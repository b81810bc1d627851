//! The end of a cycle: the turn, and later the close.

use super::{
    Books, ClosedCycle, Decision, Refused, Subscription,
    deal::Deal,
    due::World,
    fact::What,
    state::{State, Step},
};
use crate::{
    amount::{Credits, Overflow},
    cycle::{
        Cycle,
        grants::{Grants, NewBlock, Occasion, PlanBlock},
        rollover,
        schedule::Schedule,
        summary::Summary,
    },
    plan::{
        Offer, Offers,
        variant::{ShortCycle, Variant},
    },
    time::{Period, Timestamp},
    usage::{Counter, CounterKey},
};

/// The blocks of the subscription whose time runs out with a step. What ran out before has ended by itself, and nothing of it rolls
/// over: there was no step to roll it over, because its template grants no longer.
pub(super) fn ending(books: &Books<'_>, at: Timestamp) -> Vec<PlanBlock> {
    let ends = |block: &&PlanBlock| block.ends_with_cycle && block.expires_at == Some(at);
    books.blocks.iter().filter(ends).copied().collect()
}

pub(super) fn sum(blocks: &[NewBlock]) -> Result<Credits, Overflow> {
    Credits::total(blocks.iter().map(|block| block.credits))
}

/// What rolls over when a cycle opens.
#[derive(Clone, Copy)]
pub(super) struct Carried<'a> {
    /// What the ended blocks were granted by, among others.
    pub offers: &'a Offers,
    /// The ended blocks.
    pub ended: &'a [PlanBlock],
}

impl Subscription {
    /// A cycle of the schedule, cut by the end of the contract.
    pub(super) fn cycle_of(&self, schedule: &Schedule, number: i64, variant: &Variant, paid: bool) -> Cycle {
        let natural = schedule.period(number);
        let period = Period {
            start: natural.start,
            end: natural.end.min(self.contract_end()),
        };
        let basis = match variant.short_cycle {
            ShortCycle::Full => natural,
            ShortCycle::Prorated => schedule.cell_at(natural.start),
        };
        Cycle {
            number,
            variant: variant.id,
            period,
            natural_end: natural.end,
            basis_seconds: basis.seconds().max(1),
            trial: false,
            paid,
            closes_at: period.end.plus_seconds(variant.late_seconds),
            granted: Credits::ZERO,
            ahead: Credits::ZERO,
            granted_from: period.start,
            granted_through: period.start,
            balance_at_start: Credits::ZERO,
            balance_at_end: Credits::ZERO,
        }
    }

    /// Begins a cycle: what rolls over, then the grants if it is paid. `balance` is the customer's once the ended blocks are gone.
    pub(super) fn open(
        &mut self,
        mut cycle: Cycle,
        offer: &Offer,
        at: Timestamp,
        balance: Credits,
        carried: Option<Carried<'_>>,
    ) -> Result<Vec<NewBlock>, Overflow> {
        let grants = Grants {
            subscription: self.id,
            offer,
            schedule: &self.schedule,
            cycle: &cycle,
            at,
        };
        let occasion = if self.activated || cycle.trial {
            Occasion::Opening
        } else {
            Occasion::Activation
        };
        let fresh = grants.blocks(occasion)?;
        // An unpaid cycle keeps the room for what it brings once it is paid.
        let mut granted = match carried {
            Some(carried) => rollover::carry(&grants, carried.offers, carried.ended, &fresh)?,
            None => Vec::new(),
        };
        let fresh = if cycle.paid { fresh } else { Vec::new() };
        self.activated |= cycle.paid && !cycle.trial;
        cycle.granted = sum(&fresh)?;
        (cycle.granted_from, cycle.granted_through) = (at, at);
        granted.extend(fresh);
        cycle.balance_at_start = balance.plus(sum(&granted)?)?;
        self.last_number = cycle.number;
        self.cycle = Some(cycle);
        Ok(granted)
    }

    /// The running cycle ends at `at` and waits for late usage.
    pub(super) fn end_cycle(&mut self, at: Timestamp, variant: &Variant, balance: Credits) {
        if let Some(mut cycle) = self.cycle.take() {
            cycle.period.end = cycle.period.end.min(at);
            cycle.closes_at = cycle.period.end.plus_seconds(variant.late_seconds);
            cycle.balance_at_end = balance;
            self.closing.push(cycle);
        }
    }

    /// The end of a cycle, in one order: expire, roll over, next cycle, grants. Usage accepted before is debited by then.
    pub(super) fn turn(&self, at: Timestamp, world: &World<'_>) -> Result<Decision, Refused> {
        let deal = &world.deal;
        if self.cancel_at_end {
            let mut decision = self.finish(at, Step::Cancel, deal, &world.books)?;
            decision.tell(at, What::Cancelled);
            return Ok(decision);
        }
        let next = deal.next;
        let ended = ending(&world.books, at);
        let left = Credits::total(ended.iter().map(|block| block.remaining))?;
        let mut decision = Decision::new(self.clone());
        decision.ended = ended.iter().map(|block| block.id).collect();
        let after = &mut decision.subscription;
        after.end_cycle(at, &deal.present.variant, world.books.balance);
        if after.state == State::Paused {
            return Ok(decision);
        }
        let number = after.last_number + 1;
        if next.variant.interval != after.schedule.interval {
            after.schedule = after.schedule.changed(next.variant.interval, at, number);
        }
        let paid = !next.variant.awaits_payment() || after.paid_through >= number;
        after.step(if paid { Step::Advance } else { Step::MissPayment })?;
        after.overdue_since = if paid {
            None
        } else {
            after.overdue_since.or(Some(at))
        };
        (after.variant, after.next_variant) = (next.variant.id, None);
        let mut cycle = after.cycle_of(&after.schedule, number, &next.variant, paid);
        // Changed rules of a zone never tear cycles apart.
        cycle.period.start = at;
        let balance = world.books.balance.minus(left)?;
        let carried = Carried {
            offers: deal.offers,
            ended: &ended,
        };
        decision.granted = after.open(cycle, next, at, balance, Some(carried))?;
        if self.next_variant.is_some() {
            let (from, to) = (self.variant, next.variant.id);
            decision.tell(at, What::PlanChanged { from, to });
        }
        if !paid
            && self.overdue_since.is_none()
            && let Some(expires_at) = decision.subscription.expires_at(next)
        {
            decision.tell(at, What::Overdue { expires_at });
        }
        Ok(decision)
    }

    /// The end: the cycle ends, and with it everything that ends with cycles. Nothing rolls over, because nothing follows.
    pub(super) fn finish(
        &self,
        at: Timestamp,
        step: Step,
        deal: &Deal<'_>,
        books: &Books<'_>,
    ) -> Result<Decision, Refused> {
        let mut decision = Decision::new(self.clone());
        let ends = books.blocks.iter().filter(|block| block.ends_with_cycle);
        decision.ended = ends.map(|block| block.id).collect();
        let after = &mut decision.subscription;
        after.step(step)?;
        after.end_cycle(at, &deal.present.variant, books.balance);
        after.ended_at = Some(at);
        after.overdue_since = None;
        after.next_variant = None;
        after.cancel_at_end = false;
        Ok(decision)
    }

    /// The time for late usage is over: the summary is final.
    pub(super) fn close(&self, counts: &[(CounterKey, Counter)]) -> Result<Decision, Refused> {
        let mut decision = Decision::new(self.clone());
        if decision.subscription.closing.is_empty() {
            return Err(Refused::OtherBooks);
        }
        let cycle = decision.subscription.closing.remove(0);
        let summary = Summary::of(&cycle, counts.iter().map(|(key, count)| (key, count)))?;
        let follows = |next: &&Cycle| next.paid && next.period.start == cycle.period.end;
        let next = decision.subscription.closing.first().or(self.cycle.as_ref());
        let what = match next.filter(follows) {
            Some(next) => What::Renewed {
                prior_period: Some(cycle.period),
                number: next.number,
                new_period: next.period,
                credits_granted: next.granted,
                usage_summary: Some(summary.clone()),
            },
            None => What::CycleClosed {
                number: cycle.number,
                period: cycle.period,
                usage_summary: summary.clone(),
            },
        };
        decision.tell(cycle.closes_at, what);
        decision.closed = Some(ClosedCycle { cycle, summary });
        Ok(decision)
    }
}
