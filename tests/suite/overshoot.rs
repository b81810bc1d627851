//! Bounded overshoot: a customer comes to owe no more than its terms promise, what lies beyond is written off, told and reported, and
//! nobody gets it as a gift.

use api::Limits;
use app::{
    audit,
    customer::{self, Customer, CustomerRef, UpdateCustomer},
    job,
    page::Page,
};
use domain::{
    credit::block::Billing,
    customer::{AtZero, BeyondOvershoot, OvershootDefault, Settlement},
    id::CustomerId,
    invoice::line::Detail,
    plan::{money_price::CreditPrice, variant::Mode},
};
use serde_json::{Value, json};

use crate::harness::{
    World,
    billing::{all, bills, terms},
    credits,
    door::Door,
    paying::money,
    per_unit,
    plans::{template, variant},
    volume,
};

on_both!(
    a_burst_owes_exactly_the_bound,
    terms_that_do_not_fit_are_refused,
    usage_before_new_terms_keeps_to_the_old,
    what_is_taken_back_is_no_gift,
    a_late_worker_writes_the_same_off,
    two_workers_write_off_once,
    an_invoice_bills_no_more_than_the_bound,
    an_overage_line_comes_first,
    without_a_promise_all_is_owed,
    the_report_goes_page_by_page,
    a_default_holds_for_whom_nothing_was_said,
    usage_before_a_new_default_keeps_to_the_old,
    a_default_reaches_whoever_is_made_or_changed_meanwhile,
    what_an_older_process_promises_is_the_customers_own,
    who_says_nothing_of_terms_changes_none,
    who_cannot_be_settled_keeps_nobody_from_a_default,
    who_was_tried_in_vain_comes_after_all_others,
    a_default_that_does_not_fit_ends_the_one_before,
);

/// A listener; work comes to rest in spite of it.
async fn open(world: &World) -> Door {
    let door = Door::open(world, Limits::default()).await;
    ask(&door, "{ viewer { tenant { name } } }", json!({})).await;
    world.count_tasks().await;
    door
}

/// Asks through the listener what must be answered.
async fn ask(door: &Door, query: &str, variables: Value) -> Value {
    let answer = door.ask(query, variables).await;
    assert_eq!(answer.body.get("errors"), None, "{query}: {}", answer.body);
    answer.body["data"].clone()
}

/// A customer of whom no more than so much is asked, below zero or below a line.
async fn bounded(world: &World, limit: &str, settlement: Settlement) -> CustomerId {
    world
        .customer_bounded(&world.key(), settlement, Some(credits(limit)))
        .await
}

async fn change(world: &World, id: CustomerId, input: UpdateCustomer) {
    world.advance(1);
    let who = CustomerRef::Id(id);
    customer::update(&world.app, &world.actor, &who, input)
        .await
        .unwrap();
}

/// Kind, credits, change of the overdraft and overdraft of each line of the ledger.
async fn ledger(world: &World, id: CustomerId) -> Vec<String> {
    let line = |it: app::credit::LedgerLine| {
        let kind = entity::to_text(it.kind);
        format!(
            "{kind} {} {} {}",
            it.credits, it.overdraft_change, it.overdraft_after
        )
    };
    world.ledger(id).await.into_iter().map(line).collect()
}

async fn written_off(world: &World, id: CustomerId) -> String {
    let all = app::credit::overshoot::written_off_of(&world.app, &world.actor, &[id]).await;
    all.unwrap().remove(&id).unwrap_or_default().to_string()
}

