//! Money of a payment that goes back: refunds, which the vendor gives, and disputes, which a bank decides. Credits that were paid for with
//! it go back, too: once, however often and in whatever order it is heard of.

use serde::{Deserialize, Serialize};

use super::{Payment, settle};
use crate::{
    amount::{Credits, Overflow},
    credit::grant::Life,
    id::{CustomerId, PaymentId, ReturnId, TenantId},
    money::Money,
    time::Timestamp,
};

/// Who wants the money back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    /// The vendor gives it back.
    Refund,
    /// The customer's bank takes it back.
    Dispute,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Decided, and not sent to the provider yet.
    Created,
    /// A refund: the provider may have it, or is at work. A dispute: the bank asks, and no money has moved.
    Pending,
    /// A dispute: the money is gone for now, and the bank decides where it stays.
    Contested,
    /// The money went back.
    Returned,
    /// The money stays with the vendor: the refund could not be made, or the dispute was won.
    Undone,
}

impl State {
    /// Whether nothing more will become of it, as far as anybody knows.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Returned | Self::Undone)
    }
}

/// Money of a payment that goes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Return {
    /// Its name in rows.
    pub id: ReturnId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Who gets it.
    pub customer: CustomerId,
    /// Of which payment.
    pub payment: PaymentId,
    /// Who wants it.
    pub kind: Kind,
    /// How much; more than zero.
    pub amount: Money,
    /// A line of the vendor's on why, or the bank's reason.
    pub reason: Option<String>,
    /// The credits that were taken for it, and were not given again.
    pub credits: Credits,
    /// For how long the credits that were taken for it would have lasted; `None`: none were there to be taken, or that was not noted.
    #[serde(default)]
    pub life: Option<Life>,
    /// How far it has come.
    pub state: State,
    /// The provider's own name for it; `None`: not known yet.
    pub reference: Option<String>,
    /// When we first knew of it.
    pub created_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

impl Return {
    /// Whether credits are taken for it: for a refund from the moment in which it is decided, so that nobody spends them meanwhile; for a
    /// dispute while the money is gone.
    #[must_use]
    pub fn takes_credits(&self) -> bool {
        match self.kind {
            Kind::Refund => self.state != State::Undone,
            Kind::Dispute => matches!(self.state, State::Contested | State::Returned),
        }
    }
}

/// A refund, as a provider is asked for it. The same for every request about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Which; the provider keeps it beside its own record.
    pub id: ReturnId,
    /// How much.
    pub amount: Money,
}

impl Refund {
    /// The key under which the provider does it once, however often it is asked.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}_1", self.id)
    }
}

/// What a provider says of money that goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Back {
    /// Its own name for it.
    pub reference: String,
    /// Our name, if we have asked for it.
    pub ours: Option<ReturnId>,
    /// Who wants it.
    pub kind: Kind,
    /// How much.
    pub amount: Money,
    /// Why, in the provider's words.
    pub reason: Option<String>,
    /// How far it has come.
    pub state: State,
}

/// How far a return has come after something was heard of it; `None`: that is no news. It goes forward only, and what was undone stays so.
#[must_use]
pub fn follow(present: State, heard: State) -> Option<State> {
    (heard > present).then_some(heard)
}

/// What becomes of a refund of ours of which the provider knows nothing. As for a payment, it may be sent again under its key for most of
/// a day; then it never was. `None`: it is sent.
#[must_use]
pub fn unheard(refund: &Return, now: Timestamp) -> Option<State> {
    let is_too_old = now.seconds_since(refund.created_at) >= settle::RESEND_SECONDS;
    is_too_old.then_some(State::Undone)
}

/// What of a payment can still go back: what has gone back already, or is about to, is not left.
#[must_use]
pub fn refundable(payment: &Payment, returns: &[Return]) -> Money {
    let left = payment.amount.minor.saturating_sub(gone(returns));
    Money::of(left.max(0), payment.amount.currency)
}

/// How much has gone back or is about to, in minor units.
fn gone(returns: &[Return]) -> i64 {
    let taking = returns.iter().filter(|it| it.takes_credits());
    taking.fold(0, |sum, it| sum.saturating_add(it.amount.minor))
}

