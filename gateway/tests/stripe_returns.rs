//! What goes back through the provider `stripe`, against a Stripe of our own: it is given back once, and all of it is seen.

#![allow(clippy::unwrap_used, missing_docs)]

#[allow(dead_code, unused_imports, reason = "the provider's other tests use the rest")]
mod fake;

use domain::{
    id::{CustomerId, PaymentId, ReturnId},
    money::{Currency, Money},
    payment::{
        Checkout, Order, Way,
        decline::Decline,
        method,
        returned::{Back, Kind, Refund, State},
    },
    time::Timestamp,
};
use gateway::payment::{Provider, Trouble};
use serde_json::json;
use uuid::Uuid;

use self::fake::{Fake, NOW, PAYER};

const REFUSED: Trouble = Trouble::Refused(Decline::Refused);

fn refund(cents: i64) -> Refund {
    Refund {
        id: ReturnId(Uuid::now_v7()),
        amount: Money::of(cents, Currency::USD),
    }
}

fn order(way: Way<String>) -> Order {
    Order {
        payment: PaymentId(Uuid::now_v7()),
        customer: CustomerId(Uuid::from_u128(7)),
        payer: PAYER.to_owned(),
        way,
        amount: Money::of(1_000, Currency::USD),
        reference: None,
        submitted_at: Timestamp::from_micros(NOW * 1_000_000),
    }
}

/// An order that was paid with a card.
async fn paid(fake: &Fake, card: &str) -> Order {
    let order = order(Way::Saved(format!("pm_{card}")));
    let reference = Some(fake.stripe().charge(&order).await.unwrap().reference);
    Order { reference, ..order }
}

/// An order for which a page was opened.
async fn on_page(fake: &Fake) -> Order {
    let order = order(Way::Page(Checkout {
        kinds: vec![method::Kind::Card],
        return_url: None,
    }));
    let reference = Some(fake.stripe().charge(&order).await.unwrap().reference);
    Order { reference, ..order }
}

fn is_no_answer<T>(result: &Result<T, Trouble>) -> bool {
    matches!(result, Err(Trouble::NoAnswer(_)))
}

async fn states(fake: &Fake, order: &Order) -> Vec<(Kind, State)> {
    let backs = fake.stripe().returned(order).await.unwrap();
    backs.iter().map(|back| (back.kind, back.state)).collect()
}

#[tokio::test]
async fn a_refund_is_made_once_however_often_it_is_asked_for() {
    let fake = Fake::start().await;
    let order = paid(&fake, "ok").await;
    assert_eq!(fake.stripe().returned(&order).await, Ok(vec![]));
    let refund = refund(300);
    fake.books().lose_next = true;
    assert!(is_no_answer(&fake.stripe().refund(&order, &refund).await));
    let back = Back {
        reference: "re_1".to_owned(),
        ours: Some(refund.id),
        kind: Kind::Refund,
        amount: refund.amount,
        reason: Some("requested_by_customer".to_owned()),
        state: State::Returned,
    };
    for _ in 0..3 {
        assert_eq!(fake.stripe().refund(&order, &refund).await.as_ref(), Ok(&back));
    }
    assert_eq!(fake.stripe().returned(&order).await, Ok(vec![back]));
    assert_eq!(fake.books().refunds.len(), 1);
}

#[tokio::test]
async fn the_charge_is_found_by_whatever_is_known_of_it() {
    let fake = Fake::start().await;
    let saved = paid(&fake, "ok").await;
    let page = on_page(&fake).await;
    let forget = |order: &Order| Order {
        reference: None,
        ..order.clone()
    };
    // An open page has no charge of which anything could go back.
    for page in [&page, &forget(&page)] {
        assert_eq!(fake.stripe().refund(page, &refund(1)).await, Err(REFUSED));
        assert_eq!(fake.stripe().returned(page).await, Ok(vec![]));
    }
    fake.books()
        .pay_on_page(page.reference.as_deref().unwrap(), "pm_ok");
    for order in [&forget(&saved), &page, &forget(&page)] {
        let back = fake.stripe().refund(order, &refund(1)).await.unwrap();
        assert_eq!(back.state, State::Returned);
    }
    assert_eq!(states(&fake, &saved).await.len(), 1);
    assert_eq!(states(&fake, &page).await.len(), 2);
    let never_sent = Order {
        payment: PaymentId(Uuid::now_v7()),
        ..forget(&saved)
    };
    assert_eq!(fake.stripe().refund(&never_sent, &refund(1)).await, Err(REFUSED));
    assert_eq!(fake.stripe().returned(&never_sent).await, Ok(vec![]));
}

#[tokio::test]
async fn no_more_goes_back_than_was_paid() {
    let fake = Fake::start().await;
    let order = paid(&fake, "ok").await;
    let yen = Refund {
        amount: Money::of(1, "JPY".parse().unwrap()),
        ..refund(1)
    };
    for impossible in [refund(1_001), refund(0), refund(-1), yen] {
        let answer = fake.stripe().refund(&order, &impossible).await;
        assert_eq!(answer, Err(REFUSED), "{impossible:?}");
    }
    assert!(fake.stripe().refund(&order, &refund(1_000)).await.is_ok());
    // Already refunded.
    assert_eq!(fake.stripe().refund(&order, &refund(1)).await, Err(REFUSED));
    let declined = paid(&fake, "decline_stolen_card").await;
    assert_eq!(fake.stripe().refund(&declined, &refund(1)).await, Err(REFUSED));
    assert_eq!(fake.books().refunds.len(), 1);
}