async fn a_burst_owes_exactly_the_bound(world: World) {
    world.priced("call", per_unit("1")).await;
    let door = open(&world).await;
    let made = ask(
        &door,
        r#"mutation { createCustomer(input: {externalId: "burst", policy: BLOCK, overshootLimit: "5", beyondOvershoot: WRITE_OFF,
            idempotencyKey: "c"}) { customer { id overshootLimit beyondOvershoot writtenOff } userErrors { path } } }"#,
        json!({}),
    )
    .await;
    let made = &made["createCustomer"]["customer"];
    assert_eq!(
        (
            &made["overshootLimit"],
            &made["beyondOvershoot"],
            &made["writtenOff"]
        ),
        (&json!("5"), &json!("WRITE_OFF"), &json!("0"))
    );
    let id: CustomerId = made["id"].as_str().unwrap().parse().unwrap();
    world.give(id, "10").await;
    // A prepaid account runs to −563, all at once.
    let calls: Vec<_> = (0..573).map(|_| world.event(id, "call", "1")).collect();
    let key = calls[572].key.clone();
    world.accept(calls).await;
    world.run_to_rest().await;
    assert_eq!(world.stands(id).await, ("-5".to_owned(), "5".to_owned()));
    assert_eq!(
        ledger(&world, id).await,
        [
            "GRANT 10 0 0",
            "DEBIT -10 0 0",
            "DEBIT -563 563 563",
            "WRITE_OFF 558 -558 5"
        ]
    );
    let shown = ask(
        &door,
        r#"query ($key: String!, $id: ID!) {
            entitlement(externalCustomerId: "burst", metricKey: "call", units: "1") { allowed remaining available }
            usageEvent(key: $key) { credits draws { blockId writtenOff credits } }
            overshootReport(from: "2020-01-01T00:00:00Z", to: "2100-01-01T00:00:00Z") {
                writtenOff customers
                writeOffs { nodes { customerId metricId credits reason entry { id kind blockId } } } }
            customer(id: $id) { writtenOff balance { overdraft } }
        }"#,
        json!({ "key": key, "id": id.to_string() }),
    )
    .await;
    assert_eq!(
        shown["entitlement"],
        json!({ "allowed": false, "remaining": "-5", "available": "0" })
    );
    let written_off = json!([{ "blockId": null, "writtenOff": true, "credits": "1" }]);
    assert_eq!(
        shown["usageEvent"],
        json!({ "credits": "1", "draws": written_off })
    );
    assert_eq!(
        shown["customer"],
        json!({ "writtenOff": "558", "balance": { "overdraft": "5" } })
    );
    let report = &shown["overshootReport"];
    assert_eq!(
        (&report["writtenOff"], &report["customers"]),
        (&json!("558"), &json!(1))
    );
    let it = &report["writeOffs"]["nodes"][0];
    assert_eq!(
        (&it["customerId"], &it["credits"]),
        (&json!(id.to_string()), &json!("558"))
    );
    assert!(
        it["reason"].as_str().unwrap().contains("beyond the bound"),
        "{it}"
    );
    // What is behind it: price, place in the tiers and events.
    let why = ask(
        &door,
        "query ($id: ID!) { explainEntry(id: $id) { entry { kind } block { id } meteringRule { version } position { eventCount }
            events { credits } } }",
        json!({ "id": it["entry"]["id"] }),
    )
    .await;
    let why = &why["explainEntry"];
    assert_eq!(
        (&why["entry"]["kind"], &why["block"]),
        (&json!("WRITE_OFF"), &Value::Null)
    );
    assert_eq!(
        (&why["meteringRule"]["version"], &why["position"]["eventCount"]),
        (&json!(1), &json!(558))
    );
    // It was told once.
    let told = crate::harness::paying::events(&world, id).await;
    let told: Vec<_> = told
        .iter()
        .filter(|it| it.kind.as_str() == "overshoot.written_off")
        .collect();
    assert_eq!(told.len(), 1);
    let data = &told[0].data;
    assert_eq!(
        (
            &data["credits"],
            &data["bound"],
            &data["overdraft"],
            &data["metric_id"]
        ),
        (&json!("558"), &json!("5"), &json!("5"), &it["metricId"])
    );
    assert_eq!(data["ledger_entry_id"], it["entry"]["id"]);
    // The next purchase repays what is owed, and no more.
    world.give(id, "20").await;
    assert_eq!(world.stands(id).await, ("15".to_owned(), "0".to_owned()));
    // What fits the credits is debited as ever, and told of by nobody.
    world.consume(id, "call", "3").await;
    world.run_to_rest().await;
    assert_eq!(world.stands(id).await.0, "12");
    assert_eq!(
        crate::harness::paying::told(&world, id, "overshoot").await.len(),
        1
    );
}

async fn terms_that_do_not_fit_are_refused(world: World) {
    let door = open(&world).await;
    let create = "mutation ($input: CreateCustomerInput!) { createCustomer(input: $input) { customer { id }
        userErrors { code path } } }";
    let update = "mutation ($input: UpdateCustomerInput!) { updateCustomer(input: $input) {
        customer { policy overshootLimit beyondOvershoot } userErrors { code path } } }";
    for (mut terms, field) in [
        (
            json!({ "policy": "ALLOW", "overshootLimit": "5" }),
            "overshootLimit",
        ),
        (
            json!({ "overshootLimit": "-1", "beyondOvershoot": "WRITE_OFF" }),
            "overshootLimit",
        ),
        (json!({ "beyondOvershoot": "WRITE_OFF" }), "beyondOvershoot"),
        (json!({ "overshootLimit": "0.0000001" }), "overshootLimit"),
    ] {
        terms["externalId"] = json!("x");
        terms["idempotencyKey"] = json!(world.key());
        let shown = terms.to_string();
        let made = ask(&door, create, json!({ "input": terms })).await;
        let error = &made["createCustomer"]["userErrors"][0];
        assert_eq!(error["path"], json!(["input", field]), "{shown}: {made}");
    }
    bounded(&world, "5", Settlement::Manual).await;
    let id = bounded(&world, "5", Settlement::Manual).await.to_string();
    // A promise is not forgotten by the way.
    for (mut terms, field) in [
        (json!({ "policy": "ALLOW" }), "overshootLimit"),
        (json!({ "overshootLimit": null }), "beyondOvershoot"),
    ] {
        terms["customerId"] = json!(id);
        let done = ask(&door, update, json!({ "input": terms })).await;
        let error = &done["updateCustomer"]["userErrors"][0];
        assert_eq!(error["path"], json!(["input", field]), "{done}");
    }
    let over =
        json!({ "customerId": id, "policy": "ALLOW", "overshootLimit": null, "beyondOvershoot": "BILL" });
    let done = ask(&door, update, json!({ "input": over })).await;
    let now = json!({ "policy": "ALLOW", "overshootLimit": null, "beyondOvershoot": "BILL" });
    assert_eq!(done["updateCustomer"]["customer"], now);
}

