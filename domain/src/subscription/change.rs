//! Changing the plan: with the next cycle, or now with proration by the second.

use super::{
    Books, Decision, MoneyLine, Refused, Subscription, Taken,
    deal::Deal,
    fact::What,
    state::{State, Step},
    turn::Carried,
};
use crate::{
    amount::{Credits, Overflow},
    credit::block::Source,
    cycle::{
        Cycle,
        grants::{Grants, NewBlock, Occasion, PlanBlock},
    },
    plan::{Offer, variant::Mode},
    time::{Period, Timestamp},
};

impl Subscription {
    /// Changes the plan with the next cycle. Changing to the present one takes a change back.
    ///
    /// # Errors
    /// The variant is archived, the next cycle is paid already or will not come, or the state does not allow it.
    pub fn change_at_next_cycle(
        &self,
        now: Timestamp,
        deal: &Deal<'_>,
        to: &Offer,
    ) -> Result<Decision, Refused> {
        self.check(deal, now)?;
        let mut decision = Decision::new(self.clone());
        let after = &mut decision.subscription;
        after.step(Step::ChangePlan)?;
        after.agreed_at = now;
        if self.is_paid_ahead() {
            return Err(Refused::PaidAhead);
        }
        if self.cancel_at_end {
            return Err(Refused::NothingFollows);
        }
        if to.variant.id == self.variant {
            if self.next_variant.is_none() {
                return Err(Refused::SameVariant);
            }
            after.next_variant = None;
        } else {
            check_offered(to)?;
            after.next_variant = Some(to.variant.id);
        }
        decision.tell(now, What::PlanChangeScheduled { to: to.variant.id });
        Ok(decision)
    }

    /// Changes the plan now.
    ///
    /// The fee of the time that is left goes back, and the new one's is due. In the same way the credits of the time that is left
    /// are exchanged: what the running periods' grants are still worth is taken back, and the new grants are made for the rest. What
    /// was used ahead of time (more than the seconds so far stand for) is missing from the new grants, and from those of later
    /// changes in the same cycle, so changing to and fro creates nothing. What rolled over, was granted once or was bought stays.
    ///
    /// The cycle and its counts go on if the interval is the same. Otherwise the cycle ends now and a whole one of the new interval
    /// begins; the billing day moves to today. A trial only changes what comes after it.
    ///
    /// # Errors
    /// The variant is archived or the same, the next cycle is paid already, or the state does not allow it.
    pub fn change_now(
        &self,
        now: Timestamp,
        deal: &Deal<'_>,
        to: &Offer,
        books: &Books<'_>,
    ) -> Result<Decision, Refused> {
        self.check(deal, now)?;
        if to.variant.id == self.variant {
            return Err(Refused::SameVariant);
        }
        check_offered(to)?;
        let mut after = self.clone();
        after.step(Step::ChangePlan)?;
        if self.is_paid_ahead() {
            return Err(Refused::PaidAhead);
        }
        (after.variant, after.next_variant) = (to.variant.id, None);
        after.agreed_at = now;
        let same = deal.present.variant.interval == to.variant.interval;
        let mut decision = match &self.cycle {
            Some(cycle) if self.state == State::Active => {
                let swap = Swap { now, deal, to, books };
                if same {
                    swap.within(after, cycle)?
                } else {
                    swap.anew(after, cycle)?
                }
            }
            _ => {
                after.schedule.interval = to.variant.interval;
                Decision::new(after)
            }
        };
        let (from, to) = (self.variant, to.variant.id);
        decision.tell(now, What::PlanChanged { from, to });
        Ok(decision)
    }
}

/// A change in the middle of a cycle.
struct Swap<'a> {
    now: Timestamp,
    deal: &'a Deal<'a>,
    to: &'a Offer,
    books: &'a Books<'a>,
}

