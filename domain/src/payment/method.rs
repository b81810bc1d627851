//! Ways to pay. What is secret about them stays with the provider.

use serde::{Deserialize, Serialize};

use crate::{
    id::{CustomerId, PaymentMethodId},
    time::Timestamp,
};

/// What kind of thing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    /// A credit or debit card.
    Card,
    /// A debit of a bank account.
    BankDebit,
    /// Money on a blockchain: paid on a page of the provider's, never kept.
    Crypto,
}

/// What a provider tells of a way to pay: enough for the customer to know it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Face {
    /// The provider's own name for it.
    pub reference: String,
    /// What kind of thing it is.
    pub kind: Kind,
    /// Of which make, such as `visa`.
    pub brand: String,
    /// The last four digits of its number.
    pub last_four: String,
    /// Whose name is on it.
    pub holder: Option<String>,
    /// Month and year after which it is not good any more; `None`: it does not expire.
    pub expires: Option<Expiry>,
}

/// The last month in which a card is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Expiry {
    /// Such as 2030.
    pub year: i32,
    /// 1 to 12.
    pub month: i32,
}

impl Expiry {
    /// The month, counted from the year 0.
    #[must_use]
    pub fn months(self) -> i64 {
        i64::from(self.year) * 12 + i64::from(self.month) - 1
    }
}

/// The last month, counted from the year 0, of whose cards their owners are to be told now that they expire: the next one, so that there is
/// a month to leave another.
#[must_use]
pub fn last_warned(now: Timestamp) -> i64 {
    now.month().end.months()
}

/// A way to pay that a customer has left with us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Method {
    /// Its name in rows.
    pub id: PaymentMethodId,
    /// Whose it is.
    pub customer: CustomerId,
    /// Key of the provider, such as `sandbox`.
    pub provider: String,
    /// What the customer knows it by.
    pub face: Face,
    /// Whether it is used when none is named. At most one of a customer is.
    pub is_default: bool,
    /// When it was added.
    pub created_at: Timestamp,
}
