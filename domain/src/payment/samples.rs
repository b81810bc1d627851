//! Payments that tests speak of.

use uuid::Uuid;

use super::{Payment, Progress, Purpose, Way};
use crate::{
    amount::Credits,
    id::{CustomerId, PaymentId, PaymentMethodId, TenantId},
    money::{Currency, Money},
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
