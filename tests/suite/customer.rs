//! Customers: who the vendor bills, and on what terms.

use std::collections::BTreeMap;

use app::{
    customer::{self, CreateCustomer, CustomerRef, InvoiceAddress, UpdateCustomer},
    gate,
    page::Page,
};
use domain::{
    customer::{AtZero, Settlement},
    gate::Reason,
    rejection::RejectionCode::{AlreadyExists, IdempotencyConflict, InvalidInput, NotFound},
};
use serde_json::{Value, json};

use crate::harness::{World, credits, per_unit, refusal, units};

on_both!(
    creation_happens_once,
    fields_are_checked,
    updates_change_what_they_name,
    terms_fit_together,
    terms_steer_the_gate,
    lists_are_pages,
);

fn named(external_id: &str) -> CreateCustomer {
    CreateCustomer {
        external_id: external_id.to_owned(),
        ..CreateCustomer::default()
    }
}

fn notes(count: usize, size: usize) -> BTreeMap<String, Value> {
    (0..count)
        .map(|index| (format!("k{index}"), json!("x".repeat(size))))
        .collect()
}

async fn creation_happens_once(world: World) {
    let (app, actor) = (&world.app, &world.actor);
    let first = customer::create(app, actor, named("a"), "k").await.unwrap();
    let again = customer::create(app, actor, named("a"), "k").await.unwrap();
    assert_eq!((again.replay, &again.value), (true, &first.value));
    assert_eq!(
        refusal(customer::create(app, actor, named("b"), "k").await).0,
        IdempotencyConflict
    );
    let taken = customer::create(app, actor, named("a"), "k2").await;
    assert_eq!(refusal(taken), (AlreadyExists, "externalId".to_owned()));
    assert_eq!(
        world.stands(first.value.id).await,
        ("0".to_owned(), "0".to_owned())
    );
    for who in [
        CustomerRef::Id(first.value.id),
        CustomerRef::External("a".to_owned()),
    ] {
        let found = customer::customer(app, actor, &who).await.unwrap();
        assert_eq!(found.as_ref(), Some(&first.value));
    }
}

async fn fields_are_checked(world: World) {
    let address = |country: &str, city: String| InvoiceAddress {
        country: country.to_owned(),
        city,
        ..InvoiceAddress::default()
    };
    let with = |change: fn(&mut CreateCustomer)| {
        let mut input = named("x");
        change(&mut input);
        input
    };
    let mut long_city = named("x");
    long_city.invoice_address = Some(address("DE", "x".repeat(201)));
    let mut country = named("x");
    country.invoice_address = Some(address("de", String::new()));
    for (input, field) in [
        (named(""), "externalId"),
        (named("  "), "externalId"),
        (named("a\nb"), "externalId"),
        (named("a\0b"), "externalId"),
        (named(&"x".repeat(256)), "externalId"),
        (with(|it| it.name = Some(String::new())), "name"),
        (with(|it| it.name = Some("a\0b".to_owned())), "name"),
        (
            with(|it| it.billing_email = Some("nobody".to_owned())),
            "billingEmail",
        ),
        (
            with(|it| it.billing_email = Some("a b@c.de".to_owned())),
            "billingEmail",
        ),
        (with(|it| it.po_number = Some("x".repeat(201))), "poNumber"),
        (with(|it| it.po_number = Some("a\0".to_owned())), "poNumber"),
        (with(|it| it.metadata = notes(51, 1)), "metadata"),
        (with(|it| it.metadata = notes(50, 200)), "metadata"),
        (long_city, "invoiceAddress.city"),
        (country, "invoiceAddress.country"),
    ] {
        let made = customer::create(&world.app, &world.actor, input, &world.key()).await;
        assert_eq!(refusal(made), (InvalidInput, field.to_owned()));
    }
    let fine = CreateCustomer {
        external_id: "x".repeat(255),
        name: Some("Ünïcödé & <b>".to_owned()),
        billing_email: Some("a@b.example".to_owned()),
        invoice_address: Some(address("DE", "Köln".to_owned())),
        metadata: notes(50, 100),
        ..CreateCustomer::default()
    };
    let made = customer::create(&world.app, &world.actor, fine, "k")
        .await
        .unwrap()
        .value;
    let who = CustomerRef::Id(made.id);
    assert_eq!(
        customer::customer(&world.app, &world.actor, &who).await.unwrap(),
        Some(made)
    );
}

async fn updates_change_what_they_name(world: World) {
    let input = CreateCustomer {
        name: Some("A".to_owned()),
        billing_email: Some("a@b.example".to_owned()),
        metadata: notes(1, 1),
        ..named("a")
    };
    let made = customer::create(&world.app, &world.actor, input, "k")
        .await
        .unwrap()
        .value;
    let who = CustomerRef::Id(made.id);
    world.advance(1);
    let change = async |input| customer::update(&world.app, &world.actor, &who, input).await;
    let same = change(UpdateCustomer::default()).await.unwrap();
    assert_eq!(
        customer::Customer {
            updated_at: made.updated_at,
            ..same.clone()
        },
        made
    );
    assert_eq!(same.updated_at, world.now());
    let changed = change(UpdateCustomer {
        name: Some(None),
        po_number: Some(Some("7".to_owned())),
        metadata: Some(BTreeMap::new()),
        ..UpdateCustomer::default()
    });
    let changed = changed.await.unwrap();
    assert_eq!(
        (changed.name, changed.po_number.as_deref(), changed.billing_email),
        (None, Some("7"), made.billing_email)
    );
    assert!(changed.metadata.is_empty());
    let bad = change(UpdateCustomer {
        metadata: Some(notes(51, 1)),
        ..UpdateCustomer::default()
    })
    .await;
    assert_eq!(refusal(bad).1, "metadata");
    let nobody = CustomerRef::External("nobody".to_owned());
    let unknown = customer::update(&world.app, &world.actor, &nobody, UpdateCustomer::default()).await;
    assert_eq!(refusal(unknown), (NotFound, "externalCustomerId".to_owned()));
}

