//! What somebody wants of a subscription, over the wire: another plan, a pause, renewal, the end; and its lists, page by page. Each lane
//! has workers of its own where processes are separate.

use serde_json::{Value, json};

use super::{
    client::{Client, event},
    process::Process,
    stage::Stage,
    subscriptions::{advance, assert_refused, events, id},
};
use crate::harness::pages::{PAGE_INFO, both_ways};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_is_changed_with_dev_on_sqlite() {
    Stage::on_sqlite(async |stage| {
        let dev = stage.dev().await;
        live(&dev.client).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_is_changed_with_a_worker_per_lane_on_postgres() {
    Stage::on_postgres(async |stage| {
        stage.migrate().await;
        let api = stage.api().await;
        let lanes = [
            "usage", "cycles", "payments", "events", "webhooks", "retries", "upkeep",
        ];
        let _workers: Vec<Process> = lanes
            .iter()
            .map(|lane| stage.start(&["worker", "--lane", lane]))
            .collect();
        live(&api.client).await;
    })
    .await;
}

async fn live(client: &Client) {
    client.metric("call", r#"{flat: {credits: "1"}}"#).await;
    let postpaid = r#"mode: POSTPAID, fee: {amount: "5", currency: "USD"}"#;
    let small = sells(client, "small", postpaid, "100").await;
    let large = sells(client, "large", postpaid, "300").await;
    let prepaid = r#"mode: PREPAID, fee: {amount: "10", currency: "USD"}, renewalDueDays: 5, graceDays: 10"#;
    let prepaid = sells(client, "prepaid", prepaid, "50").await;
    let clock = client
        .change(
            r#"mutation { createTestClock(input: {name: "changes", now: "2026-04-01T00:00:00Z", idempotencyKey: "k"})
                { testClock { id } userErrors { code path message } } }"#,
        )
        .await;
    let clock = id(&clock["testClock"]);
    customer(client, &clock, "acme").await;
    customer(client, &clock, "beta").await;
    client.grant("acme", "7", "bought").await;
    let subscription = subscribe(client, "acme", &small).await;
    change_plans(client, &clock, &subscription, &small, &large).await;
    pause(client, &clock, &subscription).await;
    cancel(client, &subscription).await;
    let unpaid = subscribe(client, "beta", &prepaid).await;
    renew(client, &clock, &unpaid, &large).await;
    // The lists of a customer are those of all its subscriptions.
    subscribe(client, "beta", &small).await;
    read_in_pages(client, "beta").await;
    read_clocks(client, &clock).await;
}

async fn sells(client: &Client, key: &str, terms: &str, credits: &str) -> String {
    client
        .change(&format!(
            r#"mutation {{ createPlan(input: {{key: "{key}", name: "{key}", idempotencyKey: "p-{key}"}}) {{ plan {{ id }} userErrors {{ code path message }} }} }}"#
        ))
        .await;
    let variant = client
        .change(&format!(
            r#"mutation {{ createPlanVariant(input: {{planKey: "{key}", name: "Monthly", interval: {{unit: MONTH}}, {terms}, idempotencyKey: "v-{key}"}})
                {{ planVariant {{ id }} userErrors {{ code path message }} }} }}"#
        ))
        .await;
    let variant = id(&variant["planVariant"]);
    client
        .change(&format!(
            r#"mutation {{ createGrantTemplate(input: {{variantId: "{variant}", credits: "{credits}", idempotencyKey: "t-{key}"}})
                {{ grantTemplate {{ id }} userErrors {{ code path message }} }} }}"#
        ))
        .await;
    variant
}

async fn customer(client: &Client, clock: &str, name: &str) {
    client
        .change(&format!(
            r#"mutation {{ createCustomer(input: {{externalId: "{name}", testClockId: "{clock}", idempotencyKey: "c-{name}"}})
                {{ customer {{ id }} userErrors {{ code path message }} }} }}"#
        ))
        .await;
}

async fn subscribe(client: &Client, name: &str, variant: &str) -> String {
    let made = client
        .change(&format!(
            r#"mutation {{ createSubscription(input: {{externalCustomerId: "{name}", variantId: "{variant}", idempotencyKey: "{name}-{variant}"}})
                {{ subscription {{ id }} userErrors {{ code path message }} }} }}"#
        ))
        .await;
    id(&made["subscription"])
}

/// One of the mutations that take a subscription and little else.
fn wish(name: &str, subscription: &str, more: &str, key: &str) -> String {
    format!(
        r#"mutation {{ {name}(input: {{subscriptionId: "{subscription}"{more}, idempotencyKey: "{key}"}})
            {{ subscription {{ state cancelAtEnd currentCycle {{ number }} }} userErrors {{ code path message }} }} }}"#
    )
}