impl Swap<'_> {
    /// The cycle goes on with another plan.
    fn within(&self, after: Subscription, old: &Cycle) -> Result<Decision, Refused> {
        let mut decision = Decision::new(after);
        let after = &mut decision.subscription;
        let (taken, ahead) = self.unused(after, old)?;
        let basis_seconds = after
            .cycle_of(&after.schedule, old.number, &self.to.variant, true)
            .basis_seconds;
        let mut cycle = Cycle {
            basis_seconds,
            granted_from: self.now,
            granted_through: self.now,
            ..old.clone()
        };
        let grants = Grants {
            subscription: after.id,
            offer: self.to,
            schedule: &after.schedule,
            cycle: &cycle,
            at: self.now,
        };
        let granted = grants.blocks(Occasion::Change {
            revision: after.revision,
        })?;
        let (granted, ahead) = without(granted, ahead)?;
        cycle.ahead = ahead;
        cycle.granted = cycle.granted.plus(super::turn::sum(&granted)?)?;
        decision.money = self.money(old, &cycle)?;
        decision.bills_at_once = self.was_paid_ahead(&cycle);
        after.cycle = Some(cycle);
        (decision.taken, decision.granted) = (taken, granted);
        Ok(decision)
    }

    /// The cycle ends as any cycle does, and one of another interval begins.
    fn anew(&self, after: Subscription, old: &Cycle) -> Result<Decision, Refused> {
        let mut decision = Decision::new(after);
        let after = &mut decision.subscription;
        let (taken, ahead) = self.unused(after, old)?;
        let mut ended: Vec<PlanBlock> = self.books.blocks.to_vec();
        ended.retain(|block| block.ends_with_cycle);
        let mut balance = self.books.balance;
        for taken in &taken {
            balance = balance.minus(taken.credits)?;
            if let Some(block) = ended.iter_mut().find(|block| block.id == taken.block) {
                block.remaining = block.remaining.minus(taken.credits)?;
            }
        }
        balance = balance.minus(Credits::total(ended.iter().map(|block| block.remaining))?)?;
        after.end_cycle(self.now, &self.deal.present.variant, self.books.balance);
        let number = after.last_number + 1;
        let interval = self.to.variant.interval;
        after.schedule = after.schedule.changed(interval, self.now, number);
        after.paid_through = after.paid_through.max(number);
        let cycle = after.cycle_of(&after.schedule, number, &self.to.variant, true);
        decision.money = self.money(old, &cycle)?;
        decision.bills_at_once = self.was_paid_ahead(&cycle);
        let carried = Carried {
            offers: self.deal.offers,
            ended: &ended,
        };
        let granted = after.open(cycle, self.to, self.now, balance, Some(carried))?;
        let (granted, ahead) = without(granted, ahead)?;
        decision.granted = granted;
        if let Some(cycle) = &mut after.cycle {
            cycle.ahead = ahead;
            let fresh = decision.granted.iter().filter(|it| it.source != Source::Rollover);
            cycle.granted = Credits::total(fresh.map(|block| block.credits))?;
            cycle.balance_at_start = balance.plus(super::turn::sum(&decision.granted)?)?;
        }
        decision.ended = ended.iter().map(|block| block.id).collect();
        decision.taken = taken;
        Ok(decision)
    }

    /// What is taken back of the grants of the running periods: all that the time left stands for, as far as it is there. The rest
    /// was used ahead of time.
    fn unused(&self, after: &Subscription, cycle: &Cycle) -> Result<(Vec<Taken>, Credits), Overflow> {
        let grants = Grants {
            subscription: after.id,
            offer: self.deal.present,
            schedule: &after.schedule,
            cycle,
            at: self.now,
        };
        let of_cycle =
            |block: &&PlanBlock| block.granted_at >= cycle.period.start && block.source != Source::Rollover;
        let mut blocks: Vec<PlanBlock> = self.books.blocks.iter().filter(of_cycle).copied().collect();
        let (mut taken, mut ahead) = (Vec::new(), cycle.ahead);
        for unearned in grants.unearned(&blocks)? {
            let mut left = unearned.credits;
            let same = |block: &&mut PlanBlock| {
                block.template == unearned.template && block.source == unearned.source
            };
            for block in blocks.iter_mut().filter(same) {
                let credits = left.min(block.remaining);
                block.remaining = block.remaining.minus(credits)?;
                left = left.minus(credits)?;
                if credits.is_positive() {
                    taken.push(Taken {
                        block: block.id,
                        credits,
                    });
                }
            }
            ahead = ahead.plus(left)?;
        }
        Ok((taken, ahead))
    }

    /// Whether the cycle that goes on is one that is paid ahead. It is billed by what it began with.
    fn was_paid_ahead(&self, cycle: &Cycle) -> bool {
        let known = [self.deal.offers.get(&cycle.variant), Some(self.to)];
        let offer = known
            .into_iter()
            .flatten()
            .find(|offer| offer.variant.id == cycle.variant);
        offer.is_some_and(|offer| offer.variant.mode == Mode::Prepaid)
    }

    /// The old fee of the time that is left goes back, the new one's is due.
    fn money(&self, old: &Cycle, new: &Cycle) -> Result<Vec<MoneyLine>, Overflow> {
        let period = |cycle: &Cycle| Period {
            start: self.now,
            end: cycle.natural_end,
        };
        let mut lines = Vec::new();
        for (offer, cycle, back) in [(self.deal.present, old, true), (self.to, new, false)] {
            let Some(fee) = offer.variant.fee else { continue };
            let amount = cycle.left(self.now).of_money(fee)?;
            let amount = if back { amount.negated()? } else { amount };
            if amount.minor != 0 {
                lines.push(MoneyLine {
                    variant: offer.variant.id,
                    period: period(cycle),
                    amount,
                });
            }
        }
        Ok(lines)
    }
}

/// The grants without what was used ahead of time, first grant first, and what they could not make up for. What rolled over is not
/// touched.
fn without(mut blocks: Vec<NewBlock>, ahead: Credits) -> Result<(Vec<NewBlock>, Credits), Overflow> {
    let mut ahead = ahead;
    for block in blocks.iter_mut().filter(|block| block.source != Source::Rollover) {
        let part = ahead.min(block.credits);
        block.credits = block.credits.minus(part)?;
        ahead = ahead.minus(part)?;
    }
    blocks.retain(|block| block.credits.is_positive());
    Ok((blocks, ahead))
}

fn check_offered(to: &Offer) -> Result<(), Refused> {
    if to.variant.archived_at.is_some() {
        Err(Refused::ArchivedVariant)
    } else {
        Ok(())
    }
}
