//! Invoices: what a customer is asked to pay, line by line.
//!
//! A cycle's close makes lines ([`usage::line`], [`fee::line`]); [`draft::draft`] puts them together with taxes and the customer's credit
//! balance; [`state`] moves the invoice on. Once it has a number nothing of what it says changes: lines keep names, units and prices as
//! they were, and mistakes are put right by a [`credit_note`].
//!
//! ```text
//! full price of the usage
//! − covered by prepaid or free credits   (source P1: shown, and not billed again)
//! = amount of the line                   all lines: the sum
//!                                        + tax = total
//!                                        − credit balance = due
//! ```

pub mod collection;
pub mod credit_note;
pub mod cycle;
pub mod draft;
pub mod fee;
pub mod kept;
pub mod line;
pub mod number;
pub mod party;
pub mod purchase;
pub mod state;
pub mod terms;
pub mod usage;

use serde::{Deserialize, Serialize};

use self::{line::Line, party::Party, state::State};
use crate::{
    cycle::CycleRef,
    id::{CustomerId, InvoiceId, TenantId},
    money::{Currency, Money, MoneyError},
    tax::levy::{Prices, TaxLine},
    time::{Period, Timestamp},
};

/// What an invoice is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    /// A cycle that has closed (sources P0 and P4).
    Cycle,
    /// The receipt of a purchase of credits. It is paid when it is made.
    Purchase,
    /// A fee outside of the close of a cycle: a renewal, a change of plan.
    Fee,
}

/// What an invoice comes to. All in its currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Without tax.
    pub subtotal: Money,
    /// All taxes.
    pub tax: Money,
    /// `subtotal` and `tax`. Below zero where more goes back than is billed.
    pub total: Money,
    /// What the customer's credit balance pays, zero or more.
    pub applied: Money,
    /// What is to be paid, zero or more.
    pub due: Money,
    /// What goes to the customer's credit balance because the total is below zero; zero or more.
    pub carried: Money,
}

/// What a customer is asked to pay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invoice {
    /// Its name in rows.
    pub id: InvoiceId,
    /// Who sells.
    pub tenant: TenantId,
    /// Who pays.
    pub customer: CustomerId,
    /// Of which cycle; `None`: of none.
    pub cycle: Option<CycleRef>,
    /// What it is for.
    pub kind: Kind,
    /// All its amounts are in it.
    pub currency: Currency,
    /// The time that it is about; `None`: a moment.
    pub period: Option<Period>,
    /// Who sells, as on the day of the invoice.
    pub seller: Party,
    /// Who pays, as on the day of the invoice.
    pub buyer: Party,
    /// What is billed.
    pub lines: Vec<Line>,
    /// Whether the amounts of the lines contain the taxes.
    pub prices: Prices,
    /// Its taxes.
    pub taxes: Vec<TaxLine>,
    /// What it comes to.
    pub totals: Totals,
    /// What else has to be written on it, such as why no tax is charged.
    pub notes: Vec<String>,
    /// Its number for people; `None` for a draft.
    pub number: Option<String>,
    /// Where it stands.
    pub state: State,
    /// When it was drafted.
    pub created_at: Timestamp,
    /// When it got its number.
    pub issued_at: Option<Timestamp>,
    /// When it is to be paid.
    pub due_at: Option<Timestamp>,
    /// When it was paid.
    pub paid_at: Option<Timestamp>,
}

impl Invoice {
    /// What is still to be paid after credit notes over `credited` in all, zero or more. An invoice of which nothing is left may be
    /// marked as paid.
    ///
    /// # Errors
    /// Another currency, or a result outside the range.
    pub fn outstanding(&self, credited: Money) -> Result<Money, MoneyError> {
        if !self.state.is_payable() {
            return Ok(Money::of(0, self.currency));
        }
        let left = self.totals.due.plus(credited.negated()?)?;
        Ok(Money::of(left.minor.max(0), self.currency))
    }
}

#[cfg(test)]
mod samples;
