//! Contracts: a window of time around cycles. Source P4: "Contract lifecycle is separate from billing cycle."

use super::{Books, Decision, Refused, Subscription, deal::Deal, fact::What, state::Step};
use crate::{rejection::Rejection, time::Timestamp};

/// Longest notice before the end, in days.
pub const MAX_NOTICE_DAYS: i32 = 366;

/// A contract that ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// First instant of the contract; not after the subscription began.
    pub start: Timestamp,
    /// First instant after it: no cycle and no grant begins at or after it.
    pub end: Timestamp,
    /// How many calendar days before the end it is told; `None`: not at all.
    pub notice_days: Option<i32>,
    /// The end for which it was told.
    pub told_for: Option<Timestamp>,
    /// When the end was agreed.
    pub agreed_at: Timestamp,
}

impl Contract {
    /// A contract that ends. It began at `start`, or begins now.
    ///
    /// # Errors
    /// A beginning in the future, an end that is not, or more than 366 days of notice.
    pub fn new(
        start: Option<Timestamp>,
        end: Timestamp,
        notice_days: Option<i32>,
        now: Timestamp,
    ) -> Result<Self, Rejection> {
        let start = start.unwrap_or(now);
        if start > now {
            return Err(Rejection::invalid(
                "contractStart",
                "a contract must not begin in the future",
            ));
        }
        if end <= now {
            return Err(Rejection::invalid(
                "contractEnd",
                "a contract must end in the future",
            ));
        }
        if notice_days.is_some_and(|days| !(0..=MAX_NOTICE_DAYS).contains(&days)) {
            return Err(Rejection::invalid(
                "contractEndingSoonDays",
                format!("it is 0 to {MAX_NOTICE_DAYS} days"),
            ));
        }
        Ok(Self {
            start,
            end,
            notice_days,
            told_for: None,
            agreed_at: now,
        })
    }
}

impl Subscription {
    /// When it is to be told that the contract will end soon: once per end, not before that end was agreed.
    pub(super) fn ending_soon_at(&self) -> Option<Timestamp> {
        let contract = self.contract.as_ref().filter(|_| !self.state.is_over())?;
        if contract.told_for == Some(contract.end) {
            return None;
        }
        let at = self.schedule.zone.plus_days(contract.end, -contract.notice_days?);
        Some(at.max(contract.agreed_at))
    }

    pub(super) fn tell_ending_soon(&self, at: Timestamp) -> Decision {
        let mut decision = Decision::new(self.clone());
        if let Some(contract) = &mut decision.subscription.contract {
            contract.told_for = Some(contract.end);
            let contract_end = contract.end;
            let days_remaining = self.schedule.zone.days_between(at, contract_end);
            decision.tell(
                at,
                What::ContractEndingSoon {
                    contract_end,
                    days_remaining,
                },
            );
        }
        decision
    }

    /// Moves the end of the contract to a later instant.
    ///
    /// A running cycle that the old end would have cut goes on, and the blocks that end with it follow. An ended contract is
    /// revived (source P4): a cycle begins now, with grants; the billing day stays; what was missed is not granted.
    ///
    /// # Errors
    /// No contract that ends, an end that is not later than the present one and than now, or a state without a way back.
    pub fn extend_contract(
        &self,
        end: Timestamp,
        now: Timestamp,
        deal: &Deal<'_>,
        books: &Books<'_>,
    ) -> Result<Decision, Refused> {
        self.check(deal, now)?;
        let old = self.contract.clone().ok_or(Refused::NoContract)?;
        let earliest = old.end.max(now);
        if end <= earliest {
            return Err(Refused::NotLater(earliest));
        }
        let mut decision = Decision::new(self.clone());
        let after = &mut decision.subscription;
        after.step(Step::Extend)?;
        after.agreed_at = now;
        after.contract = Some(Contract {
            end,
            agreed_at: now,
            ..old
        });
        let reactivated = self.state.is_over();
        if reactivated {
            let number = after.last_number + 1;
            after.schedule = after.schedule.resumed(now, number);
            let is_paid = after.paid_through >= number;
            after.paid_through = after.paid_through.max(number);
            after.ended_at = None;
            let cycle = after.cycle_of(&after.schedule, number, &deal.present.variant, true);
            decision.granted = after.open(cycle.clone(), deal.present, now, books.balance, None)?;
            if !is_paid {
                decision.bill_ahead(&cycle, &deal.present.variant)?;
            }
        } else {
            decision.moved = after.lengthen(end, deal, books);
        }
        decision.tell(
            now,
            What::ContractExtended {
                from: old.end,
                to: end,
                reactivated,
            },
        );
        Ok(decision)
    }
}
