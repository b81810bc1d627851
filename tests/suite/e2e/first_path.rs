//! The first path of the documentation, document by document as it is written there, and then the same customer under load.
//!
//! 15,000 calls cost 10,000 · 1 + 5,000 · 0.5 = 12,500 credits; 85,000 cost 10,000 · 1 + 75,000 · 0.5 = 47,500.

use futures::future::join_all;
use serde_json::{Value, json};

use super::{
    client::{Client, RECORD, event},
    listener::Listener,
    stage::Stage,
};

const METRIC: &str = r#"mutation { createMetric(input: {key: "api_call", name: "API call", unit: "call", idempotencyKey: "m1"}) { metric { id key } userErrors { code path message } } }"#;
const RULE: &str = r#"mutation { createMeteringRule(input: {metricKey: "api_call", idempotencyKey: "r1",
  price: {graduated: {tiers: [{upTo: "10000", creditsPerUnit: "1"}, {upTo: "100000", creditsPerUnit: "0.5"}, {upTo: null, creditsPerUnit: "0.1"}]}}})
  { meteringRule { id version } userErrors { code path message } } }"#;
const CUSTOMER: &str = r#"mutation { createCustomer(input: {externalId: "acme", name: "Acme", idempotencyKey: "c1"}) { customer { id externalId } userErrors { code path message } } }"#;
const GRANT: &str = r#"mutation { grantCredits(input: {externalCustomerId: "acme", credits: "100000", source: PROMOTION, priority: 0, expiresAt: null, idempotencyKey: "g1"})
  { block { id credits remaining } userErrors { code path message } } }"#;
const STATE: &str = r#"query { customer(externalId: "acme") { balance { remaining overdraft held available pendingEvents asOf sequence }
  blocks(first: 10) { nodes { id source priority credits remaining expiresAt } }
  ledger(first: 20) { nodes { sequence kind credits balanceAfter description createdAt } }
  usageSummary { metrics { metricKey units credits } } } }"#;
const ENTITLEMENT: &str = r#"query { entitlement(externalCustomerId: "acme", metricKey: "api_call", units: "5") { allowed reason affordableUnits available asOf } }"#;
pub const BALANCE_UPDATED: &str = r#"subscription { balanceUpdated(externalCustomerId: "acme") { sequence remaining available overdraft } }"#;

