//! All subscriptions of one customer, together with its credits.
//!
//! Subscriptions of one customer share its blocks, so what time makes due is taken in one order for all of them: by instant, at
//! one instant by task, and then the older subscription first. Before a step that makes or ends blocks, the usage accepted
//! before it has been debited.

use super::{
    Books, Decision, Refused, Subscription,
    admission::{Admission, Standing, admission},
    deal::Deal,
    due::{Due, Task, World},
    posting::Posted,
};
use crate::{
    amount::Credits,
    credit::{block::BlockState, burn::Funds},
    cycle::{CycleRef, grants::PlanBlock, late::CountingCycle},
    id::{BlockId, SubscriptionId},
    plan::Offers,
    time::Timestamp,
    usage::{Counter, CounterKey, CustomerState, UsageError},
};

/// One subscription with the blocks that it granted and that have not ended.
#[derive(Debug, Clone)]
pub struct Agreement {
    /// The subscription.
    pub subscription: Subscription,
    /// Its blocks, empty ones included.
    pub blocks: Vec<PlanBlock>,
}

/// A customer's subscriptions and credits.
#[derive(Debug, Clone)]
pub struct Portfolio<'a> {
    /// The credits.
    pub state: CustomerState,
    /// The subscriptions that are not over, and those that are and still have something due.
    pub agreements: Vec<Agreement>,
    /// What they have agreed to, what their next cycles are to have, and what their blocks were granted by.
    pub offers: &'a Offers,
}

/// Why a step cannot be taken. Nothing must be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stuck {
    /// The subscription says no.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The books do not add up.
    #[error(transparent)]
    Books(#[from] UsageError),
    /// The subscription is not the customer's, or is over.
    #[error("the subscription {0} is not at hand")]
    NotHere(SubscriptionId),
    /// The offer of a subscription is not at hand.
    #[error("the offer of {0} is not at hand")]
    NoOffer(SubscriptionId),
}

/// A decision, and what it does to the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The decision.
    pub decision: Decision,
    /// What it does to blocks and ledger.
    pub posted: Posted,
}

impl<'a> Portfolio<'a> {
    /// The place of a subscription.
    ///
    /// # Errors
    /// It is not here.
    fn place(&self, id: SubscriptionId) -> Result<usize, Stuck> {
        let here = |it: &Agreement| it.subscription.id == id;
        self.agreements.iter().position(here).ok_or(Stuck::NotHere(id))
    }