async fn terms_fit_together(world: World) {
    let who = CustomerRef::Id(world.customer("a").await);
    let change = async |at_zero, line: Option<&str>| {
        let input = UpdateCustomer {
            at_zero: Some(at_zero),
            overage_line: line.map(|text| Some(credits(text))),
            ..UpdateCustomer::default()
        };
        customer::update(&world.app, &world.actor, &who, input)
            .await
            .map(|it| it.terms)
    };
    for (at_zero, line) in [
        (AtZero::AllowUpTo, None),
        (AtZero::AllowUpTo, Some("-1")),
        (AtZero::Block, Some("1")),
        (AtZero::Allow, Some("1")),
    ] {
        assert_eq!(
            refusal(change(at_zero, line).await),
            (InvalidInput, "overageLine".to_owned()),
            "{at_zero:?} {line:?}"
        );
    }
    assert_eq!(
        change(AtZero::AllowUpTo, Some("5")).await.unwrap().overage_line,
        credits("5")
    );
    assert_eq!(
        change(AtZero::AllowUpTo, None).await.unwrap().overage_line,
        credits("5"),
        "the line stays"
    );
    assert_eq!(
        change(AtZero::Block, None).await.unwrap().overage_line,
        credits("0"),
        "and goes with its policy"
    );
    let mut input = named("b");
    input.settlement = Settlement::Manual;
    input.at_zero = AtZero::AllowUpTo;
    assert_eq!(
        refusal(customer::create(&world.app, &world.actor, input, "k").await).1,
        "overageLine"
    );
}

async fn terms_steer_the_gate(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    let who = CustomerRef::Id(id);
    world.give(id, "10").await;
    let ask = async |amount: &str| {
        let question = gate::Check {
            customer: who.clone(),
            metric_key: "call".to_owned(),
            units: units(amount),
            properties: Default::default(),
        };
        gate::check(&world.app, &world.actor, &question).await.unwrap()
    };
    let policy = async |at_zero, line: Option<&str>| {
        let input = UpdateCustomer {
            at_zero: Some(at_zero),
            overage_line: line.map(|text| Some(credits(text))),
            ..UpdateCustomer::default()
        };
        customer::update(&world.app, &world.actor, &who, input)
            .await
            .unwrap();
    };
    let (fits, more) = (ask("10").await, ask("10.000001").await);
    assert!(fits.allowed && fits.reason.is_none());
    assert_eq!(
        (more.allowed, more.reason),
        (false, Some(Reason::InsufficientCredits))
    );
    assert_eq!(
        (more.available, more.affordable_units),
        (Some(credits("10")), Some(units("10")))
    );
    policy(AtZero::AllowUpTo, Some("5")).await;
    assert!(ask("15").await.allowed);
    assert_eq!(ask("15.000001").await.reason, Some(Reason::OverageLimitReached));
    policy(AtZero::Allow, None).await;
    assert_eq!(
        (ask("1000").await.allowed, ask("1").await.available),
        (true, None)
    );
    // Usage that has happened is recorded whatever the policy.
    policy(AtZero::Block, None).await;
    world.consume(id, "call", "12").await;
    world.run_to_rest().await;
    assert_eq!(world.stands(id).await, ("-2".to_owned(), "2".to_owned()));
    let nothing = ask("0").await;
    assert_eq!((nothing.allowed, nothing.available), (true, Some(credits("0"))));
    assert!(!ask("0.000001").await.allowed);
    // Blocks for other metrics do not count.
    world.metric("other").await;
    let mut grant = world.deposit(id, "100");
    grant.metric_keys = Some(vec!["other".to_owned()]);
    world.grant(grant).await;
    assert_eq!(ask("1").await.available, Some(credits("0")));
    // A check writes nothing.
    assert_eq!(world.pending().await, 0);
}

async fn lists_are_pages(world: World) {
    let mut ids = vec![];
    for name in ["a", "b", "c", "d", "e"] {
        ids.push(world.customer(name).await);
    }
    let page = async |first, last, after: Option<usize>, before: Option<usize>| {
        let page = Page::relay(first, last, after.map(|it| ids[it]), before.map(|it| ids[it])).unwrap();
        let slice = customer::customers(&world.app, &world.actor, page).await.unwrap();
        let names: String = slice.items.into_iter().map(|it| it.external_id).collect();
        (names, slice.has_previous, slice.has_next)
    };
    for ((first, last, after, before), (names, previous, next)) in [
        ((Some(2), None, None, None), ("ab", false, true)),
        ((Some(2), None, Some(1), None), ("cd", true, true)),
        ((Some(2), None, Some(3), None), ("e", true, false)),
        ((Some(2), None, Some(4), None), ("", true, false)),
        ((None, Some(2), None, None), ("de", true, false)),
        ((None, Some(2), None, Some(3)), ("bc", true, true)),
        ((None, Some(2), None, Some(1)), ("a", false, true)),
        ((Some(5), None, None, None), ("abcde", false, false)),
    ] {
        let found = page(first, last, after, before).await;
        assert_eq!(
            found,
            (names.to_owned(), previous, next),
            "{first:?} {last:?} {after:?} {before:?}"
        );
    }
}
