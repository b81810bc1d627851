//! The provider `stripe` against a Stripe of our own: money is taken once per order, and nothing is concluded from what is not certain.

#![allow(clippy::unwrap_used, missing_docs)]

#[allow(
    dead_code,
    unused_imports,
    reason = "the tests of pages, returns and notices use the rest"
)]
mod fake;

use domain::{
    id::{CustomerId, PaymentId},
    money::Money,
    payment::{
        Order, Outcome, Seen, Way,
        decline::Decline,
        method::{Expiry, Face, Kind},
    },
    time::Timestamp,
};
use gateway::payment::{
    Payer, Provider, SetupWish, Trouble,
    stripe::{BASE_URL, BadKey, Stripe},
};
use serde_json::json;
use uuid::Uuid;

use self::fake::{Fake, NOW, PAYER, SECRET};

fn order(card: &str) -> Order {
    order_of(card, "10.00 USD")
}

fn order_of(card: &str, money: &str) -> Order {
    let (amount, currency) = money.split_once(' ').unwrap();
    Order {
        payment: PaymentId(Uuid::now_v7()),
        customer: CustomerId(Uuid::from_u128(7)),
        payer: PAYER.to_owned(),
        way: Way::Saved(format!("pm_{card}")),
        amount: Money::parse(amount, currency.parse().unwrap()).unwrap(),
        reference: None,
        submitted_at: Timestamp::from_micros(NOW * 1_000_000),
    }
}

fn is_no_answer<T>(result: &Result<T, Trouble>) -> bool {
    matches!(result, Err(Trouble::NoAnswer(_)))
}

fn outcome(result: Result<Seen, Trouble>) -> Outcome {
    result.unwrap().outcome
}

#[tokio::test]
async fn an_order_is_charged_once_however_often_it_is_sent() {
    let fake = Fake::start().await;
    let order = order("ok");
    let first = fake.stripe().charge(&order).await.unwrap();
    assert_eq!(first.amount, order.amount);
    assert_eq!(first.outcome, Outcome::Succeeded);
    for _ in 0..3 {
        assert_eq!(fake.stripe().charge(&order).await.as_ref(), Ok(&first));
        assert_eq!(fake.stripe().look(&order).await, Ok(Some(first.clone())));
    }
    assert_eq!(fake.books().taken(), [1_000]);
    assert_eq!(fake.books().replayed, 3);
}

#[tokio::test]
async fn an_order_that_is_sent_by_many_at_once_is_charged_once() {
    let fake = Fake::start().await;
    let order = order("slow");
    let sendings: Vec<_> = (0..8)
        .map(|_| {
            let (stripe, order) = (fake.stripe(), order.clone());
            tokio::spawn(async move { stripe.charge(&order).await })
        })
        .collect();
    let mut told = 0;
    for sending in sendings {
        match sending.await.unwrap() {
            Ok(seen) => {
                assert_eq!(seen.outcome, Outcome::Succeeded);
                told += 1;
            }
            Err(trouble) => assert!(matches!(trouble, Trouble::NoAnswer(_)), "{trouble}"),
        }
    }
    assert!(told >= 1);
    assert_eq!(fake.books().taken(), [1_000]);
}

#[tokio::test]
async fn what_was_charged_although_nobody_was_told_is_found() {
    for card in [
        "hang_charged",
        "drop_charged",
        "500_charged",
        "garbage",
        "half",
        "huge",
        "foreign",
    ] {
        let fake = Fake::start().await;
        let order = order(card);
        let impatient = if card == "hang_charged" {
            fake.hasty()
        } else {
            fake.stripe()
        };
        let answer = impatient.charge(&order).await;
        assert!(is_no_answer(&answer), "{card}: {answer:?}");
        let found = fake.stripe().look(&order).await.unwrap().unwrap();
        assert_eq!(
            (found.outcome, found.amount),
            (Outcome::Succeeded, order.amount),
            "{card}"
        );
        // Sent once more, which a crash can bring about.
        let _ = fake.stripe().charge(&order).await;
        assert_eq!(fake.books().taken(), [1_000], "{card}");
    }
}

