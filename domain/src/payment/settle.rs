//! What follows from what is known of a payment. Replies, notices and look-ups come here in any order, doubled or late by days.

use super::{Outcome, Payment, Progress, Seen, State, decline::Decline};
use crate::time::Timestamp;

/// How long the provider's answer to a request is waited for, in seconds. Who takes a payment in hand has it for so long.
pub const LEASE_SECONDS: i64 = 45;
/// Pauses between two looks at a payment of which nothing new is heard, in seconds; the last one repeats.
const PAUSES: [i64; 6] = [5, 30, 120, 600, 3_600, 21_600];
/// How long the same request may be sent again, in seconds: providers keep a key for a day.
pub const RESEND_SECONDS: i64 = 23 * 3_600;
/// How long a customer has to confirm a payment with the bank, in seconds. Then it is ended at the provider first: who could still confirm
/// a payment that we have given up would pay for nothing.
pub const CONFIRM_SECONDS: i64 = 24 * 3_600;

/// What is known of a payment besides its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// The provider has said how it stands.
    Seen(Seen),
    /// The provider has looked, and knows of no such payment.
    Nothing,
    /// The provider did not answer.
    NoAnswer,
    /// The provider will have nothing to do with the request. No money was taken.
    Refused(Decline),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// What has become of the payment.
    pub progress: Progress,
    /// Whether its credits are to be granted, in the same moment.
    pub grants: bool,
}

/// What is to be done with a payment in hand that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Send it to the provider, for the first time or once more under the same key.
    Send,
    /// Ask the provider how it stands.
    Look,
    /// Ask the provider what has gone back of it, and what else it was asked to give back.
    LookBack,
}

/// What is due of a payment. One that has been sent is asked about before it is sent again, and so is one that has waited although it was not
/// sent as far as is known here: where the books were restored, it was sent after the backup, and its key may be forgotten meanwhile.
#[must_use]
pub fn duty(payment: &Payment, now: Timestamp) -> Duty {
    match payment.progress.state {
        State::Created if now.seconds_since(payment.created_at) < LEASE_SECONDS => Duty::Send,
        State::Succeeded => Duty::LookBack,
        _ => Duty::Look,
    }
}

/// Whether a payment of which the provider knows nothing may be sent, for the first time or once more.
#[must_use]
pub fn may_be_sent(progress: &Progress, now: Timestamp) -> bool {
    let first = progress.submitted_at;
    progress.state.is_open() && first.is_none_or(|first| now.seconds_since(first) < RESEND_SECONDS)
}

/// Whether a payment that still waits for its customer is to be ended at the provider.
#[must_use]
pub fn is_to_be_cancelled(payment: &Payment, seen: &Seen, now: Timestamp) -> bool {
    let since = payment.progress.submitted_at.unwrap_or(payment.created_at);
    matches!(seen.outcome, Outcome::RequiresAction { .. }) && now.seconds_since(since) >= CONFIRM_SECONDS
}

/// Takes a payment in hand: from now on the provider may have it.
#[must_use]
pub fn take(progress: &Progress, now: Timestamp) -> Progress {
    Progress {
        state: match progress.state {
            State::Created => State::Submitted,
            other => other,
        },
        submitted_at: progress.submitted_at.or(Some(now)),
        due_at: Some(now.plus_seconds(LEASE_SECONDS)),
        ..progress.clone()
    }
}

/// What follows from what is known. A payment that succeeded stays so, whatever is heard afterwards; one that failed succeeds if the
/// money was taken after all. Of one that has ended nothing is due any more, unless the provider has to be asked again.
#[must_use]
pub fn settle(payment: &Payment, known: Known, now: Timestamp) -> Settled {
    let present = &payment.progress;
    let stay = |progress| Settled {
        progress,
        grants: false,
    };
    match known {
        Known::NoAnswer if !present.state.is_open() => stay(present.asked_later(now)),
        _ if matches!(present.state, State::Succeeded | State::Quarantined) => stay(present.at_rest()),
        Known::Seen(seen) => heard(payment, seen, now),
        // Late news of a payment that has ended without money.
        _ if present.state == State::Failed => stay(present.at_rest()),
        Known::Refused(decline) => stay(present.failed(decline, now)),
        Known::Nothing if !may_be_sent(present, now) => stay(present.failed(Decline::NeverSubmitted, now)),
        Known::Nothing | Known::NoAnswer => stay(Progress {
            state: match present.state {
                State::Submitted => State::Unknown,
                other => other,
            },
            ..present.asked_later(now)
        }),
    }
}

