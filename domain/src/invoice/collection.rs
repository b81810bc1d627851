//! When an invoice is collected automatically.

use super::{Invoice, state::State};
use crate::{id::PaymentMethodId, payment::decline::Decline, time::Timestamp};

/// Seconds in a day.
const DAY: i64 = 86_400;
/// Pauses after the first, second and further soft declines of one payment method, in days. After the last there is no further attempt.
pub const PAUSES: [i64; 4] = [1, 3, 5, 7];

/// An attempt that has ended without money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// With what.
    pub method: PaymentMethodId,
    /// Why there was no money.
    pub decline: Decline,
    /// When that was known.
    pub ended_at: Timestamp,
}

/// When to try next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// At this instant, or at once when it has passed.
    At(Timestamp),
    /// When the customer has a default method.
    NeedsMethod,
    /// When the customer has another default method: this one was refused for good, or too often. Until then it is paid by hand.
    NeedsOtherMethod,
    /// Never: nothing is to be collected.
    Never,
}

/// When an invoice is to be charged to the customer's default method.
///
/// For the first time when it is issued; after a soft decline again after 1, 3, 5 and 7 days; after a hard decline never with the same
/// method. Another default method is tried at once and has pauses of its own. `ended` are all attempts so far, oldest first, none of which
/// is under way any more.
#[must_use]
pub fn next_attempt(invoice: &Invoice, default: Option<PaymentMethodId>, ended: &[Attempt]) -> Next {
    let (State::Open | State::PastDue, Some(issued_at)) = (invoice.state, invoice.issued_at) else {
        return Next::Never;
    };
    let Some(method) = default else {
        return Next::NeedsMethod;
    };
    let with_it = || ended.iter().filter(|attempt| attempt.method == method);
    if with_it().any(|attempt| !attempt.decline.is_soft()) {
        return Next::NeedsOtherMethod;
    }
    let Some(last) = with_it().next_back() else {
        return Next::At(issued_at);
    };
    match PAUSES.get(with_it().count() - 1) {
        Some(days) => Next::At(last.ended_at.plus_seconds(days * DAY)),
        None => Next::NeedsOtherMethod,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{
        super::samples::{day, issued},
        *,
    };

    fn method(number: u128) -> PaymentMethodId {
        PaymentMethodId(Uuid::from_u128(number))
    }

    #[test]
    fn attempts() {
        const SOFT: Decline = Decline::InsufficientFunds;
        const HARD: Decline = Decline::DoNotTryAgain;
        let open = issued(100, "");
        for (what, default, ended, next) in [
            ("first", Some(1), &[][..], Next::At(day(31))),
            ("no method", None, &[], Next::NeedsMethod),
            ("soft", Some(1), &[(1, SOFT, 31)], Next::At(day(32))),
            (
                "soft twice",
                Some(1),
                &[(1, SOFT, 31), (1, SOFT, 32)],
                Next::At(day(35)),
            ),
            (
                "soft to the end",
                Some(1),
                &[(1, SOFT, 31), (1, SOFT, 32), (1, SOFT, 35), (1, SOFT, 40)],
                Next::At(day(47)),
            ),
            (
                "too often",
                Some(1),
                &[
                    (1, SOFT, 31),
                    (1, SOFT, 32),
                    (1, SOFT, 35),
                    (1, SOFT, 40),
                    (1, SOFT, 47),
                ],
                Next::NeedsOtherMethod,
            ),
            ("hard", Some(1), &[(1, HARD, 31)], Next::NeedsOtherMethod),
            ("another after hard", Some(2), &[(1, HARD, 31)], Next::At(day(31))),
            (
                "back to the refused",
                Some(1),
                &[(1, HARD, 31), (2, SOFT, 33)],
                Next::NeedsOtherMethod,
            ),
            (
                "the other, soft",
                Some(2),
                &[(1, HARD, 31), (2, SOFT, 33)],
                Next::At(day(34)),
            ),
        ] {
            let ended: Vec<Attempt> = ended
                .iter()
                .map(|&(number, decline, ended)| Attempt {
                    method: method(number),
                    decline,
                    ended_at: day(ended),
                })
                .collect();
            assert_eq!(next_attempt(&open, default.map(method), &ended), next, "{what}");
        }
    }

    #[test]
    fn only_what_is_due_is_collected() {
        let open = issued(100, "");
        let late = open.fall_due(day(45)).unwrap();
        assert_eq!(next_attempt(&late, Some(method(1)), &[]), Next::At(day(31)));
        for over in [
            open.pay(day(32)).unwrap(),
            open.void().unwrap(),
            open.give_up().unwrap(),
            issued(0, ""),
        ] {
            assert_eq!(
                next_attempt(&over, Some(method(1)), &[]),
                Next::Never,
                "{:?}",
                over.state
            );
        }
    }
}
