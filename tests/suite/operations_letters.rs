//! Letters to the vendor's own people: about what waits for one of them, once to each address, whether or not customers are written to.

use app::{
    invoice::{self, PayInvoice, PayWith},
    notify::{self, Audience, Mail, MailSetting, MailState, UpdateMailSetting},
    payment::{self, Bank},
    subscription::{CreateSubscription, Wish},
};
use domain::{
    customer::Settlement,
    id::{BillingEventId, CustomerId, VariantId},
    invoice::state::State,
    payment::Way,
    plan::variant::Mode,
    rejection::RejectionCode,
};
use gateway::payment::sandbox::Card;
use serde_json::{Value, json};

use crate::harness::{
    World,
    billing::{all, bills, terms},
    credits,
    door::Door,
    letters::{named, outbox, wishes, writes, written_by},
    paying::{self, card, money, sells, wish},
    per_unit,
    plans::{agreement, template, variant},
    receiver::{Manner, Receiver},
    refusal,
};

on_both!(
    operations_hear_of_what_waits_for_them,
    an_invoice_that_nobody_can_charge_is_written_about_once,
    a_card_that_is_taken_away_between_two_attempts_ends_them_once,
    an_address_of_both_gets_the_customer_s_letter,
    a_write_off_is_told_once_a_day,
    what_is_muted_or_goes_elsewhere,
    many_workers_write_one_letter_to_each_address,
    letters_survive_the_way_back_and_forth,
);

const OPS: &str = "ops@vendor.example";

/// Changes where and about what the vendor's own people are written to.
async fn tells(world: &World, addresses: &[&str], muted: &[&str]) -> app::Result<MailSetting> {
    let list = |all: &[&str]| Some(all.iter().map(|&it| it.to_owned()).collect());
    let input = UpdateMailSetting {
        operations: list(addresses),
        operations_muted: list(muted),
        ..UpdateMailSetting::default()
    };
    notify::update_mail_setting(&world.app, &world.actor, input).await
}

/// What the vendor's own people were written, oldest first.
async fn alerts(world: &World) -> Vec<Mail> {
    let all = outbox(world).await.into_iter();
    all.filter(|it| it.audience == Audience::Operations).collect()
}

fn subjects(letters: &[Mail]) -> Vec<&str> {
    letters.iter().filter_map(|it| it.subject.as_deref()).collect()
}

/// Somebody who has bought for ten dollars.
async fn buyer(world: &World) -> (CustomerId, domain::id::PaymentId) {
    sells(world).await;
    let customer = world.customer("globex").await;
    named(world, customer, "Globex & Sons", "books@globex.example").await;
    card(world, customer, Card::Success).await;
    let bought = payment::purchase(&world.app, &world.actor, wish(customer, "10 USD"), &world.key()).await;
    let id = bought.unwrap().value.id;
    world.catch_up().await;
    (customer, id)
}

/// A customer who owes five credits at most.
async fn bounded(world: &World, name: &str) -> CustomerId {
    let bound = Some(credits("5"));
    world
        .customer_bounded(name, Settlement::NextPurchase, bound)
        .await
}

async fn operations_hear_of_what_waits_for_them(world: World) {
    let world = world.sends().await;
    tells(&world, &[OPS, "night@vendor.example"], &[]).await.unwrap();
    let (customer, payment) = buyer(&world).await;
    // What went well, and what is tried again by itself, waits for nobody.
    assert_eq!(outbox(&world).await, []);

    let receiver = Receiver::open().await;
    receiver.answers(Manner::Status(410));
    world.hook(&receiver.url(), &["payment.disputed"]).await;
    for does in [Bank::Asks, Bank::Disputes, Bank::Decides] {
        payment::dispute_payment(&world.app, &world.actor, payment, does)
            .await
            .unwrap();
        world.catch_up().await;
    }
    let letters = alerts(&world).await;
    let to = |address: &str| -> Vec<Mail> {
        let to = letters.iter().filter(|it| it.address == address);
        to.cloned().collect()
    };
    let (ops, night) = (to(OPS), to("night@vendor.example"));
    assert_eq!(ops.len() + night.len(), outbox(&world).await.len());
    assert_eq!(subjects(&ops), subjects(&night));
    let mut told = subjects(&ops);
    told.sort_unstable();
    let vendor = told[0].split(": ").next().unwrap();
    let wanted = [
        "Globex & Sons disputes a payment",
        "a dispute with Globex & Sons is lost",
        "a webhook endpoint is switched off",
        "the bank of Globex & Sons asks about a payment",
    ];
    assert_eq!(told, wanted.map(|it| format!("{vendor}: {it}")));
    for it in &ops {
        assert_eq!(it.state, MailState::Kept);
        let (text, html) = (it.text.as_ref().unwrap(), it.html.as_ref().unwrap());
        assert!(text.starts_with("Hello,\n\n"), "{text}");
        assert!(!html.contains("Globex & Sons"), "{html}");
        let about_endpoint = it.subject.as_ref().unwrap().contains("endpoint");
        assert_eq!(
            it.customer,
            (!about_endpoint).then_some(customer),
            "{:?}",
            it.subject
        );
        let named = if about_endpoint {
            receiver.url()
        } else {
            payment.to_string()
        };
        assert!(text.contains(&named), "{named}: {text}");
    }

    // Over the wire, and for whom it is not.
    let door = Door::open(&world, api::Limits::default()).await;
    let query = "{ mailSettings { operationsAddresses operationsMutedTypes operationsTypes }
        outbox(first: 100) { nodes { audience customerId address } } }";
    let shown = door.ask(query, json!({})).await.body["data"].clone();
    assert_eq!(
        shown["mailSettings"]["operationsAddresses"],
        json!([OPS, "night@vendor.example"])
    );
    let nodes = shown["outbox"]["nodes"].as_array().unwrap();
    assert!(nodes.iter().all(|it| it["audience"] == "OPERATIONS"), "{shown}");
    assert_eq!(
        nodes.iter().filter(|it| it["customerId"] == Value::Null).count(),
        2
    );
    assert_eq!(outbox(&world.stranger().await).await, []);
}