async fn remaining(client: &Client, name: &str) -> Value {
    client.settled(name).await["remaining"].clone()
}

/// Whether a call is let through, and what stands against it.
async fn asked(client: &Client, name: &str) -> Value {
    let query = format!(
        r#"{{ entitlement(externalCustomerId: "{name}", metricKey: "call", units: "1") {{ allowed reason }} }}"#
    );
    client.ask(&query).await["entitlement"].clone()
}

/// What the last event of a kind says of its own.
async fn said(client: &Client, subscription: &str, kind: &str) -> Value {
    let told = events(client, subscription).await;
    let last = told
        .into_iter()
        .rfind(|event| event["type"] == format!("subscription.{kind}"));
    let mut data = last.unwrap()["data"].clone();
    for common in ["subscription_id", "customer_id", "billing_mode"] {
        assert!(data.as_object_mut().unwrap().remove(common).is_some());
    }
    data
}

/// Half of April is over: half of 100 goes back, half of 300 comes. Back with the next cycle, which may not be asked of one that ends.
async fn change_plans(client: &Client, clock: &str, subscription: &str, small: &str, large: &str) {
    let to = |variant: &str, effect: &str| format!(r#", variantId: "{variant}"{effect}"#);
    advance(client, clock, "2026-04-16T00:00:00Z").await;
    client
        .change(&wish(
            "changeSubscriptionPlan",
            subscription,
            &to(large, ", takesEffect: NOW"),
            "c1",
        ))
        .await;
    assert_eq!(remaining(client, "acme").await, "207");
    let changed = json!({ "from_plan_variant_id": small, "to_plan_variant_id": large });
    assert_eq!(said(client, subscription, "plan_changed").await, changed);

    client
        .change(&wish(
            "changeSubscriptionPlan",
            subscription,
            &to(small, ""),
            "c2",
        ))
        .await;
    assert_eq!(
        remaining(client, "acme").await,
        "207",
        "not before the next cycle"
    );
    let scheduled = json!({ "to_plan_variant_id": small });
    assert_eq!(
        said(client, subscription, "plan_change_scheduled").await,
        scheduled
    );
    advance(client, clock, "2026-05-01T00:00:00Z").await;
    assert_eq!(remaining(client, "acme").await, "107");
    let changed = json!({ "from_plan_variant_id": large, "to_plan_variant_id": small });
    assert_eq!(said(client, subscription, "plan_changed").await, changed);

    client
        .change(&wish("cancelSubscription", subscription, "", "x1"))
        .await;
    let refused = wish("changeSubscriptionPlan", subscription, &to(large, ""), "c3");
    assert_refused(client, &refused, "changeSubscriptionPlan").await;
    let back = client
        .change(&wish("resumeSubscription", subscription, "", "b1"))
        .await;
    assert_eq!(back["subscription"]["cancelAtEnd"], false);
}

/// The cycle goes on to its end, but nothing may be used; no cycle follows until somebody resumes it.
async fn pause(client: &Client, clock: &str, subscription: &str) {
    let paused = client
        .change(&wish("pauseSubscription", subscription, "", "h1"))
        .await;
    let expected = json!({ "state": "PAUSED", "cancelAtEnd": false, "currentCycle": { "number": 2 } });
    assert_eq!(paused["subscription"], expected);
    let no = json!({ "allowed": false, "reason": "SUBSCRIPTION_PAUSED" });
    assert_eq!(asked(client, "acme").await, no);
    assert_refused(
        client,
        &wish("pauseSubscription", subscription, "", "h2"),
        "pauseSubscription",
    )
    .await;
    advance(client, clock, "2026-06-10T00:00:00Z").await;
    assert_eq!(remaining(client, "acme").await, "7", "what was bought stays");
    let resumed = client
        .change(&wish("resumeSubscription", subscription, "", "b2"))
        .await;
    let expected = json!({ "state": "ACTIVE", "cancelAtEnd": false, "currentCycle": { "number": 3 } });
    assert_eq!(resumed["subscription"], expected);
    assert_eq!(remaining(client, "acme").await, "107");
    assert_eq!(
        asked(client, "acme").await,
        json!({ "allowed": true, "reason": null })
    );
}

/// At once: what ends with the cycle ends, what was bought stays.
async fn cancel(client: &Client, subscription: &str) {
    client.record(&[event("acme", "call", 1, "last")]).await;
    assert_eq!(remaining(client, "acme").await, "106");
    let done = client
        .change(&wish(
            "cancelSubscription",
            subscription,
            ", takesEffect: NOW",
            "x2",
        ))
        .await;
    let expected = json!({ "state": "CANCELLED", "cancelAtEnd": false, "currentCycle": null });
    assert_eq!(done["subscription"], expected);
    assert_eq!(remaining(client, "acme").await, "7");
    assert_refused(
        client,
        &wish("resumeSubscription", subscription, "", "b3"),
        "resumeSubscription",
    )
    .await;
}

/// Due, unpaid, paid late; paid ahead; and never paid again.
async fn renew(client: &Client, clock: &str, subscription: &str, other: &str) {
    advance(client, clock, "2026-07-05T00:00:00Z").await;
    let due = json!({ "cycle_number": 2, "period_end": "2026-07-10T00:00:00Z" });
    assert_eq!(said(client, subscription, "renewal_due").await, due);
    advance(client, clock, "2026-07-10T00:00:00Z").await;
    let overdue = json!({ "expires_at": "2026-07-20T00:00:00Z" });
    assert_eq!(said(client, subscription, "overdue").await, overdue);
    let no = json!({ "allowed": false, "reason": "SUBSCRIPTION_OVERDUE" });
    assert_eq!(asked(client, "beta").await, no);
    advance(client, clock, "2026-07-12T00:00:00Z").await;
    let paid = client
        .change(&wish("renewSubscription", subscription, "", "r1"))
        .await;
    assert_eq!(paid["subscription"]["state"], "ACTIVE");
    assert_eq!(remaining(client, "beta").await, "50");
    assert_eq!(
        asked(client, "beta").await,
        json!({ "allowed": true, "reason": null })
    );
    let renewed = said(client, subscription, "renewed").await;
    assert_eq!(
        (&renewed["cycle_number"], &renewed["credits_granted"]),
        (&json!(2), &json!("50"))
    );

    client
        .change(&wish("renewSubscription", subscription, "", "r2"))
        .await;
    let refused = &client
        .ask(&wish("renewSubscription", subscription, "", "r3"))
        .await["renewSubscription"];
    assert_eq!(
        refused["userErrors"][0]["code"], "ALREADY_EXISTS",
        "the next cycle is paid"
    );
    let change = format!(r#", variantId: "{other}", takesEffect: NOW"#);
    let refused = wish("changeSubscriptionPlan", subscription, &change, "c9");
    assert_refused(client, &refused, "changeSubscriptionPlan").await;
    advance(client, clock, "2026-08-10T00:00:00Z").await;
    assert_eq!(remaining(client, "beta").await, "50");
    advance(client, clock, "2026-10-01T00:00:00Z").await;
    let told = events(client, subscription).await;
    let kinds: Vec<&str> = told.iter().map(|it| it["type"].as_str().unwrap()).collect();
    assert_eq!(kinds.last(), Some(&"subscription.cycle_closed"));
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| **kind == "subscription.renewal_due")
            .count(),
        2
    );
    let expired = told.iter().find(|it| it["type"] == "subscription.expired");
    assert_eq!(expired.unwrap()["occurredAt"], "2026-09-20T00:00:00Z");
}

