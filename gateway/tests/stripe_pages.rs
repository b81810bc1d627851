//! The provider `stripe` where customers pay on its pages, against a Stripe of our own.

#![allow(clippy::unwrap_used, missing_docs)]

#[allow(dead_code, unused_imports, reason = "the provider's other tests use the rest")]
mod fake;

use domain::{
    id::{CustomerId, PaymentId},
    money::Money,
    payment::{Checkout, Order, Outcome, Seen, Way, decline::Decline, method::Kind},
    time::Timestamp,
};
use gateway::payment::{Provider, Trouble};
use serde_json::json;
use uuid::Uuid;

use self::fake::{Fake, NOW, PAYER};

const OVER: Outcome = Outcome::Declined(Decline::NotConfirmed);

fn order() -> Order {
    order_of("10.00 USD", &[Kind::Card])
}

fn order_of(money: &str, kinds: &[Kind]) -> Order {
    let (amount, currency) = money.split_once(' ').unwrap();
    let checkout = Checkout {
        kinds: kinds.to_vec(),
        return_url: Some("https://vendor.example/done?a=b&c".to_owned()),
    };
    Order {
        payment: PaymentId(Uuid::now_v7()),
        customer: CustomerId(Uuid::from_u128(7)),
        payer: PAYER.to_owned(),
        way: Way::Page(checkout),
        amount: Money::parse(amount, currency.parse().unwrap()).unwrap(),
        reference: None,
        submitted_at: Timestamp::from_micros(NOW * 1_000_000),
    }
}

/// The order, after its page was opened.
async fn opened(fake: &Fake) -> (Order, Seen) {
    let order = order();
    let seen = fake.stripe().charge(&order).await.unwrap();
    let reference = Some(seen.reference.clone());
    (Order { reference, ..order }, seen)
}

async fn look(fake: &Fake, order: &Order) -> Seen {
    fake.stripe().look(order).await.unwrap().unwrap()
}

fn is_no_answer<T>(result: &Result<T, Trouble>) -> bool {
    matches!(result, Err(Trouble::NoAnswer(_)))
}

#[tokio::test]
async fn a_page_is_opened_once_and_paid_once() {
    let fake = Fake::start().await;
    let stripe = fake.stripe();
    for kind in [Kind::Card, Kind::BankDebit, Kind::Crypto] {
        assert!(stripe.has_on_page(kind));
    }
    let (order, page) = opened(&fake).await;
    assert!(page.reference.starts_with("cs_"));
    let Outcome::RequiresAction { url: Some(url) } = &page.outcome else {
        panic!("{page:?}")
    };
    assert!(url.ends_with("back=https://vendor.example/done?a=b&c"), "{url}");
    assert_eq!(page.amount, order.amount);
    assert_eq!(stripe.charge(&order).await.as_ref(), Ok(&page));
    assert_eq!(fake.books().sessions.len(), 1);
    assert_eq!(look(&fake, &order).await, page);

    let charge = fake.books().pay_on_page(&page.reference, "pm_ok");
    let paid = look(&fake, &order).await;
    assert_eq!(
        (paid.outcome.clone(), paid.amount),
        (Outcome::Succeeded, order.amount)
    );
    assert_eq!(paid.reference, charge);
    // By whatever name it is known.
    for reference in [None, Some(charge)] {
        let order = Order {
            reference,
            ..order.clone()
        };
        assert_eq!(look(&fake, &order).await, paid);
    }
}

#[tokio::test]
async fn what_can_be_chosen_is_what_was_asked_for() {
    let fake = Fake::start().await;
    let all = [Kind::Card, Kind::BankDebit, Kind::Crypto];
    for (money, kinds) in [
        ("10.00 USD", &all[..]),
        ("10.00 EUR", &all[..2]),
        ("500 JPY", &all[..1]),
    ] {
        let seen = fake.stripe().charge(&order_of(money, kinds)).await;
        assert!(seen.is_ok(), "{money}: {seen:?}");
    }
    let asked = fake.books().asked;
    for (money, kinds) in [
        ("10.00 GBP", &all[1..2]),
        ("10.00 EUR", &all[2..]),
        ("10.00 USD", &[]),
        ("0 USD", &all[..1]),
    ] {
        let refused = fake.stripe().charge(&order_of(money, kinds)).await;
        assert_eq!(refused, Err(Trouble::Refused(Decline::Refused)), "{money}");
    }
    assert_eq!(fake.books().asked, asked, "what cannot be had is not asked for");
}

#[tokio::test]
async fn a_page_whose_answer_was_lost_is_found() {
    let fake = Fake::start().await;
    let order = order();
    assert_eq!(fake.stripe().look(&order).await, Ok(None));
    fake.books().lose_next = true;
    assert!(is_no_answer(&fake.stripe().charge(&order).await));
    let found = look(&fake, &order).await;
    assert!(found.reference.starts_with("cs_"));
    assert_eq!(fake.stripe().charge(&order).await, Ok(found.clone()));
    // Behind others, of a page too.
    for _ in 0..150 {
        let other = json!({"id": format!("cs_other_{}", fake.books().sessions.len()), "livemode": false,
            "created": NOW, "customer": PAYER, "metadata": {}});
        fake.books().sessions.push(other);
    }
    assert_eq!(look(&fake, &order).await, found);
    let never_sent = Order {
        payment: PaymentId(Uuid::now_v7()),
        ..order.clone()
    };
    assert_eq!(fake.stripe().look(&never_sent).await, Ok(None));
    fake.books().pay_on_page(&found.reference, "pm_ok");
    assert_eq!(look(&fake, &order).await.outcome, Outcome::Succeeded);
    assert_eq!(fake.books().taken(), [1_000]);
}

