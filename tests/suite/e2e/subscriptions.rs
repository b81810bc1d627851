//! Source P4 over the wire: a year's contract, a month of 85,000 calls by a test clock, and what is told and left afterwards.
//!
//! 85,000 calls cost 10,000 · 1 + 75,000 · 0.5 = 47,500 credits of a budget of 100,000.

use serde_json::{Value, json};

use super::{
    client::{Client, event},
    listener::Listener,
    process::until,
    stage::Stage,
};

const WATCH: &str = r#"subscription { balanceUpdated(externalCustomerId: "acme") { sequence remaining available overdraft } }"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contract_is_lived_through_with_dev_on_sqlite() {
    Stage::on_sqlite(async |stage| {
        let dev = stage.dev().await;
        live(&dev.client, &dev.client).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contract_is_lived_through_with_separate_processes_on_postgres() {
    Stage::on_postgres(async |stage| {
        stage.migrate().await;
        let (here, there) = (stage.api().await, stage.api().await);
        let _workers = [stage.worker(), stage.worker()];
        live(&here.client, &there.client).await;
    })
    .await;
}

/// Does things through one process and watches through another.
async fn live(client: &Client, other: &Client) {
    let (clock, subscription) = prepare(client).await;
    let mut updates = Listener::web_socket(other, WATCH).await;
    assert_eq!(
        updates.next().await,
        json!({ "sequence": 1, "remaining": "100000", "available": null, "overdraft": "0" })
    );
    for (day, calls) in [(20, 15_000), (28, 70_000)] {
        advance(client, &clock, &format!("2026-04-{day}T09:00:00Z")).await;
        client
            .record(&[event("acme", "api_call", calls, format_args!("calls-{day}"))])
            .await;
    }
    assert_eq!(client.settled("acme").await["remaining"], "52500");
    advance(client, &clock, "2026-05-12T23:59:59Z").await;
    assert!(
        seen(&mut updates, "52500")
            .await
            .ends_with(&["87500".to_owned(), "52500".to_owned()])
    );
    assert_eq!(cycle(client, &subscription).await["number"], 1);

    // The cycle turns: what is left of the budget ends, and the next is there.
    advance(client, &clock, "2026-05-13T00:00:00Z").await;
    // The old budget ends, the new one begins.
    assert!(
        seen(&mut updates, "100000")
            .await
            .ends_with(&["0".to_owned(), "100000".to_owned()])
    );
    assert_eq!(cycle(client, &subscription).await["number"], 2);
    let entitled = client
        .ask(r#"{ entitlement(externalCustomerId: "acme", metricKey: "api_call", units: "10000") { allowed reason cost available } }"#)
        .await;
    assert_eq!(
        entitled["entitlement"],
        json!({ "allowed": true, "reason": null, "cost": "10000", "available": null })
    );

    // The time for late usage is over: the summary is final, and told.
    advance(client, &clock, "2026-05-13T01:00:00Z").await;
    assert_summary(client).await;
    assert_told(client, &subscription).await;
    lengthen(client, &subscription).await;
    end(client, &clock, &subscription).await;
}

/// What was left after each change, from the last one known to one with so much left. A change is told again, with the same number,
/// when something else about the customer is new: its clock has moved.
async fn seen(updates: &mut Listener, left: &str) -> Vec<String> {
    let mut seen: Vec<(u64, String)> = Vec::new();
    loop {
        let update = updates.next().await;
        let sequence = update["sequence"].as_u64().unwrap();
        let remaining = update["remaining"].as_str().unwrap().to_owned();
        match seen.last() {
            Some(last) if last.0 == sequence => assert_eq!(last.1, remaining),
            Some(last) => {
                assert_eq!(sequence, last.0 + 1, "{seen:?}");
                seen.push((sequence, remaining));
            }
            None => seen.push((sequence, remaining)),
        }
        if seen.last().is_some_and(|it| it.1 == left) {
            return seen.into_iter().map(|it| it.1).collect();
        }
    }
}

/// A clock, the plan of P4, a customer on the clock and its contract. Answers the ids of the clock and the subscription.
async fn prepare(client: &Client) -> (String, String) {
    client
        .metric(
            "api_call",
            r#"{graduated: {tiers: [{upTo: "10000", creditsPerUnit: "1"}, {upTo: "100000", creditsPerUnit: "0.5"}, {upTo: null, creditsPerUnit: "0.1"}]}}"#,
        )
        .await;
    client
        .change(r#"mutation { createPlan(input: {key: "api-platform", name: "API Platform", idempotencyKey: "p"}) { plan { id } userErrors { code path message } } }"#)
        .await;
    let variant = client
        .change(
            r#"mutation { createPlanVariant(input: {planKey: "api-platform", name: "Monthly Postpaid", interval: {unit: MONTH}, mode: POSTPAID,
                allowUsageWhileOverdue: true, idempotencyKey: "v"}) { planVariant { id } userErrors { code path message } } }"#,
        )
        .await;
    let variant = id(&variant["planVariant"]);
    client
        .change(&format!(
            r#"mutation {{ createGrantTemplate(input: {{variantId: "{variant}", credits: "100000", priority: 10, idempotencyKey: "t"}})
                {{ grantTemplate {{ id }} userErrors {{ code path message }} }} }}"#
        ))
        .await;
    let clock = client
        .change(
            r#"mutation { createTestClock(input: {name: "P4", now: "2026-04-13T00:00:00Z", idempotencyKey: "k"})
                { testClock { id now state } userErrors { code path message } } }"#,
        )
        .await["testClock"]
        .clone();
    assert_eq!(clock["state"], "READY");
    let clock = id(&clock);
    client
        .change(&format!(
            r#"mutation {{ createCustomer(input: {{externalId: "acme", testClockId: "{clock}", policy: ALLOW, idempotencyKey: "c"}})
                {{ customer {{ id }} userErrors {{ code path message }} }} }}"#
        ))
        .await;
    let begun = client
        .change(&format!(
            r#"mutation {{ createSubscription(input: {{externalCustomerId: "acme", variantId: "{variant}", contractEnd: "2027-04-13T00:00:00Z",
                contractEndingSoonDays: 30, externalId: "your_contract_ref_123", metadata: {{account_manager: "jane@yourcompany.com"}},
                idempotencyKey: "s"}}) {{ subscription {{ id state contract {{ start end }} metadata
                currentCycle {{ number state period {{ start end }} creditsGranted }} }} userErrors {{ code path message }} }} }}"#
        ))
        .await["subscription"]
        .clone();
    let subscription = id(&begun);
    assert_eq!(
        begun,
        json!({
            "id": subscription, "state": "ACTIVE",
            "contract": { "start": "2026-04-13T00:00:00Z", "end": "2027-04-13T00:00:00Z" },
            "metadata": { "account_manager": "jane@yourcompany.com" },
            "currentCycle": {
                "number": 1, "state": "RUNNING", "creditsGranted": "100000",
                "period": { "start": "2026-04-13T00:00:00Z", "end": "2026-05-13T00:00:00Z" },
            },
        })
    );
    (clock, subscription)
}