async fn usage_before_new_terms_keeps_to_the_old(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("acme").await;
    world.consume(id, "call", "20").await;
    // Nobody has debited it yet when the promise is made.
    let promise = |limit| UpdateCustomer {
        overshoot_limit: Some(Some(credits(limit))),
        beyond_overshoot: Some(BeyondOvershoot::WriteOff),
        ..UpdateCustomer::default()
    };
    change(&world, id, promise("5")).await;
    assert_eq!(world.stands(id).await.1, "20");
    world.consume(id, "call", "7").await;
    world.run_to_rest().await;
    assert_eq!(
        (world.stands(id).await.1, written_off(&world, id).await),
        ("20".to_owned(), "7".to_owned())
    );
    // With a wider bound there is room again, for usage from now on.
    world.consume(id, "call", "1").await;
    change(&world, id, promise("30")).await;
    world.consume(id, "call", "20").await;
    world.run_to_rest().await;
    assert_eq!(
        (world.stands(id).await.1, written_off(&world, id).await),
        ("30".to_owned(), "18".to_owned())
    );
    // A tighter one takes nothing back, and the audit knows what was owed before.
    change(&world, id, promise("1")).await;
    world.consume(id, "call", "1").await;
    world.run_to_rest().await;
    assert_eq!(world.stands(id).await.1, "30");
    world.advance(1);
    let run = audit::incremental(&world.app, audit::Reached::All).await.unwrap();
    assert_eq!(run.violations, 0, "{:?}", run.first);
}

async fn what_is_taken_back_is_no_gift(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = bounded(&world, "5", Settlement::NextPurchase).await;
    let first = world.consume(id, "call", "4").await;
    let burst = world.consume(id, "call", "40").await;
    world.run_to_rest().await;
    world.give(id, "100").await;
    assert_eq!(world.stands(id).await, ("95".to_owned(), "0".to_owned()));
    // 4 of the 39 that were written off come back, and nothing to the customer, who paid for none of them.
    world.void(&first).await.unwrap();
    assert_eq!(
        (world.stands(id).await.0, written_off(&world, id).await),
        ("95".to_owned(), "35".to_owned())
    );
    assert_eq!(ledger(&world, id).await[4..], ["WRITE_OFF -4 4 4", "VOID 4 -4 0"]);
    // All of it: the 5 that were repaid go into a block, the rest to nobody.
    world.void(&burst).await.unwrap();
    assert_eq!(
        (world.stands(id).await.0, written_off(&world, id).await),
        ("100".to_owned(), "0".to_owned())
    );
    // A falling price gives back to the vendor as well.
    world.priced("bulk", volume(&[("10", "1"), ("", "0.1")])).await;
    let id = bounded(&world, "4", Settlement::NextPurchase).await;
    world.consume(id, "bulk", "10").await;
    world.run_to_rest().await;
    world.give(id, "50").await;
    let last = world.consume(id, "bulk", "1").await;
    world.run_to_rest().await;
    // 1.1 in all: of the 4 that were repaid, 2.9 come again.
    assert_eq!(
        (world.stands(id).await.0, written_off(&world, id).await),
        ("48.9".to_owned(), "0".to_owned())
    );
    // And a price that is lost again is debited within the bound; there are credits enough.
    world.void(&last).await.unwrap();
    assert_eq!(
        (world.stands(id).await.0, written_off(&world, id).await),
        ("40".to_owned(), "0".to_owned())
    );
}

/// A purchase makes no room for usage that was accepted before it, whoever comes first.
async fn a_late_worker_writes_the_same_off(world: World) {
    world.priced("call", per_unit("1")).await;
    for late in [false, true] {
        let id = bounded(&world, "5", Settlement::NextPurchase).await;
        world.consume(id, "call", "5").await;
        world.run_to_rest().await;
        world.advance(1);
        world.consume(id, "call", "3").await;
        if !late {
            world.run_to_rest().await;
        }
        world.advance(1);
        world.give(id, "100").await;
        let door = open(&world).await;
        let asked = "query ($id: ID!) { entitlement(customerId: $id, metricKey: \"call\", units: \"1\") { available } }";
        let answer = ask(&door, asked, json!({ "id": id.to_string() })).await;
        assert_eq!(
            answer["entitlement"]["available"],
            json!("95"),
            "the gate knows, late: {late}"
        );
        world.run_to_rest().await;
        let stands = (world.stands(id).await.0, written_off(&world, id).await);
        assert_eq!(stands, ("95".to_owned(), "3".to_owned()), "late: {late}");
    }
}