/// Page by page forwards and backwards, everything is there once and in the order of one large page.
async fn read_in_pages(client: &Client, name: &str) {
    for (list, what) in [
        ("cycles", "number period { start } state"),
        ("events", "id type occurredAt"),
    ] {
        let page = async |range: &str| {
            let query = format!(
                r#"{{ customer(externalId: "{name}") {{ {list}({range}) {{ nodes {{ {what} }} {PAGE_INFO} }} }} }}"#
            );
            client.ask(&query).await["customer"][list].clone()
        };
        let all = page("first: 100").await["nodes"].as_array().unwrap().clone();
        assert!(all.len() >= 4, "{list}: {all:?}");
        for read in both_ways(page).await {
            assert_eq!(read, all, "{list}");
        }
    }
}

async fn read_clocks(client: &Client, clock: &str) {
    let read = client
        .ask(r#"{ testClocks(first: 5) { nodes { id now state customerIds } } a: customer(externalId: "acme") { id } b: customer(externalId: "beta") { id } }"#)
        .await;
    let mut members: Vec<&str> = vec![
        read["a"]["id"].as_str().unwrap(),
        read["b"]["id"].as_str().unwrap(),
    ];
    members.sort_unstable();
    let shown =
        json!([{ "id": clock, "now": "2026-10-01T00:00:00Z", "state": "READY", "customerIds": members }]);
    assert_eq!(read["testClocks"]["nodes"], shown);
}
