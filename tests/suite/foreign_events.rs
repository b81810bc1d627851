//! Types of events that only a newer version of the program knows, told while one version replaces the other: they are told on like any
//! other, and nobody sees them who would not see everything.

use std::time::Duration;

use api::Limits;
use app::{Actor, Scope, event, page::Page, subscription::Wish, webhook};
use domain::{
    event::{EventType, TypeName},
    id::{CustomerId, SubscriptionId},
    plan::variant::Mode,
};
use futures::StreamExt;
use serde_json::json;

use crate::harness::{
    World,
    door::Door,
    letters::{named, outbox, writes},
    plans::{template, variant},
    receiver::Receiver,
};

on_both!(
    it_is_told_in_its_place,
    it_goes_to_whoever_wants_all_or_has_named_it,
    it_is_seen_by_those_who_see_everything,
    nobody_is_written_to_about_it,
);

/// What a newer version might tell.
const FOREIGN: &str = "credits.donated";

async fn subscribed(world: &World) -> (CustomerId, SubscriptionId) {
    let sold = world.sells(variant(Mode::Postpaid), vec![template("10")]).await;
    let customer = world.customer("ada").await;
    let id = world.subscribe(customer, sold).await;
    world.catch_up().await;
    (customer, id)
}

/// Tells of a pause and its end; the first is as if a newer version had told something else.
async fn told(world: &World, id: SubscriptionId) {
    world.wish(id, Wish::Pause).await.unwrap();
    world.wish(id, Wish::Resume).await.unwrap();
    world
        .sabotage(&format!(
            "UPDATE billing_event SET kind = '{FOREIGN}', version = 3 WHERE kind = 'subscription.paused' AND position IS NULL"
        ))
        .await;
}

async fn it_is_told_in_its_place(world: World) {
    let (_, id) = subscribed(&world).await;
    let listening = event::stream(&world.app, &world.actor, Some(1), None).await;
    let mut listening = Box::pin(listening.unwrap());
    told(&world, id).await;
    world.catch_up().await;
    let page = event::feed(&world.app, &world.actor, None, None, 10)
        .await
        .unwrap();
    let lines: Vec<_> = page
        .events
        .iter()
        .map(|it| (it.kind.as_str(), it.sequence, it.position))
        .collect();
    assert_eq!(
        lines,
        [
            ("subscription.created", Some(1), Some(1)),
            (FOREIGN, Some(2), Some(2)),
            ("subscription.resumed", Some(3), Some(3)),
        ]
    );
    let foreign = &page.events[1];
    assert_eq!((foreign.kind.known(), foreign.version), (None, 3));
    assert_eq!(foreign.data["subscription_id"], json!(id.to_string()));
    for wanted in [FOREIGN, "subscription.resumed"] {
        let next = tokio::time::timeout(Duration::from_secs(20), listening.next()).await;
        assert_eq!(next.unwrap().unwrap().unwrap().kind.as_str(), wanted);
    }
    // With a filter nobody misses what it names.
    let resumed = [EventType::SubscriptionResumed];
    let page = event::feed(&world.app, &world.actor, Some(1), Some(&resumed), 10).await;
    let page = page.unwrap();
    assert_eq!((page.events.len(), page.position), (1, 3));
    assert_eq!(
        page.events[0].kind,
        TypeName::from(EventType::SubscriptionResumed)
    );
    // The name is a text wherever it is shown.
    let door = Door::open(&world, Limits::default()).await;
    let shown = door
        .data(
            "{ events { position events { type version sequence } } }",
            json!({}),
        )
        .await;
    assert_eq!(shown["events"]["position"], 3);
    let second = json!({ "type": FOREIGN, "version": 3, "sequence": 2 });
    assert_eq!(shown["events"]["events"][1], second);
}

async fn it_goes_to_whoever_wants_all_or_has_named_it(world: World) {
    let world = world.sends().await;
    let (all, some, named) = (
        Receiver::open().await,
        Receiver::open().await,
        Receiver::open().await,
    );
    let (_, id) = subscribed(&world).await;
    let hook = world.hook(&all.url(), &[]).await;
    world.hook(&some.url(), &["subscription.paused"]).await;
    let newer = world.hook(&named.url(), &["invoice.paid"]).await;
    // The newer version lets it be named.
    let newer = world.literal(newer.endpoint.id.0);
    world
        .sabotage(&format!(
            "UPDATE webhook_endpoint SET types = '[\"{FOREIGN}\"]' WHERE id = {newer}"
        ))
        .await;
    told(&world, id).await;
    world.catch_up().await;
    let mut kinds = all.kinds();
    kinds.sort();
    assert_eq!(kinds, [FOREIGN, "subscription.resumed"]);
    assert_eq!(named.kinds(), [FOREIGN]);
    assert_eq!(some.kinds(), [""; 0]);
    let message = named.received().remove(0).json();
    assert_eq!(
        (&message["version"], &message["sequence"]),
        (&json!(3), &json!(2))
    );
    // It can be sent again like any other.
    let range = webhook::Range {
        endpoint: hook.endpoint.id,
        after: 1,
        through: Some(2),
        only_failed: false,
    };
    let again = webhook::resend_range(&world.app, &world.actor, range, &world.key()).await;
    assert_eq!(again.unwrap().value.count, 1);
    world.catch_up().await;
    assert_eq!(all.kinds().last().map(String::as_str), Some(FOREIGN));
}

async fn it_is_seen_by_those_who_see_everything(world: World) {
    let (customer, id) = subscribed(&world).await;
    told(&world, id).await;
    world.catch_up().await;
    let all = event::feed(&world.app, &world.actor, None, None, 10)
        .await
        .unwrap();
    let foreign = all
        .events
        .into_iter()
        .find(|it| it.kind.known().is_none())
        .unwrap()
        .id;
    // What the name begins with means nothing: `credits` might be read with `credit:read`.
    let narrow = [
        Scope::SubscriptionRead,
        Scope::CreditRead,
        Scope::PaymentRead,
        Scope::InvoiceRead,
    ]
    .to_vec();
    let wide = [narrow.clone(), vec![Scope::EventRead]].concat();
    for (scopes, own, sees) in [
        (narrow, None, false),
        (wide.clone(), None, true),
        (wide, Some(customer), false),
    ] {
        let actor = Actor {
            scopes,
            customer: own,
            ..world.actor.clone()
        };
        for about in [event::About::Customer(customer), event::About::Subscription(id)] {
            let page = event::events(&world.app, &actor, about, Page::first(10))
                .await
                .unwrap();
            let wanted = if sees { 3 } else { 2 };
            assert_eq!(page.items.len(), wanted, "{about:?} {actor:?}");
        }
        let one = event::event(&world.app, &actor, foreign).await.unwrap();
        assert_eq!(one.is_some(), sees, "{actor:?}");
    }
}

async fn nobody_is_written_to_about_it(world: World) {
    let (customer, id) = subscribed(&world).await;
    writes(&world).await;
    named(&world, customer, "Ada", "ada@example.com").await;
    told(&world, id).await;
    world.catch_up().await;
    assert_eq!(outbox(&world).await, []);
    let page = event::feed(&world.app, &world.actor, None, None, 10)
        .await
        .unwrap();
    assert_eq!(page.position, 3);
}