async fn two_workers_write_off_once(world: World) {
    world.priced("call", per_unit("1")).await;
    let other = world.another().await;
    let id = bounded(&world, "5", Settlement::NextPurchase).await;
    world.give(id, "10").await;
    for _ in 0..4 {
        let calls: Vec<_> = (0..200).map(|_| world.event(id, "call", "1")).collect();
        world.accept(calls).await;
        let job = World::drain_job(id);
        tokio::join!(
            job::run(&world.app, job.clone()),
            job::run(&other.app, job.clone())
        );
    }
    world.run_to_rest().await;
    assert_eq!(world.stands(id).await.1, "5");
    assert_eq!(written_off(&world, id).await, "785");
    let told = crate::harness::paying::events(&world, id).await;
    let told = told
        .iter()
        .filter(|it| it.kind.as_str() == "overshoot.written_off");
    let told: Vec<i64> = told
        .map(|it| it.data["credits"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(told.iter().sum::<i64>(), 785, "{told:?}");
}

async fn an_invoice_bills_no_more_than_the_bound(world: World) {
    bills(&world, terms()).await;
    world.priced("call", per_unit("1")).await;
    let mut plan = variant(Mode::Postpaid);
    plan.credit_price = Some(CreditPrice {
        currency: "USD".parse().unwrap(),
        per_credit: "0.01".parse().unwrap(),
    });
    let mut budget = template("1000");
    budget.billing = Some(Billing::Budget);
    let plan = world.sells(plan, vec![budget]).await;
    let id = bounded(&world, "200", Settlement::NextInvoice).await;
    world.subscribe(id, plan).await;
    world.consume(id, "call", "9000").await;
    world.run_to_rest().await;
    assert_eq!(
        (world.stands(id).await.1, written_off(&world, id).await),
        ("200".to_owned(), "7800".to_owned())
    );
    world.until("2026-04-12").await;
    let filed = all(&world, id).await;
    assert_eq!(filed.len(), 1);
    let line = &filed[0].invoice.lines[0];
    assert_eq!(line.amount, money("12 USD"));
    let Detail::Usage(usage) = &line.detail else {
        panic!("no usage");
    };
    assert_eq!((usage.full, usage.covered), (money("90 USD"), money("78 USD")));
    assert_eq!(usage.credits.written_off, credits("7800"));
    assert_eq!(world.stands(id).await.1, "0");
}

async fn an_overage_line_comes_first(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = bounded(&world, "5", Settlement::Manual).await;
    let line = UpdateCustomer {
        at_zero: Some(AtZero::AllowUpTo),
        overage_line: Some(Some(credits("20"))),
        ..UpdateCustomer::default()
    };
    change(&world, id, line).await;
    world.consume(id, "call", "100").await;
    world.run_to_rest().await;
    assert_eq!(
        (world.stands(id).await.1, written_off(&world, id).await),
        ("25".to_owned(), "75".to_owned())
    );
}

async fn without_a_promise_all_is_owed(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("plain").await;
    // A limit whose excess is billed promises nothing.
    let limit = UpdateCustomer {
        overshoot_limit: Some(Some(credits("5"))),
        ..UpdateCustomer::default()
    };
    change(&world, id, limit).await;
    world.consume(id, "call", "100").await;
    world.run_to_rest().await;
    assert_eq!(
        (world.stands(id).await.1, written_off(&world, id).await),
        ("100".to_owned(), "0".to_owned())
    );
    assert_eq!(
        crate::harness::paying::told(&world, id, "overshoot").await.len(),
        0
    );
}

async fn the_report_goes_page_by_page(world: World) {
    world.priced("call", per_unit("1")).await;
    let (one, other) = (
        bounded(&world, "0", Settlement::Manual).await,
        bounded(&world, "0", Settlement::Manual).await,
    );
    for units in ["1", "2", "3"] {
        world.consume(one, "call", units).await;
        world.consume(other, "call", units).await;
        world.run_to_rest().await;
        world.advance(1);
    }
    let door = open(&world).await;
    let query = r#"query ($from: DateTime!, $to: DateTime!, $after: String) { overshootReport(from: $from, to: $to) { writtenOff customers
        writeOffs(first: 2, after: $after) { nodes { credits } pageInfo { hasNextPage endCursor } } } }"#;
    let (from, to) = ("2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z");
    let (mut seen, mut after) = (vec![], Value::Null);
    loop {
        let variables = json!({ "from": from, "to": to, "after": after });
        let report = ask(&door, query, variables).await["overshootReport"].clone();
        assert_eq!(
            (&report["writtenOff"], &report["customers"]),
            (&json!("12"), &json!(2))
        );
        let page = &report["writeOffs"];
        for it in page["nodes"].as_array().unwrap() {
            seen.push(it["credits"].as_str().unwrap().to_owned());
        }
        if page["pageInfo"]["hasNextPage"] == json!(false) {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(seen, ["3", "3", "2", "2", "1", "1"]);
    // Half-open, and never backwards.
    let now = world.now().to_string();
    let later = ask(&door, query, json!({ "from": now, "to": to })).await;
    assert_eq!(later["overshootReport"]["writtenOff"], json!("0"));
    let refused = door.ask(query, json!({ "from": to, "to": from })).await;
    assert_eq!(refused.code(), "BAD_USER_INPUT", "{}", refused.body);
}

/// Says what is promised by default, and has it reach everybody.
async fn promised(world: &World, limit: Option<&str>, beyond: BeyondOvershoot) {
    promise(world, limit, beyond).await;
    follow(world).await;
}

async fn promise(world: &World, limit: Option<&str>, beyond: BeyondOvershoot) {
    let limit = limit.map(credits);
    customer::update_overshoot_default(&world.app, &world.actor, OvershootDefault { limit, beyond })
        .await
        .unwrap();
}

async fn follow(world: &World) {
    world.advance(1);
    job::sweep(&world.app).await.unwrap();
    world.run_to_rest().await;
}

/// What gives a customer the default.
fn following(id: CustomerId) -> Value {
    json!({ "kind": "customer.overshoot", "args": id.to_string() })
}

async fn audited(world: &World) {
    world.advance(1);
    world.audited().await;
}

const TERMS: &str = "policy overshootLimit beyondOvershoot overshootIsDefault";

/// Limit, what lies beyond it, and whether that is the default.
fn said(customer: &Value) -> String {
    let limit = customer["overshootLimit"].as_str().unwrap_or("none");
    let beyond = customer["beyondOvershoot"].as_str().unwrap();
    let whose = match customer["overshootIsDefault"].as_bool().unwrap() {
        true => "default",
        false => "own",
    };
    format!("{limit} {beyond} {whose}")
}

async fn a_default_holds_for_whom_nothing_was_said(world: World) {
    let door = open(&world).await;
    let create = async |name: &str, mut terms: Value| {
        terms["externalId"] = json!(name);
        terms["idempotencyKey"] = json!(name);
        let query = format!(
            "mutation ($input: CreateCustomerInput!) {{ createCustomer(input: $input) {{ customer {{ {TERMS} }} userErrors {{ path }} }} }}"
        );
        let made = ask(&door, &query, json!({ "input": terms })).await;
        said(&made["createCustomer"]["customer"])
    };
    let update = async |name: &str, mut terms: Value| {
        terms["externalCustomerId"] = json!(name);
        let query = format!(
            "mutation ($input: UpdateCustomerInput!) {{ updateCustomer(input: $input) {{ customer {{ {TERMS} }} userErrors {{ path }} }} }}"
        );
        let done = ask(&door, &query, json!({ "input": terms })).await["updateCustomer"].clone();
        match &done["customer"] {
            Value::Null => done["userErrors"][0]["path"][1].as_str().unwrap().to_owned(),
            customer => said(customer),
        }
    };
    let shown = async |name: &str| {
        let query = format!("query ($id: String!) {{ customer(externalId: $id) {{ {TERMS} }} }}");
        said(&ask(&door, &query, json!({ "id": name })).await["customer"])
    };
    let default = "mutation ($input: UpdateOvershootDefaultInput!) { updateOvershootDefault(input: $input) {
        terms { overshootLimit beyondOvershoot } userErrors { code path } } }";
    // Before anybody has said anything.
    assert_eq!(create("plain", json!({})).await, "none BILL default");
    assert_eq!(
        create("free", json!({ "policy": "ALLOW" })).await,
        "none BILL default"
    );
    let own = json!({ "overshootLimit": "7", "beyondOvershoot": "WRITE_OFF" });
    assert_eq!(create("own", own).await, "7 WRITE_OFF own");
    let none = json!({ "overshootLimit": null });
    assert_eq!(create("none", none).await, "none BILL own");
    for (input, field) in [
        (json!({ "beyondOvershoot": "WRITE_OFF" }), "beyondOvershoot"),
        (json!({ "overshootLimit": "-1" }), "overshootLimit"),
    ] {
        let refused = ask(&door, default, json!({ "input": input })).await["updateOvershootDefault"].clone();
        assert_eq!(refused["userErrors"][0]["path"], json!(["input", field]));
    }
    let five = json!({ "overshootLimit": "5", "beyondOvershoot": "WRITE_OFF" });
    let done = ask(&door, default, json!({ "input": five })).await;
    assert_eq!(done["updateOvershootDefault"]["terms"], five);
    let read = ask(
        &door,
        "{ overshootDefault { overshootLimit beyondOvershoot } }",
        json!({}),
    )
    .await;
    assert_eq!(read["overshootDefault"], five);
    // Customers that are made now have it at once, the others when the job has come.
    assert_eq!(create("new", json!({})).await, "5 WRITE_OFF default");
    follow(&world).await;
    for (name, wanted) in [
        ("plain", "5 WRITE_OFF default"),
        ("free", "none BILL default"),
        ("own", "7 WRITE_OFF own"),
        ("none", "none BILL own"),
    ] {
        assert_eq!(shown(name).await, wanted, "{name}");
    }
    // Nothing is left to do.
    job::sweep(&world.app).await.unwrap();
    let left = std::iter::from_fn(|| world.post.take());
    let left: Vec<Value> = left.filter(|it| it["kind"] == "customer.overshoot").collect();
    assert_eq!(left, Vec::<Value>::new());
    // A customer may say otherwise, that nothing is promised too, and take the default again.
    for (name, terms, wanted) in [
        ("plain", json!({ "overshootLimit": null }), "none BILL own"),
        (
            "plain",
            json!({ "overshootIsDefault": true }),
            "5 WRITE_OFF default",
        ),
        ("plain", json!({ "overshootLimit": "9" }), "9 WRITE_OFF own"),
        ("new", json!({ "overshootIsDefault": false }), "5 WRITE_OFF own"),
        (
            "own",
            json!({ "overshootIsDefault": true, "overshootLimit": "1" }),
            "overshootIsDefault",
        ),
        (
            "own",
            json!({ "overshootIsDefault": true }),
            "5 WRITE_OFF default",
        ),
        // Checks that never refuse have nothing beyond them; with a line there is something again.
        ("own", json!({ "policy": "ALLOW" }), "none BILL default"),
        ("own", json!({ "policy": "BLOCK" }), "5 WRITE_OFF default"),
    ] {
        let shown = terms.to_string();
        assert_eq!(update(name, terms).await, wanted, "{name} {shown}");
    }
    promised(&world, None, BeyondOvershoot::Bill).await;
    assert_eq!(shown("own").await, "none BILL default");
    assert_eq!(shown("new").await, "5 WRITE_OFF own");
}

