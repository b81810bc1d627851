//! `/gate`: what gateways are answered.

use api::Limits;
use app::gate::{Policy, Unsure};
use domain::plan::variant::Mode;
use reqwest::header::HeaderMap;

use crate::harness::{
    World,
    door::Door,
    per_unit,
    plans::{template, variant},
};

on_both!(
    gateways_are_answered_by_status,
    who_asks_wrongly_hears_so,
    what_nobody_knows_is_a_setting
);

struct Heard {
    status: u16,
    headers: HeaderMap,
}

impl Heard {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Asks as a gateway does: with a key of its own.
async fn ask(door: &Door, query: &str, headers: &[(&str, &str)]) -> Heard {
    let mut request = crate::harness::http()
        .build()
        .unwrap()
        .get(door.url(&format!("/gate{query}")));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    Heard {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
    }
}

async fn gateways_are_answered_by_status(world: World) {
    world.priced("call", per_unit("1")).await;
    let customer = world.customer("ada").await;
    world.give(customer, "5").await;
    let door = Door::open(&world, Limits::default()).await;
    let key = [("x-tallygate-key", door.key())];
    let good = ask(&door, "?customer=ada&metric=call&units=5", &key).await;
    assert_eq!((good.status, good.header("x-tallygate-available")), (204, "5"));
    let by_id = ask(&door, &format!("?customer_id={customer}&metric=call"), &key).await;
    assert_eq!(by_id.status, 204);
    let poor = ask(&door, "?customer=ada&metric=call&units=5.5", &key).await;
    assert_eq!(
        (poor.status, poor.header("x-tallygate-reason")),
        (402, "INSUFFICIENT_CREDITS")
    );
    // Under any path, as Envoy asks, and by headers.
    let named = [
        ("x-tallygate-key", door.key()),
        ("x-tallygate-customer", "ada"),
        ("x-tallygate-units", "6"),
    ];
    let id = customer.to_string();
    // The path and the query are the caller's there, so they say nothing.
    let caller = "/v1/anything?customer=rich&metric=call&units=0";
    assert_eq!(
        ask(&door, caller, &named).await.status,
        400,
        "no header names a metric"
    );
    let metric = [&named[..], &[("x-tallygate-metric", "call")]].concat();
    assert_eq!(ask(&door, caller, &metric).await.status, 402, "headers say six");
    // What the gateway has written into its query is not overridden.
    let own = [("x-tallygate-customer", "ada"), ("x-tallygate-units", "0")];
    let own = [&key[..], &own].concat();
    let beyond = ask(&door, "?metric=call&units=6", &own).await;
    assert_eq!(beyond.status, 402, "the query says six");
    let two = [&metric[..], &[("x-tallygate-customer-id", &id)]].concat();
    assert_eq!(ask(&door, caller, &two).await.status, 400, "two customers");
    let twice = [&metric[..], &[("x-tallygate-customer", "rich")]].concat();
    assert_eq!(ask(&door, caller, &twice).await.status, 400, "said twice");
    let both = ask(&door, "?customer=ada&metric=call", &metric).await;
    assert_eq!(both.status, 204, "the query says one");
    // What was used a moment ago counts.
    world.consume(customer, "call", "5").await;
    assert_eq!(ask(&door, "?customer=ada&metric=call", &key).await.status, 402);

    let sold = world.sells(variant(Mode::Postpaid), vec![template("10")]).await;
    let id = world.subscribe(customer, sold).await;
    world.wish(id, app::subscription::Wish::Pause).await.unwrap();
    let paused = ask(&door, "?customer=ada&metric=call", &key).await;
    assert_eq!(
        (paused.status, paused.header("x-tallygate-reason")),
        (403, "SUBSCRIPTION_PAUSED")
    );
    let stranger = ask(&door, "?customer=nobody&metric=call", &key).await;
    assert_eq!(
        (stranger.status, stranger.header("x-tallygate-reason")),
        (403, "UNKNOWN_CUSTOMER")
    );
    world.catch_up().await;
}

async fn who_asks_wrongly_hears_so(world: World) {
    world.priced("call", per_unit("1")).await;
    world.customer("ada").await;
    let door = Door::open(&world, Limits::default()).await;
    let key = [("x-tallygate-key", door.key())];
    for query in [
        "?metric=call",
        "?customer=ada",
        "?customer=ada&metric=no",
        "?customer=ada&metric=call&units=x",
        "?customer=ada&metric=call&units=-1",
        "?customer_id=ada&metric=call",
    ] {
        assert_eq!(ask(&door, query, &key).await.status, 400, "{query}");
    }
    assert_eq!(ask(&door, "?customer=ada&metric=call", &[]).await.status, 401);
    let bad = [("x-tallygate-key", "tg_test_nothing")];
    assert_eq!(ask(&door, "?customer=ada&metric=call", &bad).await.status, 401);
    // The caller's own credential is not ours.
    let theirs = [("x-tallygate-key", door.key()), ("authorization", "Basic YTpi")];
    assert_eq!(ask(&door, "?customer=ada&metric=call", &theirs).await.status, 402);
}

async fn what_nobody_knows_is_a_setting(world: World) {
    let limits = app::Limits {
        gate: Policy {
            unknown_customer: Unsure::Allow,
            outage: Unsure::Allow,
        },
        ..app::Limits::default()
    };
    let world = world.with_limits(limits).await;
    world.priced("call", per_unit("1")).await;
    let door = Door::open(&world, Limits::default()).await;
    let key = [("x-tallygate-key", door.key())];
    assert_eq!(ask(&door, "?customer=nobody&metric=call", &key).await.status, 204);
}
