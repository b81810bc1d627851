//! What a vendor sells credits for, and within which limits.

use serde::{Deserialize, Serialize};

use super::trust::TrustTier;
use crate::{
    amount::{Credits, Overflow},
    money::Money,
    plan::{
        money_price::CreditPrice,
        variant::{PurchaseLimits, Variant},
    },
    rejection::{Rejection, RejectionCode},
};

/// Longest life of bought credits, in seconds: a hundred years.
const MAX_LIFE: i64 = 100 * 366 * 86_400;

/// How a vendor sells credits to customers whose plan does not say otherwise. Sources P1 and P2: $5 to $5,000, for a year; P3: from $10,
/// for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sale {
    /// What one credit costs; more than zero.
    pub price: CreditPrice,
    /// Smallest and largest purchase, whatever a plan says.
    pub limits: PurchaseLimits,
    /// How long bought credits last, in seconds; `None`: for ever.
    pub lasts_seconds: Option<i64>,
    /// Tiers of trust, lowest first; empty: everybody may buy alike.
    #[serde(default)]
    pub tiers: Vec<TrustTier>,
}

/// What a customer can buy at once, and at what price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// What one credit costs.
    pub price: CreditPrice,
    /// Smallest purchase; `None`: any.
    pub minimum: Option<Money>,
    /// Largest purchase; `None`: any.
    pub maximum: Option<Money>,
}

impl Sale {
    /// What a customer with these plans can buy: on the terms of the first plan that sells credits, within the own limits as well. Limits
    /// in a currency that is not that of the price are left to [`buy`](Self::buy). `None`: none of the plans sells credits.
    #[must_use]
    pub fn offer(&self, plans: &[&Variant]) -> Option<Offer> {
        let mut selling = plans.iter().filter_map(|plan| Some((plan, plan.purchase?)));
        let (price, limits) = match selling.next() {
            Some((plan, limits)) => (plan.credit_price.unwrap_or(self.price), Some(limits)),
            None if plans.is_empty() => (self.price, None),
            None => return None,
        };
        let all = |pick: fn(PurchaseLimits) -> Option<Money>| {
            let both = [Some(self.limits), limits].into_iter().flatten().filter_map(pick);
            both.filter(|limit| limit.currency == price.currency)
        };
        Some(Offer {
            price,
            minimum: all(|limits| limits.minimum).max_by_key(|limit| limit.minor),
            maximum: all(|limits| limits.maximum).min_by_key(|limit| limit.minor),
        })
    }

    /// Checks terms before it is written.
    ///
    /// # Errors
    /// A price that is not positive, a limit that is not, limits in another currency or in the wrong order, a life out of range, or tiers of trust that cannot be.
    pub fn validate(&self) -> Result<(), Rejection> {
        let refuse = |field: &str, message: &str| Err(Rejection::invalid(field, message));
        if !self.price.per_credit.is_positive() {
            return refuse("creditPrice.perCredit", "a credit must cost something");
        }
        let PurchaseLimits { minimum, maximum } = self.limits;
        for (field, limit) in [("minimum", minimum), ("maximum", maximum)] {
            let Some(limit) = limit else { continue };
            if limit.minor <= 0 {
                return refuse(&format!("{field}.amount"), "a limit is more than zero");
            }
            if limit.currency != self.price.currency {
                return refuse(
                    &format!("{field}.currency"),
                    "limits are in the currency of the credit price",
                );
            }
        }
        if let (Some(minimum), Some(maximum)) = (minimum, maximum)
            && minimum.minor > maximum.minor
        {
            return refuse("maximum.amount", "it must not be below the minimum");
        }
        match self.lasts_seconds {
            Some(seconds) if !(1..=MAX_LIFE).contains(&seconds) => {
                refuse("creditsExpireAfterSeconds", "from one second to a hundred years")
            }
            _ => self.check_tiers(),
        }
    }

    /// The credits that an amount buys for a customer with these plans: at the price of the first plan that sells to it and names one,
    /// or else at the own one. Rounded down to micro-credits, so that no price makes credits out of nothing.
    ///
    /// # Errors
    /// An amount outside the limits or outside those of every plan, plans of which none sells credits, or a currency that is
    /// not that of the price: each blames `amount`.
    pub fn buy(&self, plans: &[&Variant], amount: Money) -> Result<Credits, Rejection> {
        check_limits(self.limits, amount)?;
        let mut price = self.price;
        let mut refused = None;
        for plan in plans {
            match plan.check_purchase(amount) {
                Ok(()) => {
                    price = plan.credit_price.unwrap_or(price);
                    refused = None;
                    break;
                }
                Err(no) => refused = refused.or(Some(no)),
            }
        }
        if let Some(no) = refused {
            return Err(no);
        }
        if amount.currency != price.currency {
            return Err(Rejection::invalid(
                "amount.currency",
                format!("credits are sold in {}", price.currency),
            ));
        }
        let credits = credits_for(amount, price).map_err(|_| Rejection::too_large("amount"))?;
        if !credits.is_positive() {
            return Err(Rejection::new(
                RejectionCode::InvalidInput,
                "amount",
                "it buys no credits",
            ));
        }
        Ok(credits)
    }
}

