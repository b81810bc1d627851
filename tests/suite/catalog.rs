//! Metrics, versions of prices, and what a preview says.

use app::{
    catalog::{self, CreateMetric, PreviewRequest, UpdateMetric},
    customer::CustomerRef,
    page::Page,
    usage::Outcome,
};
use domain::{
    rejection::RejectionCode::{AlreadyExists, IdempotencyConflict, InvalidInput, NotFound, RuleOverlap},
    usage::event::Refusal,
};

use crate::harness::{World, flat, graduated, p4, package, per_unit, refusal, units, volume};

on_both!(
    the_same_key_makes_one_thing,
    names_are_checked,
    archived_metrics_take_no_usage,
    versions_follow_each_other,
    ambiguous_rules_are_refused,
    impossible_prices_are_refused,
    previews_are_what_the_drain_debits,
    events_use_the_version_of_their_time,
    texts_that_a_database_cannot_hold,
);

fn metric(key: &str) -> CreateMetric {
    CreateMetric {
        key: key.to_owned(),
        name: "Call".to_owned(),
        unit: Some("call".to_owned()),
    }
}

async fn the_same_key_makes_one_thing(world: World) {
    let (app, actor) = (&world.app, &world.actor);
    let first = catalog::create_metric(app, actor, metric("call"), "k")
        .await
        .unwrap();
    let again = catalog::create_metric(app, actor, metric("call"), "k")
        .await
        .unwrap();
    assert_eq!(
        (first.replay, again.replay, &again.value),
        (false, true, &first.value)
    );
    let other = catalog::create_metric(app, actor, metric("token"), "k").await;
    assert_eq!(refusal(other), (IdempotencyConflict, "idempotencyKey".to_owned()));
    let taken = catalog::create_metric(app, actor, metric("call"), "k2").await;
    assert_eq!(refusal(taken), (AlreadyExists, "key".to_owned()));
    // A refused request leaves its key free.
    catalog::create_metric(app, actor, metric("token"), "k2")
        .await
        .unwrap();
    // Many at the same moment make one.
    let all = (0..8).map(|_| {
        let world = world.clone();
        tokio::spawn(
            async move { catalog::create_metric(&world.app, &world.actor, metric("seat"), "k3").await },
        )
    });
    let all: Vec<_> = futures::future::join_all(all)
        .await
        .into_iter()
        .map(|it| it.unwrap().unwrap())
        .collect();
    assert_eq!(all.iter().filter(|it| !it.replay).count(), 1);
    assert!(all.iter().all(|it| it.value == all[0].value));
    for bad in ["", " ", "a b", "é", &"x".repeat(256)] {
        let outcome = catalog::create_metric(app, actor, metric("seat"), bad).await;
        assert_eq!(
            refusal(outcome),
            (InvalidInput, "idempotencyKey".to_owned()),
            "{bad}"
        );
    }
}

async fn names_are_checked(world: World) {
    for bad in ["", "Call", "a b", "é", "a/b", "a\0", &"x".repeat(65)] {
        let made = catalog::create_metric(&world.app, &world.actor, metric(bad), &world.key()).await;
        assert_eq!(refusal(made), (InvalidInput, "key".to_owned()), "{bad}");
    }
    for (name, unit, field) in [
        ("", "call", "name"),
        (" ", "call", "name"),
        ("a\0b", "call", "name"),
        ("Call", "", "unit"),
        ("Call", "a\0", "unit"),
    ] {
        let input = CreateMetric {
            name: name.to_owned(),
            unit: Some(unit.to_owned()),
            ..metric("ok")
        };
        let made = catalog::create_metric(&world.app, &world.actor, input, &world.key()).await;
        assert_eq!(
            refusal(made),
            (InvalidInput, field.to_owned()),
            "{name:?} {unit:?}"
        );
    }
    world.metric(&"x".repeat(64)).await;
    world.metric("a-b_c.0").await;
    let page = catalog::metrics(&world.app, &world.actor, Page::first(1))
        .await
        .unwrap();
    assert!(page.has_next && page.items[0].key.len() == 64);
}