/// A month that is billed afterwards.
async fn monthly(world: &World) -> VariantId {
    let mut monthly = variant(Mode::Postpaid);
    monthly.fee = Some(money("20 USD"));
    world.sells(monthly, vec![template("10")]).await
}

async fn an_invoice_that_nobody_can_charge_is_written_about_once(world: World) {
    sells(&world).await;
    bills(&world, terms()).await;
    tells(&world, &[OPS], &[]).await.unwrap();
    let plan = monthly(&world).await;
    let made = async |name: &str, kind: Card| {
        let customer = world.customer(name).await;
        card(&world, customer, kind).await;
        let mut input: CreateSubscription = agreement(customer, plan);
        input.external_id = Some(name.to_owned());
        (customer, world.try_subscribe(input).await.unwrap().value.id)
    };
    let (soft, soft_deal) = made("soft", Card::InsufficientFunds).await;
    let (hard, hard_deal) = made("hard", Card::Stolen).await;
    world.until("2026-04-11").await;
    for id in [soft_deal, hard_deal] {
        world.wish(id, Wish::Cancel { at_end: false }).await.unwrap();
    }
    world.catch_up().await;
    let told = async |customer: CustomerId, what: &str| {
        let letters = alerts(&world).await.into_iter();
        let of_it = letters.filter(|it| it.customer == Some(customer));
        of_it
            .filter(|it| it.subject.as_ref().is_some_and(|it| it.ends_with(what)))
            .count()
    };
    let invoices = async |customer| all(&world, customer).await.len();
    // A stolen card is charged once; an empty account is asked four times more.
    assert_eq!(told(hard, "is not charged any more").await, invoices(hard).await);
    assert_eq!(told(soft, "is not charged any more").await, 0);
    // What has ended does not end again because somebody tries the same card.
    let once_more = PayInvoice {
        invoice: all(&world, hard).await[0].invoice.id,
        with: PayWith::Way(Way::Saved(None)),
    };
    invoice::pay(&world.app, &world.actor, once_more, &world.key())
        .await
        .unwrap();
    world.catch_up().await;
    assert_eq!(told(hard, "is not charged any more").await, invoices(hard).await);
    for _ in 0..20 {
        world.advance(86_400);
        world.catch_up().await;
    }
    for customer in [soft, hard] {
        let filed = all(&world, customer).await;
        assert!(filed.iter().all(|it| it.invoice.state == State::PastDue));
        for what in ["is not charged any more", "is past due"] {
            assert_eq!(told(customer, what).await, filed.len(), "{what}");
        }
        invoice::give_up(&world.app, &world.actor, filed[0].invoice.id)
            .await
            .unwrap();
        world.catch_up().await;
        assert_eq!(told(customer, "counts as uncollectible").await, 1);
    }
}

/// Subscribes a customer, and cancels at once on a day.
async fn subscribed_until(world: &World, customer: CustomerId, plan: VariantId, day: &str) {
    let deal = world.try_subscribe(agreement(customer, plan)).await.unwrap();
    world.until(day).await;
    world
        .wish(deal.value.id, Wish::Cancel { at_end: false })
        .await
        .unwrap();
}

