//! Whatever goes wrong between an event and whoever wants to hear of it: it is told, in order, and nothing is told that has not happened.

use app::{
    customer::{CustomerRef, UpdateCustomer},
    db::Backend,
    event, failpoint, job,
    notify::{self, Mail, MailState, UpdateMailSetting},
    subscription::Wish,
    webhook,
};
use domain::{
    id::{SubscriptionId, WebhookEndpointId},
    plan::variant::Mode,
};

use gateway::payment::sandbox::Card;

use super::{PAUSE, ROUNDS, WAYS, live_on, run, struck};
use crate::harness::{
    World,
    billing::{bills, terms},
    paying::{card, sells, wish},
    plans::{template, variant},
    receiver::{Manner, Receiver},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_messages_may_fail_on_sqlite() {
    struck(Backend::Sqlite, every_step_may_fail).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_messages_may_fail_on_postgres() {
    struck(Backend::Postgres, every_step_may_fail).await;
}

async fn every_step_may_fail(world: &World) {
    let world = &world.sends().await;
    let sold = world.sells(variant(Mode::Postpaid), vec![template("10")]).await;
    let customer = world.customer("ada").await;
    let id = world.subscribe(customer, sold).await;
    world.run_to_rest().await;
    for point in failpoint::MESSAGES {
        for way in WAYS {
            if point.starts_with("mail.") {
                continue;
            }
            strike(world, id, point, way).await;
        }
    }
    letters(world).await;
    let feed = event::feed(&world.app, &world.actor, None, None, 1_000)
        .await
        .unwrap();
    let positions: Vec<i64> = feed.events.iter().filter_map(|it| it.position).collect();
    let all = i64::try_from(feed.events.len()).unwrap();
    assert_eq!(positions, (1..=all).collect::<Vec<i64>>());
}

/// Two events of which one place on their way fails once.
async fn strike(world: &World, id: SubscriptionId, point: &str, way: &str) {
    let name = format!("{point} {way}");
    let receiver = Receiver::open().await;
    let types = ["subscription.paused", "subscription.resumed"];
    let hook = world.hook(&receiver.url(), &types).await.endpoint.id;
    if point == "webhook.disabled" {
        receiver.answers(Manner::Status(410));
    }
    world.advance(1);
    world.quiet().await;
    failpoint::reached();
    fail::cfg(point, &format!("1*{way}")).unwrap();
    world.wish(id, Wish::Pause).await.unwrap();
    world.wish(id, Wish::Resume).await.unwrap();
    let mut reached = false;
    for _ in 0..ROUNDS {
        world.quiet().await;
        while let Some(payload) = world.post.take() {
            run(world, payload).await;
        }
        reached |= failpoint::reached().contains_key(point);
        if reached && has_ended(world, hook, &receiver).await {
            break;
        }
        world.advance(PAUSE);
        job::sweep(&world.app).await.unwrap_or_default();
    }
    fail::remove(point);
    assert!(reached, "{name}: never reached");
    if point != "webhook.disabled" {
        let mut kinds = receiver.kinds();
        kinds.sort();
        kinds.dedup();
        assert_eq!(kinds, types, "{name}");
    }
    // Nobody hears of the next one.
    webhook::delete(&world.app, &world.actor, hook).await.unwrap();
}

/// Purchases whose letters are written while one place fails once.
async fn letters(world: &World) {
    sells(world).await;
    bills(world, terms()).await;
    let customer = world.customer("reader").await;
    card(world, customer, Card::Success).await;
    let who = CustomerRef::Id(customer);
    let input = UpdateCustomer {
        billing_email: Some(Some("books@example.com".to_owned())),
        ..UpdateCustomer::default()
    };
    app::customer::update(&world.app, &world.actor, &who, input)
        .await
        .unwrap();
    let input = UpdateMailSetting {
        enabled: Some(true),
        ..UpdateMailSetting::default()
    };
    notify::update_mail_setting(&world.app, &world.actor, input)
        .await
        .unwrap();
    let mut bought = 0;
    for point in failpoint::MESSAGES
        .iter()
        .filter(|point| point.starts_with("mail."))
    {
        for way in WAYS {
            bought += 1;
            let name = format!("{point} {way}");
            fail::cfg(*point, &format!("1*{way}")).unwrap();
            failpoint::reached();
            let input = wish(customer, "10 USD");
            app::payment::purchase(&world.app, &world.actor, input, &world.key())
                .await
                .unwrap();
            live_on(world, point, &name, async || written(world).await >= bought).await;
            assert_eq!(written(world).await, bought, "{name}");
        }
    }
}

/// How many letters say that an invoice was paid; none while any waits.
async fn written(world: &World) -> usize {
    let all = notify::outbox(&world.app, &world.actor, app::page::Page::first(100))
        .await
        .unwrap()
        .items;
    if all.iter().any(|it| it.state == MailState::Queued) {
        return 0;
    }
    let paid = |it: &&Mail| it.subject.as_ref().is_some_and(|it| it.contains("paid"));
    all.iter().filter(paid).count()
}

/// Whether everything was delivered, or the endpoint is switched off.
async fn has_ended(world: &World, hook: WebhookEndpointId, receiver: &Receiver) -> bool {
    let endpoint = webhook::endpoint(&world.app, &world.actor, hook)
        .await
        .unwrap()
        .unwrap();
    let page = app::page::Page::first(10);
    let pending = Some(webhook::DeliveryState::Pending);
    let waiting = webhook::deliveries(&world.app, &world.actor, hook, pending, page)
        .await
        .unwrap();
    endpoint.state == webhook::EndpointState::Disabled
        || receiver.received().len() >= 2 && waiting.items.is_empty()
}