    /// What a subscription has agreed to.
    ///
    /// # Errors
    /// An offer that is not at hand.
    pub fn deal(&self, subscription: &Subscription) -> Result<Deal<'a>, Stuck> {
        Deal::of(subscription, self.offers).map_err(|_| Stuck::NoOffer(subscription.id))
    }

    /// What is due next, and of which subscription. `None`: time changes nothing any more.
    ///
    /// # Errors
    /// An offer that is not at hand.
    pub fn next_due(&self) -> Result<Option<(Due, SubscriptionId)>, Stuck> {
        let mut first = None;
        for Agreement { subscription, .. } in &self.agreements {
            if let Some(due) = subscription.due(&self.deal(subscription)?) {
                let place = (due, subscription.created_at, subscription.id);
                first = Some(first.map_or(place, |known| place.min(known)));
            }
        }
        Ok(first.map(|(due, _, id)| (due, id)))
    }

    /// The first instant from which usage must not be debited before a step is taken.
    ///
    /// # Errors
    /// An offer that is not at hand.
    pub fn barrier(&self) -> Result<Option<Timestamp>, Stuck> {
        let mut first: Option<Timestamp> = None;
        for Agreement { subscription, .. } in &self.agreements {
            if let Some(at) = subscription.barrier(&self.deal(subscription)?) {
                first = Some(first.map_or(at, |known| at.min(known)));
            }
        }
        Ok(first)
    }

    /// What the subscriptions have to say about checks.
    ///
    /// # Errors
    /// An offer that is not at hand.
    pub fn admission(&self) -> Result<Admission, Stuck> {
        let mut standings = Vec::with_capacity(self.agreements.len());
        for Agreement { subscription, .. } in &self.agreements {
            standings.push(Standing {
                state: subscription.state,
                allow_usage_while_overdue: self.deal(subscription)?.present.variant.allow_usage_while_overdue,
            });
        }
        Ok(admission(&standings))
    }

    /// Takes a step that is due. Usage accepted before it must have been debited.
    ///
    /// # Errors
    /// The step is not what is due next, or the books do not allow it. The portfolio must then be dropped.
    pub fn take(
        &mut self,
        id: SubscriptionId,
        due: Due,
        new_id: impl FnMut() -> BlockId,
    ) -> Result<Moved, Stuck> {
        let counts = match due.task {
            Task::Close => self.counts_of(id)?,
            _ => Vec::new(),
        };
        let Agreement {
            subscription, blocks, ..
        } = &self.agreements[self.place(id)?];
        let world = World {
            deal: self.deal(subscription)?,
            books: Books {
                balance: self.state.account.balance(),
                blocks,
                debited_until: due.at,
            },
            counts: &counts,
        };
        let decision = subscription.take(due, &world)?;
        self.apply(decision, new_id)
    }

    /// Ends the blocks that have run out before an instant by themselves, so that a step finds the books as they were just before
    /// it, whoever comes first. What runs out at that very instant is ended after the step.
    ///
    /// # Errors
    /// The books do not add up.
    pub fn expire_before(&mut self, at: Timestamp) -> Result<Posted, Stuck> {
        let ending: Vec<BlockId> = self
            .state
            .funds
            .blocks()
            .iter()
            .filter(|block| block.expires_at.is_some_and(|end| end < at))
            .map(|block| block.id)
            .collect();
        let posted = Posted::ending(&mut self.state, &ending)?;
        for agreement in &mut self.agreements {
            agreement.blocks.retain(|block| !ending.contains(&block.id));
        }
        Ok(posted)
    }

    /// The blocks of the subscriptions as the funds have them, after usage was debited.
    pub fn refresh(&mut self) {
        for agreement in &mut self.agreements {
            for block in &mut agreement.blocks {
                let here = self
                    .state
                    .funds
                    .blocks()
                    .iter()
                    .find(|known| known.id == block.id);
                block.remaining = here.map_or(Credits::ZERO, |known| known.remaining);
            }
        }
    }

    /// Something that somebody wants of a subscription, at an instant up to which all usage is debited.
    ///
    /// # Errors
    /// What the operation refuses, or books that do not allow it.
    pub fn ask(
        &mut self,
        id: SubscriptionId,
        now: Timestamp,
        operation: impl FnOnce(&Subscription, &Deal<'_>, &Books<'_>) -> Result<Decision, Refused>,
        new_id: impl FnMut() -> BlockId,
    ) -> Result<Moved, Stuck> {
        let Agreement {
            subscription, blocks, ..
        } = &self.agreements[self.place(id)?];
        let books = Books {
            balance: self.state.account.balance(),
            blocks,
            debited_until: now,
        };
        let decision = operation(subscription, &self.deal(subscription)?, &books)?;
        self.apply(decision, new_id)
    }

    /// Moves on as a decision says; of a subscription that is not here yet, it is the beginning.
    ///
    /// # Errors
    /// The books do not allow it.
    pub fn apply(&mut self, decision: Decision, new_id: impl FnMut() -> BlockId) -> Result<Moved, Stuck> {
        let posted = decision.post(&mut self.state, new_id)?;
        let subscription = decision.subscription.clone();
        let place = match self.place(subscription.id) {
            Ok(place) => place,
            Err(_) => {
                self.agreements.push(Agreement {
                    subscription: subscription.clone(),
                    blocks: Vec::new(),
                });
                self.agreements.len() - 1
            }
        };
        for cycle in counting(&subscription, self.offers) {
            self.state.timeline.put(cycle);
        }
        let agreement = &mut self.agreements[place];
        agreement.subscription = subscription;
        agreement.follow(&decision, &posted, &self.state.funds);
        Ok(Moved { decision, posted })
    }

    /// The counts of the cycle that closes next.
    fn counts_of(&self, id: SubscriptionId) -> Result<Vec<(CounterKey, Counter)>, Stuck> {
        let Some(closing) = self.agreements[self.place(id)?].subscription.closing.first() else {
            return Ok(Vec::new());
        };
        let cycle = CycleRef {
            subscription: id,
            number: closing.number,
        };
        let stretches = self.state.timeline.stretches_of(cycle);
        let counts = self.state.counters.iter();
        Ok(counts
            .filter(|(key, _)| stretches.iter().any(|stretch| stretch.start == key.period_start))
            .map(|(key, count)| (*key, count.clone()))
            .collect())
    }
}

impl Agreement {
    /// Its blocks after a decision.
    fn follow(&mut self, decision: &Decision, posted: &Posted, funds: &Funds) {
        for after in &posted.changed {
            if let Some(block) = self.blocks.iter_mut().find(|block| block.id == after.id) {
                block.remaining = after.remaining;
            }
        }
        let ended = |id| {
            posted
                .changed
                .iter()
                .any(|it| it.id == id && it.state != BlockState::Active)
        };
        self.blocks.retain(|block| !ended(block.id));
        for (id, end) in &posted.moved {
            if let Some(block) = self.blocks.iter_mut().find(|block| block.id == *id) {
                block.expires_at = Some(*end);
            }
        }
        for ((block, _), new) in posted.made.iter().zip(&decision.granted) {
            let here = funds.blocks().iter().find(|known| known.id == block.id);
            self.blocks.push(PlanBlock {
                id: block.id,
                template: new.template,
                ends_with_cycle: new.ends_with_cycle,
                source: new.source,
                billing: new.billing,
                credits: block.credits,
                remaining: here.map_or(block.remaining, |known| known.remaining),
                granted_at: block.granted_at,
                expires_at: block.expires_at,
            });
        }
    }
}

/// The open cycles of a subscription, as far as counting goes.
fn counting(subscription: &Subscription, offers: &Offers) -> Vec<CountingCycle> {
    let open = subscription.closing.iter().chain(&subscription.cycle);
    open.filter_map(|cycle| {
        Some(CountingCycle {
            cycle: CycleRef {
                subscription: subscription.id,
                number: cycle.number,
            },
            since: subscription.created_at,
            period: cycle.period,
            closes_at: cycle.closes_at,
            late: offers.get(&cycle.variant)?.variant.late,
            closed: false,
        })
    })
    .collect()
}
