//! Prepaid renewal: due, overdue, grace, expired. Postpaid subscriptions have none of it (source P4).

use super::{
    Books, ClosedCycle, Decision, Refused, Subscription,
    deal::Deal,
    fact::What,
    state::{State, Step},
};
use crate::{
    cycle::grants::{Grants, Occasion},
    id::VariantId,
    plan::Offer,
    time::Timestamp,
};

impl Subscription {
    /// When it is to be told that the next cycle must be paid, once per cycle; `None`: it need not, or is paid.
    /// What counts is what the next cycle is to have.
    pub(super) fn renewal_due_at(&self, deal: &Deal<'_>) -> Option<Timestamp> {
        let next_variant = &deal.next.variant;
        let cycle = self.cycle.as_ref()?;
        let next = cycle.number + 1;
        let running = matches!(self.state, State::Trialing | State::Active);
        let done = self.paid_through >= next || self.renewal_told >= next;
        if !running || self.ends_with_cycle() || done || !next_variant.awaits_payment() {
            return None;
        }
        let zone = &self.schedule.zone;
        let at = zone.plus_days(cycle.period.end, -next_variant.renewal_due_days);
        Some(at.max(cycle.period.start).max(self.agreed_at))
    }

    /// Whether the cycle after the last one that has begun is paid. It was paid at the price of what it was to have, and stays so.
    pub(super) fn is_paid_ahead(&self) -> bool {
        self.paid_through > self.last_number
    }

    /// Whether nothing follows the running cycle.
    fn ends_with_cycle(&self) -> bool {
        let contract_end = self.contract_end();
        self.cancel_at_end
            || self
                .cycle
                .as_ref()
                .is_some_and(|cycle| cycle.period.end >= contract_end)
    }

    pub(super) fn tell_renewal_due(&self, at: Timestamp) -> Decision {
        let mut decision = Decision::new(self.clone());
        if let Some(cycle) = &self.cycle {
            let (number, period_end) = (cycle.number + 1, cycle.period.end);
            decision.subscription.renewal_told = number;
            decision.tell(at, What::RenewalDue { number, period_end });
        }
        decision
    }

    /// When it expires unless it is paid; `None`: it is not overdue.
    #[must_use]
    pub fn expires_at(&self, offer: &Offer) -> Option<Timestamp> {
        let since = self.overdue_since.filter(|_| self.state == State::Overdue)?;
        Some(self.schedule.zone.plus_days(since, offer.variant.grace_days))
    }

    /// Whether a cycle still waits to be paid, and with this variant. One that is overdue pays for the cycle that runs.
    #[must_use]
    pub fn awaits(&self, number: i64, variant: VariantId) -> bool {
        let overdue = self.state == State::Overdue;
        let next = self.next_variant.filter(|_| !overdue).unwrap_or(self.variant);
        self.paid_through < number && next == variant
    }

    /// Renews a prepaid subscription: it has been paid.
    ///
    /// While it is overdue this pays the cycle that runs, whose grants are made now; the billing day stays. If the grace days
    /// outlasted a whole cycle, what was missed is neither owed nor granted. Otherwise it pays the next cycle, which then begins when
    /// it is time. `prior` is the last cycle that has closed, for the summary.
    ///
    /// # Errors
    /// It is postpaid or free of charge, the next cycle is paid already or will not come, or the state does not allow it.
    pub fn renew(
        &self,
        now: Timestamp,
        deal: &Deal<'_>,
        books: &Books<'_>,
        prior: Option<&ClosedCycle>,
    ) -> Result<Decision, Refused> {
        self.check(deal, now)?;
        let mut decision = Decision::new(self.clone());
        let after = &mut decision.subscription;
        after.step(Step::Renew)?;
        let overdue = self.state == State::Overdue;
        let paid_for = if overdue { deal.present } else { deal.next };
        if !paid_for.variant.awaits_payment() {
            return Err(Refused::RenewsByItself);
        }
        if !overdue {
            if self.ends_with_cycle() {
                return Err(Refused::NothingFollows);
            }
            if after.is_paid_ahead() {
                return Err(Refused::AlreadyPaid);
            }
            after.paid_through = after.last_number + 1;
            return Ok(decision);
        }
        after.paid_through = after.last_number;
        after.overdue_since = None;
        let Some(cycle) = &mut after.cycle else {
            return Ok(decision);
        };
        cycle.paid = true;
        let occasion = if after.activated {
            Occasion::Opening
        } else {
            Occasion::Activation
        };
        after.activated = true;
        let granted = Grants {
            subscription: after.id,
            offer: deal.present,
            schedule: &after.schedule,
            cycle,
            at: now,
        }
        .blocks(occasion)?;
        cycle.granted = super::turn::sum(&granted)?;
        (cycle.granted_from, cycle.granted_through) = (now, now);
        cycle.balance_at_start = books.balance.plus(cycle.granted)?;
        let (number, new_period, credits_granted) = (cycle.number, cycle.period, cycle.granted);
        decision.granted = granted;
        // A cycle before that still waits for late usage will tell of the renewal when it closes.
        if self.closing.is_empty() {
            let prior = prior.filter(|prior| prior.cycle.period.end == new_period.start);
            decision.tell(
                now,
                What::Renewed {
                    prior_period: prior.map(|prior| prior.cycle.period),
                    number,
                    new_period,
                    credits_granted,
                    usage_summary: prior.map(|prior| prior.summary.clone()),
                },
            );
        }
        Ok(decision)
    }
}