/// The invoice's figures, read of the customer.
async fn assert_summary(client: &Client) {
    let read = client
        .ask(
            r#"{ customer(externalId: "acme") { balance { remaining } subscriptions(first: 5) { nodes { state cycles(first: 5) { nodes {
                number state period { start end } creditsGranted usageSummary { totalCreditsConsumed netBalanceAtCycleStart
                netBalanceAtCycleEnd metrics { metricKey units credits } } } } } } } }"#,
        )
        .await;
    assert_eq!(
        read["customer"],
        json!({
            "balance": { "remaining": "100000" },
            "subscriptions": { "nodes": [{ "state": "ACTIVE", "cycles": { "nodes": [
                {
                    "number": 2, "state": "RUNNING", "creditsGranted": "100000", "usageSummary": null,
                    "period": { "start": "2026-05-13T00:00:00Z", "end": "2026-06-13T00:00:00Z" },
                },
                {
                    "number": 1, "state": "CLOSED", "creditsGranted": "100000",
                    "period": { "start": "2026-04-13T00:00:00Z", "end": "2026-05-13T00:00:00Z" },
                    "usageSummary": {
                        "totalCreditsConsumed": "47500", "netBalanceAtCycleStart": "100000", "netBalanceAtCycleEnd": "52500",
                        "metrics": [{ "metricKey": "api_call", "units": "85000", "credits": "47500" }],
                    },
                },
            ] } }] },
        })
    );
}

/// The event, word for word as in the source (credits as decimals).
async fn assert_told(client: &Client, subscription: &str) {
    let events = events(client, subscription).await;
    let types: Vec<&str> = events.iter().map(|it| it["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["subscription.created", "subscription.renewed"]);
    let customer = client.ask(r#"{ customer(externalId: "acme") { id } }"#).await;
    assert_eq!(
        events[1]["data"],
        json!({
            "subscription_id": subscription,
            "customer_id": customer["customer"]["id"],
            "billing_mode": "postpaid",
            "prior_period": { "start": "2026-04-13T00:00:00Z", "end": "2026-05-13T00:00:00Z" },
            "new_period": { "start": "2026-05-13T00:00:00Z", "end": "2026-06-13T00:00:00Z" },
            "cycle_number": 2,
            "credits_granted": "100000",
            "usage_summary": {
                "total_credits_consumed": "47500",
                "net_balance_at_cycle_start": "100000",
                "net_balance_at_cycle_end": "52500",
                "by_billable_metric": { "api_call": { "units": "85000", "credits": "47500" } },
            },
        })
    );
}

/// The contract is extended; what cannot be is refused with a code, and without a path where no field is to blame.
async fn lengthen(client: &Client, subscription: &str) {
    let extend = |end: &str, key: &str| {
        format!(
            r#"mutation {{ extendContract(input: {{subscriptionId: "{subscription}", contractEnd: "{end}", idempotencyKey: "{key}"}})
                {{ subscription {{ contract {{ end }} }} idempotentReplay userErrors {{ code path message }} }} }}"#
        )
    };
    let done = client.change(&extend("2028-04-13T00:00:00Z", "e1")).await;
    assert_eq!(done["subscription"]["contract"]["end"], "2028-04-13T00:00:00Z");
    let again = client.change(&extend("2028-04-13T00:00:00Z", "e1")).await;
    assert_eq!(again["idempotentReplay"], true);
    let refused = &client.ask(&extend("2027-04-13T00:00:00Z", "e2")).await["extendContract"];
    assert_eq!(refused["subscription"], Value::Null);
    assert_eq!(
        (
            &refused["userErrors"][0]["code"],
            &refused["userErrors"][0]["path"]
        ),
        (&json!("INVALID_INPUT"), &json!(["input", "contractEnd"]))
    );
    // It renews by itself.
    let renew = format!(
        r#"mutation {{ renewSubscription(input: {{subscriptionId: "{subscription}", idempotencyKey: "r"}})
            {{ subscription {{ id }} userErrors {{ code path message }} }} }}"#
    );
    assert_refused(client, &renew, "renewSubscription").await;
}