async fn usage_before_a_new_default_keeps_to_the_old(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("acme").await;
    let stands = async || (world.stands(id).await.1, written_off(&world, id).await);
    // The job comes before whoever debits what waits.
    let promised = async |limit, beyond| {
        promise(&world, limit, beyond).await;
        world.advance(1);
        job::run(&world.app, following(id)).await;
    };
    let come_to = |owed: &str, off: &str| (owed.to_owned(), off.to_owned());
    world.consume(id, "call", "20").await;
    // Nobody has debited it yet when the promise is made: it is owed.
    promised(Some("5"), BeyondOvershoot::WriteOff).await;
    assert_eq!(stands().await, come_to("20", "0"));
    audited(&world).await;
    world.consume(id, "call", "7").await;
    world.run_to_rest().await;
    assert_eq!(stands().await, come_to("20", "7"));
    // What is under way keeps to the promise that held for it, also when there is none any more.
    world.consume(id, "call", "1").await;
    promised(None, BeyondOvershoot::Bill).await;
    world.consume(id, "call", "3").await;
    world.run_to_rest().await;
    assert_eq!(stands().await, come_to("23", "8"));
    audited(&world).await;
    promised(Some("30"), BeyondOvershoot::WriteOff).await;
    world.consume(id, "call", "20").await;
    world.run_to_rest().await;
    assert_eq!(stands().await, come_to("30", "21"));
    audited(&world).await;
    // A limit whose excess is billed promises nothing.
    promised(Some("30"), BeyondOvershoot::Bill).await;
    world.consume(id, "call", "4").await;
    world.run_to_rest().await;
    assert_eq!(stands().await, come_to("34", "21"));
    audited(&world).await;
}

