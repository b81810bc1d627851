//! Who may buy credits, and at whose price.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use common::vendor::variant;
use domain::{
    money::{Currency, Money},
    payment::sale::Sale,
    plan::{
        money_price::CreditPrice,
        variant::{Mode, PurchaseLimits, Variant},
    },
};

fn dollars(amount: &str) -> Money {
    Money::parse(amount, Currency::USD).unwrap()
}

fn price(per_credit: &str) -> CreditPrice {
    CreditPrice {
        currency: Currency::USD,
        per_credit: per_credit.parse().unwrap(),
    }
}

/// Source P3: only some plans sell credits, from $10.
#[test]
fn plans_say_who_may_buy() {
    let sale = Sale {
        price: price("1"),
        limits: PurchaseLimits {
            minimum: Some(dollars("5")),
            maximum: Some(dollars("5000")),
        },
        lasts_seconds: None,
        tiers: Vec::new(),
    };
    let free = variant(1, Mode::Prepaid);
    let pro = Variant {
        purchase: Some(PurchaseLimits {
            minimum: Some(dollars("10")),
            maximum: None,
        }),
        credit_price: Some(price("0.5")),
        ..variant(2, Mode::Prepaid)
    };
    let buy = |plans: &[&Variant], amount: &str| {
        sale.buy(plans, dollars(amount))
            .map(|credits| credits.to_string())
            .map_err(|no| no.message)
    };
    assert!(buy(&[&free], "20").unwrap_err().contains("cannot be bought"));
    assert_eq!(buy(&[&pro], "20").unwrap(), "40");
    assert_eq!(buy(&[&free, &pro], "20").unwrap(), "40");
    assert_eq!(buy(&[&pro, &free], "20").unwrap(), "40");
    assert!(buy(&[&pro], "9").unwrap_err().contains("at least"));
    assert!(buy(&[&pro], "4").unwrap_err().contains("at least"));
    assert_eq!(buy(&[], "9").unwrap(), "9");
}
