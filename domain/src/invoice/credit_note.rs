//! Credit notes: what takes back an invoice, or a part of it, after it was issued.

use serde::{Deserialize, Serialize};

use super::{Invoice, state::State};
use crate::{
    amount::Overflow,
    id::{CreditNoteId, InvoiceId},
    money::{Currency, Money, MoneyError},
    tax::levy::TaxLine,
    time::Timestamp,
};

/// Why something is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// It was billed wrongly.
    BillingError,
    /// It was billed before.
    Duplicate,
    /// It was not delivered, or not as agreed.
    Unsatisfactory,
    /// The agreement has ended or changed.
    Cancelled,
    /// The tax was wrong: a tax number was verified later, for example.
    TaxCorrection,
    /// The money went back through the bank.
    Dispute,
    /// As a favour.
    Goodwill,
    /// Something else.
    Other,
}

/// What takes back an invoice, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditNote {
    /// Its name in rows.
    pub id: CreditNoteId,
    /// Of which invoice.
    pub invoice: InvoiceId,
    /// Its number for people, of a sequence of its own.
    pub number: String,
    /// Why.
    pub reason: Reason,
    /// How much is taken back, tax included; more than zero.
    pub total: Money,
    /// What of it is tax.
    pub tax: Money,
    /// What of it is not.
    pub net: Money,
    /// The tax by the rates of the invoice. With several rates the parts of a small note are only near to their share, and one may be a
    /// minor unit below zero; all notes together give back each tax exactly.
    pub taxes: Vec<TaxLine>,
    /// When it was issued.
    pub issued_at: Timestamp,
}

/// Why there is no credit note. Nothing must be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The invoice was never asked for, or is void.
    #[error("an invoice that is {0:?} has nothing to take back")]
    NotInState(State),
    /// Nothing, or less.
    #[error("a credit note is over more than zero")]
    NotPositive,
    /// Another currency than that of the invoice.
    #[error("the invoice is in {0}")]
    Currency(Currency),
    /// More than is left of the invoice.
    #[error("at most {0} of the invoice can be taken back")]
    TooMuch(Money),
    /// An amount is outside its range.
    #[error(transparent)]
    TooLarge(#[from] Overflow),
}

impl From<MoneyError> for Refused {
    fn from(no: MoneyError) -> Self {
        match no {
            MoneyError::Currencies(currency, _) => Self::Currency(currency),
            MoneyError::TooLarge(no) => Self::TooLarge(no),
        }
    }
}

/// What a new credit note is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name in rows.
    pub id: CreditNoteId,
    /// Its number for people.
    pub number: String,
    /// How much is taken back, tax included.
    pub total: Money,
    /// Why.
    pub reason: Reason,
}