/// The credits that are to be taken for everything that has gone back of a payment: its credits in proportion, rounded down, and all of
/// them when all of the money is gone. `returns` are all of the payment, each as it stands now.
///
/// # Errors
/// None in practice: it is never more than the payment's credits.
pub fn credits_gone(payment: &Payment, returns: &[Return]) -> Result<Credits, Overflow> {
    let whole = i128::from(payment.amount.minor);
    // More than the payment can be gone: what was refunded may be disputed as well.
    let gone = i128::from(gone(returns)).min(whole);
    let credits = i128::from(payment.credits.raw()) * gone / whole;
    i64::try_from(credits)
        .map(Credits::from_raw)
        .map_err(|_| Overflow)
}

/// By how many credits a return changes what is taken, so that all returns together take what they should: more than zero takes, less
/// gives again. It is what has to be booked after `changed` has come to its present state, among `returns`.
///
/// # Errors
/// None in practice: it is never more than the payment's credits.
pub fn credits_due(payment: &Payment, returns: &[Return]) -> Result<Credits, Overflow> {
    let taken = returns
        .iter()
        .try_fold(Credits::ZERO, |sum, it| sum.plus(it.credits))?;
    credits_gone(payment, returns)?.minus(taken)
}

/// For how long credits last that are given again, in seconds; `None`: for ever. As long as they would have when they were taken, from
/// whatever blocks that was. What was used up already, and is owed no longer, was paid for anew: it lasts as what is sold.
#[must_use]
pub fn lasts(payment: &Payment, returns: &[Return]) -> Option<i64> {
    match returns.iter().filter_map(|it| it.life).max() {
        Some(Life::Seconds(seconds)) => Some(seconds),
        Some(Life::Endless) => None,
        None => payment.lasts_seconds,
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};
    use uuid::Uuid;

    use super::{
        super::samples::{at, purchase},
        *,
    };
    use crate::money::Currency;

    fn going(kind: Kind, cents: i64, state: State) -> Return {
        Return {
            id: ReturnId(Uuid::nil()),
            tenant: TenantId(Uuid::nil()),
            customer: CustomerId(Uuid::nil()),
            payment: PaymentId(Uuid::nil()),
            kind,
            amount: Money::of(cents, Currency::USD),
            reason: None,
            credits: Credits::ZERO,
            life: None,
            state,
            reference: None,
            created_at: at(0),
            ended_at: None,
        }
    }

    #[test]
    fn what_credits_are_taken_for() {
        for (kind, state, takes) in [
            (Kind::Refund, State::Created, true),
            (Kind::Refund, State::Pending, true),
            (Kind::Refund, State::Returned, true),
            (Kind::Refund, State::Undone, false),
            (Kind::Dispute, State::Pending, false),
            (Kind::Dispute, State::Contested, true),
            (Kind::Dispute, State::Returned, true),
            (Kind::Dispute, State::Undone, false),
        ] {
            assert_eq!(going(kind, 1, state).takes_credits(), takes, "{kind:?} {state:?}");
        }
    }

    #[test]
    fn credits_go_in_proportion() {
        let payment = purchase(1_000, 3_333);
        for (returns, gone) in [
            (vec![], 0),
            (vec![(Kind::Refund, 500, State::Created)], 1_666),
            (vec![(Kind::Refund, 500, State::Undone)], 0),
            (
                vec![
                    (Kind::Refund, 500, State::Returned),
                    (Kind::Refund, 500, State::Returned),
                ],
                3_333,
            ),
            (vec![(Kind::Refund, 1, State::Returned)], 3),
            // Refunded, and disputed nevertheless.
            (
                vec![
                    (Kind::Refund, 1_000, State::Returned),
                    (Kind::Dispute, 1_000, State::Contested),
                ],
                3_333,
            ),
        ] {
            let returns: Vec<Return> = returns
                .into_iter()
                .map(|(kind, cents, state)| going(kind, cents, state))
                .collect();
            assert_eq!(
                credits_gone(&payment, &returns).unwrap().raw(),
                gone,
                "{returns:?}"
            );
        }
    }

    #[test]
    fn credits_given_again_last_as_long_as_those_that_were_taken() {
        let mut payment = purchase(1_000, 1);
        let of = |life| Return {
            life,
            ..going(Kind::Dispute, 1_000, State::Undone)
        };
        for (sold, lives, seconds) in [
            (Some(50), vec![None], Some(50)),
            (None, vec![None], None),
            (Some(50), vec![Some(Life::Seconds(7)), None], Some(7)),
            (
                None,
                vec![Some(Life::Seconds(7)), Some(Life::Seconds(9))],
                Some(9),
            ),
            (Some(50), vec![Some(Life::Seconds(7)), Some(Life::Endless)], None),
        ] {
            payment.lasts_seconds = sold;
            let returns: Vec<Return> = lives.into_iter().map(of).collect();
            assert_eq!(lasts(&payment, &returns), seconds, "{returns:?}");
        }
    }

    #[test]
    fn it_goes_forward_only() {
        for (present, heard, news) in [
            (State::Created, State::Pending, true),
            (State::Pending, State::Created, false),
            (State::Contested, State::Contested, false),
            (State::Contested, State::Pending, false),
            (State::Pending, State::Returned, true),
            (State::Returned, State::Undone, true),
            (State::Undone, State::Returned, false),
        ] {
            assert_eq!(
                follow(present, heard),
                news.then_some(heard),
                "{present:?} {heard:?}"
            );
        }
    }

    #[test]
    fn a_refund_nobody_heard_of_is_sent_for_most_of_a_day() {
        let refund = going(Kind::Refund, 1, State::Created);
        assert_eq!(unheard(&refund, at(settle::RESEND_SECONDS - 1)), None);
        assert_eq!(unheard(&refund, at(settle::RESEND_SECONDS)), Some(State::Undone));
    }

    #[test]
    fn no_more_goes_back_than_was_paid() {
        let payment = purchase(1_000, 1);
        let left = |returns: &[Return]| refundable(&payment, returns).minor;
        assert_eq!(left(&[]), 1_000);
        assert_eq!(left(&[going(Kind::Refund, 300, State::Pending)]), 700);
        assert_eq!(left(&[going(Kind::Refund, 300, State::Undone)]), 1_000);
        let both = [
            going(Kind::Refund, 300, State::Pending),
            going(Kind::Dispute, 1_000, State::Contested),
        ];
        assert_eq!(left(&both), 0);
    }

    proptest! {
        /// Whatever comes and goes in whatever order: what is booked adds up to what has gone back, never more than the payment's credits,
        /// and to nothing when everything was undone.
        #[test]
        fn what_is_booked_adds_up(
            cents in 1..100_000_i64,
            credits in 1..1_000_000_000_i64,
            steps in prop::collection::vec((0..4_usize, select(vec![State::Pending, State::Contested, State::Returned, State::Undone])), 0..30),
        ) {
            let payment = purchase(cents, credits);
            let third = (cents / 3).max(1);
            let mut returns = vec![
                going(Kind::Refund, third, State::Undone),
                going(Kind::Refund, third, State::Undone),
                going(Kind::Dispute, cents, State::Pending),
                going(Kind::Dispute, third, State::Pending),
            ];
            for it in &mut returns[..2] {
                it.state = State::Created;
            }
            let book = |returns: &mut Vec<Return>, at: usize| {
                let due = credits_due(&payment, returns).unwrap();
                returns[at].credits = returns[at].credits.plus(due).unwrap();
            };
            book(&mut returns, 0);
            for (which, heard) in steps {
                if let Some(state) = follow(returns[which].state, heard) {
                    returns[which].state = state;
                    book(&mut returns, which);
                }
                let booked = returns.iter().map(|it| it.credits.raw()).sum::<i64>();
                prop_assert_eq!(booked, credits_gone(&payment, &returns).unwrap().raw());
                prop_assert!((0..=credits).contains(&booked));
            }
            for at in 0..4 {
                returns[at].state = State::Undone;
                book(&mut returns, at);
            }
            prop_assert_eq!(returns.iter().map(|it| it.credits.raw()).sum::<i64>(), 0);
        }
    }
}
