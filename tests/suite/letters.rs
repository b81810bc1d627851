//! Letters: whoever is to be written to is, once about each event, and sees who has muted what.

use std::sync::{Arc, Mutex};

use app::{
    Limits,
    notify::{Mail, MailState, UpdateCustomerMail},
    payment::Purchase,
};
use domain::{id::CustomerId, rejection::RejectionCode};
use gateway::{
    mail::{Letter, NotSent, Post},
    payment::sandbox::Card,
    public::PublicUrl,
};

use crate::harness::{
    World,
    billing::{self, terms},
    letters::{named, outbox, wishes, writes, written_by},
    paying::{self, card, sells, wish},
    refusal,
};

on_both!(
    a_receipt_is_written_and_kept_to_be_read,
    nobody_is_written_to_unasked,
    many_workers_write_one_letter,
    a_server_that_is_away_gets_it_later,
    invoices_lead_to_their_page_and_pdf,
    strangers_read_nothing,
);

/// A post that keeps letters, and answers as it is told to.
#[derive(Default)]
struct Letterbox {
    taken: Mutex<Vec<Letter>>,
    next: Mutex<Vec<NotSent>>,
}

#[async_trait::async_trait]
impl Post for Letterbox {
    async fn send(&self, letter: &Letter) -> Result<(), NotSent> {
        if let Some(no) = self.next.lock().unwrap().pop() {
            return Err(no);
        }
        self.taken.lock().unwrap().push(letter.clone());
        Ok(())
    }
}

async fn posting(world: &World) -> (World, Arc<Letterbox>) {
    let post = Arc::new(Letterbox::default());
    let limits = Limits {
        post: Some(post.clone()),
        ..Limits::default()
    };
    (world.with_limits(limits).await, post)
}

/// Somebody with a card and a billing address, of a vendor that sells and gives receipts.
async fn buyer(world: &World) -> CustomerId {
    sells(world).await;
    billing::bills(world, terms()).await;
    let customer = world.customer("buyer").await;
    card(world, customer, Card::Success).await;
    named(world, customer, "Ada & Sons", "books@example.com").await;
    customer
}

/// A purchase whose receipt is an invoice that was issued and paid.
async fn buys(world: &World, customer: CustomerId) {
    let input: Purchase = wish(customer, "10 USD");
    app::payment::purchase(&world.app, &world.actor, input, &world.key())
        .await
        .unwrap();
    world.catch_up().await;
}

async fn a_receipt_is_written_and_kept_to_be_read(world: World) {
    writes(&world).await;
    let customer = buyer(&world).await;
    buys(&world, customer).await;
    let written: Vec<Mail> = outbox(&world)
        .await
        .into_iter()
        .filter(|it| it.state == MailState::Kept)
        .collect();
    let paid = written
        .iter()
        .find(|it| it.subject.as_ref().is_some_and(|it| it.contains("paid")))
        .unwrap();
    assert_eq!(paid.address, "books@example.com");
    assert!(paid.text.as_ref().unwrap().contains("Ada & Sons"));
    let html = paid.html.as_ref().unwrap();
    assert!(
        html.contains("Acme Billing") && html.contains("Ada &") && !html.contains("Ada & Sons"),
        "{html}"
    );
    // A purchase that somebody has just made is no news to it.
    let told = paying::told(&world, customer, "payment.").await;
    assert_eq!(told, ["payment.succeeded"]);
    assert!(
        outbox(&world)
            .await
            .iter()
            .any(|it| it.state == MailState::Skipped)
    );
}

async fn nobody_is_written_to_unasked(world: World) {
    let customer = buyer(&world).await;
    buys(&world, customer).await;
    assert_eq!(outbox(&world).await, []);
    writes(&world).await;
    let change = async |addresses, muted: &[&str]| {
        let input = UpdateCustomerMail {
            addresses: Some(addresses),
            muted: Some(muted.iter().map(|&it| it.to_owned()).collect()),
            low_balance: None,
        };
        wishes(&world, customer, input).await
    };
    change(Some(vec![]), &[]).await.unwrap();
    buys(&world, customer).await;
    assert_eq!(outbox(&world).await, []);
    let two = vec!["a@example.com".to_owned(), "b@example.com".to_owned()];
    change(Some(two), &["invoice.finalized", "payment.succeeded"])
        .await
        .unwrap();
    buys(&world, customer).await;
    let all = outbox(&world).await;
    let to: Vec<_> = all.iter().map(|it| it.address.as_str()).collect();
    assert_eq!(to, ["a@example.com", "b@example.com"]);
    assert!(all.iter().all(|it| it.event == all[0].event));
    for (addresses, muted, field) in [
        (Some(vec!["nonsense".to_owned()]), &[][..], "addresses"),
        (Some(vec!["a@example.com".to_owned(); 6]), &[], "addresses"),
        (None, &["subscription.paused"], "mutedTypes"),
        (None, &["no.such"], "mutedTypes"),
    ] {
        let refused = change(addresses, muted).await;
        assert_eq!(refusal(refused), (RejectionCode::InvalidInput, field.to_owned()));
    }
}

