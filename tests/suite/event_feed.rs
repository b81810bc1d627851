//! The feed of events: nothing is missed, whoever writes at the same time, and what is old is forgotten in the open.

use std::{collections::BTreeMap, time::Duration};

use app::{Actor, Scope, event, page::Page, subscription::Wish};
use domain::{
    event::EventType,
    id::{CustomerId, SubscriptionId},
    plan::variant::Mode,
    rejection::RejectionCode,
};
use futures::StreamExt;
use gateway::payment::sandbox::Card;

use crate::harness::{
    World,
    paying::{card, sells, wish},
    plans::{template, variant},
    refusal,
};

on_both!(
    numbers_have_no_gaps_whoever_writes_at_the_same_time,
    a_reader_goes_on_where_it_stopped,
    a_listener_hears_what_was_and_what_comes,
    what_is_old_is_forgotten_in_the_open,
    every_event_says_what_its_type_has,
    a_number_that_the_feed_never_gave_is_refused,
    everybody_reads_what_its_scopes_are_about,
    a_page_of_some_types_looks_through_so_many,
    one_customer_s_events_keep_their_order_whatever_clocks_say,
);

async fn subscribed(world: &World, count: usize) -> Vec<(CustomerId, SubscriptionId)> {
    let sold = world.sells(variant(Mode::Postpaid), vec![template("10")]).await;
    let mut all = Vec::new();
    for number in 0..count {
        let customer = world.customer(&format!("customer-{number}")).await;
        all.push((customer, world.subscribe(customer, sold).await));
    }
    all
}

async fn happens(world: &World, id: SubscriptionId) {
    world.wish(id, Wish::Pause).await.unwrap();
    world.wish(id, Wish::Resume).await.unwrap();
}

async fn read(world: &World, after: Option<i64>) -> event::FeedPage {
    event::feed(&world.app, &world.actor, after, None, 1_000)
        .await
        .unwrap()
}