#[tokio::test]
async fn a_lost_reply_is_given_again() {
    for card in ["hang_charged", "drop_charged"] {
        let fake = Fake::start().await;
        let order = order(card);
        assert!(is_no_answer(&fake.hasty().charge(&order).await));
        assert_eq!(
            outcome(fake.stripe().charge(&order).await),
            Outcome::Succeeded,
            "{card}"
        );
        assert_eq!(fake.books().taken(), [1_000], "{card}");
    }
}

#[tokio::test]
async fn what_never_arrived_is_sent_again() {
    let fake = Fake::start().await;
    let order = order("drop_before");
    assert!(is_no_answer(&fake.stripe().charge(&order).await));
    assert_eq!(fake.stripe().look(&order).await, Ok(None));
    assert_eq!(outcome(fake.stripe().charge(&order).await), Outcome::Succeeded);
    assert_eq!(fake.books().taken(), [1_000]);
}

#[tokio::test]
async fn a_fault_that_stripe_repeats_stays_unknown() {
    let fake = Fake::start().await;
    let order = order("500");
    for _ in 0..3 {
        assert!(is_no_answer(&fake.stripe().charge(&order).await));
        assert_eq!(fake.stripe().look(&order).await, Ok(None));
    }
    assert_eq!(fake.books().taken(), [0_i64; 0]);
}

#[tokio::test]
async fn a_late_success_is_seen() {
    let fake = Fake::start().await;
    let order = order("late");
    assert_eq!(outcome(fake.stripe().charge(&order).await), Outcome::Processing);
    let seen = fake.stripe().look(&order).await.unwrap().unwrap();
    assert_eq!((seen.outcome, seen.amount), (Outcome::Processing, order.amount));
    fake.books().arrive();
    let seen = fake.stripe().look(&order).await.unwrap().unwrap();
    assert_eq!((seen.outcome, seen.amount), (Outcome::Succeeded, order.amount));
}

#[tokio::test]
async fn each_end_of_a_charge_is_told_alike_by_charge_and_look() {
    let fake = Fake::start().await;
    let declined = Outcome::Declined;
    let page = || Some("https://bank.example/3ds".to_owned());
    for (card, end) in [
        ("ok", Outcome::Succeeded),
        ("late", Outcome::Processing),
        ("confirm", Outcome::RequiresAction { url: page() }),
        // Nobody was there; the bank wants the owner, and has a page for that.
        ("authentication", Outcome::RequiresAction { url: page() }),
        ("authentication_nowhere", Outcome::RequiresAction { url: None }),
        ("authentication_given", Outcome::Succeeded),
        ("unpaid", Outcome::RequiresAction { url: None }),
        ("canceled", declined(Decline::NotConfirmed)),
        ("expired", declined(Decline::ExpiredCard)),
        ("advice", declined(Decline::DoNotTryAgain)),
        ("decline_insufficient_funds", declined(Decline::InsufficientFunds)),
        ("decline_stolen_card", declined(Decline::DoNotTryAgain)),
        ("decline_fraudulent", declined(Decline::DoNotTryAgain)),
        ("decline_generic_decline", declined(Decline::TryAgainLater)),
        ("decline_do_not_honor", declined(Decline::TryAgainLater)),
        ("decline_of_next_year", declined(Decline::TryAgainLater)),
    ] {
        let order = order(card);
        let seen = fake.stripe().charge(&order).await.unwrap();
        assert_eq!((&seen.outcome, seen.amount), (&end, order.amount), "{card}");
        assert_eq!(fake.stripe().look(&order).await, Ok(Some(seen.clone())), "{card}");
        assert_eq!(fake.stripe().charge(&order).await, Ok(seen), "{card}");
    }
    assert_eq!(fake.books().taken(), [1_000; 2]);
}

/// Whoever looks, because nothing may be charged or because an answer was lost, changes nothing.
#[tokio::test]
async fn looking_asks_nothing_of_the_owner() {
    let fake = Fake::start().await;
    let order = order("authentication_nowhere");
    fake.stripe().charge(&order).await.unwrap();
    let asked = fake.books().asked;
    let seen = fake.stripe().look(&order).await.unwrap().unwrap();
    assert_eq!(seen.outcome, Outcome::RequiresAction { url: None });
    assert_eq!(fake.books().asked, asked);
}