async fn many_workers_write_one_letter(world: World) {
    let (world, post) = posting(&world).await;
    writes(&world).await;
    let customer = buyer(&world).await;
    let input: Purchase = wish(customer, "10 USD");
    app::payment::purchase(&world.app, &world.actor, input, &world.key())
        .await
        .unwrap();
    let other = world.another().await;
    written_by(&world, 64).await;
    drop(other);
    world.catch_up().await;
    let subjects: Vec<String> = post
        .taken
        .lock()
        .unwrap()
        .iter()
        .map(|it| it.subject.clone())
        .collect();
    let paid = subjects.iter().filter(|it| it.contains("paid")).count();
    assert_eq!(paid, 1, "{subjects:?}");
    let sent = outbox(&world)
        .await
        .iter()
        .filter(|it| it.state == MailState::Sent)
        .count();
    assert_eq!(sent, subjects.len());
}

async fn a_server_that_is_away_gets_it_later(world: World) {
    let (world, post) = posting(&world).await;
    writes(&world).await;
    let customer = buyer(&world).await;
    *post.next.lock().unwrap() = vec![NotSent::Later("450 busy".to_owned()); 2];
    buys(&world, customer).await;
    let waiting: Vec<Mail> = outbox(&world)
        .await
        .into_iter()
        .filter(|it| it.state == MailState::Queued)
        .collect();
    assert!(!waiting.is_empty());
    assert_eq!(waiting[0].problem.as_deref(), Some("450 busy"));
    world.advance(120);
    world.catch_up().await;
    assert!(
        outbox(&world)
            .await
            .iter()
            .all(|it| it.state != MailState::Queued)
    );
    let ids: Vec<String> = post
        .taken
        .lock()
        .unwrap()
        .iter()
        .map(|it| it.id.clone())
        .collect();
    assert_eq!(ids.len(), 2);
    *post.next.lock().unwrap() = vec![NotSent::Refused("550 no such user".to_owned())];
    buys(&world, customer).await;
    let failed = outbox(&world)
        .await
        .into_iter()
        .filter(|it| it.state == MailState::Failed)
        .count();
    assert_eq!(failed, 1);
}

async fn invoices_lead_to_their_page_and_pdf(world: World) {
    writes(&world).await;
    let customer = buyer(&world).await;
    // Nobody has said how people come here.
    buys(&world, customer).await;
    let shut = outbox(&world).await;
    assert!(
        shut.iter()
            .all(|it| !it.html.as_ref().is_some_and(|it| it.contains("<a ")))
    );
    let limits = Limits {
        public_url: Some(PublicUrl::parse("https://bills.example/acme/").unwrap()),
        ..Limits::default()
    };
    let world = world.with_limits(limits).await;
    // Two processes name things in no order within a moment.
    world.advance(1);
    let before = billing::all(&world, customer).await;
    buys(&world, customer).await;
    let written = outbox(&world).await;
    let about: Vec<&Mail> = written
        .iter()
        .filter(|it| shut.iter().all(|known| known.id != it.id))
        .filter(|it| it.subject.as_ref().is_some_and(|it| it.contains("invoice")))
        .collect();
    let filed = billing::all(&world, customer).await;
    let new = filed
        .iter()
        .find(|it| before.iter().all(|known| known.link != it.link));
    let page = format!("https://bills.example/acme/documents/{}", new.unwrap().link);
    assert!(!about.is_empty());
    for it in about {
        let (text, html) = (it.text.as_ref().unwrap(), it.html.as_ref().unwrap());
        for url in [page.clone(), format!("{page}.pdf")] {
            assert_eq!(text.lines().filter(|line| *line == url).count(), 1, "{text}");
            assert_eq!(html.matches(&format!("<a href=\"{url}\" ")).count(), 1, "{html}");
        }
    }
}

async fn strangers_read_nothing(world: World) {
    writes(&world).await;
    let customer = buyer(&world).await;
    buys(&world, customer).await;
    let stranger = world.stranger().await;
    assert_eq!(outbox(&stranger).await, []);
    let refused = wishes(&stranger, customer, UpdateCustomerMail::default()).await;
    assert_eq!(refusal(refused).0, RejectionCode::NotFound);
}
