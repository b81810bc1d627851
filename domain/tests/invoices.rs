//! Invoices from usage to payment and back, as a customer meets them.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use domain::{
    amount::{Credits, Quantity},
    cycle::CycleRef,
    id::{
        CreditNoteId, CustomerId, InvoiceId, MetricId, SubscriptionId, TaxRegistrationId, TenantId, VariantId,
    },
    invoice::{
        Invoice, Kind,
        credit_note::{Reason, Wanted, credit},
        draft::{Draft, draft},
        fee,
        line::Line,
        number::{Prefix, Sequence},
        party::{Address, Party, TaxId},
        purchase,
        state::State,
        usage::{self, CreditsUsed, MetricBill},
    },
    metering::{Graduated, PerUnit, Position, Price, Tier},
    money::{Currency, Money},
    plan::money_price::{CreditPrice, MoneyPrice},
    subscription::MoneyLine,
    tax::{
        country::Country,
        decide::{Buyer, Seller, Treatment, decide},
        levy::Prices,
        number,
        rate::TaxRate,
        registration::{TaxRegistration, Verdict},
    },
    time::{Period, Timestamp},
};
use uuid::Uuid;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn country(code: &str) -> Country {
    code.parse().unwrap()
}

fn november() -> Period {
    Period {
        start: at("2026-11-01"),
        end: at("2026-12-01"),
    }
}

/// A metric that costs `price` major units each, and a credit each.
fn metric(name: &str, unit: &str, units: i64, covered: i64, price: Price) -> MetricBill {
    let whole = |credits| Credits::whole(credits).unwrap();
    MetricBill {
        metric: MetricId(Uuid::nil()),
        name: name.to_owned(),
        unit: unit.to_owned(),
        position: Position {
            units: Quantity::whole(units).unwrap(),
            events: 12,
        },
        credits: CreditsUsed {
            total: whole(units),
            covered: whole(covered),
            budget: whole(units - covered),
            overdraft: Credits::ZERO,
            written_off: Credits::ZERO,
        },
        money_price: Some(MoneyPrice {
            currency: Currency::EUR,
            price,
        }),
        credit_price: None,
    }
}

fn each(price: &str) -> Price {
    Price::PerUnit(PerUnit {
        credits_per_unit: price.parse().unwrap(),
    })
}

/// The tiers of source P4.
fn tiers() -> Price {
    let tier = |up_to: Option<i64>, price: &str| Tier {
        up_to: up_to.map(|end| Quantity::whole(end).unwrap()),
        credits_per_unit: price.parse().unwrap(),
    };
    Price::Graduated(Graduated {
        tiers: vec![
            tier(Some(10_000), "0.01"),
            tier(Some(100_000), "0.005"),
            tier(None, "0.001"),
        ],
    })
}

fn seller() -> Seller {
    Seller {
        country: country("DE"),
        vat_number: Some("DE136695976".to_owned()),
    }
}

fn rates() -> Vec<TaxRate> {
    vec![TaxRate {
        country: country("DE"),
        region: None,
        name: "VAT".to_owned(),
        percent: "19".parse().unwrap(),
    }]
}

/// A buyer in a country with a verified VAT number, if one is given.
fn buyer(code: &str, vat_number: Option<&str>) -> (Party, Treatment) {
    let given = vat_number.map(|text| {
        let what = (number::Kind::EuVat, country(code), text);
        let (id, customer) = (TaxRegistrationId(Uuid::nil()), CustomerId(Uuid::nil()));
        TaxRegistration::new(id, customer, what, &[], at("2026-01-01"))
            .unwrap()
            .judged(Verdict::Known(None), at("2026-01-02"))
    });
    let registrations = Vec::from_iter(given);
    let party = Party {
        name: "ACME".to_owned(),
        address: Address {
            country: Some(country(code)),
            ..Address::default()
        },
        tax_ids: registrations.iter().map(TaxId::from).collect(),
        ..Party::default()
    };
    let buyer = Buyer {
        country: country(code),
        region: None,
        registrations: &registrations,
    };
    (party, decide(&seller(), buyer, &rates()))
}

fn bill(kind: Kind, (party, treatment): (Party, Treatment), lines: Vec<Line>, balance: i64) -> Invoice {
    let made = Draft {
        id: InvoiceId(Uuid::nil()),
        tenant: TenantId(Uuid::nil()),
        customer: CustomerId(Uuid::nil()),
        cycle: Some(CycleRef {
            subscription: SubscriptionId(Uuid::nil()),
            number: 11,
        }),
        kind,
        currency: Currency::EUR,
        period: Some(november()),
        seller: Party::default(),
        buyer: party,
        lines,
        prices: Prices::WithoutTax,
        balance: Money::of(balance, Currency::EUR),
        now: at("2026-12-01T00:01:00Z"),
    };
    let number = Prefix::default().number(Sequence::Invoice, 42).unwrap();
    draft(made, &treatment)
        .unwrap()
        .finalise(number, at("2026-12-01T00:02:00Z"), 14)
        .unwrap()
}

