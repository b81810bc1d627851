//! The states of an invoice, and every way from one to another, as one table.

use serde::{Deserialize, Serialize};

use super::{Invoice, Kind};
use crate::time::Timestamp;

/// Seconds in a day of a term of payment.
const DAY: i64 = 86_400;
/// Longest term of payment, in days.
pub const MAX_NET_DAYS: i32 = 366;

/// Where an invoice stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Put together, and not asked for: it has no number.
    Draft,
    /// Asked for.
    Open,
    /// Asked for, and not paid in time.
    PastDue,
    /// Paid, or nothing was to be paid.
    Paid,
    /// Taken back. Its number is not used again.
    Void,
    /// Given up. It may still be paid.
    Uncollectible,
}

/// What happens to an invoice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Step {
    /// It gets its number and is asked for.
    Finalise,
    /// It is paid.
    Pay,
    /// Its term ends.
    FallDue,
    /// It is taken back.
    Void,
    /// It is given up.
    GiveUp,
}

use State::{Draft, Open, Paid, PastDue, Uncollectible};
use Step::{FallDue, Finalise, GiveUp, Pay};

/// From, what happens, to. What is not in the table does not happen. Where nothing is to be collected, finalising leads to
/// [`State::Paid`].
#[rustfmt::skip]
pub const TRANSITIONS: &[(State, Step, State)] = &[
    (Draft, Finalise,           Open),
    (Draft, Step::Void,         State::Void),

    (Open, Pay,                 Paid),
    (Open, FallDue,             PastDue),
    (Open, Step::Void,          State::Void),
    (Open, GiveUp,              Uncollectible),

    (PastDue, Pay,              Paid),
    (PastDue, Step::Void,       State::Void),
    (PastDue, GiveUp,           Uncollectible),

    (Uncollectible, Pay,        Paid),
    (Uncollectible, Step::Void, State::Void),
];

/// Why a step is refused. Nothing must be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The state does not allow it.
    #[error("an invoice that is {state:?} cannot do this")]
    NotInState {
        /// The state.
        state: State,
        /// What was wanted.
        step: Step,
    },
    /// Its term has not ended.
    #[error("it is not due before {0}")]
    NotDue(Timestamp),
    /// The term of payment is out of range.
    #[error("a term of payment is 0 to {MAX_NET_DAYS} days")]
    Term,
}

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

    /// Whether it can be paid.
    #[must_use]
    pub fn is_payable(self) -> bool {
        self.after(Pay).is_ok()
    }

    /// Whether it was asked for and stands: it may be taken back by credit notes.
    #[must_use]
    pub fn is_issued(self) -> bool {
        matches!(self, Open | PastDue | Paid | Uncollectible)
    }

    /// Whether it is a payment due in the words of source P2: the list of what a customer has to pay.
    #[must_use]
    pub fn is_due(self) -> bool {
        matches!(self, Open | PastDue)
    }

    /// Every state.
    pub const ALL: [Self; 6] = [Draft, Open, PastDue, Paid, Self::Void, Uncollectible];
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 5] = [Finalise, Pay, FallDue, Self::Void, GiveUp];
}

impl Invoice {
    /// Gives it its number and asks for it; it is to be paid within `net_days` days of 24 hours. A purchase, and an invoice of which nothing
    /// is to be paid, are paid at once.
    ///
    /// # Errors
    /// It is no draft, or a term out of range.
    pub fn finalise(&self, number: String, now: Timestamp, net_days: i32) -> Result<Self, Refused> {
        let state = self.state.after(Finalise)?;
        if !(0..=MAX_NET_DAYS).contains(&net_days) {
            return Err(Refused::Term);
        }
        let is_settled = self.kind == Kind::Purchase || self.totals.due.minor == 0;
        let days = if is_settled { 0 } else { i64::from(net_days) };
        Ok(Self {
            state: if is_settled { Paid } else { state },
            number: Some(number),
            issued_at: Some(now),
            due_at: Some(now.plus_seconds(days * DAY)),
            paid_at: is_settled.then_some(now),
            ..self.clone()
        })
    }

    /// It is paid, in full: automatically, by hand, or because credit notes have left nothing to pay.
    ///
    /// # Errors
    /// It was never asked for, or is paid or void.
    pub fn pay(&self, now: Timestamp) -> Result<Self, Refused> {
        Ok(Self {
            state: self.state.after(Pay)?,
            paid_at: Some(now),
            ..self.clone()
        })
    }