#[tokio::test]
async fn a_refund_takes_its_time_and_may_fail() {
    let fake = Fake::start().await;
    for (card, first, words) in [
        ("refund_pending", State::Pending, "failed"),
        ("refund_action", State::Pending, "canceled"),
        ("refund_fails", State::Undone, "failed"),
    ] {
        let order = paid(&fake, card).await;
        let back = fake.stripe().refund(&order, &refund(400)).await.unwrap();
        assert_eq!(back.state, first, "{card}");
        assert_eq!(states(&fake, &order).await, [(Kind::Refund, first)]);
        fake.books().refund_comes_to(&back.reference, words);
        assert_eq!(states(&fake, &order).await, [(Kind::Refund, State::Undone)]);
        fake.books().refund_comes_to(&back.reference, "succeeded");
        assert_eq!(states(&fake, &order).await, [(Kind::Refund, State::Returned)]);
        fake.books()
            .refund_comes_to(&back.reference, "a_word_of_next_year");
        assert!(is_no_answer(&fake.stripe().returned(&order).await));
    }
    let why = fake.books().refunds[2]["failure_reason"].clone();
    assert_eq!(why, "expired_or_canceled_card");
}

#[tokio::test]
async fn refunds_of_others_are_seen_and_are_not_ours() {
    let fake = Fake::start().await;
    let order = paid(&fake, "ok").await;
    let charge = order.reference.as_deref().unwrap();
    let (ours, payment) = (refund(1).id.to_string(), order.payment.to_string());
    for metadata in [
        json!({}),
        json!({"tallygate_return": "nonsense", "tallygate_payment": payment}),
        json!({"tallygate_return": ours}),
        json!({"tallygate_return": ours, "tallygate_payment": "pay_other"}),
        json!({"tallygate_return": ours, "tallygate_payment": payment}),
    ] {
        fake.books().give_back(charge, 1, "succeeded", &metadata);
    }
    let backs = fake.stripe().returned(&order).await.unwrap();
    let ours: Vec<bool> = backs.iter().map(|back| back.ours.is_some()).collect();
    assert_eq!(ours, [true, false, false, false, false]);
}

#[tokio::test]
async fn all_refunds_are_seen_however_many_there_are() {
    let fake = Fake::start().await;
    let order = paid(&fake, "ok").await;
    let charge = order.reference.as_deref().unwrap();
    let fill = |count| {
        for _ in 0..count {
            fake.books().give_back(charge, 1, "succeeded", &json!({}));
        }
    };
    fill(250);
    let backs = fake.stripe().returned(&order).await.unwrap();
    let names: std::collections::BTreeSet<_> = backs.iter().map(|back| &back.reference).collect();
    assert_eq!((backs.len(), names.len()), (250, 250));
    // More than are looked through: not some of them.
    fill(751);
    assert!(is_no_answer(&fake.stripe().returned(&order).await));
}

#[tokio::test]
async fn a_dispute_is_seen_through_all_that_becomes_of_it() {
    let fake = Fake::start().await;
    let order = paid(&fake, "ok").await;
    let charge = order.reference.as_deref().unwrap();
    for (status, state) in [
        ("warning_needs_response", State::Pending),
        ("warning_under_review", State::Pending),
        ("warning_closed", State::Undone),
        ("needs_response", State::Contested),
        ("under_review", State::Contested),
        ("won", State::Undone),
        ("lost", State::Returned),
        ("prevented", State::Undone),
    ] {
        fake.books().dispute(charge, status);
        let back = Back {
            reference: "du_1".to_owned(),
            ours: None,
            kind: Kind::Dispute,
            amount: order.amount,
            reason: Some("fraudulent".to_owned()),
            state,
        };
        assert_eq!(fake.stripe().returned(&order).await, Ok(vec![back]), "{status}");
    }
    fake.stripe().refund(&order, &refund(1)).await.unwrap();
    let both = [(Kind::Refund, State::Returned), (Kind::Dispute, State::Undone)];
    assert_eq!(states(&fake, &order).await, both);
    fake.books().dispute(charge, "a_word_of_next_year");
    assert!(is_no_answer(&fake.stripe().returned(&order).await));
    fake.books().dispute(charge, "lost");
    fake.books().disputes[0]["livemode"] = json!(true);
    assert!(is_no_answer(&fake.stripe().returned(&order).await));
}

#[tokio::test]
async fn nothing_is_concluded_about_returns_from_what_is_not_certain() {
    let fake = Fake::start().await;
    let order = paid(&fake, "ok").await;
    let stranger = fake.with_key("sk_test_other");
    assert!(is_no_answer(&stranger.refund(&order, &refund(1)).await));
    assert!(is_no_answer(&stranger.returned(&order).await));
    // The same key for something else: not what became of the first.
    let first = refund(1);
    assert!(fake.stripe().refund(&order, &first).await.is_ok());
    let other = Refund {
        amount: Money::of(2, Currency::USD),
        ..first
    };
    assert!(is_no_answer(&fake.stripe().refund(&order, &other).await));
    fake.books().refunds[0]["currency"] = json!("xbt");
    assert!(is_no_answer(&fake.stripe().returned(&order).await));
    let page = on_page(&fake).await;
    let foreign = Order {
        payment: order.payment,
        ..page
    };
    assert!(is_no_answer(&fake.stripe().refund(&foreign, &refund(1)).await));
    assert!(is_no_answer(&fake.stripe().returned(&foreign).await));
}
