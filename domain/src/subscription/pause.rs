//! Pausing, going on, cancelling.

use super::{
    Books, Decision, Refused, Subscription,
    deal::Deal,
    fact::What,
    state::{State, Step},
};
use crate::{
    cycle::grants::{Grants, PlanBlock},
    id::BlockId,
    time::Timestamp,
};

/// When a cancellation takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At once.
    Now,
    /// When the running cycle ends.
    AtEnd,
}

impl Subscription {
    /// Pauses. The running cycle goes on to its end, and what ends with it ends; no cycle follows until it is resumed. Checks refuse
    /// meanwhile ([`super::admission`]).
    ///
    /// # Errors
    /// It is not active.
    pub fn pause(&self, now: Timestamp, deal: &Deal<'_>) -> Result<Decision, Refused> {
        self.check(deal, now)?;
        let mut decision = Decision::new(self.clone());
        decision.subscription.step(Step::Pause)?;
        decision.tell(now, What::Paused);
        Ok(decision)
    }

    /// Goes on after a pause, or takes back a cancellation at the end.
    ///
    /// If the cycle has ended meanwhile, a new one begins now and the billing day stays; what was missed is not granted. A prepaid
    /// subscription has to pay for it first, and is overdue until then.
    ///
    /// # Errors
    /// There is nothing to resume.
    pub fn resume(&self, now: Timestamp, deal: &Deal<'_>, books: &Books<'_>) -> Result<Decision, Refused> {
        self.check(deal, now)?;
        if self.state != State::Paused && !self.cancel_at_end {
            return Err(Refused::NotInState {
                state: self.state,
                step: Step::Resume,
            });
        }
        let mut decision = Decision::new(self.clone());
        decision.subscription.step(Step::Resume)?;
        decision.subscription.agreed_at = now;
        if self.state == State::Paused {
            decision = decision.subscription.go_on(now, deal, books)?;
        } else {
            decision.subscription.cancel_at_end = false;
        }
        decision.facts.insert(0, self.fact(now, What::Resumed));
        Ok(decision)
    }

    /// The cycle goes on, or a new one begins.
    fn go_on(self, now: Timestamp, deal: &Deal<'_>, books: &Books<'_>) -> Result<Decision, Refused> {
        if self.cycle.is_some() {
            return self.grant_within(now, deal, books);
        }
        let (from, next) = (self.variant, deal.next);
        let mut decision = Decision::new(self);
        let after = &mut decision.subscription;
        let number = after.last_number + 1;
        after.schedule = if next.variant.interval == after.schedule.interval {
            after.schedule.resumed(now, number)
        } else {
            after.schedule.changed(next.variant.interval, now, number)
        };
        let paid = !next.variant.awaits_payment() || after.paid_through >= number;
        if !paid {
            after.step(Step::MissPayment)?;
            after.overdue_since = Some(now);
        }
        (after.variant, after.next_variant) = (next.variant.id, None);
        let cycle = after.cycle_of(&after.schedule, number, &next.variant, paid);
        decision.granted = after.open(cycle, next, now, books.balance, None)?;
        if from != next.variant.id {
            let to = next.variant.id;
            decision.tell(now, What::PlanChanged { from, to });
        }
        if let Some(expires_at) = decision.subscription.expires_at(next) {
            decision.tell(now, What::Overdue { expires_at });
        }
        Ok(decision)
    }

    /// Cancels, now or when the cycle ends. Blocks that end with the cycle end with the subscription; bought credits stay.
    ///
    /// # Errors
    /// It is over, or it is overdue and can only be cancelled now.
    pub fn cancel(
        &self,
        when: When,
        now: Timestamp,
        deal: &Deal<'_>,
        books: &Books<'_>,
    ) -> Result<Decision, Refused> {
        self.check(deal, now)?;
        match (when, &self.cycle) {
            (When::AtEnd, Some(cycle)) => {
                let mut decision = Decision::new(self.clone());
                decision.subscription.step(Step::CancelAtEnd)?;
                decision.subscription.cancel_at_end = true;
                decision.subscription.next_variant = None;
                let ends_at = cycle.period.end;
                decision.tell(now, What::CancellationScheduled { ends_at });
                Ok(decision)
            }
            // Without a cycle the end is now.
            (When::AtEnd, None) | (When::Now, _) => {
                let mut decision = self.finish(now, Step::Cancel, deal, books)?;
                decision.tell(now, What::Cancelled);
                Ok(decision)
            }
        }
    }

    /// The running cycle goes on to its natural end, or to a later end of the contract. Returns the blocks that follow it.
    pub(super) fn lengthen(
        &mut self,
        contract_end: Timestamp,
        deal: &Deal<'_>,
        books: &Books<'_>,
    ) -> Vec<(BlockId, Timestamp)> {
        let Some(cycle) = &mut self.cycle else {
            return Vec::new();
        };
        let before = cycle.period.end;
        cycle.period.end = cycle.natural_end.min(contract_end);
        cycle.closes_at = cycle.period.end.plus_seconds(deal.present.variant.late_seconds);
        let end_of = |block: &PlanBlock| {
            let template = deal.template(block.template)?;
            let grants = Grants {
                subscription: self.id,
                offer: deal.present,
                schedule: &self.schedule,
                cycle,
                at: block.granted_at.max(cycle.period.start),
            };
            let end = grants.end_of_period(template);
            (block.ends_with_cycle && block.expires_at == Some(before) && end != before)
                .then_some((block.id, end))
        };
        books.blocks.iter().filter_map(end_of).collect()
    }
}