async fn a_card_that_is_taken_away_between_two_attempts_ends_them_once(world: World) {
    sells(&world).await;
    bills(&world, terms()).await;
    tells(&world, &[OPS], &[]).await.unwrap();
    let plan = monthly(&world).await;
    let customer = world.customer("globex").await;
    let poor = card(&world, customer, Card::InsufficientFunds).await;
    let spare = card(&world, customer, Card::Stolen).await;
    subscribed_until(&world, customer, plan, "2026-04-11").await;
    world.catch_up().await;
    let invoices = all(&world, customer).await;
    let failed = paying::told(&world, customer, "invoice.payment_failed").await;
    assert!(failed.len() >= invoices.len(), "each was tried");
    let told = async || {
        let told = paying::told(&world, customer, "invoice.collection_ended").await;
        let letters = alerts(&world).await;
        let subjects = subjects(&letters);
        let written = subjects
            .iter()
            .filter(|it| it.ends_with("is not charged any more"));
        assert_eq!(written.count(), told.len());
        told.len()
    };
    assert_eq!(told().await, 0);

    // Another card stands in its place that nobody has tried, and is declined for good: that end is told as before.
    payment::set_default_method(&world.app, &world.actor, spare)
        .await
        .unwrap();
    world.catch_up().await;
    assert_eq!(told().await, invoices.len());
    // The first may be charged again; back to the other one, and nobody will.
    for (default, ends) in [(poor, 1), (poor, 1), (spare, 2), (spare, 2)] {
        payment::set_default_method(&world.app, &world.actor, default)
            .await
            .unwrap();
        world.catch_up().await;
        assert_eq!(told().await, ends * invoices.len());
    }
    // What has ended does not end again.
    payment::remove_method(&world.app, &world.actor, spare)
        .await
        .unwrap();
    world.catch_up().await;
    assert_eq!(told().await, 2 * invoices.len());

    // The last card is taken away between two attempts.
    payment::set_default_method(&world.app, &world.actor, poor)
        .await
        .unwrap();
    world.catch_up().await;
    let failed = paying::told(&world, customer, "invoice.payment_failed")
        .await
        .len();
    payment::remove_method(&world.app, &world.actor, poor)
        .await
        .unwrap();
    world.catch_up().await;
    assert_eq!(told().await, 3 * invoices.len());
    for _ in 0..20 {
        world.advance(86_400);
        world.catch_up().await;
    }
    assert_eq!(told().await, 3 * invoices.len());
    // One came since that nobody has tried to charge: nothing of it has ended.
    let filed = all(&world, customer).await;
    assert!(filed.iter().all(|it| it.invoice.state == State::PastDue));
    assert_eq!(
        paying::told(&world, customer, "invoice.past_due").await.len(),
        filed.len()
    );
    assert_eq!(
        paying::told(&world, customer, "invoice.payment_failed")
            .await
            .len(),
        failed
    );

    // With a new card attempts resume, and nothing more ends.
    card(&world, customer, Card::Success).await;
    world.catch_up().await;
    let filed = all(&world, customer).await;
    assert!(filed.iter().all(|it| it.invoice.state == State::Paid));
    assert_eq!(told().await, 3 * invoices.len());
    world.audited().await;
}

async fn an_address_of_both_gets_the_customer_s_letter(world: World) {
    const BOTH: &str = "books@globex.example";
    sells(&world).await;
    bills(&world, terms()).await;
    writes(&world).await;
    tells(&world, &[OPS, BOTH], &[]).await.unwrap();
    let plan = monthly(&world).await;
    let customer = world.customer("globex").await;
    named(&world, customer, "Globex", BOTH).await;
    card(&world, customer, Card::Stolen).await;
    subscribed_until(&world, customer, plan, "2026-04-11").await;
    for _ in 0..20 {
        world.advance(86_400);
        world.catch_up().await;
    }
    let letters = outbox(&world).await;
    let to = |audience: Audience, address: &str| -> Vec<BillingEventId> {
        let theirs = letters
            .iter()
            .filter(|it| it.audience == audience && it.address == address);
        theirs.map(|it| it.event).collect()
    };
    let (ours, theirs) = (to(Audience::Operations, OPS), to(Audience::Customer, BOTH));
    assert!(ours.iter().any(|event| theirs.contains(event)), "{letters:?}");
    // What customers hear nothing of comes to the address as the vendor's.
    let also = to(Audience::Operations, BOTH);
    let left: Vec<_> = ours.iter().filter(|event| !theirs.contains(event)).collect();
    assert_eq!(also.iter().collect::<Vec<_>>(), left);
}