/// The provider has said how it stands.
fn heard(payment: &Payment, seen: Seen, now: Timestamp) -> Settled {
    let present = &payment.progress;
    let known = Progress {
        reference: Some(seen.reference),
        ..present.clone()
    };
    let open = |state, due: i64, action_url, looks| Progress {
        state,
        due_at: Some(now.plus_seconds(due)),
        action_url,
        looks,
        ..known.clone()
    };
    if seen.amount != payment.amount {
        let progress = Progress {
            state: State::Quarantined,
            due_at: None,
            ended_at: Some(now),
            ..known
        };
        return Settled {
            progress,
            grants: false,
        };
    }
    let progress = match seen.outcome {
        Outcome::Succeeded => {
            let progress = Progress {
                state: State::Succeeded,
                due_at: None,
                decline: None,
                action_url: None,
                ended_at: Some(now),
                ..known
            };
            return Settled {
                progress,
                grants: true,
            };
        }
        // It has ended; that it is under way was said before.
        Outcome::Processing | Outcome::RequiresAction { .. } if present.state == State::Failed => {
            present.at_rest()
        }
        Outcome::Processing => open(
            State::Processing,
            pause(present.looks),
            None,
            present.looks.saturating_add(1),
        ),
        Outcome::RequiresAction { url } => open(
            State::RequiresAction,
            pause(present.looks),
            url,
            present.looks.saturating_add(1),
        ),
        Outcome::Declined(decline) => known.failed(decline, now),
    };
    Settled {
        progress,
        grants: false,
    }
}

impl Progress {
    /// Nothing is due of it.
    #[must_use]
    pub fn at_rest(&self) -> Self {
        Self {
            due_at: None,
            looks: 0,
            ..self.clone()
        }
    }

    /// It is asked about again, later each time.
    #[must_use]
    pub fn asked_later(&self, now: Timestamp) -> Self {
        Self {
            due_at: Some(now.plus_seconds(pause(self.looks))),
            looks: self.looks.saturating_add(1),
            ..self.clone()
        }
    }

    /// One of which it was found out by asking that it has succeeded. That may be long ago, and money may have gone back of it before it was
    /// known of: who told of that told it to nobody, and tells it once. So it is looked back at, at once.
    #[must_use]
    pub fn found_out(&self, now: Timestamp) -> Self {
        Self {
            due_at: Some(now),
            looks: 0,
            ..self.clone()
        }
    }

    /// What is to be written after a look at a payment. If somebody has had it looked at once more since it was taken in hand (`taken`; as it
    /// stands in its row: `present`), what is known may be older than that, and it stays due when they said.
    #[must_use]
    pub fn unless_hastened(self, taken: &Self, present: &Self) -> Self {
        let hastened = present.due_at.filter(|due| Some(*due) != taken.due_at);
        Self {
            due_at: hastened.or(self.due_at),
            ..self
        }
    }

    fn failed(&self, decline: Decline, now: Timestamp) -> Self {
        Self {
            state: State::Failed,
            due_at: None,
            // The first reason stays, as does the moment.
            decline: self.decline.or(Some(decline)),
            action_url: None,
            ended_at: self.ended_at.or(Some(now)),
            ..self.clone()
        }
    }
}