/// Takes back a part of an invoice. `before` is what earlier credit notes have taken back of it, zero or more, tax included.
///
/// The tax is in proportion. It *telescopes*: the tax of a note is the share of all that is taken back with it, rounded, less the share of
/// what was taken back before, rounded. So notes over the whole invoice give back exactly its tax, however they are split.
///
/// # Errors
/// An invoice that was not issued, an amount that is not above zero, more than is left, or another currency.
pub fn credit(
    invoice: &Invoice,
    before: Money,
    wanted: Wanted,
    now: Timestamp,
) -> Result<CreditNote, Refused> {
    if !invoice.state.is_issued() {
        return Err(Refused::NotInState(invoice.state));
    }
    let whole = invoice.totals.total;
    let left = whole.plus(before.negated()?)?;
    if wanted.total.currency != invoice.currency {
        return Err(Refused::Currency(invoice.currency));
    }
    if wanted.total.minor <= 0 {
        return Err(Refused::NotPositive);
    }
    if wanted.total.minor > left.minor {
        return Err(Refused::TooMuch(Money::of(left.minor.max(0), invoice.currency)));
    }
    let after = before.plus(wanted.total)?;
    let part = |amount: Money| -> Result<Money, MoneyError> {
        let share = |taken: Money| amount.share(taken.minor, whole.minor);
        share(after)?.plus(share(before)?.negated()?)
    };
    let mut taxes = Vec::new();
    let mut tax = Money::of(0, invoice.currency);
    let mut running = tax;
    for line in &invoice.taxes {
        // Of the sum of the taxes so far, so that all lines add up to the share of the whole tax.
        running = running.plus(line.amount)?;
        let so_far = part(running)?;
        let amount = so_far.plus(tax.negated()?)?;
        tax = so_far;
        taxes.push(TaxLine {
            base: part(line.base)?,
            amount,
            ..line.clone()
        });
    }
    Ok(CreditNote {
        id: wanted.id,
        invoice: invoice.id,
        number: wanted.number,
        reason: wanted.reason,
        total: wanted.total,
        tax,
        net: wanted.total.plus(tax.negated()?)?,
        taxes,
        issued_at: now,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::{
        super::{
            Kind,
            draft::draft,
            samples::{day, fees, issued, taxed},
        },
        *,
    };

    fn take(invoice: &Invoice, before: i64, total: i64) -> Result<CreditNote, Refused> {
        let wanted = Wanted {
            id: CreditNoteId(Uuid::nil()),
            number: "INV-CN-000001".to_owned(),
            total: Money::of(total, Currency::EUR),
            reason: Reason::Goodwill,
        };
        credit(invoice, Money::of(before, Currency::EUR), wanted, day(40))
    }

    #[test]
    fn tax_is_in_proportion() {
        // 100.00 and 19 % are 119.00.
        let invoice = issued(10_000, "19");
        for (before, total, tax, net) in [
            (0, 11_900, 1_900, 10_000),
            (0, 5_950, 950, 5_000),
            (5_950, 5_950, 950, 5_000),
            (0, 1, 0, 1),
            (0, 3, 0, 3),
            (3, 1, 1, 0),
            (11_899, 1, 0, 1),
        ] {
            let note = take(&invoice, before, total).unwrap();
            assert_eq!(
                (note.tax.minor, note.net.minor),
                (tax, net),
                "{total} after {before}"
            );
        }
    }

    #[test]
    fn what_cannot_be_taken_back() {
        let invoice = issued(10_000, "19");
        let left = |minor| Money::of(minor, Currency::EUR);
        for (before, total, no) in [
            (0, 11_901, Refused::TooMuch(left(11_900))),
            (11_000, 901, Refused::TooMuch(left(900))),
            (11_900, 1, Refused::TooMuch(left(0))),
            (0, 0, Refused::NotPositive),
            (0, -5, Refused::NotPositive),
        ] {
            assert_eq!(take(&invoice, before, total), Err(no), "{total} after {before}");
        }
        let made = draft(fees(Kind::Cycle, &[100]), &taxed("")).unwrap();
        assert_eq!(take(&made, 0, 1), Err(Refused::NotInState(State::Draft)));
        let void = invoice.void().unwrap();
        assert_eq!(take(&void, 0, 1), Err(Refused::NotInState(State::Void)));
        assert!(take(&invoice.pay(day(33)).unwrap(), 0, 1).is_ok());
        // Below zero: there is nothing to take back.
        assert_eq!(take(&issued(-100, ""), 0, 1), Err(Refused::TooMuch(left(0))));
        let wanted = Wanted {
            id: CreditNoteId(Uuid::nil()),
            number: String::new(),
            total: Money::of(1, Currency::USD),
            reason: Reason::Other,
        };
        assert_eq!(
            credit(&invoice, left(0), wanted, day(40)),
            Err(Refused::Currency(Currency::EUR))
        );
    }

    proptest! {
        #[test]
        fn notes_telescope(amount in 1..100_000_i64, percents in "(0|5|8\\.875|9\\.975|19|25)( (5|9\\.975|7))?", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
            let invoice = issued(amount, &percents);
            let total = invoice.totals.total.minor;
            let mut ends: Vec<i64> = cuts.iter().map(|cut| cut.index(usize::try_from(total).unwrap()) as i64).collect();
            ends.extend([0, total]);
            ends.sort_unstable();
            ends.dedup();
            let (mut tax, mut net) = (0, 0);
            let mut lines = vec![(0, 0); invoice.taxes.len()];
            for pair in ends.windows(2) {
                let note = take(&invoice, pair[0], pair[1] - pair[0]).unwrap();
                prop_assert_eq!(note.tax.minor + note.net.minor, note.total.minor);
                prop_assert!(note.tax.minor >= 0 && note.net.minor >= 0);
                prop_assert_eq!(note.taxes.iter().map(|line| line.amount.minor).sum::<i64>(), note.tax.minor);
                tax += note.tax.minor;
                net += note.net.minor;
                for (sum, line) in lines.iter_mut().zip(&note.taxes) {
                    *sum = (sum.0 + line.amount.minor, sum.1 + line.base.minor);
                }
            }
            prop_assert_eq!((tax, net), (invoice.totals.tax.minor, invoice.totals.subtotal.minor));
            let billed: Vec<_> = invoice.taxes.iter().map(|line| (line.amount.minor, line.base.minor)).collect();
            prop_assert_eq!(lines, billed);
        }
    }
}