    /// Its term has ended: from [`Invoice::due_at`] on.
    ///
    /// # Errors
    /// It is not open, or its term has not ended.
    pub fn fall_due(&self, now: Timestamp) -> Result<Self, Refused> {
        let state = self.state.after(FallDue)?;
        match self.due_at {
            Some(due_at) if now < due_at => Err(Refused::NotDue(due_at)),
            _ => Ok(Self {
                state,
                ..self.clone()
            }),
        }
    }

    /// It is taken back. It keeps its number; what it took from the customer's credit balance goes back there.
    ///
    /// # Errors
    /// It is paid or void.
    pub fn void(&self) -> Result<Self, Refused> {
        Ok(Self {
            state: self.state.after(Step::Void)?,
            ..self.clone()
        })
    }

    /// It is given up. Nothing is collected any more, but it may still be paid by hand.
    ///
    /// # Errors
    /// It is not waiting to be paid.
    pub fn give_up(&self) -> Result<Self, Refused> {
        Ok(Self {
            state: self.state.after(GiveUp)?,
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            draft::draft,
            samples::{day, fees, issued, taxed},
        },
        *,
    };

    fn finalised(kind: Kind, amounts: &[i64]) -> Invoice {
        let made = draft(fees(kind, amounts), &taxed("19")).unwrap();
        made.finalise("INV-000007".to_owned(), day(31), 14).unwrap()
    }

    #[test]
    fn a_step_leads_to_one_state() {
        for (index, (from, step, _)) in TRANSITIONS.iter().enumerate() {
            let again = TRANSITIONS[index + 1..]
                .iter()
                .any(|(other, by, _)| (other, by) == (from, step));
            assert!(!again, "{from:?} {step:?}");
        }
        for state in State::ALL {
            for step in Step::ALL {
                let is_over = matches!(state, Paid | State::Void);
                assert!(!is_over || state.after(step).is_err(), "{state:?} {step:?}");
            }
            assert!(
                state == Draft || TRANSITIONS.iter().any(|(.., to)| *to == state),
                "{state:?}"
            );
        }
    }

    #[test]
    fn finalising() {
        for (what, kind, amounts, state, due) in [
            ("to be paid", Kind::Cycle, &[100][..], Open, 45),
            ("nothing to pay", Kind::Cycle, &[0], Paid, 31),
            ("below zero", Kind::Fee, &[-100], Paid, 31),
            ("a receipt", Kind::Purchase, &[100], Paid, 31),
        ] {
            let invoice = finalised(kind, amounts);
            assert_eq!((invoice.state, invoice.due_at), (state, Some(day(due))), "{what}");
            assert_eq!(invoice.paid_at.is_some(), state == Paid, "{what}");
            assert_eq!(invoice.issued_at, Some(day(31)), "{what}");
            assert_eq!(invoice.number.as_deref(), Some("INV-000007"), "{what}");
        }
        let made = draft(fees(Kind::Cycle, &[100]), &taxed("")).unwrap();
        for days in [-1, MAX_NET_DAYS + 1] {
            assert_eq!(made.finalise("X".to_owned(), day(31), days), Err(Refused::Term));
        }
    }

    #[test]
    fn ways_of_an_invoice() {
        let open = issued(100, "");
        assert_eq!(
            open.finalise("INV-000002".to_owned(), day(32), 14),
            Err(Refused::NotInState {
                state: Open,
                step: Finalise
            })
        );
        assert_eq!(open.fall_due(day(44)), Err(Refused::NotDue(day(45))));
        let late = open.fall_due(day(45)).unwrap();
        assert_eq!(late.state, PastDue);
        let paid = late.pay(day(50)).unwrap();
        assert_eq!((paid.state, paid.paid_at), (Paid, Some(day(50))));
        assert_eq!(
            paid.void(),
            Err(Refused::NotInState {
                state: Paid,
                step: Step::Void
            })
        );
        let gone = late.give_up().unwrap();
        assert_eq!(gone.pay(day(99)).unwrap().state, Paid);
        let void = open.void().unwrap();
        assert_eq!(void.number, open.number, "its number is not used again");
        assert!(void.pay(day(50)).is_err() && void.void().is_err());
    }

    #[test]
    fn what_is_left_to_pay() {
        let euros = |minor| crate::money::Money::of(minor, crate::money::Currency::EUR);
        let open = issued(100, "");
        for (invoice, credited, left) in [
            (open.clone(), 0, 100),
            (open.clone(), 30, 70),
            (open.clone(), 100, 0),
            (open.give_up().unwrap(), 30, 70),
            (open.pay(day(32)).unwrap(), 0, 0),
            (open.void().unwrap(), 0, 0),
        ] {
            assert_eq!(
                invoice.outstanding(euros(credited)),
                Ok(euros(left)),
                "{:?}",
                invoice.state
            );
        }
    }
}