async fn a_default_reaches_whoever_is_made_or_changed_meanwhile(world: World) {
    let of = async |id: CustomerId| {
        let found = customer::customer(&world.app, &world.actor, &CustomerRef::Id(id)).await;
        found.unwrap().unwrap().terms.bound().map(|it| it.to_string())
    };
    let known = world.customer("known").await;
    let strange = world.stranger().await;
    let theirs = strange.customer("theirs").await;
    promised(&world, Some("5"), BeyondOvershoot::WriteOff).await;
    // Somebody who had read the default before it was changed.
    let late = world.customer("late").await;
    promise(&world, Some("6"), BeyondOvershoot::WriteOff).await;
    let id = world.literal(late.0);
    world
        .sabotage(&format!(
            "UPDATE customer SET overshoot_limit = NULL, beyond_overshoot = 'BILL' WHERE id = {id}"
        ))
        .await;
    // One job that comes twice, and one too late.
    let job = following(known);
    let other = world.another().await;
    tokio::join!(
        job::run(&world.app, job.clone()),
        job::run(&other.app, job.clone())
    );
    follow(&world).await;
    job::run(&world.app, job).await;
    assert_eq!(
        (of(known).await, of(late).await),
        (Some("6".to_owned()), Some("6".to_owned()))
    );
    // Another vendor's customers have nothing of it.
    let found = customer::customer(&strange.app, &strange.actor, &CustomerRef::Id(theirs)).await;
    assert_eq!(found.unwrap().unwrap().terms.bound(), None);
}

async fn found(world: &World, id: CustomerId) -> Customer {
    let found = customer::customer(&world.app, &world.actor, &CustomerRef::Id(id)).await;
    found.unwrap().unwrap()
}

