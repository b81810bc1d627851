//! What Stripe tells of its own accord, and what somebody else says in its name.

#![allow(clippy::unwrap_used, missing_docs)]

#[allow(dead_code, unused_imports, reason = "the provider's other tests use the rest")]
mod fake;

use domain::{
    id::{CustomerId, PaymentId},
    money::{Currency, Money},
    payment::{Checkout, Order, Way, method::Kind, notice::Notice},
    time::Timestamp,
};
use gateway::payment::{Provider, Trouble, Unbelieved, stripe::Stripe};
use hyper::HeaderMap;
use serde_json::{Value, json};
use uuid::Uuid;

use self::fake::{Fake, NOW, PAYER, signed};

const OLD: &str = "whsec_old";
const NEW: &str = "whsec_new";

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

/// All that is told between two seconds.
async fn told(fake: &Fake, since: i64, now: i64) -> Vec<Notice> {
    let told = fake.stripe().notices_since(at(since), at(now)).await.unwrap();
    assert_eq!(told.until, at(now));
    told.notices
}

fn taking(fake: &Fake, secrets: &[&str]) -> Stripe {
    let secrets = secrets.iter().map(|secret| (*secret).to_owned());
    fake.stripe().with_notices(secrets.collect())
}

fn headers(signature: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("stripe-signature", signature.parse().unwrap());
    headers
}

fn sent(stripe: &Stripe, event: &Value, secret: &str) -> Result<Notice, Unbelieved> {
    let (header, body) = signed(event, secret, NOW);
    stripe.read_notice(&headers(&header), &body, at(NOW))
}

/// An order that is paid on a page.
fn order() -> Order {
    Order {
        payment: PaymentId(Uuid::now_v7()),
        customer: CustomerId(Uuid::from_u128(7)),
        payer: PAYER.to_owned(),
        way: Way::Page(Checkout {
            kinds: vec![Kind::Card],
            return_url: None,
        }),
        amount: Money::of(1_000, Currency::USD),
        reference: None,
        submitted_at: at(NOW),
    }
}

fn event(object: &Value) -> Value {
    json!({"id": "evt_1", "type": "payment_intent.succeeded", "created": NOW, "livemode": false,
        "data": {"object": object}})
}

/// Something happens in each way; answers with the payment.
async fn live_through(fake: &Fake) -> PaymentId {
    let order = order();
    let page = fake.stripe().charge(&order).await.unwrap().reference;
    let mut books = fake.books();
    let charge = books.pay_on_page(&page, "pm_ok");
    let metadata = json!({"tallygate_payment": order.payment.to_string()});
    books.give_back(&charge, 100, "succeeded", &metadata);
    books.dispute(&charge, "needs_response");
    books.dispute(&charge, "won");
    order.payment
}

#[tokio::test]
async fn each_notice_says_what_it_is_about() {
    let fake = Fake::start().await;
    let payment = live_through(&fake).await;
    let stripe = taking(&fake, &[NEW]);
    let events = fake.books().events.clone();
    let read: Vec<Notice> = events
        .iter()
        .map(|event| sent(&stripe, event, NEW).unwrap())
        .collect();
    let about = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for (notice, (kind, names_us, subjects)) in read.iter().zip([
        ("payment_intent.succeeded", true, about(&["pi_1"])),
        ("checkout.session.completed", true, about(&["cs_test_1", "pi_1"])),
        ("refund.created", true, about(&["pi_1"])),
        ("charge.refunded", true, about(&["pi_1"])),
        ("charge.dispute.created", false, about(&["pi_1"])),
        ("charge.dispute.closed", false, about(&["pi_1"])),
    ]) {
        assert_eq!(notice.kind, kind);
        assert_eq!(notice.payment, names_us.then_some(payment), "{kind}");
        assert_eq!(notice.subjects, subjects, "{kind}");
        assert_eq!(notice.occurred_at, at(NOW));
    }
    assert_eq!(read.len(), 6);
    assert_eq!(told(&fake, NOW, NOW + 1).await, read);
}

#[tokio::test]
async fn what_nobody_knows_is_taken_and_is_about_nothing() {
    let stripe = taking(&Fake::start().await, &[NEW]);
    for (object, subjects) in [
        (json!({}), &[][..]),
        (
            json!({"object": "balance", "metadata": null, "payment_intent": null}),
            &[],
        ),
        (
            json!({"id": "cus_1", "metadata": {"tallygate_payment": "nonsense"}}),
            &[],
        ),
        (json!({"id": "pi_a/../b", "metadata": []}), &[]),
        (json!({"id": "du_1", "payment_intent": {"id": "pi_7"}}), &["pi_7"]),
    ] {
        let notice = sent(&stripe, &event(&object), NEW).unwrap();
        assert_eq!((notice.payment, notice.reference.as_str()), (None, "evt_1"));
        assert_eq!(notice.subjects, subjects, "{object}");
    }
}

