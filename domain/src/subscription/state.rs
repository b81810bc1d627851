//! The states of a subscription, and every way from one to another, as one table.

use serde::{Deserialize, Serialize};

use super::Refused;

/// What a subscription is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// In its trial.
    Trialing,
    /// In a cycle that is paid, or that is paid afterwards.
    Active,
    /// Prepaid: the cycle began and is not paid.
    Overdue,
    /// Paused: the billing day stays, the running cycle goes on to its end without further grants, and none follows.
    Paused,
    /// Ended by somebody's wish.
    Cancelled,
    /// Prepaid: ended because it was not paid within the grace days.
    Expired,
    /// Ended because the contract did. Extending the contract revives it.
    ContractEnded,
}

/// What happens to a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A cycle follows that is paid, or that is paid afterwards.
    Advance,
    /// A cycle follows that is not paid.
    MissPayment,
    /// It is renewed: the cycle that runs unpaid, or else the next one, is paid.
    Renew,
    /// The grace days are over.
    RunOutOfGrace,
    /// It is paused.
    Pause,
    /// It goes on.
    Resume,
    /// The plan is changed.
    ChangePlan,
    /// It is to end with its cycle.
    CancelAtEnd,
    /// It ends.
    Cancel,
    /// The contract ends.
    EndContract,
    /// The contract is extended.
    Extend,
}

use State::{Active, Cancelled, ContractEnded, Expired, Overdue, Paused, Trialing};
use Step::{
    Advance, Cancel, CancelAtEnd, ChangePlan, EndContract, Extend, MissPayment, Pause, Renew, Resume,
    RunOutOfGrace,
};

/// From, what happens, to. What is not in the table does not happen.
#[rustfmt::skip]
pub const TRANSITIONS: &[(State, Step, State)] = &[
    (Trialing, Advance,       Active),
    (Trialing, MissPayment,   Overdue),
    (Trialing, Renew,         Trialing),
    (Trialing, ChangePlan,    Trialing),
    (Trialing, Resume,        Trialing), // takes back a cancellation at the end
    (Trialing, CancelAtEnd,   Trialing),
    (Trialing, Cancel,        Cancelled),
    (Trialing, EndContract,   ContractEnded),
    (Trialing, Extend,        Trialing),

    (Active, Advance,         Active),
    (Active, MissPayment,     Overdue),
    (Active, Renew,           Active),
    (Active, Pause,           Paused),
    (Active, ChangePlan,      Active),
    (Active, Resume,          Active), // takes back a cancellation at the end
    (Active, CancelAtEnd,     Active),
    (Active, Cancel,          Cancelled),
    (Active, EndContract,     ContractEnded),
    (Active, Extend,          Active),

    (Overdue, Advance,        Active), // what follows is free of charge
    (Overdue, MissPayment,    Overdue),
    (Overdue, Renew,          Active),
    (Overdue, RunOutOfGrace,  Expired),
    (Overdue, Cancel,         Cancelled),
    (Overdue, EndContract,    ContractEnded),
    (Overdue, Extend,         Overdue),

    (Paused, Resume,          Active),
    (Paused, CancelAtEnd,     Paused),
    (Paused, Cancel,          Cancelled),
    (Paused, EndContract,     ContractEnded),
    (Paused, Extend,          Paused),

    (ContractEnded, Extend,   Active),
];

impl State {
    /// Where a step leads.
    ///
    /// # Errors
    /// The step is not possible in this state.
    pub fn after(self, step: Step) -> Result<Self, Refused> {
        TRANSITIONS
            .iter()
            .find(|(from, by, _)| (*from, *by) == (self, step))
            .map(|(.., to)| *to)
            .ok_or(Refused::NotInState { state: self, step })
    }

    /// Whether nothing happens by itself any more.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Cancelled | Expired | ContractEnded)
    }

    /// Whether a renewal leads to another cycle.
    #[must_use]
    pub fn renews(self) -> bool {
        matches!(self, Trialing | Active | Overdue)
    }

    /// Every state.
    pub const ALL: [Self; 7] = [
        Trialing,
        Active,
        Overdue,
        Paused,
        Cancelled,
        Expired,
        ContractEnded,
    ];
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 11] = [
        Advance,
        MissPayment,
        Renew,
        RunOutOfGrace,
        Pause,
        Resume,
        ChangePlan,
        CancelAtEnd,
        Cancel,
        EndContract,
        Extend,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_leads_to_one_state() {
        for (index, (from, step, _)) in TRANSITIONS.iter().enumerate() {
            let again = TRANSITIONS[index + 1..]
                .iter()
                .any(|(other, by, _)| (other, by) == (from, step));
            assert!(!again, "{from:?} {step:?}");
        }
    }

    #[test]
    fn what_is_over_is_over_unless_the_contract_is_extended() {
        for state in State::ALL {
            for step in Step::ALL {
                let possible = state.after(step).is_ok();
                assert!(
                    !state.is_over() || possible == (state == ContractEnded && step == Extend),
                    "{state:?} {step:?}"
                );
            }
        }
    }

    #[test]
    fn every_state_is_reached_and_every_step_is_used() {
        for state in State::ALL {
            let reached = TRANSITIONS
                .iter()
                .any(|(from, _, to)| *to == state && *from != state);
            assert!(reached || state == Trialing, "{state:?}");
        }
        for step in Step::ALL {
            assert!(TRANSITIONS.iter().any(|(_, by, _)| *by == step), "{step:?}");
        }
    }
}