async fn numbers_have_no_gaps_whoever_writes_at_the_same_time(world: World) {
    let other = world.another().await;
    let all = subscribed(&world, 8).await;
    // Writers of both processes, and a publisher that comes in between again and again.
    let writers = all.iter().enumerate().map(|(number, (_, id))| {
        let world = if number % 2 == 0 { &world } else { &other };
        async move {
            for _ in 0..4 {
                happens(world, *id).await;
            }
        }
    });
    let publishing = async {
        for _ in 0..20 {
            world.run_jobs().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    futures::join!(futures::future::join_all(writers), publishing);
    world.catch_up().await;

    let page = read(&world, None).await;
    assert_eq!(page.events.len(), 8 * 9);
    let positions: Vec<i64> = page.events.iter().filter_map(|it| it.position).collect();
    assert_eq!(positions, (1..=72).collect::<Vec<i64>>());
    let mut sequences: BTreeMap<CustomerId, Vec<i64>> = BTreeMap::new();
    for it in &page.events {
        sequences
            .entry(it.customer.unwrap())
            .or_default()
            .extend(it.sequence);
    }
    assert_eq!(sequences.len(), 8);
    for (customer, numbers) in sequences {
        assert_eq!(numbers, (1..=9).collect::<Vec<i64>>(), "{customer}");
    }
}

async fn a_reader_goes_on_where_it_stopped(world: World) {
    let all = subscribed(&world, 3).await;
    let early = read(&world, None).await;
    // What is not published yet is not there.
    assert_eq!(
        (early.events.len(), early.position, early.has_more),
        (0, 0, false)
    );
    world.catch_up().await;
    let mut after = None;
    let mut seen = Vec::new();
    loop {
        let page = event::feed(&world.app, &world.actor, after, None, 2)
            .await
            .unwrap();
        seen.extend(page.events.iter().filter_map(|it| it.position));
        after = Some(page.position);
        if !page.has_more {
            break;
        }
    }
    assert_eq!(seen, [1, 2, 3]);
    happens(&world, all[0].1).await;
    world.catch_up().await;
    // With a filter the reader moves on over what it does not want.
    let resumed = [EventType::SubscriptionResumed];
    let page = event::feed(&world.app, &world.actor, after, Some(&resumed), 10)
        .await
        .unwrap();
    assert_eq!(
        page.events
            .iter()
            .filter_map(|it| it.position)
            .collect::<Vec<_>>(),
        [5]
    );
    let page = event::feed(&world.app, &world.actor, Some(5), Some(&resumed), 10)
        .await
        .unwrap();
    assert_eq!((page.events.len(), page.position), (0, 5));
    let paid = [EventType::InvoicePaid];
    let page = event::feed(&world.app, &world.actor, None, Some(&paid), 10)
        .await
        .unwrap();
    assert_eq!((page.events.len(), page.position, page.has_more), (0, 5, false));
}

async fn a_listener_hears_what_was_and_what_comes(world: World) {
    let all = subscribed(&world, 1).await;
    world.catch_up().await;
    let paused = Some(vec![EventType::SubscriptionPaused]);
    let stream = async |after, types| {
        let stream = event::stream(&world.app, &world.actor, after, types)
            .await
            .unwrap();
        Box::pin(stream.map(|it| it.unwrap().position.unwrap()))
    };
    let mut whole = stream(Some(0), None).await;
    let mut new = stream(None, None).await;
    let mut some = stream(Some(0), paused).await;
    assert_eq!(whole.next().await, Some(1));
    // Another process publishes; this one is told, or looks.
    let other = world.another().await;
    let feed = tokio::spawn(app::feed::Feed::run(
        world.app.clone(),
        tokio_util::sync::CancellationToken::new(),
    ));
    happens(&other, all[0].1).await;
    other.catch_up().await;
    for wanted in [2, 3] {
        assert_eq!(whole.next().await, Some(wanted));
        assert_eq!(new.next().await, Some(wanted));
    }
    assert_eq!(some.next().await, Some(2));
    let silence = tokio::time::timeout(Duration::from_millis(100), some.next()).await;
    assert!(silence.is_err());
    feed.abort();
}

async fn a_number_that_the_feed_never_gave_is_refused(world: World) {
    let (_, id) = subscribed(&world, 1).await[0];
    happens(&world, id).await;
    world.catch_up().await;
    let last = read(&world, None).await.position;
    assert_eq!(read(&world, Some(last)).await.events, []);
    let beyond = event::feed(&world.app, &world.actor, Some(last + 1), None, 10).await;
    let wanted = (RejectionCode::InvalidInput, "after".to_owned());
    assert_eq!(refusal(beyond), wanted);
    let stream = event::stream(&world.app, &world.actor, Some(last + 1), None).await;
    assert_eq!(refusal(stream.map(drop)), wanted);
}

async fn everybody_reads_what_its_scopes_are_about(world: World) {
    let (subscriber, id) = subscribed(&world, 1).await[0];
    happens(&world, id).await;
    sells(&world).await;
    let buyer = world.customer("buyer").await;
    card(&world, buyer, Card::Success).await;
    let wish = wish(buyer, "10 USD");
    app::payment::purchase(&world.app, &world.actor, wish, &world.key())
        .await
        .unwrap();
    world.catch_up().await;
    let seen = async |customer: CustomerId, scope: Scope| {
        let actor = Actor {
            scopes: vec![Scope::SubscriptionRead, scope],
            ..world.actor.clone()
        };
        let about = event::About::Customer(customer);
        let page = event::events(&world.app, &actor, about, Page::first(50)).await;
        page.map(|page| page.items.len())
    };
    for (scope, of_subscriber, of_buyer) in [
        (Scope::SubscriptionRead, 3, 0),
        (Scope::PaymentRead, 3, 1),
        (Scope::InvoiceRead, 3, 0),
        (Scope::EventRead, 3, 1),
    ] {
        assert_eq!(seen(subscriber, scope).await.unwrap(), of_subscriber, "{scope}");
        assert_eq!(seen(buyer, scope).await.unwrap(), of_buyer, "{scope}");
    }
}

/// Adds events about nobody: copies of one that something was paused, with positions as SQL says.
async fn copies(world: &World, count: i64, position: &str) {
    let any = world.any_id();
    world
        .sabotage(&format!(
            "INSERT INTO billing_event (id, tenant_id, kind, version, key, occurred_at, data, created_at, position)
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
             SELECT {any}, e.tenant_id, e.kind, e.version, 'copy:' || n.i, e.occurred_at, e.data, e.created_at, {position}
             FROM n, billing_event e WHERE e.kind = 'subscription.paused'"
        ))
        .await;
}

async fn a_page_of_some_types_looks_through_so_many(world: World) {
    let (_, id) = subscribed(&world, 1).await[0];
    happens(&world, id).await;
    world.catch_up().await;
    copies(&world, 20_000, "3 + n.i").await;
    world
        .sabotage("UPDATE event_feed SET position = position + 20000")
        .await;
    world.wish(id, Wish::Pause).await.unwrap();
    world.wish(id, Wish::Resume).await.unwrap();
    world.catch_up().await;
    let resumed = [EventType::SubscriptionResumed];
    let page = async |after, types: Option<&[EventType]>| {
        let page = event::feed(&world.app, &world.actor, Some(after), types, 10).await;
        let page = page.unwrap();
        let found: Vec<i64> = page.events.iter().filter_map(|it| it.position).collect();
        (found, page.position, page.has_more)
    };
    let many = event::MAX_LOOKED_THROUGH;
    assert_eq!(page(0, Some(&resumed)).await, (vec![3], many, true));
    assert_eq!(page(many, Some(&resumed)).await, (vec![], 2 * many, true));
    assert_eq!(
        page(2 * many, Some(&resumed)).await,
        (vec![20_005], 20_005, false)
    );
    // Who wants all gets them as far as they go, and a listener goes on by itself.
    assert_eq!(page(20_000, None).await.1, 20_005);
    let stream = event::stream(&world.app, &world.actor, Some(3), Some(resumed.to_vec())).await;
    let mut stream = Box::pin(stream.unwrap());
    let next = tokio::time::timeout(Duration::from_secs(20), stream.next()).await;
    assert_eq!(next.unwrap().unwrap().unwrap().position, Some(20_005));
}

/// Ids follow the clocks of those who write, numbers of a customer what happened; and an event waits for those before it, wherever a batch
/// ends.
async fn one_customer_s_events_keep_their_order_whatever_clocks_say(world: World) {
    let (customer, id) = subscribed(&world, 1).await[0];
    happens(&world, id).await;
    copies(&world, 1_500, "NULL").await;
    let own = world.literal(customer.0);
    for (sequence, id) in [(1, u128::MAX), (2, 0), (3, 1)] {
        let id = world.literal(uuid::Uuid::from_u128(id));
        world
            .sabotage(&format!(
                "UPDATE billing_event SET id = {id} WHERE customer_id = {own} AND sequence = {sequence}"
            ))
            .await;
    }
    world.catch_up().await;
    let mut seen = Vec::new();
    for after in [0, 1_000] {
        let page = read(&world, Some(after)).await;
        let about = page.events.into_iter().filter(|it| it.customer.is_some());
        seen.extend(about.filter_map(|it| it.sequence));
    }
    assert_eq!(seen, [1, 2, 3]);
    assert_eq!(read(&world, Some(1_000)).await.position, 1_503);
}

async fn what_is_old_is_forgotten_in_the_open(world: World) {
    let world = world.with_limits(app::Limits::default()).await;
    let all = subscribed(&world, 1).await;
    world.catch_up().await;
    world.advance(60 * 86_400);
    happens(&world, all[0].1).await;
    world.catch_up().await;
    world.advance(31 * 86_400);
    world.catch_up().await;
    let page = read(&world, None).await;
    let kept: Vec<i64> = page.events.iter().filter_map(|it| it.position).collect();
    assert!(!kept.contains(&1) && kept[0] > 1, "{kept:?}");
    let missed = event::feed(&world.app, &world.actor, Some(0), None, 10).await;
    assert_eq!(refusal(missed), (RejectionCode::InvalidInput, "after".to_owned()));
    let missed = event::stream(&world.app, &world.actor, Some(0), None).await;
    assert_eq!(
        refusal(missed.map(|_| ())),
        (RejectionCode::InvalidInput, "after".to_owned())
    );
    // Numbers go on where they were.
    happens(&world, all[0].1).await;
    world.catch_up().await;
    let last = read(&world, None).await;
    assert_eq!(last.events.last().unwrap().position, Some(last.position));
}

async fn every_event_says_what_its_type_has(world: World) {
    let all = subscribed(&world, 1).await;
    happens(&world, all[0].1).await;
    world
        .wish(all[0].1, Wish::Cancel { at_end: false })
        .await
        .unwrap();
    world.catch_up().await;
    let page = read(&world, None).await;
    assert_eq!(page.events.len(), 4);
    for it in page.events {
        let kind = it.kind.known().unwrap();
        assert_eq!(event::schema::mismatch(kind, &it.data), None, "{kind}");
        assert_eq!(it.version, kind.version());
    }
}

/// The catalogue, written for people.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/events.md");

#[test]
fn the_document_is_up_to_date() {
    let text = document();
    if std::env::var_os("TALLYGATE_BLESS").is_some() {
        std::fs::write(DOCUMENT, &text).unwrap();
    }
    let kept = std::fs::read_to_string(DOCUMENT).unwrap_or_default();
    assert!(
        text == kept,
        "docs/events.md is out of date; run `TALLYGATE_BLESS=1 cargo test --test suite event_feed::`"
    );
}

fn document() -> String {
    let mut text = String::from(
        "# Events\n\n\
         Written by the test `event_feed` from the catalogue in `domain/src/event`. Do not edit; run\n\
         `TALLYGATE_BLESS=1 cargo test --test suite event_feed::`.\n\n\
         A webhook is `{id, type, version, timestamp, customer_id, subscription_id, sequence, data}`; the feed and the stream say the same.\n\
         These are the fields of `data`. All of them are there; those with `?` may be null. Credits, units and amounts are decimal texts, instants\n\
         RFC 3339 in UTC. New types and new fields may be added; a field that goes away makes a new version.\n\n\
         | type | version | what it means | fields of `data` |\n|---|---|---|---|\n",
    );
    for kind in EventType::ALL {
        let fields: Vec<String> = kind.fields().iter().map(field).collect();
        text += &format!(
            "| `{kind}` | {} | {} | {} |\n",
            kind.version(),
            kind.about(),
            fields.join(", ")
        );
    }
    text
}

fn field(field: &domain::event::Field) -> String {
    let shape = format!("{:?}", field.shape);
    let nullable = if field.nullable { "?" } else { "" };
    format!("`{}`{nullable} {}", field.name, shape.to_lowercase())
}
