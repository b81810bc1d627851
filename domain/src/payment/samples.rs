//! Payments that tests speak of.

use uuid::Uuid;

use super::{Payment, Progress, Purpose, Way, sale::Sale};
use crate::{
    amount::Credits,
    id::{CustomerId, PaymentId, PaymentMethodId, TenantId},
    money::{Currency, Money},
    plan::{money_price::CreditPrice, variant::PurchaseLimits},
    time::Timestamp,
};

/// The instant so many seconds after 1970.
pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

/// A purchase of so many micro-credits for so many cents, which has just been decided.
pub(super) fn purchase(cents: i64, credits: i64) -> Payment {
    Payment {
        id: PaymentId(Uuid::nil()),
        tenant: TenantId(Uuid::nil()),
        customer: CustomerId(Uuid::nil()),
        purpose: Purpose::Purchase,
        provider: "sandbox".to_owned(),
        way: Way::Saved(PaymentMethodId(Uuid::nil())),
        amount: Money::of(cents, Currency::USD),
        credits: Credits::from_raw(credits),
        lasts_seconds: None,
        invoice: None,
        created_at: at(0),
        progress: Progress::begin(at(0)),
    }
}

/// Such as `5.00 USD`.
pub(super) fn money(text: &str) -> Money {
    let (amount, currency) = text.split_once(' ').unwrap();
    Money::parse(amount, currency.parse().unwrap()).unwrap()
}

/// Credits at a price each, within limits that may be empty.
pub(super) fn sale(price: &str, minimum: &str, maximum: &str) -> Sale {
    let (per_credit, currency) = price.split_once(' ').unwrap();
    let limit = |text: &str| (!text.is_empty()).then(|| money(text));
    Sale {
        price: CreditPrice {
            currency: currency.parse().unwrap(),
            per_credit: per_credit.parse().unwrap(),
        },
        limits: PurchaseLimits {
            minimum: limit(minimum),
            maximum: limit(maximum),
        },
        lasts_seconds: None,
        tiers: Vec::new(),
    }
}
