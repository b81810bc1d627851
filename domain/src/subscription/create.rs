//! The beginning of a subscription.

use super::{Decision, Subscription, contract::Contract, fact::What, state::State};
use crate::{
    amount::Credits,
    cycle::{Cycle, schedule::Schedule},
    id::{CustomerId, SubscriptionId},
    plan::Offer,
    rejection::Rejection,
    time::{Period, Timestamp},
    zone::Zone,
};

/// What is agreed when a subscription begins. External id and metadata change no rule and stay with the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSubscription {
    /// Its name.
    pub id: SubscriptionId,
    /// Whose.
    pub customer: CustomerId,
    /// The billing day, 1 to 31; `None`: today, and the time of day stays.
    pub billing_day: Option<i8>,
    /// By whose calendar.
    pub zone: Zone,
    /// A contract that ends.
    pub contract: Option<Contract>,
    /// Whether the fee of a first cycle that is paid ahead has been paid elsewhere, so that it is not billed.
    pub first_cycle_paid: bool,
}

impl Subscription {
    /// Begins a subscription. Its first grants are made at once; with a trial, those of the trial. The fee of a first cycle that is paid
    /// ahead is due at once, and the cycle goes on however that ends.
    /// `balance` is the customer's before.
    ///
    /// # Errors
    /// An archived variant, a billing day outside 1 to 31, or an amount outside its range.
    pub fn create(
        new: NewSubscription,
        offer: &Offer,
        balance: Credits,
        now: Timestamp,
    ) -> Result<Decision, Rejection> {
        let variant = &offer.variant;
        if variant.archived_at.is_some() {
            return Err(Rejection::invalid("variantId", "the variant is archived"));
        }
        let begins = new.zone.plus_days(now, variant.trial_days);
        let mut subscription = Self {
            id: new.id,
            customer: new.customer,
            variant: variant.id,
            next_variant: None,
            revision: 0,
            state: if variant.has_trial() {
                State::Trialing
            } else {
                State::Active
            },
            schedule: Schedule::new(begins, new.billing_day, new.zone, variant.interval)?,
            cycle: None,
            closing: Vec::new(),
            last_number: 0,
            contract: new.contract,
            paid_through: i64::from(!variant.has_trial()),
            renewal_told: 0,
            overdue_since: None,
            activated: false,
            cancel_at_end: false,
            agreed_at: now,
            created_at: now,
            ended_at: None,
        };
        let cycle = if variant.has_trial() {
            let trial = Period {
                start: now,
                end: begins.min(subscription.contract_end()),
            };
            Cycle {
                number: 0,
                period: trial,
                natural_end: begins,
                basis_seconds: begins.seconds_since(now).max(1),
                trial: true,
                closes_at: trial.end.plus_seconds(variant.late_seconds),
                ..subscription.cycle_of(&subscription.schedule, 1, variant, true)
            }
        } else {
            subscription.cycle_of(&subscription.schedule, 1, variant, true)
        };
        let period = cycle.period;
        let granted = subscription
            .open(cycle.clone(), offer, now, balance, None)
            .map_err(|_| Rejection::too_large("variantId"))?;
        let credits_granted = super::turn::sum(&granted).map_err(|_| Rejection::too_large("variantId"))?;
        let mut decision = Decision::new(subscription);
        decision.granted = granted;
        if !cycle.trial && !new.first_cycle_paid {
            let too_large = |_| Rejection::too_large("variantId");
            decision.bill_ahead(&cycle, variant).map_err(too_large)?;
        }
        decision.tell(
            now,
            What::Created {
                period,
                credits_granted,
            },
        );
        Ok(decision)
    }
}