#[tokio::test]
async fn the_owner_of_a_card_is_asked_once() {
    let fake = Fake::start().await;
    let order = order("authentication");
    let seen = fake.stripe().charge(&order).await.unwrap();
    assert!(matches!(seen.outcome, Outcome::RequiresAction { url: Some(_) }));
    let asked = fake.books().asked;
    // The page is known now: nothing more is sent.
    assert_eq!(fake.stripe().look(&order).await, Ok(Some(seen.clone())));
    assert_eq!(fake.books().asked, asked);
    fake.books().refuse_at_bank();
    let over = fake.stripe().look(&order).await.unwrap().unwrap();
    assert_eq!(over.outcome, Outcome::Declined(Decline::NotConfirmed));
    assert_eq!((fake.books().asked, over.reference), (asked, seen.reference));
    assert_eq!(fake.books().taken(), [0_i64; 0]);
}

#[tokio::test]
async fn what_stripe_cannot_do_is_refused() {
    let fake = Fake::start().await;
    for (card, why) in [("gone", Decline::MethodGone), ("refused", Decline::Refused)] {
        let order = order(card);
        assert_eq!(fake.stripe().charge(&order).await, Err(Trouble::Refused(why)));
        assert_eq!(fake.stripe().look(&order).await, Ok(None));
    }
    let nobody = Order {
        payer: "cus_deleted".to_owned(),
        ..order("ok")
    };
    let refused = fake.stripe().charge(&nobody).await;
    assert_eq!(refused, Err(Trouble::Refused(Decline::MethodGone)));
    assert_eq!(fake.books().taken(), [0_i64; 0]);
}

#[tokio::test]
async fn amounts_are_those_of_each_currency() {
    let fake = Fake::start().await;
    for (money, number) in [
        ("10.00 USD", 1_000),
        ("500 JPY", 500),
        ("5.120 KWD", 5_120),
        ("5 ISK", 500),
        ("5 UGX", 500),
        ("10.00 MGA", 10),
    ] {
        let order = order_of("ok", money);
        let seen = fake.stripe().charge(&order).await.unwrap();
        assert_eq!(seen.amount, order.amount, "{money}");
        let asked = fake.books().intents.last().cloned().unwrap();
        assert_eq!(asked["amount"], number, "{money}");
        let code = order.amount.currency.code().to_lowercase();
        assert_eq!(asked["currency"], code);
    }
    let asked = fake.books().asked;
    for money in ["5.124 KWD", "10.01 MGA", "1.000 LYD", "0 USD", "-1.00 USD"] {
        let refused = fake.stripe().charge(&order_of("ok", money)).await;
        assert_eq!(refused, Err(Trouble::Refused(Decline::Refused)), "{money}");
    }
    assert_eq!(
        fake.books().asked,
        asked,
        "what cannot be told exactly is not sent"
    );
}

#[tokio::test]
async fn what_was_taken_counts_and_not_what_was_asked_for() {
    let fake = Fake::start().await;
    let order = order("short");
    let seen = fake.stripe().charge(&order).await.unwrap();
    assert_eq!(seen.outcome, Outcome::Succeeded);
    assert_eq!(seen.amount.minor, 999);
}

#[tokio::test]
async fn nothing_is_concluded_from_what_is_not_certain() {
    let fake = Fake::start().await;
    for card in [
        "locked",
        "status_302",
        "status_401",
        "status_403",
        "status_409",
        "status_429",
        "status_500",
        "status_502",
        "status_503",
        "live",
        "mystery",
        "no_intent",
    ] {
        let answer = fake.stripe().charge(&order(card)).await;
        assert!(is_no_answer(&answer), "{card}: {answer:?}");
    }
    // The same key for something else: not what became of the first.
    let first = order("ok");
    assert_eq!(outcome(fake.stripe().charge(&first).await), Outcome::Succeeded);
    let other = Order {
        way: Way::Saved("pm_other".to_owned()),
        ..first
    };
    assert!(is_no_answer(&fake.stripe().charge(&other).await));
}

#[tokio::test]
async fn nobody_there_and_a_key_that_is_not_good_tell_nothing() {
    let nobody = Stripe::new(SECRET, "http://127.0.0.1:9").unwrap();
    let fake = Fake::start().await;
    for stripe in [nobody, fake.with_key("sk_test_other")] {
        assert!(is_no_answer(&stripe.charge(&order("ok")).await));
        assert!(is_no_answer(&stripe.look(&order("ok")).await));
        assert!(is_no_answer(&stripe.left("cs_test_1").await));
    }
    assert_eq!(fake.books().taken(), [0_i64; 0]);
}

