//! Lines for credits that were bought.

use serde::{Deserialize, Serialize};

use super::line::{Detail, Line};
use crate::{amount::Credits, id::PaymentId, money::Money, plan::money_price::CreditPrice, time::Timestamp};

/// Credits that were bought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purchase {
    /// With which payment; `None`: not with one of ours.
    pub payment: Option<PaymentId>,
    /// How many credits.
    pub credits: Credits,
    /// What one cost; `None`: not known any more.
    pub price: Option<CreditPrice>,
    /// When they expire; `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// The line for credits that were bought. `paid` is what was taken for them. It is `credits` × `price`, but for the millionths of
/// a credit by which a purchase is rounded down, so it is told and not computed.
#[must_use]
pub fn line(purchase: Purchase, paid: Money) -> Line {
    Line {
        description: format!("{} credits", purchase.credits),
        period: None,
        amount: paid,
        detail: Detail::Purchase(purchase),
        note: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Currency;

    #[test]
    fn what_was_paid_stands() {
        for (credits, price, paid) in [("1000", "0.01", 1_000), ("3.333333", "3", 1_000)] {
            let price = CreditPrice {
                currency: Currency::USD,
                per_credit: price.parse().unwrap(),
            };
            let credits: Credits = credits.parse().unwrap();
            let purchase = Purchase {
                payment: None,
                credits,
                price: Some(price),
                expires_at: None,
            };
            let line = line(purchase, Money::of(paid, Currency::USD));
            assert_eq!(line.description, format!("{credits} credits"));
            assert_eq!(price.of(credits), Ok(line.amount));
        }
    }
}