async fn archived_metrics_take_no_usage(world: World) {
    world.priced("call", per_unit("1")).await;
    let customer = world.customer("a").await;
    world.consume(customer, "call", "1").await;
    let archive = |archived| UpdateMetric {
        archived,
        ..UpdateMetric::default()
    };
    let update = async |archived| {
        catalog::update_metric(&world.app, &world.actor, "call", archive(archived))
            .await
            .unwrap()
    };
    let first = update(Some(true)).await;
    world.advance(1);
    assert_eq!(update(Some(true)).await.archived_at, first.archived_at);
    assert_eq!(update(None).await.archived_at, first.archived_at);
    let refused = world.record(vec![world.event(customer, "call", "1")]).await;
    assert_eq!(refused, [Outcome::Rejected(Refusal::ArchivedMetric)]);
    // What was accepted before is debited all the same.
    world.run_to_rest().await;
    assert_eq!(world.stands(customer).await.0, "-1");
    assert_eq!(update(Some(false)).await.archived_at, None);
    world.consume(customer, "call", "1").await;
    let unknown = catalog::update_metric(&world.app, &world.actor, "nothing", archive(None)).await;
    assert_eq!(refusal(unknown), (NotFound, "key".to_owned()));
}

async fn versions_follow_each_other(world: World) {
    world.metric("call").await;
    let first = world.rule("call", per_unit("1")).await;
    assert_eq!(
        (first.version, first.effective_from.micros(), first.effective_to),
        (1, 0, None)
    );
    let now = world.now();
    for bad in [now.plus_seconds(-1), domain::time::Timestamp::MIN] {
        let outcome = world.try_rule("call", &[], per_unit("2"), Some(bad)).await;
        assert_eq!(refusal(outcome), (InvalidInput, "effectiveFrom".to_owned()));
    }
    let later = now.plus_seconds(3_600);
    let second = world
        .try_rule("call", &[], per_unit("2"), Some(later))
        .await
        .unwrap();
    assert_eq!((second.version, second.effective_from), (2, later));
    let between = world.try_rule("call", &[], per_unit("3"), Some(later)).await;
    assert_eq!(refusal(between).1, "effectiveFrom");
    let other = world
        .try_rule("call", &[("model", "large")], per_unit("3"), None)
        .await
        .unwrap();
    assert_eq!(other.version, 3);
    let all = catalog::rules(&world.app, &world.actor, Some("call"), Page::first(9))
        .await
        .unwrap()
        .items;
    let ends: Vec<_> = all.iter().map(|rule| (rule.version, rule.effective_to)).collect();
    assert_eq!(ends, [(1, Some(later)), (2, None), (3, None)]);
    let unknown = catalog::rules(&world.app, &world.actor, Some("no"), Page::first(9)).await;
    assert_eq!(refusal(unknown), (NotFound, "metricKey".to_owned()));
}

async fn ambiguous_rules_are_refused(world: World) {
    world.metric("call").await;
    world
        .try_rule("call", &[("model", "large")], per_unit("2"), None)
        .await
        .unwrap();
    let rival = world
        .try_rule("call", &[("region", "eu")], per_unit("3"), None)
        .await;
    assert_eq!(refusal(rival), (RuleOverlap, "match".to_owned()));
    for fine in [
        &[("model", "small")][..],
        &[("model", "large"), ("region", "eu")],
        &[],
    ] {
        world.try_rule("call", fine, per_unit("3"), None).await.unwrap();
    }
}

async fn impossible_prices_are_refused(world: World) {
    world.metric("call").await;
    for (price, field) in [
        (per_unit("-1"), "price.perUnit.creditsPerUnit"),
        (flat("-1"), "price.flat.credits"),
        (package("0", "1"), "price.package.size"),
        (graduated(&[("10", "1")]), "price.graduated.tiers.0.upTo"),
        (
            volume(&[("10", "1"), ("10", "1"), ("", "1")]),
            "price.volume.tiers.1.upTo",
        ),
    ] {
        let refused = world.try_rule("call", &[], price, None).await;
        assert_eq!(refusal(refused), (InvalidInput, field.to_owned()));
    }
}