fn usage(bill: &MetricBill) -> Line {
    usage::line(bill, november(), Currency::EUR).unwrap()
}

/// Source P0: usage by service, unit prices, a total. Source P1: what was prepaid is not billed again.
#[test]
fn a_month_of_a_customer_in_germany() {
    let fee = MoneyLine {
        variant: VariantId(Uuid::nil()),
        period: november(),
        amount: Money::of(4_900, Currency::EUR),
    };
    let lines = vec![
        fee::line("Business, monthly", &fee),
        usage(&metric("STT", "second", 120_000, 0, each("0.0004"))),
        usage(&metric(
            "Pronunciation feedback",
            "second",
            40_000,
            30_000,
            each("0.001"),
        )),
    ];
    let amounts: Vec<String> = lines.iter().map(|line| line.amount.amount()).collect();
    assert_eq!(amounts, ["49.00", "48.00", "10.00"]);

    // 5 euros are left from an earlier credit note.
    let invoice = bill(Kind::Cycle, buyer("DE", None), lines, 500);
    let totals = invoice.totals;
    let shown = [
        totals.subtotal,
        totals.tax,
        totals.total,
        totals.applied,
        totals.due,
    ]
    .map(|money| money.amount());
    assert_eq!(shown, ["107.00", "20.33", "127.33", "5.00", "122.33"]);
    assert_eq!(
        (invoice.number.as_deref(), invoice.state),
        (Some("INV-000042"), State::Open)
    );
    assert_eq!(invoice.due_at, Some(at("2026-12-15T00:02:00Z")));

    let late = invoice.fall_due(at("2026-12-16")).unwrap();
    let paid = late.pay(at("2026-12-17")).unwrap();
    assert_eq!(paid.state, State::Paid);

    // Half of it is taken back.
    let wanted = Wanted {
        id: CreditNoteId(Uuid::nil()),
        number: Prefix::default().number(Sequence::CreditNote, 1).unwrap(),
        total: Money::of(6_367, Currency::EUR),
        reason: Reason::BillingError,
    };
    let note = credit(&paid, Money::of(0, Currency::EUR), wanted, at("2026-12-20")).unwrap();
    assert_eq!(note.number, "INV-CN-000001");
    assert_eq!(
        (note.net.amount(), note.tax.amount()),
        ("53.50".to_owned(), "10.17".to_owned())
    );
}

/// Source P4's 85,000 calls, for a business in France.
#[test]
fn a_business_abroad_owes_the_tax_itself() {
    let lines = vec![usage(&metric("API calls", "call", 85_000, 0, tiers()))];
    let invoice = bill(Kind::Cycle, buyer("FR", Some("40 303 265 045")), lines, 0);
    assert_eq!(invoice.totals.due.to_string(), "475.00 EUR");
    assert_eq!(invoice.taxes.len(), 1);
    assert!(invoice.taxes[0].percent.is_zero() && invoice.totals.tax.minor == 0);
    let note = &invoice.notes[0];
    for part in ["Reverse charge", "Article 196", "DE136695976", "FR40303265045"] {
        assert!(note.contains(part), "{note}");
    }
    assert_eq!(invoice.buyer.tax_ids[0].description, "European VAT number");
}

#[test]
fn a_purchase_is_paid_when_it_is_made() {
    let bought = purchase::Purchase {
        payment: None,
        credits: Credits::whole(1_190).unwrap(),
        price: Some(CreditPrice {
            currency: Currency::EUR,
            per_credit: "0.01".parse().unwrap(),
        }),
        expires_at: None,
    };
    let lines = vec![purchase::line(bought, Money::of(1_190, Currency::EUR))];
    let receipt = bill(Kind::Purchase, buyer("DE", None), lines, 500);
    assert_eq!(receipt.state, State::Paid);
    let totals = receipt.totals;
    let shown = [totals.subtotal, totals.tax, totals.total, totals.applied].map(|money| money.amount());
    assert_eq!(shown, ["10.00", "1.90", "11.90", "0.00"]);
}

#[test]
fn an_invoice_below_zero_becomes_a_balance() {
    let back = MoneyLine {
        variant: VariantId(Uuid::nil()),
        period: november(),
        amount: Money::of(-10_000, Currency::EUR),
    };
    let lines = vec![
        fee::line("Business, monthly", &back),
        usage(&metric("STT", "second", 50_000, 0, each("0.0004"))),
    ];
    let first = bill(Kind::Fee, buyer("DE", None), lines, 0);
    assert_eq!(first.state, State::Paid, "nothing is to be paid");
    assert_eq!((first.totals.due.minor, first.totals.carried.minor), (0, 9_520));

    let lines = vec![usage(&metric("STT", "second", 500_000, 0, each("0.0004")))];
    let next = bill(Kind::Cycle, buyer("DE", None), lines, first.totals.carried.minor);
    assert_eq!(
        (next.totals.applied.minor, next.totals.due.minor),
        (9_520, 14_280)
    );
}