#[tokio::test]
async fn a_refused_look_tells_nothing_of_the_charge() {
    let fake = Fake::start().await;
    let nobody = Order {
        payer: "cus_deleted".to_owned(),
        ..order("ok")
    };
    assert!(is_no_answer(&fake.stripe().look(&nobody).await));
}

#[tokio::test]
async fn money_of_the_other_world_tells_nothing() {
    let fake = Fake::start().await;
    let order = order("live");
    assert!(is_no_answer(&fake.stripe().charge(&order).await));
    assert!(is_no_answer(&fake.stripe().look(&order).await));
}

#[tokio::test]
async fn a_charge_is_found_behind_many_others() {
    let fake = Fake::start().await;
    let order = order("drop_charged");
    assert!(is_no_answer(&fake.stripe().charge(&order).await));
    fake.books().fill(250);
    let found = fake.stripe().look(&order).await.unwrap().unwrap();
    assert_eq!(
        (found.reference.as_str(), found.outcome),
        ("pi_1", Outcome::Succeeded)
    );
    let never_sent = Order {
        payment: PaymentId(Uuid::now_v7()),
        ..order.clone()
    };
    assert_eq!(fake.stripe().look(&never_sent).await, Ok(None));
    // Behind more than are looked through: not none.
    fake.books().fill(750);
    assert!(is_no_answer(&fake.stripe().look(&order).await));
}

#[tokio::test]
async fn only_the_charges_of_the_customer_since_the_order_are_looked_through() {
    let fake = Fake::start().await;
    let order = order("ok");
    fake.stripe().charge(&order).await.unwrap();
    let later = |seconds| Order {
        submitted_at: order.submitted_at.plus_seconds(seconds),
        ..order.clone()
    };
    assert!(fake.stripe().look(&later(3_600)).await.unwrap().is_some());
    assert_eq!(fake.stripe().look(&later(3_601)).await, Ok(None));
}

