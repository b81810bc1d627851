//! What of an invoice's money the vendor still keeps. It goes back once, whichever way: to the customer's credit balance by a credit note, or
//! to where it came from by a refund or a dispute. All amounts are minor units of the invoice's currency, zero or more but for the total.
//!
//! ```text
//! total − credit notes by hand − what is on its way back, or went − what a renewal left unused = held
//! paid  − what was overpaid    − what is on its way back, or went                              = still at the provider
//! ```

use crate::payment::returned::Return;

/// The money of an invoice, wherever it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// What the invoice comes to, tax included.
    pub total: i64,
    /// What all its credit notes have taken back.
    pub credited: i64,
    /// What of it is on notes that were written because money went back: that counts as `returned`, and no longer where it came again.
    pub noted: i64,
    /// What went to the credit balance because it was paid for a renewal that renewed nothing, and is on no credit note.
    pub unused: i64,
    /// What its payments have taken.
    pub paid: i64,
    /// What of it went to the credit balance because it was more than was left to pay.
    pub overpaid: i64,
    /// What of its payments has gone back or is about to.
    pub returned: i64,
}

impl Kept {
    /// What is kept for what was billed: so much may go to the credit balance.
    #[must_use]
    pub fn held(&self) -> i64 {
        let by_hand = self.credited.saturating_sub(self.noted);
        let gone = by_hand.saturating_add(self.returned).saturating_add(self.unused);
        self.total.saturating_sub(gone).max(0)
    }

    /// How much may go back to where it came from: of what was billed, and not of what went to the credit balance.
    #[must_use]
    pub fn refundable(&self) -> i64 {
        let gone = self.overpaid.saturating_add(self.returned);
        self.paid.saturating_sub(gone).clamp(0, self.held())
    }

    /// How much a credit note may take back. What a renewal left unused has gone to the credit balance already, and may be on a note all the
    /// same.
    #[must_use]
    pub fn creditable(&self) -> i64 {
        let on_paper = self.total.saturating_sub(self.credited).max(0);
        self.held().saturating_add(self.unused).min(on_paper)
    }
}

/// What of some payments has gone back or is about to, in minor units: a refund from the moment in which it is decided, a dispute while the
/// money is gone.
#[must_use]
pub fn returned(returns: &[Return]) -> i64 {
    let gone = returns.iter().filter(|it| it.takes_credits());
    gone.fold(0, |sum, it| sum.saturating_add(it.amount.minor))
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;

    const PAID: Kept = Kept {
        total: 100,
        credited: 0,
        noted: 0,
        unused: 0,
        paid: 100,
        overpaid: 0,
        returned: 0,
    };

    #[test]
    #[rustfmt::skip]
    fn what_can_still_go_back() {
        let paid = PAID;
        for (what, kept, refundable, creditable) in [
            ("paid", paid, 100, 100),
            ("a refund under way", Kept { returned: 40, ..paid }, 60, 60),
            ("the same with its note", Kept { returned: 40, credited: 40, noted: 40, ..paid }, 60, 60),
            ("a refund that failed after its note", Kept { credited: 40, noted: 40, ..paid }, 100, 60),
            ("a note by hand", Kept { credited: 60, ..paid }, 40, 40),
            ("both", Kept { credited: 60, returned: 40, ..paid }, 0, 0),
            ("paid twice", Kept { paid: 200, overpaid: 100, ..paid }, 100, 100),
            ("paid twice, and once refunded", Kept { paid: 200, overpaid: 100, returned: 100, ..paid }, 0, 0),
            ("paid when it was void", Kept { overpaid: 100, ..paid }, 0, 100),
            ("in part by the balance", Kept { paid: 60, ..paid }, 60, 100),
            ("the same, and a note", Kept { paid: 60, credited: 40, ..paid }, 60, 60),
            ("elsewhere", Kept { paid: 0, ..paid }, 0, 100),
            ("renewed nothing", Kept { unused: 100, ..paid }, 0, 100),
            ("renewed nothing, and refunded before", Kept { unused: 60, returned: 40, ..paid }, 0, 60),
            ("disputed for more than is left", Kept { credited: 60, returned: 100, ..paid }, 0, 0),
            ("below zero", Kept { total: -5, paid: 0, ..paid }, 0, 0),
        ] {
            assert_eq!((kept.refundable(), kept.creditable()), (refundable, creditable), "{what}");
        }
    }

    /// What can happen to an invoice that is paid.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        Refund,
        Note,
        FailRefund,
        Unused,
        PaidTwice,
    }

    proptest! {
        /// Whatever happens in whatever order: no more goes back than has come.
        #[test]
        fn no_more_goes_back_than_came(steps in prop::collection::vec(
            (select(vec![Step::Refund, Step::Note, Step::FailRefund, Step::Unused, Step::PaidTwice]), 1..120_i64), 0..20)
        ) {
            let mut kept = PAID;
            let mut balance = 0;
            for (step, wish) in steps {
                match step {
                    Step::Refund => {
                        let amount = wish.min(kept.refundable());
                        let note = amount.min(kept.total - kept.credited);
                        (kept.returned, kept.credited, kept.noted) =
                            (kept.returned + amount, kept.credited + note, kept.noted + note);
                    }
                    Step::FailRefund => kept.returned -= wish.min(kept.returned),
                    Step::Note => {
                        let amount = wish.min(kept.creditable());
                        let already = amount.min(kept.unused);
                        balance += amount - already;
                        (kept.credited, kept.unused) = (kept.credited + amount, kept.unused - already);
                    }
                    Step::Unused => {
                        balance += kept.held();
                        kept.unused += kept.held();
                    }
                    Step::PaidTwice => {
                        (kept.paid, kept.overpaid) = (kept.paid + 100, kept.overpaid + 100);
                        balance += 100;
                    }
                }
                prop_assert!(balance + kept.returned <= kept.paid, "{kept:?} and {balance}");
                prop_assert!(kept.credited <= kept.total);
            }
        }
    }
}