/// The bound, and whether it is the default.
async fn bound(world: &World, id: CustomerId) -> (Option<String>, bool) {
    let it = found(world, id).await;
    (it.terms.bound().map(|it| it.to_string()), it.overshoot_is_default)
}

fn named(name: &str) -> UpdateCustomer {
    UpdateCustomer {
        name: Some(Some(name.to_owned())),
        ..UpdateCustomer::default()
    }
}

/// Has a sweep and what it wakes happen, where not all work comes to rest.
async fn swept(world: &World) {
    world.advance(61);
    job::sweep(&world.app).await.unwrap();
    world.run_jobs().await;
}

/// Usage that cannot be debited: it is too dear.
async fn stuck(world: &World, id: CustomerId) -> String {
    let bad = world.consume(id, "gold", "9000000000000").await;
    world.run_jobs().await;
    bad
}

async fn what_an_older_process_promises_is_the_customers_own(world: World) {
    let promised_before = async |name: &str| {
        let id = world.customer(name).await;
        let literal = world.literal(id.0);
        // It knows limits, but not who follows.
        world
            .sabotage(&format!(
                "UPDATE customer SET overshoot_limit = 5000000, beyond_overshoot = 'WRITE_OFF' WHERE id = {literal}"
            ))
            .await;
        id
    };
    let (left, changed) = (promised_before("left").await, promised_before("changed").await);
    let own = || (Some("5".to_owned()), false);
    assert_eq!(bound(&world, left).await, own());
    change(&world, changed, named("New")).await;
    let settlement = UpdateCustomer {
        settlement: Some(Settlement::Manual),
        ..UpdateCustomer::default()
    };
    change(&world, changed, settlement).await;
    let plain = world.customer("plain").await;
    for limit in ["6", "4"] {
        promised(&world, Some(limit), BeyondOvershoot::WriteOff).await;
        for id in [left, changed] {
            assert_eq!(bound(&world, id).await, own(), "{limit}");
        }
        assert_eq!(bound(&world, plain).await, (Some(limit.to_owned()), true));
    }
    // Nor does it end with the default.
    promised(&world, None, BeyondOvershoot::Bill).await;
    assert_eq!(bound(&world, plain).await, (None, true));
    assert_eq!(bound(&world, left).await, own());
}

async fn who_says_nothing_of_terms_changes_none(world: World) {
    world.priced("call", per_unit("1")).await;
    world.priced("gold", per_unit("9223372")).await;
    let (id, ill) = (world.customer("acme").await, world.customer("ill").await);
    let bad = stuck(&world, ill).await;
    world.consume(id, "call", "20").await;
    promise(&world, Some("5"), BeyondOvershoot::WriteOff).await;
    // The default waits for its job, and a name for nothing.
    for id in [id, ill] {
        change(&world, id, named("Acme")).await;
        assert_eq!(bound(&world, id).await, (None, true));
        assert_eq!(found(&world, id).await.name.as_deref(), Some("Acme"));
    }
    // Nobody settled anything for it.
    assert_eq!(world.stands(id).await.1, "0");
    // Whoever says something of terms has the default at once, and what was accepted before is owed.
    let settlement = || UpdateCustomer {
        settlement: Some(Settlement::Manual),
        ..UpdateCustomer::default()
    };
    change(&world, id, settlement()).await;
    assert_eq!(bound(&world, id).await, (Some("5".to_owned()), true));
    assert_eq!(world.stands(id).await.1, "20");
    let refused = customer::update(&world.app, &world.actor, &CustomerRef::Id(ill), settlement()).await;
    assert!(refused.is_err(), "its usage needs attention");
    // A default that changes meanwhile: what is written is never without its settlement.
    world.void(&bad).await.unwrap();
    retried(&world).await;
    for (at, limit) in ["30", "40", "50", "60"].into_iter().enumerate() {
        world.consume(id, "call", "1").await;
        world.advance(1);
        tokio::join!(
            promise(&world, Some(limit), BeyondOvershoot::WriteOff),
            change(&world, id, named(limit)),
            change(
                &world,
                id,
                UpdateCustomer {
                    settlement: Some(if at % 2 == 0 {
                        Settlement::NextPurchase
                    } else {
                        Settlement::Manual
                    }),
                    ..UpdateCustomer::default()
                }
            )
        );
        follow(&world).await;
        assert_eq!(bound(&world, id).await, (Some(limit.to_owned()), true));
        audited(&world).await;
    }
}

/// Tries everything again that was parked.
async fn retried(world: &World) {
    let parked = job::parked(&world.app, &world.actor, Page::first(50))
        .await
        .unwrap();
    for work in parked.items {
        job::retry(&world.app, &world.actor, work.id, &world.key())
            .await
            .unwrap();
    }
    world.run_to_rest().await;
}