/// Sizes of the requests that the load is cut into, in turn.
const SIZES: [usize; 7] = [1, 40, 7, 200, 3, 95, 18];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_path_works_as_written_with_dev_on_sqlite() {
    Stage::on_sqlite(async |stage| {
        let dev = stage.dev().await;
        walk(&dev.client).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_path_works_as_written_with_separate_processes_on_postgres() {
    Stage::on_postgres(async |stage| {
        stage.migrate().await;
        let api = stage.api().await;
        let _workers = [stage.worker(), stage.worker()];
        walk(&api.client).await;
    })
    .await;
}

async fn walk(client: &Client) {
    prepare(client).await;
    let mut updates = Listener::sse(client, BALANCE_UPDATED).await;
    assert_eq!(
        updates.next().await,
        json!({ "sequence": 1, "remaining": "100000", "available": "100000", "overdraft": "0" })
    );

    let first = client
        .send(
            RECORD,
            json!({ "events": [event("acme", "api_call", 15_000, "req-1")] }),
        )
        .await;
    let first = &first["recordUsage"];
    assert_eq!(
        (&first["acceptedCount"], &first["duplicateCount"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(first["userErrors"], json!([]));
    let result = &first["results"][0];
    assert_eq!(
        (&result["index"], &result["outcome"], &result["reason"]),
        (&json!(0), &json!("ACCEPTED"), &Value::Null)
    );
    assert_id(&result["eventId"], "evt_");
    client.settled("acme").await;
    assert_state(client, "87500", "15000", "12500").await;
    assert_eq!(updates.until("87500").await.last().unwrap()["sequence"], 2);

    load(client).await;
    client.settled("acme").await;
    let state = assert_state(client, "52500", "85000", "47500").await;
    let updates = updates.until("52500").await;
    assert_eq!(updates.last().unwrap()["sequence"], state["balance"]["sequence"]);

    let answer = &client.ask(ENTITLEMENT).await["entitlement"];
    assert_eq!(
        (&answer["allowed"], &answer["reason"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(answer["available"], "52500");
    // 15,000 more at 0.5, and 450,000 at 0.1 for the rest.
    assert_eq!(answer["affordableUnits"], "465000");
}

async fn prepare(client: &Client) {
    let metric = &client.change(METRIC).await["metric"];
    assert_id(&metric["id"], "met_");
    assert_eq!(metric["key"], "api_call");
    let rule = &client.change(RULE).await["meteringRule"];
    assert_id(&rule["id"], "rul_");
    assert_eq!(rule["version"], 1);
    let customer = &client.change(CUSTOMER).await["customer"];
    assert_id(&customer["id"], "cus_");
    assert_eq!(customer["externalId"], "acme");
    let block = &client.change(GRANT).await["block"];
    assert_id(&block["id"], "blk_");
    assert_eq!(
        (&block["credits"], &block["remaining"]),
        (&json!("100000"), &json!("100000"))
    );
}

/// 70,000 calls in 1,400 events: requests of many sizes, all of them sent twice, at the same time.
async fn load(client: &Client) {
    let events: Vec<Value> = (0..1_400)
        .map(|n| event("acme", "api_call", 50, format_args!("load-{n}")))
        .collect();
    let mut requests = Vec::new();
    let (mut rest, mut sizes) = (&events[..], SIZES.iter().cycle());
    while !rest.is_empty() {
        let (now, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        let mut request = now.to_vec();
        // The same event twice in one request.
        request.push(now[0].clone());
        requests.push(request);
        rest = later;
    }
    let again: Vec<_> = requests.iter().rev().cloned().collect();
    let sent: usize = requests.iter().chain(&again).map(Vec::len).sum();
    let lanes = requests
        .chunks(requests.len().div_ceil(3))
        .chain(again.chunks(again.len().div_ceil(3)));
    let counts = join_all(lanes.map(async |lane| {
        let (mut accepted, mut duplicates) = (0, 0);
        for request in lane {
            let answer = client.record(request).await;
            accepted += answer["acceptedCount"].as_u64().unwrap();
            duplicates += answer["duplicateCount"].as_u64().unwrap();
        }
        (accepted, duplicates)
    }))
    .await;
    let sum = counts
        .into_iter()
        .fold((0, 0), |sum, lane| (sum.0 + lane.0, sum.1 + lane.1));
    assert_eq!(sum, (1_400, sent as u64 - 1_400), "accepted and duplicates");
}

/// The state of the customer as the documented query tells it.
async fn assert_state(client: &Client, remaining: &str, units: &str, credits: &str) -> Value {
    let customer = client.ask(STATE).await["customer"].clone();
    let balance = &customer["balance"];
    assert_eq!(
        (&balance["remaining"], &balance["available"]),
        (&json!(remaining), &json!(remaining))
    );
    assert_eq!(
        (&balance["overdraft"], &balance["held"]),
        (&json!("0"), &json!("0"))
    );
    assert_eq!(balance["pendingEvents"], 0);
    assert!(
        balance["asOf"].as_str().is_some_and(|at| at.ends_with('Z')),
        "{balance}"
    );
    let blocks = customer["blocks"]["nodes"].as_array().unwrap();
    assert_eq!(blocks.len(), 1);
    assert_id(&blocks[0]["id"], "blk_");
    assert_eq!(blocks[0]["remaining"], remaining);
    assert_eq!(
        (&blocks[0]["source"], &blocks[0]["priority"]),
        (&json!("PROMOTION"), &json!(0))
    );
    assert_eq!(
        (&blocks[0]["credits"], &blocks[0]["expiresAt"]),
        (&json!("100000"), &Value::Null)
    );
    let latest = &customer["ledger"]["nodes"][0];
    assert_eq!(
        (&latest["sequence"], &latest["kind"]),
        (&balance["sequence"], &json!("DEBIT"))
    );
    assert_eq!(latest["balanceAfter"], remaining);
    let used = json!([{ "metricKey": "api_call", "units": units, "credits": credits }]);
    assert_eq!(customer["usageSummary"]["metrics"], used);
    customer
}

#[track_caller]
fn assert_id(id: &Value, prefix: &str) {
    assert!(
        id.as_str()
            .is_some_and(|id| id.starts_with(prefix) && id.len() > prefix.len()),
        "{id} is no {prefix}…"
    );
}