fn check_limits(limits: PurchaseLimits, amount: Money) -> Result<(), Rejection> {
    if amount.minor <= 0 {
        return Err(Rejection::invalid("amount", "a purchase is more than zero"));
    }
    for (limit, least) in [(limits.minimum, true), (limits.maximum, false)] {
        let Some(limit) = limit else { continue };
        if limit.currency != amount.currency {
            let message = format!("credits are sold in {}", limit.currency);
            return Err(Rejection::invalid("amount.currency", message));
        }
        if least && amount.minor < limit.minor {
            return Err(Rejection::invalid("amount", format!("at least {limit}")));
        }
        if !least && amount.minor > limit.minor {
            return Err(Rejection::invalid("amount", format!("at most {limit}")));
        }
    }
    Ok(())
}

/// `amount ÷ price`, rounded down to micro-credits.
///
/// # Errors
/// A price that is not positive, or credits outside their range.
pub(crate) fn credits_for(amount: Money, price: CreditPrice) -> Result<Credits, Overflow> {
    // Both in units of 10⁻¹⁸: minor units have at most four places, micro-credits six, rates twelve.
    let minor = 10_i128.pow(18 - amount.currency.places());
    let paid = i128::from(amount.minor).checked_mul(minor).ok_or(Overflow)?;
    let each = i128::from(price.per_credit.raw());
    if each <= 0 {
        return Err(Overflow);
    }
    i64::try_from(paid / each)
        .map(Credits::from_raw)
        .map_err(|_| Overflow)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        amount::Rate,
        money::Currency,
        payment::samples::{money, sale},
    };

    #[test]
    fn amounts_become_credits() {
        for (price, amount, credits) in [
            ("1 USD", "10.00 USD", "10"),
            ("0.01 USD", "5.00 USD", "500"),
            // Never more than was paid for.
            ("3 USD", "10.00 USD", "3.333333"),
            ("1.5 JPY", "1000 JPY", "666.666666"),
            ("0.25 KWD", "1.005 KWD", "4.02"),
        ] {
            let bought = sale(price, "", "").buy(&[], money(amount)).unwrap();
            assert_eq!(bought.to_string(), credits, "{amount} at {price}");
        }
    }

    #[test]
    fn amounts_outside_the_limits_are_refused() {
        let sale = sale("1 USD", "5 USD", "5000 USD");
        for (amount, field) in [
            ("4.99 USD", "amount"),
            ("5000.01 USD", "amount"),
            ("0 USD", "amount"),
            ("-5 USD", "amount"),
            ("100 EUR", "amount.currency"),
        ] {
            let no = sale.buy(&[], money(amount)).unwrap_err();
            assert_eq!(no.path.join("."), field, "{amount}");
        }
        assert!(sale.buy(&[], money("5 USD")).is_ok());
        assert!(sale.buy(&[], money("5000 USD")).is_ok());
    }

    #[test]
    fn terms_are_checked() {
        let good = sale("1 USD", "5 USD", "5000 USD");
        assert_eq!(good.validate(), Ok(()));
        let wrong = [
            (sale("0 USD", "", ""), "creditPrice.perCredit"),
            (sale("1 USD", "0 USD", ""), "minimum.amount"),
            (sale("1 USD", "", "5 EUR"), "maximum.currency"),
            (sale("1 USD", "6 USD", "5 USD"), "maximum.amount"),
            (
                Sale {
                    lasts_seconds: Some(0),
                    ..good.clone()
                },
                "creditsExpireAfterSeconds",
            ),
        ];
        for (sale, field) in wrong {
            assert_eq!(sale.validate().unwrap_err().path.join("."), field);
        }
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_was_paid_for(minor in 1..1_000_000_000_i64, rate in 1..10_000_000_000_000_i64) {
            let price = CreditPrice { currency: Currency::USD, per_credit: Rate::from_raw(rate) };
            let amount = Money::of(minor, Currency::USD);
            let credits = i128::from(credits_for(amount, price).unwrap().raw());
            let paid = i128::from(minor) * 10_i128.pow(16);
            prop_assert!(credits * i128::from(rate) <= paid);
            prop_assert!((credits + 1) * i128::from(rate) > paid);
        }
    }
}