async fn who_cannot_be_settled_keeps_nobody_from_a_default(world: World) {
    world.priced("gold", per_unit("9223372")).await;
    let ill = world.customer("ill").await;
    let bad = stuck(&world, ill).await;
    let (one, other) = (world.customer("one").await, world.customer("other").await);
    // Each way in which a default can differ from what was promised before.
    for (limit, beyond) in [
        (Some("5"), BeyondOvershoot::WriteOff),
        (Some("3"), BeyondOvershoot::WriteOff),
        (Some("7"), BeyondOvershoot::WriteOff),
        (None, BeyondOvershoot::Bill),
        (Some("2"), BeyondOvershoot::WriteOff),
    ] {
        promise(&world, limit, beyond).await;
        swept(&world).await;
        for id in [one, other] {
            assert_eq!(bound(&world, id).await, (limit.map(str::to_owned), true));
        }
        assert_eq!(bound(&world, ill).await, (None, true));
    }
    world.void(&bad).await.unwrap();
    retried(&world).await;
    swept(&world).await;
    assert_eq!(bound(&world, ill).await, (Some("2".to_owned()), true));
}

/// More customers than one look finds, all of whom were tried in vain, stand before one of whom nobody has heard.
async fn who_was_tried_in_vain_comes_after_all_others(world: World) {
    promise(&world, Some("3"), BeyondOvershoot::WriteOff).await;
    let one = world.customer("one").await;
    assert_eq!(bound(&world, one).await, (Some("3".to_owned()), true));
    let (any, like) = (world.any_id(), world.literal(one.0));
    world
        .sabotage(&format!(
            "INSERT INTO customer (id, tenant_id, external_id, shard, at_zero, overage_line, settlement, metadata, created_at, updated_at,
                overshoot_limit, beyond_overshoot, bounded_from, overshoot_follows)
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)
             SELECT {any}, c.tenant_id, 'ill' || n.i, c.shard, c.at_zero, c.overage_line, c.settlement, c.metadata, c.created_at,
                c.updated_at, NULL, c.beyond_overshoot, 0, 1
             FROM n, customer c WHERE c.id = {like}"
        ))
        .await;
    let ill = ill_customers(&world, one).await;
    assert_eq!(ill.len(), 1_200);
    // Since when the pause of each is over, in another order than that in which they are found.
    let over = |at: usize| (at * 7) % 1_200 + 1;
    let rows: Vec<String> = (ill.iter().enumerate())
        .map(|(at, id)| {
            let row = world.literal(uuid::Uuid::from_u128(at as u128 + 1));
            format!(
                "({row}, 'customer.overshoot', '{id}', 'DUE', 3, {}, 0, 0, 0)",
                over(at)
            )
        })
        .collect();
    world
        .sabotage(&format!(
            "INSERT INTO work (id, kind, subject, state, attempts, due_at, woken_at, created_at, updated_at) VALUES {}",
            rows.join(", ")
        ))
        .await;
    promise(&world, Some("5"), BeyondOvershoot::WriteOff).await;
    world.advance(1);
    job::sweep(&world.app).await.unwrap();
    let mut woken = Vec::new();
    while let Some(payload) = world.post.take() {
        if payload["kind"] == "customer.overshoot" {
            woken.push(payload["args"].as_str().unwrap().to_owned());
        }
    }
    let (first, mut others): (Vec<_>, Vec<_>) = woken.into_iter().partition(|id| *id == one.to_string());
    assert_eq!(first.len(), 1);
    // Of the others so many at a time, and those that have waited longest.
    let mut wanted: Vec<_> = (ill.iter().enumerate())
        .filter(|(at, _)| over(*at) <= 1_000)
        .map(|(_, id)| id.to_string())
        .collect();
    wanted.sort();
    others.sort();
    assert_eq!(others, wanted);
    job::run(&world.app, following(one)).await;
    assert_eq!(bound(&world, one).await, (Some("5".to_owned()), true));
    // They never were, as far as the books say.
    world
        .sabotage("DELETE FROM customer WHERE external_id LIKE 'ill%'")
        .await;
}

/// All customers but one.
async fn ill_customers(world: &World, one: CustomerId) -> Vec<CustomerId> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = Page::relay(Some(100), None, after, None).unwrap();
        let slice = customer::customers(&world.app, &world.actor, page).await.unwrap();
        all.extend(slice.items.iter().map(|it| it.id).filter(|id| *id != one));
        after = all.last().copied();
        if !slice.has_next {
            return all;
        }
    }
}

async fn a_default_that_does_not_fit_ends_the_one_before(world: World) {
    let id = world.customer("lined").await;
    let line = UpdateCustomer {
        at_zero: Some(AtZero::AllowUpTo),
        overage_line: Some(Some(credits("20"))),
        ..UpdateCustomer::default()
    };
    change(&world, id, line).await;
    promised(&world, Some("5"), BeyondOvershoot::WriteOff).await;
    assert_eq!(bound(&world, id).await, (Some("25".to_owned()), true));
    promised(&world, Some("9223372036854"), BeyondOvershoot::WriteOff).await;
    assert_eq!(bound(&world, id).await, (None, true));
    assert_eq!(found(&world, id).await.terms.overshoot_limit, None);
    promised(&world, Some("6"), BeyondOvershoot::WriteOff).await;
    assert_eq!(bound(&world, id).await, (Some("26".to_owned()), true));
}
