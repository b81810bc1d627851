//! Invoices that tests speak of.

use uuid::Uuid;

use super::{Invoice, Kind, draft, fee, party::Party};
use crate::{
    id::{CustomerId, InvoiceId, TenantId, VariantId},
    money::{Currency, Money},
    subscription::MoneyLine,
    tax::{
        decide::{Ground, Treatment},
        levy::Prices,
        rate::TaxRate,
    },
    time::{Period, Timestamp},
};

/// The instant so many days after 1970.
pub(super) fn day(day: i64) -> Timestamp {
    Timestamp::from_micros(day * 86_400_000_000)
}

/// An invoice of fees in euros.
pub(super) fn fees(kind: Kind, amounts: &[i64]) -> draft::Draft {
    let line = |&minor: &i64| {
        let money = MoneyLine {
            variant: VariantId(Uuid::nil()),
            period: Period {
                start: day(0),
                end: day(31),
            },
            amount: Money::of(minor, Currency::EUR),
        };
        fee::line("Pro", &money)
    };
    draft::Draft {
        id: InvoiceId(Uuid::nil()),
        tenant: TenantId(Uuid::nil()),
        customer: CustomerId(Uuid::nil()),
        cycle: None,
        kind,
        currency: Currency::EUR,
        period: None,
        seller: Party::default(),
        buyer: Party::default(),
        lines: amounts.iter().map(line).collect(),
        prices: Prices::WithoutTax,
        balance: Money::of(0, Currency::EUR),
        now: day(31),
    }
}

/// Rates of so many percent each, separated by spaces.
pub(super) fn taxed(percents: &str) -> Treatment {
    let rate = |percent: &str| TaxRate {
        country: "DE".parse().unwrap(),
        region: None,
        name: format!("VAT {percent}"),
        percent: percent.parse().unwrap(),
    };
    Treatment {
        ground: Ground::Domestic,
        rates: percents.split_whitespace().map(rate).collect(),
        note: None,
    }
}

/// An invoice over so much in euros that was issued on day 31 and is due on day 45.
pub(super) fn issued(amount: i64, percents: &str) -> Invoice {
    draft::draft(fees(Kind::Cycle, &[amount]), &taxed(percents))
        .unwrap()
        .finalise("INV-000001".to_owned(), day(31), 14)
        .unwrap()
}