async fn previews_are_what_the_drain_debits(world: World) {
    let customer = world.customer("a").await;
    for (key, price) in [
        ("p4", p4()),
        ("flat", flat("0.3")),
        ("package", package("7", "2.5")),
        ("volume", volume(&[("10", "1"), ("", "0.5")])),
        ("odd", per_unit("0.000000333333")),
    ] {
        world.priced(key, price).await;
        for amount in ["0", "9", "1.5", "0.000001", "20000", "90000"] {
            let request = PreviewRequest {
                metric_key: key.to_owned(),
                units: units(amount),
                customer: Some(CustomerRef::Id(customer)),
                properties: Default::default(),
                at: None,
                variant: None,
            };
            let preview = catalog::price_preview(&world.app, &world.actor, request)
                .await
                .unwrap();
            let before = world.balance(customer).await.remaining;
            world.consume(customer, key, amount).await;
            world.run_to_rest().await;
            let after = world.balance(customer).await.remaining;
            assert_eq!(before.minus(after), Ok(preview.credits.total), "{key} {amount}");
            let rule = preview.rule.unwrap();
            let stored = catalog::rule(&world.app, &world.actor, rule.id).await.unwrap();
            assert_eq!(Some(rule), stored);
            world.advance(60);
        }
    }
}

async fn events_use_the_version_of_their_time(world: World) {
    world.metric("call").await;
    world.rule("call", graduated(&[("10", "1"), ("", "0.5")])).await;
    let customer = world.customer("a").await;
    let change = world.now().plus_seconds(60);
    world
        .try_rule("call", &[], per_unit("100"), Some(change))
        .await
        .unwrap();
    world
        .try_rule("call", &[("model", "large")], per_unit("7"), None)
        .await
        .unwrap();
    world.move_to(change.plus_seconds(60));
    let mut events = vec![];
    for (micros, properties) in [
        (-1, None),
        (0, None),
        (-1, None),
        (0, Some("large")),
        (0, Some("small")),
    ] {
        let mut event = world.event(customer, "call", "8");
        event.occurred_at = Some(domain::time::Timestamp::from_micros(change.micros() + micros));
        event.properties = properties.map(|model| serde_json::json!({ "model": model }));
        events.push(event);
    }
    world.accept(events).await;
    world.run_to_rest().await;
    let seen = app::usage::events(&world.app, &world.actor, customer, Page::first(9))
        .await
        .unwrap()
        .items;
    let mut costs: Vec<_> = seen
        .iter()
        .map(|it| (it.id, it.rating.as_ref().unwrap().credits.to_string()))
        .collect();
    costs.sort();
    let costs: Vec<_> = costs.into_iter().map(|(_, cost)| cost).collect();
    // The count goes on across versions: 8 at 1; 8 at 100; then units 17 to 24 at the old price; the large line counts
    // by itself.
    assert_eq!(costs, ["8", "800", "4", "56", "800"]);
}

/// PostgreSQL has no text with a zero byte: what names nothing is nothing, on both databases.
async fn texts_that_a_database_cannot_hold(world: World) {
    let (app, actor) = (&world.app, &world.actor);
    assert_eq!(catalog::metric(app, actor, "a\0").await.unwrap(), None);
    let who = CustomerRef::External("a\0".to_owned());
    assert_eq!(app::customer::customer(app, actor, &who).await.unwrap(), None);
    assert_eq!(app::usage::event(app, actor, "a\0").await.unwrap(), None);
    assert_eq!(refusal(world.void("a\0").await).0, NotFound);
    assert_eq!(
        refusal(world.try_rule("a\0", &[], per_unit("1"), None).await).0,
        NotFound
    );
    let metrics = Some(vec!["a\0".to_owned()]);
    let customer = world.customer("a").await;
    let grant = app::credit::Grant {
        metric_keys: metrics,
        ..world.deposit(customer, "1")
    };
    assert_eq!(
        refusal(app::credit::grant(app, actor, grant, "k").await).0,
        NotFound
    );
}