async fn a_write_off_is_told_once_a_day(world: World) {
    world.priced("call", per_unit("1")).await;
    tells(&world, &[OPS], &[]).await.unwrap();
    let (one, other) = (bounded(&world, "one").await, bounded(&world, "other").await);
    for _ in 0..2 {
        for customer in [one, other] {
            world.consume(customer, "call", "100").await;
        }
        world.catch_up().await;
        world.consume(one, "call", "1").await;
        world.catch_up().await;
        world.advance(1);
    }
    let letters = alerts(&world).await;
    let mut about: Vec<_> = letters.iter().filter_map(|it| it.customer).collect();
    about.sort_unstable();
    let mut wanted = vec![one, other];
    wanted.sort_unstable();
    assert_eq!(about, wanted);
    let text = letters[0].text.as_ref().unwrap();
    assert!(
        text.contains("5 credits") && text.contains("95 credits"),
        "{text}"
    );
    world.advance(86_400);
    world.consume(one, "call", "7").await;
    world.catch_up().await;
    let letters = alerts(&world).await;
    assert_eq!((letters.len(), letters[2].customer), (3, Some(one)));
}

async fn what_is_muted_or_goes_elsewhere(world: World) {
    for (addresses, muted, field) in [
        (&["nonsense"][..], &[][..], "operationsAddresses"),
        (&["a@example.com"; 6], &[], "operationsAddresses"),
        // There are no such letters to them.
        (&[], &["balance.low"], "operationsMutedTypes"),
        (&[], &["no.such"], "operationsMutedTypes"),
    ] {
        let refused = tells(&world, addresses, muted).await;
        assert_eq!(refusal(refused), (RejectionCode::InvalidInput, field.to_owned()));
    }
    world.priced("call", per_unit("1")).await;
    tells(&world, &[OPS], &["overshoot.written_off"]).await.unwrap();
    let customer = bounded(&world, "one").await;
    world.consume(customer, "call", "100").await;
    world.catch_up().await;
    assert_eq!(outbox(&world).await, []);
    tells(&world, &[], &[]).await.unwrap();
    world.consume(customer, "call", "1").await;
    world.catch_up().await;
    assert_eq!(outbox(&world).await, []);
    // Customers hear what they hear, and the vendor what it hears, whatever the addresses.
    writes(&world).await;
    let kept = tells(&world, &[OPS, "books@globex.example"], &[]).await.unwrap();
    assert!(kept.enabled && kept.sender.as_deref() == Some("Acme Billing"));
    named(&world, customer, "Globex", "books@globex.example").await;
    wishes(&world, customer, notify::UpdateCustomerMail::default())
        .await
        .unwrap();
    sells(&world).await;
    card(&world, customer, Card::Success).await;
    world.consume(customer, "call", "1").await;
    world.catch_up().await;
    let letters = outbox(&world).await;
    let to: Vec<_> = letters
        .iter()
        .map(|it| (it.audience, it.address.as_str()))
        .collect();
    assert_eq!(
        to,
        [
            (Audience::Operations, OPS),
            (Audience::Operations, "books@globex.example")
        ]
    );
}

async fn many_workers_write_one_letter_to_each_address(world: World) {
    world.priced("call", per_unit("1")).await;
    tells(&world, &[OPS, "night@vendor.example"], &[]).await.unwrap();
    let customer = bounded(&world, "one").await;
    world.consume(customer, "call", "100").await;
    written_by(&world, 32).await;
    world.catch_up().await;
    let letters = alerts(&world).await;
    let to: Vec<_> = letters.iter().map(|it| it.address.as_str()).collect();
    assert_eq!(to, [OPS, "night@vendor.example"]);
    assert!(
        letters
            .iter()
            .all(|it| it.event == letters[0].event && it.attempts == 1)
    );
}

/// Letters to customers stay as they were when the step that knows of others is taken back and taken again.
async fn letters_survive_the_way_back_and_forth(world: World) {
    writes(&world).await;
    tells(&world, &[OPS], &[]).await.unwrap();
    bills(&world, terms()).await;
    let (_, payment) = buyer(&world).await;
    payment::dispute_payment(&world.app, &world.actor, payment, Bank::Disputes)
        .await
        .unwrap();
    world.catch_up().await;
    let before = outbox(&world).await;
    let (mut kept, ours): (Vec<_>, Vec<_>) = before
        .into_iter()
        .partition(|it| it.audience == Audience::Customer);
    assert!(kept.iter().any(|it| it.subject.is_some()) && !ours.is_empty());
    let fresh = world.back_and_forth("m0026_operations_mail").await;
    let mut found = outbox(&fresh).await;
    found.sort_by_key(|it| it.id);
    kept.sort_by_key(|it| it.id);
    assert_eq!(found, kept);
    // And the unique key is there again.
    let twice = "INSERT INTO mail (id, tenant_id, audience, customer_id, event_id, address, state, attempts, next_at, created_at, ended_at)
        SELECT event_id, tenant_id, audience, customer_id, event_id, address, state, attempts, next_at, created_at, ended_at FROM mail";
    let db = fresh.app.db().writer();
    assert!(
        sea_orm::ConnectionTrait::execute_unprepared(db, twice)
            .await
            .is_err()
    );
}