#[tokio::test]
async fn of_two_charges_the_one_that_took_money_counts() {
    let fake = Fake::start().await;
    let order = order("decline_generic_decline");
    let mut paid = fake
        .books()
        .intent(PAYER, &order.payment.to_string(), (1_000, "usd"));
    paid["status"] = json!("succeeded");
    paid["amount_received"] = json!(1_000);
    fake.books().intents.push(paid);
    fake.books().fill(120);
    let declined = outcome(fake.stripe().charge(&order).await);
    assert_eq!(declined, Outcome::Declined(Decline::TryAgainLater));
    let found = fake.stripe().look(&order).await.unwrap().unwrap();
    assert_eq!(found.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn a_customer_is_enrolled_once() {
    let fake = Fake::start().await;
    let payer = |name: Option<&str>| Payer {
        id: CustomerId(Uuid::from_u128(7)),
        name: name.map(str::to_owned),
        email: Some("a+b@example.com".to_owned()),
    };
    let first = fake.stripe().enrol(&payer(Some("A & B = C"))).await.unwrap();
    assert_eq!(
        fake.stripe().enrol(&payer(Some("A & B = C"))).await,
        Ok(first.clone())
    );
    // Another name meanwhile is no reason to be turned away for a day.
    let second = fake.stripe().enrol(&payer(None)).await.unwrap();
    assert_ne!(second, first);
}

#[tokio::test]
async fn a_page_is_opened_once_and_shows_what_was_left() {
    let fake = Fake::start().await;
    let stripe = fake.stripe();
    let wish = |key: &str| SetupWish {
        key: key.to_owned(),
        payer: PAYER.to_owned(),
        return_url: Some("https://vendor.example/done?a=b&c".to_owned()),
    };
    let setup = stripe.begin_setup(&wish("k1")).await.unwrap();
    assert_eq!(stripe.begin_setup(&wish("k1")).await, Ok(setup.clone()));
    assert_ne!(
        stripe.begin_setup(&wish("k2")).await.unwrap().reference,
        setup.reference
    );
    assert!(
        setup
            .url
            .unwrap()
            .ends_with("back=https://vendor.example/done?a=b&c")
    );
    let neutral = SetupWish {
        return_url: None,
        ..wish("k3")
    };
    assert!(stripe.begin_setup(&neutral).await.unwrap().url.is_some());
    assert_eq!(stripe.left(&setup.reference).await, Ok(None));

    let card = json!({"id": "pm_1", "type": "card", "billing_details": {"name": "Ada"},
        "card": {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2030}});
    fake.books().leave(&setup.reference, "processing", card.clone());
    assert_eq!(stripe.left(&setup.reference).await, Ok(None));
    fake.books().leave(&setup.reference, "succeeded", card);
    let face = Face {
        reference: "pm_1".to_owned(),
        kind: Kind::Card,
        brand: "visa".to_owned(),
        last_four: "4242".to_owned(),
        holder: Some("Ada".to_owned()),
        expires: Some(Expiry {
            year: 2030,
            month: 12,
        }),
    };
    assert_eq!(stripe.left(&setup.reference).await, Ok(Some(face)));
}

#[tokio::test]
async fn debits_of_bank_accounts_can_be_left_too() {
    let fake = Fake::start().await;
    let wish = SetupWish {
        key: "k".to_owned(),
        payer: PAYER.to_owned(),
        return_url: None,
    };
    let page = fake.stripe().begin_setup(&wish).await.unwrap().reference;
    for (method, brand) in [
        (
            json!({"id": "pm_1", "type": "us_bank_account", "us_bank_account": {"bank_name": "STRIPE TEST BANK", "last4": "6789"}}),
            "STRIPE TEST BANK",
        ),
        (
            json!({"id": "pm_1", "type": "sepa_debit", "sepa_debit": {"last4": "6789"}}),
            "sepa_debit",
        ),
    ] {
        fake.books().leave(&page, "succeeded", method);
        let face = fake.stripe().left(&page).await.unwrap().unwrap();
        assert_eq!(
            (face.kind, face.brand.as_str(), face.last_four.as_str()),
            (Kind::BankDebit, brand, "6789")
        );
        assert_eq!((face.holder, face.expires), (None, None));
    }
    fake.books().leave(
        &page,
        "succeeded",
        json!({"id": "pm_1", "type": "carrier_pigeon"}),
    );
    assert_eq!(
        fake.stripe().left(&page).await,
        Err(Trouble::Refused(Decline::Refused))
    );
    for stranger in ["", "cs_unknown", "../payment_intents", "a/b", "a?b"] {
        let refused = fake.stripe().left(stranger).await;
        assert_eq!(refused, Err(Trouble::Refused(Decline::Refused)), "{stranger}");
    }
}

#[test]
fn a_key_says_what_it_is_for_and_is_not_shown() {
    let stripe = |key: &str| Stripe::new(key, BASE_URL);
    assert!(stripe("sk_test_1").unwrap().is_for_tests());
    assert!(!stripe("rk_live_1").unwrap().is_for_tests());
    assert_eq!(stripe("pk_live_1").unwrap_err(), BadKey::NotSecret);
    assert_eq!(
        Stripe::new("sk_live_1", "http://api.stripe.com").unwrap_err(),
        BadKey::NotSealed
    );
    let shown = format!("{:?}", stripe("sk_live_verysecret").unwrap());
    assert!(!shown.contains("verysecret"), "{shown}");
}

#[tokio::test]
async fn what_waits_for_its_customer_is_ended_and_what_was_paid_is_not() {
    let fake = Fake::start().await;
    for card in ["confirm", "authentication"] {
        let order = order(card);
        let asked = fake.stripe().charge(&order).await.unwrap();
        let over = Outcome::Declined(Decline::NotConfirmed);
        for _ in 0..2 {
            let ended = fake.stripe().cancel(&order, &asked.reference).await;
            assert_eq!(outcome(ended), over, "{card}");
        }
        let seen = fake.stripe().look(&order).await.unwrap().unwrap();
        assert_eq!(seen.outcome, over, "{card}");
    }
    let order = order("ok");
    let paid = fake.stripe().charge(&order).await.unwrap();
    for reference in [paid.reference.as_str(), "pi_unknown", "", "../customers"] {
        let ended = fake.stripe().cancel(&order, reference).await;
        assert!(is_no_answer(&ended), "{reference}: {ended:?}");
    }
    assert_eq!(fake.stripe().look(&order).await, Ok(Some(paid)));
}
