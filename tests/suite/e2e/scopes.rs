//! What a key may not do, and that a key which is gone is gone at once.

use std::collections::BTreeSet;

use serde_json::json;

use super::{
    client::{Client, event},
    contract,
    listener::{Said, Socket},
    stage::Stage,
};

/// A request for every root field that `usage:write` does not open, with input that would be fine.
const CLOSED: [(&str, &str); 22] = [
    ("apiKeys", "{ apiKeys { nodes { id } } }"),
    ("customer", r#"{ customer(externalId: "acme") { id } }"#),
    ("customers", "{ customers { nodes { id } } }"),
    (
        "entitlement",
        r#"{ entitlement(externalCustomerId: "acme", metricKey: "call") { allowed } }"#,
    ),
    (
        "explainEntry",
        r#"{ explainEntry(id: "ENTRY") { entry { id } } }"#,
    ),
    ("jobs", "{ jobs { asOf } }"),
    ("meteringRules", "{ meteringRules { nodes { id } } }"),
    ("metric", r#"{ metric(key: "call") { id } }"#),
    ("metrics", "{ metrics { nodes { id } } }"),
    ("node", r#"{ node(id: "CUSTOMER") { id } }"#),
    (
        "pricePreview",
        r#"{ pricePreview(metricKey: "call", units: "1") { credits } }"#,
    ),
    ("usageEvent", r#"{ usageEvent(key: "e1") { id } }"#),
    (
        "adjustCredits",
        r#"mutation { adjustCredits(input: {externalCustomerId: "acme", credits: "1", idempotencyKey: "k"}) { userErrors { code } } }"#,
    ),
    (
        "createApiKey",
        r#"mutation { createApiKey(input: {name: "x", scopes: ["usage:write"], idempotencyKey: "k"}) { secret userErrors { code } } }"#,
    ),
    (
        "createCustomer",
        r#"mutation { createCustomer(input: {externalId: "x", idempotencyKey: "k"}) { userErrors { code } } }"#,
    ),
    (
        "createMeteringRule",
        r#"mutation { createMeteringRule(input: {metricKey: "call", price: {flat: {credits: "1"}}, idempotencyKey: "k"}) { userErrors { code } } }"#,
    ),
    (
        "createMetric",
        r#"mutation { createMetric(input: {key: "x", name: "x", idempotencyKey: "k"}) { userErrors { code } } }"#,
    ),
    (
        "grantCredits",
        r#"mutation { grantCredits(input: {externalCustomerId: "acme", credits: "1", source: PURCHASE, idempotencyKey: "k"}) { userErrors { code } } }"#,
    ),
    (
        "retryWork",
        r#"mutation { retryWork(input: {workId: "WORK", idempotencyKey: "k"}) { userErrors { code } } }"#,
    ),
    (
        "revokeApiKey",
        r#"mutation { revokeApiKey(input: {id: "KEY", idempotencyKey: "k"}) { userErrors { code } } }"#,
    ),
    (
        "revokeBlock",
        r#"mutation { revokeBlock(input: {blockId: "BLOCK", idempotencyKey: "k"}) { userErrors { code } } }"#,
    ),
    (
        "updateCustomer",
        r#"mutation { updateCustomer(input: {externalCustomerId: "acme", name: "x"}) { userErrors { code } } }"#,
    ),
];
const UPDATE_METRIC: (&str, &str) = (
    "updateMetric",
    r#"mutation { updateMetric(input: {key: "call", name: "x"}) { userErrors { code } } }"#,
);
/// What the key of the case may do.
const OPEN: [&str; 3] = ["viewer", "recordUsage", "voidUsage"];

/// Makes a key; answers its id and its secret.
async fn key(client: &Client, name: &str, scopes: &str) -> (String, Client) {
    let made = client
        .change(&format!(
            r#"mutation {{ createApiKey(input: {{name: "{name}", scopes: [{scopes}], idempotencyKey: "key-{name}"}}) {{ apiKey {{ id scopes hint }} secret idempotentReplay userErrors {{ code message }} }} }}"#
        ))
        .await;
    let secret = made["secret"].as_str().unwrap();
    assert!(
        !made["apiKey"]["hint"].as_str().unwrap().contains(&secret[8..]),
        "{made}"
    );
    (
        made["apiKey"]["id"].as_str().unwrap().to_owned(),
        client.with_key(secret),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_may_record_usage_may_do_nothing_else() {
    Stage::on_sqlite(async |stage| {
        let dev = stage.dev().await;
        let owner = &dev.client;
        owner.metric("call", r#"{flat: {credits: "1"}}"#).await;
        let customer = owner.customer("acme", "10").await;
        let block = owner.grant("acme", "1", "g2").await;
        let (id, narrow) = key(owner, "narrow", r#""usage:write""#).await;
        let data = owner
            .ask(r#"{ customer(externalId: "acme") { ledger { nodes { id } } } }"#)
            .await;
        let entry = data["customer"]["ledger"]["nodes"][0]["id"]
            .as_str()
            .unwrap()
            .to_owned();

        let work = customer.replacen("cus_", "wrk_", 1);
        assert_eq!(
            narrow.record(&[event("acme", "call", 1, "e1")]).await["acceptedCount"],
            1
        );
        let closed = CLOSED.into_iter().chain([UPDATE_METRIC]);
        for (field, request) in closed.clone() {
            let request = request
                .replace("CUSTOMER", &customer)
                .replace("ENTRY", &entry)
                .replace("KEY", &id);
            let request = request
                .replace("BLOCK", block["id"].as_str().unwrap())
                .replace("WORK", &work);
            let reply = narrow.reply(&request).await;
            assert_eq!(reply.code(), "FORBIDDEN", "{field}: {reply:?}");
            assert_eq!(reply.body["errors"][0]["extensions"]["retryable"], false);
            let data = &reply.body["data"];
            assert!(data.is_null() || data[field].is_null(), "{field}: {reply:?}");
        }
        let named: BTreeSet<_> = closed
            .map(|(field, _)| field)
            .chain(OPEN)
            .map(str::to_owned)
            .collect();
        let all = contract::fields("Query")
            .into_keys()
            .chain(contract::fields("Mutation").into_keys());
        assert_eq!(
            named,
            all.collect::<BTreeSet<_>>(),
            "every root field must be tried"
        );

        let mut socket = Socket::open(&narrow).await;
        socket
            .subscribe(
                "1",
                r#"subscription { balanceUpdated(externalCustomerId: "acme") { sequence } }"#,
            )
            .await;
        let Said::Message(message) = socket.hear().await else {
            panic!("closed")
        };
        assert!(message.to_string().contains("FORBIDDEN"), "{message}");

        let viewer = narrow.ask("{ viewer { apiKeyId scopes } }").await;
        assert_eq!(
            viewer["viewer"],
            json!({ "apiKeyId": id, "scopes": ["usage:write"] })
        );
        assert_eq!(
            owner.settled("acme").await["remaining"],
            "10",
            "11 granted, one event"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_below_the_root_have_scopes_of_their_own() {
    Stage::on_sqlite(async |stage| {
        let dev = stage.dev().await;
        let owner = &dev.client;
        let id = owner.customer("acme", "10").await;
        let (_, reader) = key(owner, "reader", r#""customer:read""#).await;
        for field in [
            "balance { remaining }",
            "blocks { nodes { id } }",
            "ledger { nodes { id } }",
            "usageEvents { nodes { id } }",
            "usageSummary { metrics { units } }",
        ] {
            for root in [
                "customer(externalId: \"acme\")".to_owned(),
                format!("node(id: \"{id}\")"),
            ] {
                let reply = reader
                    .reply(&format!("{{ {root} {{ ... on Customer {{ {field} }} }} }}"))
                    .await;
                assert_eq!(reply.code(), "FORBIDDEN", "{field}: {reply:?}");
            }
        }
        assert_eq!(
            reader
                .ask(r#"{ customer(externalId: "acme") { externalId } }"#)
                .await["customer"]["externalId"],
            "acme"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_refused_at_once_and_a_key_makes_no_stronger_ones() {
    Stage::on_sqlite(async |stage| {
        let dev = stage.dev().await;
        let owner = &dev.client;
        let (id, maker) = key(owner, "maker", r#""access:write", "usage:read""#).await;
        let stronger = r#"mutation { createApiKey(input: {name: "s", scopes: ["usage:write"], idempotencyKey: "s"}) { secret userErrors { code path } } }"#;
        let refused = &maker.ask(stronger).await["createApiKey"];
        assert_eq!((&refused["secret"], &refused["userErrors"][0]["path"]), (&json!(null), &json!(["input", "scopes"])));

        assert_eq!(maker.ask("{ viewer { apiKeyId } }").await["viewer"]["apiKeyId"], id.as_str());
        let revoke = format!(r#"mutation {{ revokeApiKey(input: {{id: "{id}", idempotencyKey: "r"}}) {{ apiKey {{ revokedAt }} userErrors {{ code }} }} }}"#);
        assert!(owner.change(&revoke).await["apiKey"]["revokedAt"].is_string());
        let reply = maker.reply("{ viewer { apiKeyId } }").await;
        assert_eq!((reply.status.as_u16(), reply.code()), (401, "UNAUTHENTICATED"));
    })
    .await;
}
