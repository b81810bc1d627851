//! What time makes due, and when.

use super::{
    Books, Decision, Refused, Subscription,
    deal::Deal,
    fact::What,
    state::{State, Step},
};
use crate::{
    cycle::{
        grants::{Grants, Occasion},
        rollover,
    },
    plan::Offer,
    time::Timestamp,
    usage::{Counter, CounterKey},
};

/// Something that time makes due. At one instant they come in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Task {
    /// The contract will end soon, once per end.
    TellContractEnding,
    /// The next cycle is to be paid, once per cycle.
    TellRenewalDue,
    /// The time for late usage of the oldest ended cycle is over.
    Close,
    /// The grace days are over.
    Expire,
    /// The contract is over.
    EndContract,
    /// The cycle is over.
    Turn,
    /// A template that grants more often than once in a cycle is to grant.
    Grant,
}

/// The next thing that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Due {
    /// When. The column that the sweep looks at.
    pub at: Timestamp,
    /// What.
    pub task: Task,
}

/// What a task needs to know.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    /// What the subscription has agreed to.
    pub deal: Deal<'a>,
    /// The customer's credits.
    pub books: Books<'a>,
    /// The counts of the cycle that closes; needed for [`Task::Close`] only.
    pub counts: &'a [(CounterKey, Counter)],
}

impl Task {
    /// Whether usage accepted at its instant or later has to wait for it: it makes or ends blocks, or says what was counted.
    #[must_use]
    pub fn holds_usage(self) -> bool {
        match self {
            Self::Close | Self::Expire | Self::EndContract | Self::Turn | Self::Grant => true,
            Self::TellContractEnding | Self::TellRenewalDue => false,
        }
    }
}

impl Subscription {
    /// What is due next, and when: perhaps long ago, perhaps in years. `None`: time changes nothing any more.
    #[must_use]
    pub fn due(&self, deal: &Deal<'_>) -> Option<Due> {
        self.all_due(deal).into_iter().flatten().min()
    }

    /// The first instant from which usage must not be debited before a step is taken: grants and expiries of that instant come first.
    #[must_use]
    pub fn barrier(&self, deal: &Deal<'_>) -> Option<Timestamp> {
        let due = self.all_due(deal).into_iter().flatten();
        due.filter(|due| due.task.holds_usage()).map(|due| due.at).min()
    }

    fn all_due(&self, deal: &Deal<'_>) -> [Option<Due>; 6] {
        let due = |task| move |at| Due { at, task };
        [
            self.ending_soon_at().map(due(Task::TellContractEnding)),
            self.renewal_due_at(deal).map(due(Task::TellRenewalDue)),
            self.closing.first().map(|cycle| Due {
                at: cycle.closes_at,
                task: Task::Close,
            }),
            self.expires_at(deal.present).map(due(Task::Expire)),
            self.cycle_ends_at(),
            self.grants_next_at(deal.present).map(due(Task::Grant)),
        ]
    }

    /// The end of the cycle, or of the contract.
    fn cycle_ends_at(&self) -> Option<Due> {
        if self.state.is_over() {
            return None;
        }
        let contract_end = self.contract_end();
        let at = match &self.cycle {
            Some(cycle) => cycle.period.end.min(contract_end),
            None => contract_end,
        };
        let task = if at == contract_end {
            Task::EndContract
        } else {
            Task::Turn
        };
        (at < Timestamp::MAX).then_some(Due { at, task })
    }

    fn grants_next_at(&self, offer: &Offer) -> Option<Timestamp> {
        let cycle = self.cycle.as_ref().filter(|_| self.state == State::Active)?;
        Grants {
            subscription: self.id,
            offer,
            schedule: &self.schedule,
            cycle,
            at: cycle.granted_through,
        }
        .next_within()
    }

    /// Takes the step that is due. The caller makes sure that `due.at` has come.
    ///
    /// # Errors
    /// Something else is due first ([`Refused::Behind`]), the books are not those of the instant, or an amount is outside its range.
    pub fn take(&self, due: Due, world: &World<'_>) -> Result<Decision, Refused> {
        let deal = &world.deal;
        if !deal.is_of(self) {
            return Err(Refused::OtherBooks);
        }
        match self.due(deal) {
            Some(first) if first != due => return Err(Refused::Behind { due_at: first.at }),
            None => return Err(Refused::OtherBooks),
            Some(_) => {}
        }
        let books = &world.books;
        // What it decides depends on the books of its very instant.
        if due.task.holds_usage() && books.debited_until != due.at {
            return Err(Refused::OtherBooks);
        }
        match due.task {
            Task::TellContractEnding => Ok(self.tell_ending_soon(due.at)),
            Task::TellRenewalDue => Ok(self.tell_renewal_due(due.at)),
            Task::Close => self.close(world.counts),
            Task::Expire => {
                let mut decision = self.finish(due.at, Step::RunOutOfGrace, deal, books)?;
                decision.tell(due.at, What::Expired);
                Ok(decision)
            }
            Task::EndContract => {
                let mut decision = self.finish(due.at, Step::EndContract, deal, books)?;
                let contract_end = due.at;
                decision.tell(due.at, What::ContractEnded { contract_end });
                Ok(decision)
            }
            Task::Turn => self.turn(due.at, world),
            Task::Grant => self.grant_within(due.at, deal, books),
        }
    }

    /// Within a cycle: ends what a template granted for its last period, rolls over, and grants for the next.
    pub(super) fn grant_within(
        &self,
        at: Timestamp,
        deal: &Deal<'_>,
        books: &Books<'_>,
    ) -> Result<Decision, Refused> {
        let mut decision = Decision::new(self.clone());
        let Some(cycle) = &self.cycle else {
            return Ok(decision);
        };
        let grants = Grants {
            subscription: self.id,
            offer: deal.present,
            schedule: &self.schedule,
            cycle,
            at,
        };
        let ended = super::turn::ending(books, at);
        let mut granted = grants.blocks(Occasion::Within)?;
        let fresh = super::turn::sum(&granted)?;
        let carried = rollover::carry(&grants, deal.offers, &ended, &granted)?;
        granted.splice(0..0, carried);
        decision.ended = ended.iter().map(|block| block.id).collect();
        decision.granted = granted;
        if let Some(cycle) = &mut decision.subscription.cycle {
            cycle.granted = cycle.granted.plus(fresh)?;
            cycle.granted_through = at;
        }
        Ok(decision)
    }
}