#[tokio::test]
async fn only_stripes_own_notices_of_now_are_believed() {
    let fake = Fake::start().await;
    let stripe = taking(&fake, &[NEW, OLD]);
    let event = event(&json!({"id": "pi_1"}));
    let (header, body) = signed(&event, OLD, NOW);
    let read = |header: &str, body: &[u8], now: i64| stripe.read_notice(&headers(header), body, at(now));
    for now in [NOW, NOW + 300, NOW - 300] {
        assert!(
            read(&header, &body, now).is_ok(),
            "one of several secrets is enough"
        );
    }
    let out_of_time = Err(Unbelieved::Forged(
        "the notice was not signed just now".to_owned(),
    ));
    for now in [NOW + 301, NOW - 301] {
        assert_eq!(read(&header, &body, now), out_of_time);
    }
    let (of_another, _) = signed(&event, "whsec_other", NOW);
    let mut changed = body.clone();
    changed.push(b' ');
    for (header, body) in [
        (&of_another, &body),
        (&header, &changed),
        (&"t=1".to_owned(), &body),
    ] {
        let answer = read(header, body, NOW);
        assert!(matches!(answer, Err(Unbelieved::Forged(_))), "{answer:?}");
    }
    let bare = stripe.read_notice(&HeaderMap::new(), &body, at(NOW));
    assert!(matches!(bare, Err(Unbelieved::Forged(_))), "{bare:?}");
    let mut live = event.clone();
    live["livemode"] = json!(true);
    assert!(matches!(sent(&stripe, &live, NEW), Err(Unbelieved::Forged(_))));
    for unreadable in [json!({}), json!([]), json!({"id": "evt_1", "livemode": false})] {
        let answer = sent(&stripe, &unreadable, NEW);
        assert!(matches!(answer, Err(Unbelieved::Unreadable(_))), "{answer:?}");
    }
}

#[tokio::test]
async fn without_a_secret_no_notice_is_taken() {
    let fake = Fake::start().await;
    let event = event(&json!({"id": "pi_1"}));
    for stripe in [fake.stripe(), taking(&fake, &[]), taking(&fake, &[""])] {
        for secret in ["", NEW] {
            assert_eq!(sent(&stripe, &event, secret), Err(Unbelieved::NotTaken));
        }
    }
    let shown = format!("{:?}", taking(&fake, &["whsec_verysecret"]));
    assert!(!shown.contains("verysecret"), "{shown}");
}

#[tokio::test]
async fn notices_that_may_be_lost_are_listed_oldest_first() {
    let fake = Fake::start().await;
    let note = |kind: &str, count: usize, later: i64| {
        let mut books = fake.books();
        books.later = later;
        for number in 0..count {
            books.note(kind, &json!({"id": format!("pi_{number}")}));
        }
    };
    note("payment_intent.succeeded", 1, -1);
    note("refund.failed", 130, 0);
    note("customer.created", 5, 0);
    note("checkout.session.expired", 120, 7);
    let notices = told(&fake, NOW, NOW + 1).await;
    assert_eq!(
        notices.len(),
        250,
        "those too that happen later by the clock of Stripe"
    );
    assert!(notices.is_sorted_by_key(|notice| notice.occurred_at));
    assert_eq!(notices[0].reference, "evt_2");
    assert_eq!(notices[249].reference, "evt_256");
    let later = Timestamp::from_micros((NOW + 7) * 1_000_000 + 999_999);
    let later = fake.stripe().notices_since(later, at(NOW + 9)).await.unwrap();
    assert_eq!(later.notices.len(), 120, "those of the second itself too");
    assert_eq!(told(&fake, NOW + 8, NOW + 9).await, []);
}

/// Writes a number of notices of some seconds after the beginning.
fn fill(fake: &Fake, later: i64, count: usize) {
    let mut books = fake.books();
    books.later = later;
    for _ in 0..count {
        books.note("charge.refunded", &json!({}));
    }
}

#[tokio::test]
async fn a_list_without_its_end_is_read_in_slices() {
    let fake = Fake::start().await;
    let day = 86_400;
    fill(&fake, 0, 4_000);
    fill(&fake, 400, 1_500);
    fill(&fake, day, 10);
    // More than are gone through in a quarter of an hour: as many as are in the half of it, and the rest the next time.
    let first = fake
        .stripe()
        .notices_since(at(NOW), at(NOW + 2 * day))
        .await
        .unwrap();
    assert!(first.notices.len() >= 5_000, "{}", first.notices.len());
    assert!(first.until < at(NOW + day), "{}", first.until);
    let rest = fake.stripe().notices_since(first.until, at(NOW + 2 * day)).await;
    let rest = rest.unwrap();
    assert_eq!(rest.until, at(NOW + 2 * day));
    let mut all = first.notices;
    all.extend(rest.notices);
    assert_eq!(all.len(), 5_510, "each once");
    assert!(all.is_sorted_by_key(|notice| notice.occurred_at));
}

#[tokio::test]
async fn a_quiet_month_costs_few_requests() {
    let fake = Fake::start().await;
    let month = 30 * 86_400;
    fill(&fake, 0, 1);
    fill(&fake, month - 1, 1);
    assert_eq!(told(&fake, NOW, NOW + month).await.len(), 2);
    let looked = fake.books().looked;
    assert!(looked <= 12, "{looked}");
}

#[tokio::test]
async fn of_a_list_without_its_end_nothing_is_told() {
    let fake = Fake::start().await;
    fill(&fake, 0, 5_000);
    assert_eq!(told(&fake, NOW, NOW + 60).await.len(), 5_000);
    fill(&fake, 0, 1);
    let answer = fake.stripe().notices_since(at(NOW), at(NOW + 60)).await;
    assert!(matches!(answer, Err(Trouble::NoAnswer(_))), "{answer:?}");
}

#[tokio::test]
async fn a_list_of_the_other_world_tells_nothing() {
    let fake = Fake::start().await;
    fill(&fake, 0, 1);
    fake.books().events[0]["livemode"] = json!(true);
    let answer = fake.stripe().notices_since(at(NOW), at(NOW + 60)).await;
    assert!(matches!(answer, Err(Trouble::NoAnswer(_))), "{answer:?}");
}