#[tokio::test]
async fn a_card_that_was_declined_closes_no_page() {
    let fake = Fake::start().await;
    let (order, page) = opened(&fake).await;
    let unknown = Order {
        reference: None,
        ..order.clone()
    };
    for card in ["pm_decline_stolen_card", "pm_confirm", "pm_expired"] {
        fake.books().pay_on_page(&page.reference, card);
        assert_eq!(look(&fake, &order).await, page, "{card}");
        assert_eq!(look(&fake, &unknown).await, page, "{card}");
    }
    fake.books().pay_on_page(&page.reference, "pm_ok");
    assert_eq!(look(&fake, &order).await.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn money_that_takes_days_is_under_way_until_it_is_there_or_not() {
    let fake = Fake::start().await;
    for fails in [false, true] {
        let (order, page) = opened(&fake).await;
        let charge = fake.books().pay_on_page(&page.reference, "pm_late");
        assert_eq!(look(&fake, &order).await.outcome, Outcome::Processing);
        let end = if fails {
            let error = json!({"type": "card_error", "code": "insufficient_funds"});
            let mut books = fake.books();
            let intent = books.intents.iter_mut().find(|it| it["id"] == charge).unwrap();
            intent["status"] = json!("requires_payment_method");
            intent["last_payment_error"] = error;
            Outcome::Declined(Decline::InsufficientFunds)
        } else {
            fake.books().arrive();
            Outcome::Succeeded
        };
        assert_eq!(look(&fake, &order).await.outcome, end);
    }
}

#[tokio::test]
async fn a_page_that_is_over_takes_no_money() {
    let fake = Fake::start().await;
    let (order, page) = opened(&fake).await;
    fake.books().pay_on_page(&page.reference, "pm_expired");
    fake.books().expire_page(&page.reference);
    let seen = look(&fake, &order).await;
    assert_eq!((seen.outcome, seen.amount), (OVER, order.amount));
    assert_eq!(seen.reference, page.reference);
}

#[tokio::test]
async fn a_page_is_closed_unless_it_was_paid_in_the_last_moment() {
    let fake = Fake::start().await;
    let (order, page) = opened(&fake).await;
    fake.books().lose_next = true;
    assert!(is_no_answer(&fake.stripe().cancel(&order, &page.reference).await));
    for _ in 0..2 {
        let closed = fake.stripe().cancel(&order, &page.reference).await.unwrap();
        assert_eq!((closed.outcome, closed.amount), (OVER, order.amount));
    }
    for (card, outcome) in [("pm_ok", Outcome::Succeeded), ("pm_late", Outcome::Processing)] {
        let (order, page) = opened(&fake).await;
        fake.books().last_moment = Some(card.to_owned());
        for _ in 0..2 {
            let seen = fake.stripe().cancel(&order, &page.reference).await.unwrap();
            assert_eq!(seen.outcome, outcome, "{card}");
        }
    }
    let unknown = fake.stripe().cancel(&order, "cs_unknown").await;
    assert!(is_no_answer(&unknown), "{unknown:?}");
}

#[tokio::test]
async fn a_page_of_something_else_tells_nothing() {
    let fake = Fake::start().await;
    let (mine, page) = opened(&fake).await;
    let other = Order {
        payment: PaymentId(Uuid::now_v7()),
        ..mine.clone()
    };
    assert!(is_no_answer(&fake.stripe().look(&other).await));
    assert!(is_no_answer(&fake.stripe().cancel(&other, &page.reference).await));
    assert_eq!(look(&fake, &mine).await, page, "nothing was done to it");
    let charge = fake.books().pay_on_page(&page.reference, "pm_ok");
    let other = Order {
        reference: Some(charge),
        ..other
    };
    assert!(is_no_answer(&fake.stripe().look(&other).await));
    // Its charge is of another payment.
    fake.books().intents[0]["metadata"]["tallygate_payment"] = json!("pay_other");
    assert!(is_no_answer(&fake.stripe().look(&mine).await));
}

#[tokio::test]
async fn what_is_not_certain_of_a_page_tells_nothing() {
    for (name, value) in [
        ("livemode", json!(true)),
        ("status", json!("mystery")),
        ("status", json!(null)),
        ("payment_status", json!("no_payment_required")),
        ("payment_status", json!("paid")),
        ("currency", json!("xbt")),
    ] {
        let fake = Fake::start().await;
        let (order, page) = opened(&fake).await;
        {
            let mut books = fake.books();
            if name == "payment_status" {
                books.pay_on_page(&page.reference, "pm_late");
                books.intents[0]["status"] = json!("requires_action");
            }
            books.sessions[0][name] = value.clone();
        }
        let unknown = Order {
            reference: None,
            ..order.clone()
        };
        let seen = fake.stripe().look(&order).await;
        assert!(is_no_answer(&seen), "{name} {value}: {seen:?}");
        if name != "payment_status" {
            let seen = fake.stripe().look(&unknown).await;
            assert!(is_no_answer(&seen), "{name} {value}: {seen:?}");
        }
    }
    let fake = Fake::start().await;
    for reference in ["cs_unknown", "pi_unknown"] {
        let lost = Order {
            reference: Some(reference.to_owned()),
            ..order()
        };
        assert!(is_no_answer(&fake.stripe().look(&lost).await), "{reference}");
    }
}