/// It is cancelled with the running cycle, and then is over for good.
async fn end(client: &Client, clock: &str, subscription: &str) {
    let cancel = |effect: &str, key: &str| {
        format!(
            r#"mutation {{ cancelSubscription(input: {{subscriptionId: "{subscription}"{effect}, idempotencyKey: "{key}"}})
                {{ subscription {{ state cancelAtEnd endedAt }} userErrors {{ code path message }} }} }}"#
        )
    };
    let done = client.change(&cancel("", "x1")).await;
    let wanted = json!({ "state": "ACTIVE", "cancelAtEnd": true, "endedAt": null });
    assert_eq!(done["subscription"], wanted);
    advance(client, clock, "2026-06-13T01:00:00Z").await;
    let read = client
        .ask(&format!(
            r#"{{ subscription(id: "{subscription}") {{ state endedAt currentCycle {{ number }} }} customer(externalId: "acme") {{ balance {{ remaining }} }} }}"#
        ))
        .await;
    assert_eq!(
        read,
        json!({
            "subscription": { "state": "CANCELLED", "endedAt": "2026-06-13T00:00:00Z", "currentCycle": null },
            "customer": { "balance": { "remaining": "0" } },
        })
    );
    let types: Vec<String> = events(client, subscription)
        .await
        .iter()
        .map(|it| it["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        types[2..],
        [
            "subscription.contract_extended",
            "subscription.cancellation_scheduled",
            "subscription.cancelled",
            "subscription.cycle_closed",
        ]
    );
    assert_refused(client, &cancel(", takesEffect: NOW", "x2"), "cancelSubscription").await;
}

/// A state that does not allow something: a code of its own, and no field is to blame.
pub(super) async fn assert_refused(client: &Client, mutation: &str, name: &str) {
    let refused = &client.ask(mutation).await[name];
    assert_eq!(refused["subscription"], Value::Null);
    let errors = refused["userErrors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "{refused}");
    assert_eq!(
        (&errors[0]["code"], &errors[0]["path"]),
        (&json!("SUBSCRIPTION_STATE"), &Value::Null)
    );
    assert!(errors[0]["message"].as_str().is_some_and(|text| !text.is_empty()));
}

/// Sends the clock on its way and waits until it stands.
pub(super) async fn advance(client: &Client, clock: &str, to: &str) {
    client
        .change(&format!(
            r#"mutation {{ advanceTestClock(input: {{testClockId: "{clock}", to: "{to}", idempotencyKey: "to-{to}"}})
                {{ testClock {{ id }} userErrors {{ code path message }} }} }}"#
        ))
        .await;
    let query = format!(r#"{{ testClock(id: "{clock}") {{ now state }} }}"#);
    until(&format!("the clock shows {to}"), async || {
        let data = client.ask(&query).await;
        (data["testClock"] == json!({ "now": to, "state": "READY" })).then_some(())
    })
    .await;
}

/// The running cycle.
async fn cycle(client: &Client, subscription: &str) -> Value {
    let query = format!(r#"{{ subscription(id: "{subscription}") {{ currentCycle {{ number }} }} }}"#);
    client.ask(&query).await["subscription"]["currentCycle"].clone()
}

/// What was told about a subscription, oldest first.
pub(super) async fn events(client: &Client, subscription: &str) -> Vec<Value> {
    let query = format!(
        r#"{{ subscription(id: "{subscription}") {{ events(first: 50) {{ nodes {{ type occurredAt data }} }} }} }}"#
    );
    let data = client.ask(&query).await;
    let mut all = data["subscription"]["events"]["nodes"]
        .as_array()
        .unwrap()
        .clone();
    all.reverse();
    all
}

pub(super) fn id(of: &Value) -> String {
    of["id"].as_str().unwrap().to_owned()
}
