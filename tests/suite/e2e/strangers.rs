//! Tenants on one server do not exist for each other: whatever names something of another tenant is answered exactly as if
//! it were not there, in every root field that can name something.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    client::{Client, event},
    contract,
    stage::Stage,
};

/// How a field says that there is no such thing.
enum Nothing {
    /// `null`.
    Null,
    /// A user error.
    NotFound,
    /// A top-level error with this reason.
    Error,
    /// A result per event.
    Rejected,
}

/// Each root field that can name something, and a request that names something of the owner.
const REQUESTS: [(&str, &str, Nothing); 25] = [
    (
        "customer",
        r#"{ customer(id: "CUSTOMER") { id } }"#,
        Nothing::Null,
    ),
    (
        "customer",
        r#"{ customer(externalId: "acme") { id } }"#,
        Nothing::Null,
    ),
    ("metric", r#"{ metric(key: "call") { id } }"#, Nothing::Null),
    ("usageEvent", r#"{ usageEvent(key: "e1") { id } }"#, Nothing::Null),
    (
        "explainEntry",
        r#"{ explainEntry(id: "ENTRY") { entry { id } } }"#,
        Nothing::Null,
    ),
    ("node", r#"{ node(id: "CUSTOMER") { id } }"#, Nothing::Null),
    ("node", r#"{ node(id: "BLOCK") { id } }"#, Nothing::Null),
    ("node", r#"{ node(id: "ENTRY") { id } }"#, Nothing::Null),
    ("node", r#"{ node(id: "EVENT") { id } }"#, Nothing::Null),
    ("node", r#"{ node(id: "METRIC") { id } }"#, Nothing::Null),
    ("node", r#"{ node(id: "RULE") { id } }"#, Nothing::Null),
    ("node", r#"{ node(id: "KEY") { id } }"#, Nothing::Null),
    (
        "meteringRules",
        r#"{ meteringRules(metricKey: "call") { nodes { id } } }"#,
        Nothing::Error,
    ),
    (
        "entitlement",
        r#"{ entitlement(customerId: "CUSTOMER", metricKey: "own") { allowed } }"#,
        Nothing::Error,
    ),
    (
        "pricePreview",
        r#"{ pricePreview(customerId: "CUSTOMER", metricKey: "own", units: "1") { credits } }"#,
        Nothing::Error,
    ),
    (
        "createMeteringRule",
        r#"mutation { createMeteringRule(input: {metricKey: "call", price: {flat: {credits: "9"}}, idempotencyKey: "1"}) { meteringRule { id } userErrors { code } } }"#,
        Nothing::NotFound,
    ),
    (
        "updateMetric",
        r#"mutation { updateMetric(input: {key: "call", name: "stolen"}) { metric { id } userErrors { code } } }"#,
        Nothing::NotFound,
    ),
    (
        "grantCredits",
        r#"mutation { grantCredits(input: {customerId: "CUSTOMER", credits: "1", source: PURCHASE, idempotencyKey: "2"}) { block { id } userErrors { code } } }"#,
        Nothing::NotFound,
    ),
    (
        "adjustCredits",
        r#"mutation { adjustCredits(input: {customerId: "CUSTOMER", credits: "1", idempotencyKey: "3"}) { adjustment { balance { remaining } } userErrors { code } } }"#,
        Nothing::NotFound,
    ),
    (
        "revokeBlock",
        r#"mutation { revokeBlock(input: {blockId: "BLOCK", idempotencyKey: "4"}) { block { id } userErrors { code } } }"#,
        Nothing::NotFound,
    ),
    (
        "updateCustomer",
        r#"mutation { updateCustomer(input: {customerId: "CUSTOMER", name: "stolen"}) { customer { id } userErrors { code } } }"#,
        Nothing::NotFound,
    ),
    (
        "voidUsage",
        r#"mutation { voidUsage(input: {key: "e1", idempotencyKey: "5"}) { voided { key } userErrors { code } } }"#,
        Nothing::NotFound,
    ),
    (
        "revokeApiKey",
        r#"mutation { revokeApiKey(input: {id: "KEY", idempotencyKey: "6"}) { apiKey { id } userErrors { code } } }"#,
        Nothing::NotFound,
    ),
    (
        "retryWork",
        r#"mutation { retryWork(input: {workId: "WORK", idempotencyKey: "7"}) { work { id } userErrors { code } } }"#,
        Nothing::NotFound,
    ),
    (
        "recordUsage",
        r#"mutation { recordUsage(input: {events: [{customerId: "CUSTOMER", metricKey: "own", units: "1", idempotencyKey: "e1"}]}) { results { outcome reason } acceptedCount userErrors { code } } }"#,
        Nothing::Rejected,
    ),
];
/// Fields that name something new, which another tenant's things of the same name must not hinder.
const NEW: [&str; 2] = ["createCustomer", "createMetric"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn things_of_another_tenant_do_not_exist_on_sqlite() {
    Stage::on_sqlite(play).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn things_of_another_tenant_do_not_exist_on_postgres() {
    Stage::on_postgres(play).await;
}

async fn play(stage: &Stage) {
    stage.migrate().await;
    let server = stage.api().await;
    let _worker = stage.worker();
    let owner = &server.client;
    let made = stage
        .command(&["keys", "create", "--tenant", "other", "--all-scopes"])
        .await;
    assert_eq!(made.code, 0, "{made:?}");
    let stranger = owner.with_key(made.out.trim());
    assert_eq!(
        stranger.ask("{ viewer { tenant { name mode } } }").await["viewer"]["tenant"]["name"],
        "other"
    );

    owner.metric("call", r#"{flat: {credits: "1"}}"#).await;
    owner.customer("acme", "10").await;
    owner.record(&[event("acme", "call", 1, "e1")]).await;
    owner.settled("acme").await;
    let ids = ids(owner).await;
    let before = state(owner).await;
    stranger.metric("own", r#"{flat: {credits: "1"}}"#).await;

    for (field, request, nothing) in &REQUESTS {
        let request = ids
            .iter()
            .fold((*request).to_owned(), |text, (name, id)| text.replace(name, id));
        let reply = stranger.reply(&request).await;
        let said = &reply.body["data"][field];
        match nothing {
            Nothing::Null => {
                assert_eq!(reply.body["data"], json!({ *field: null }), "{request}");
                assert_eq!(reply.body.get("errors"), None, "{request}");
            }
            Nothing::NotFound => {
                assert_eq!(
                    said["userErrors"],
                    json!([{ "code": "NOT_FOUND" }]),
                    "{request}\n{reply:?}"
                );
                let object = said
                    .as_object()
                    .unwrap()
                    .iter()
                    .find(|(name, _)| *name != "userErrors");
                assert_eq!(object.unwrap().1, &Value::Null, "{request}");
            }
            Nothing::Error => {
                assert_eq!(
                    reply.body["errors"][0]["extensions"]["reason"], "NOT_FOUND",
                    "{request}\n{reply:?}"
                );
            }
            Nothing::Rejected => {
                assert_eq!(
                    said["results"],
                    json!([{ "outcome": "REJECTED", "reason": "UNKNOWN_CUSTOMER" }]),
                    "{said}"
                );
            }
        }
    }
    let live = stranger.stream(&format!(
        r#"subscription {{ balanceUpdated(customerId: "{}") {{ sequence }} }}"#,
        ids[0].1
    ));
    let live = live.send().await.unwrap().text().await.unwrap();
    assert!(
        live.contains("NOT_FOUND") && !live.contains("\"sequence\""),
        "{live}"
    );

    let tried: BTreeSet<_> = REQUESTS
        .iter()
        .map(|(field, ..)| *field)
        .chain(NEW)
        .map(str::to_owned)
        .collect();
    let mut naming = contract::fields_that_name_something("Query");
    naming.extend(contract::fields_that_name_something("Mutation"));
    assert_eq!(
        tried, naming,
        "every root field that names something must be tried"
    );

    // The same names are free for the other tenant, down to the idempotency keys.
    assert_eq!(state(owner).await, before, "nothing of the owner has changed");
    stranger.metric("call", r#"{flat: {credits: "2"}}"#).await;
    stranger.customer("acme", "10").await;
    assert_eq!(
        stranger.record(&[event("acme", "call", 1, "e1")]).await["acceptedCount"],
        1
    );
    assert_eq!(stranger.settled("acme").await["remaining"], "8");
    assert_eq!(state(owner).await, before, "nothing of the owner has changed");
}

/// One id of everything that the owner has.
async fn ids(owner: &Client) -> Vec<(&'static str, String)> {
    let data = owner
        .ask(r#"{ customer(externalId: "acme") { id blocks { nodes { id } } ledger { nodes { id } } }
            usageEvent(key: "e1") { id } metric(key: "call") { id } meteringRules { nodes { id } } apiKeys { nodes { id } } }"#)
        .await;
    let customer = &data["customer"];
    let id = |value: &Value| value.as_str().unwrap().to_owned();
    let customer_id = id(&customer["id"]);
    let work = customer_id.replacen("cus_", "wrk_", 1);
    vec![
        ("CUSTOMER", customer_id),
        ("BLOCK", id(&customer["blocks"]["nodes"][0]["id"])),
        ("ENTRY", id(&customer["ledger"]["nodes"][0]["id"])),
        ("EVENT", id(&data["usageEvent"]["id"])),
        ("METRIC", id(&data["metric"]["id"])),
        ("RULE", id(&data["meteringRules"]["nodes"][0]["id"])),
        ("KEY", id(&data["apiKeys"]["nodes"][0]["id"])),
        ("WORK", work),
    ]
}

/// Everything that the owner can see.
async fn state(owner: &Client) -> Value {
    owner
        .ask(r#"{ customers { nodes { id name updatedAt balance { remaining sequence pendingEvents } blocks { nodes { state remaining } }
            ledger { nodes { id } } usageEvents { nodes { id state credits } } } }
            metrics { nodes { id name } } meteringRules { nodes { id } } apiKeys { nodes { id revokedAt } } }"#)
        .await
}
