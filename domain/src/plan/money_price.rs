//! Prices in money, for invoices.
//!
//! Credit tiers are not money tiers (source P4): how many credits a call takes steers the balance, what the call costs is the
//! vendor's price list. Both have the same kinds and count the same way, so a price in money is a [`Price`] whose rates are
//! major units of a currency (dollars, not cents) for one unit of the metric.

use serde::{Deserialize, Serialize};

use crate::{
    amount::{Credits, ExactCost, Overflow, Quantity, Rate},
    metering::{Position, Price},
    money::{Currency, Money},
    rejection::Rejection,
};

/// What a metric costs in money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoneyPrice {
    /// In which currency.
    pub currency: Currency,
    /// The price; each rate is in major units of the currency.
    pub price: Price,
}

impl MoneyPrice {
    /// Checks a price before it is written.
    ///
    /// # Errors
    /// Which part cannot be, and why.
    pub fn validate(&self) -> Result<(), Rejection> {
        self.price.validate()
    }

    /// What a cycle costs that has come to `position`, rounded once to minor units, half to even.
    ///
    /// # Errors
    /// A cost outside the range of [`Money`].
    pub fn cumulative(&self, position: Position) -> Result<Money, Overflow> {
        Money::round(self.price.exact(position)?, self.currency)
    }
}

/// What one credit costs in money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditPrice {
    /// In which currency.
    pub currency: Currency,
    /// Major units of the currency for one credit, zero or more.
    pub per_credit: Rate,
}

impl CreditPrice {
    /// Checks a price before it is written.
    ///
    /// # Errors
    /// A price below zero.
    pub fn validate(&self) -> Result<(), Rejection> {
        if self.per_credit.is_negative() {
            return Err(Rejection::invalid("perCredit", "a price must not be negative"));
        }
        Ok(())
    }

    /// What credits cost, rounded once to minor units, half to even.
    ///
    /// # Errors
    /// A cost outside the range of [`Money`].
    pub fn of(&self, credits: Credits) -> Result<Money, Overflow> {
        // A credit is a million micro-credits as a unit is a million micro-units.
        let exact = ExactCost::of(Quantity::from_raw(credits.raw()), self.per_credit);
        Money::round(exact, self.currency)
    }
}