/// Seconds until the next look.
fn pause(looks: i32) -> i64 {
    let last = PAUSES.len() - 1;
    PAUSES[usize::try_from(looks).unwrap_or(0).min(last)]
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::{
        super::samples::{at, purchase},
        *,
    };
    use crate::money::{Currency, Money};

    const PRICE: Money = Money::of(500, Currency::USD);

    fn payment() -> Payment {
        purchase(PRICE.minor, 5_000_000)
    }

    fn seen(outcome: Outcome) -> Known {
        Known::Seen(Seen {
            reference: "pi_1".to_owned(),
            amount: PRICE,
            outcome,
        })
    }

    fn after(known: Vec<(i64, Known)>) -> (Payment, usize) {
        let mut payment = payment();
        payment.progress = take(&payment.progress, at(0));
        let mut grants = 0;
        for (second, known) in known {
            let settled = settle(&payment, known, at(second));
            payment.progress = settled.progress;
            grants += usize::from(settled.grants);
        }
        (payment, grants)
    }

    #[test]
    fn ways_a_payment_can_go() {
        let soft = || seen(Outcome::Declined(Decline::InsufficientFunds));
        let asked = || seen(Outcome::RequiresAction { url: None });
        let day = RESEND_SECONDS;
        for (what, known, state, grants) in [
            (
                "at once",
                vec![(1, seen(Outcome::Succeeded))],
                State::Succeeded,
                1,
            ),
            ("declined", vec![(1, soft())], State::Failed, 0),
            ("no answer", vec![(1, Known::NoAnswer)], State::Unknown, 0),
            (
                "charged although nobody answered",
                vec![(1, Known::NoAnswer), (40, seen(Outcome::Succeeded))],
                State::Succeeded,
                1,
            ),
            (
                "reply and notice",
                vec![(1, seen(Outcome::Succeeded)), (2, seen(Outcome::Succeeded))],
                State::Succeeded,
                1,
            ),
            (
                "an old notice after success",
                vec![
                    (1, seen(Outcome::Succeeded)),
                    (2, seen(Outcome::Processing)),
                    (3, soft()),
                ],
                State::Succeeded,
                1,
            ),
            (
                "success after failure",
                vec![(1, soft()), (9, seen(Outcome::Succeeded))],
                State::Succeeded,
                1,
            ),
            (
                "an old notice after failure",
                vec![(1, soft()), (9, seen(Outcome::Processing)), (10, asked())],
                State::Failed,
                0,
            ),
            ("to be confirmed", vec![(1, asked())], State::RequiresAction, 0),
            (
                "not confirmed for long",
                vec![(1, asked()), (CONFIRM_SECONDS, asked())],
                State::RequiresAction,
                0,
            ),
            (
                "ended at the provider",
                vec![
                    (1, asked()),
                    (CONFIRM_SECONDS, seen(Outcome::Declined(Decline::NotConfirmed))),
                ],
                State::Failed,
                0,
            ),
            (
                "never heard of",
                vec![(1, Known::NoAnswer), (100, Known::Nothing)],
                State::Unknown,
                0,
            ),
            (
                "never heard of in a day",
                vec![(1, Known::NoAnswer), (day, Known::Nothing)],
                State::Failed,
                0,
            ),
            (
                "nobody answers for a day",
                vec![(1, Known::NoAnswer), (day, Known::NoAnswer)],
                State::Unknown,
                0,
            ),
            (
                "confirmed at last",
                vec![(1, asked()), (2, Known::NoAnswer), (3, seen(Outcome::Succeeded))],
                State::Succeeded,
                1,
            ),
        ] {
            let (payment, granted) = after(known);
            assert_eq!((payment.progress.state, granted), (state, grants), "{what}");
            let progress = &payment.progress;
            assert_eq!(progress.due_at.is_some(), progress.state.is_open(), "{what}");
            assert_eq!(progress.ended_at.is_none(), progress.state.is_open(), "{what}");
        }
    }

    #[test]
    fn another_amount_grants_nothing() {
        let mut wrong = Seen {
            reference: "pi_1".to_owned(),
            amount: Money::of(501, Currency::USD),
            outcome: Outcome::Succeeded,
        };
        let (payment, grants) = after(vec![
            (1, Known::Seen(wrong.clone())),
            (2, seen(Outcome::Succeeded)),
        ]);
        assert_eq!((payment.progress.state, grants), (State::Quarantined, 0));
        wrong.amount = Money::of(500, Currency::EUR);
        let (payment, grants) = after(vec![(1, Known::Seen(wrong))]);
        assert_eq!((payment.progress.state, grants), (State::Quarantined, 0));
    }

    #[test]
    fn looks_become_rarer() {
        let mut payment = payment();
        payment.progress = take(&payment.progress, at(0));
        let mut now = at(0);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            payment.progress = settle(&payment, Known::NoAnswer, now).progress;
            let due = payment.progress.due_at.unwrap();
            pauses.push(due.seconds_since(now));
            now = due;
        }
        assert_eq!(pauses, [5, 30, 120, 600, 3_600, 21_600, 21_600, 21_600]);
    }

    #[test]
    fn what_was_sent_is_asked_about_first() {
        let mut payment = payment();
        assert_eq!(duty(&payment, at(LEASE_SECONDS - 1)), Duty::Send);
        assert_eq!(duty(&payment, at(LEASE_SECONDS)), Duty::Look, "it has waited");
        let sent = take(&payment.progress, at(0));
        assert_eq!((sent.state, sent.submitted_at), (State::Submitted, Some(at(0))));
        payment.progress = sent.clone();
        assert_eq!(duty(&payment, at(1)), Duty::Look);
        let (paid, _) = after(vec![(1, seen(Outcome::Succeeded))]);
        assert_eq!(duty(&paid, at(1)), Duty::LookBack);
        assert!(may_be_sent(&sent, at(RESEND_SECONDS - 1)));
        assert!(!may_be_sent(&sent, at(RESEND_SECONDS)));
    }

    #[test]
    fn one_that_has_ended_is_asked_about_until_the_provider_answers() {
        let (mut payment, _) = after(vec![(1, seen(Outcome::Succeeded))]);
        payment.progress.due_at = Some(at(100));
        let unanswered = settle(&payment, Known::NoAnswer, at(100)).progress;
        assert_eq!(
            (unanswered.state, unanswered.due_at),
            (State::Succeeded, Some(at(105)))
        );
        let answered = settle(&payment, seen(Outcome::Succeeded), at(100));
        assert_eq!((answered.progress.due_at, answered.grants), (None, false));
        assert!(
            !may_be_sent(&payment.progress, at(2)),
            "it would be charged once more"
        );
    }

    #[test]
    fn what_is_heard_during_a_look_is_looked_at_again() {
        let due = |second: Option<i64>| Progress {
            due_at: second.map(at),
            ..Progress::begin(at(0))
        };
        for (taken, present, after, wanted) in [
            // Nobody else: the lease is still that of who looks.
            (Some(45), Some(45), None, None),
            (Some(45), Some(45), Some(50), Some(50)),
            // A notice came, whatever the look found.
            (Some(45), Some(10), None, Some(10)),
            (Some(45), Some(10), Some(50), Some(10)),
            (None, Some(10), None, Some(10)),
            // Somebody else has taken it in hand since.
            (Some(45), Some(90), None, Some(90)),
            // Somebody else has ended it.
            (Some(45), None, Some(50), Some(50)),
            (None, None, None, None),
        ] {
            let written = due(after).unless_hastened(&due(taken), &due(present));
            assert_eq!(written.due_at, wanted.map(at), "{taken:?} {present:?} {after:?}");
        }
    }

    #[test]
    fn what_nobody_confirms_is_ended_after_a_day() {
        let mut payment = payment();
        payment.progress = take(&payment.progress, at(5));
        for (outcome, second, cancelled) in [
            (Outcome::RequiresAction { url: None }, 4 + CONFIRM_SECONDS, false),
            (Outcome::RequiresAction { url: None }, 5 + CONFIRM_SECONDS, true),
            (Outcome::Processing, 5 + CONFIRM_SECONDS, false),
            (Outcome::Succeeded, 5 + CONFIRM_SECONDS, false),
        ] {
            let Known::Seen(seen) = seen(outcome) else {
                unreachable!()
            };
            assert_eq!(
                is_to_be_cancelled(&payment, &seen, at(second)),
                cancelled,
                "{seen:?}"
            );
        }
    }

    fn anything() -> impl Strategy<Value = Known> {
        select(vec![
            seen(Outcome::Succeeded),
            seen(Outcome::Processing),
            seen(Outcome::RequiresAction { url: None }),
            seen(Outcome::Declined(Decline::InsufficientFunds)),
            Known::Nothing,
            Known::NoAnswer,
            Known::Refused(Decline::MethodGone),
        ])
    }

    proptest! {
        /// Whatever is heard, in whatever order: credits are granted once if the money was ever seen to be taken, and else never.
        #[test]
        fn one_grant_for_one_success(heard in prop::collection::vec((0..200_000_i64, anything()), 0..20)) {
            let taken = heard.iter().any(|(_, known)| *known == seen(Outcome::Succeeded));
            let (payment, grants) = after(heard);
            prop_assert_eq!(grants, usize::from(taken));
            prop_assert_eq!(payment.progress.state == State::Succeeded, taken);
            prop_assert!(payment.progress.due_at.is_some() || !payment.progress.state.is_open());
        }
    }
}
