//! Balances as they change: the present first, then every change with its number, over both protocols and from every process.

use serde_json::{Value, json};

use super::{
    client::{Client, event},
    listener::{Listener, Said, Socket},
    stage::Stage,
};

const WATCH: &str = r#"subscription { balanceUpdated(externalCustomerId: "acme") { customerId sequence remaining available overdraft } }"#;

/// The same, after a number.
fn watch_after(sequence: &Value) -> String {
    format!(
        r#"subscription {{ balanceUpdated(externalCustomerId: "acme", after: {sequence}) {{ sequence remaining available overdraft }} }}"#
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_every_process_arrive_in_order_over_both_protocols_on_postgres() {
    Stage::on_postgres(async |stage| {
        stage.migrate().await;
        let (here, there) = (stage.api().await, stage.api().await);
        let _worker = stage.worker();
        follow(&here.client, &there.client).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_every_process_arrive_in_order_over_both_protocols_on_sqlite() {
    Stage::on_sqlite(async |stage| {
        stage.migrate().await;
        let (here, there) = (stage.api().await, stage.api().await);
        let _worker = stage.worker();
        follow(&here.client, &there.client).await;
    })
    .await;
}

/// Watches through one process what is done through another.
async fn follow(here: &Client, there: &Client) {
    there.metric("call", r#"{perUnit: {creditsPerUnit: "2"}}"#).await;
    let id = there.customer("acme", "1000").await;
    let mut readers = [
        Listener::web_socket(here, WATCH).await,
        Listener::sse(here, WATCH).await,
    ];
    let present = json!({ "customerId": id, "sequence": 1, "remaining": "1000", "available": "1000", "overdraft": "0" });
    for reader in &mut readers {
        assert_eq!(reader.next().await, present);
    }

    let mut requests = Vec::new();
    for n in 0..30 {
        requests.push(there.record(&[event("acme", "call", 1, n)]).await);
        if n == 15 {
            there.grant("acme", "7", "g2").await;
        }
    }
    there.settled("acme").await;
    let mut all = Vec::new();
    for reader in &mut readers {
        let mut seen = reader.until("947").await;
        assert_eq!(seen[0]["sequence"], 2, "the first change after the present");
        all.push(std::mem::take(&mut seen));
    }
    assert_eq!(all[0], all[1], "both protocols tell the same");
    assert_ledger(here, &all[0]).await;

    // The line breaks, things happen, and both readers resume where they were.
    drop(readers);
    let last = all[0].last().unwrap()["sequence"].clone();
    there.grant("acme", "3", "g3").await;
    there.grant("acme", "4", "g4").await;
    let query = watch_after(&last);
    for mut reader in [
        Listener::web_socket(here, &query).await,
        Listener::sse(here, &query).await,
    ] {
        let missed = reader.until("954").await;
        let next = last.as_u64().unwrap();
        let numbers: Vec<_> = missed
            .iter()
            .map(|update| update["sequence"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, [next + 1, next + 2]);
        assert_eq!(missed[0]["remaining"], "950");
    }
    // Who missed nothing is told the present.
    let now = json!(last.as_u64().unwrap() + 2);
    let update = Listener::sse(here, &watch_after(&now)).await.next().await;
    assert_eq!((&update["sequence"], &update["remaining"]), (&now, &json!("954")));
}

/// Every update is what the ledger says.
async fn assert_ledger(client: &Client, updates: &[Value]) {
    let query =
        r#"{ customer(externalId: "acme") { ledger(first: 100) { nodes { sequence balanceAfter } } } }"#;
    let data = client.ask(query).await;
    let mut lines = data["customer"]["ledger"]["nodes"].as_array().unwrap().clone();
    lines.reverse();
    let told: Vec<_> = updates
        .iter()
        .map(|it| (&it["sequence"], &it["remaining"]))
        .collect();
    let written: Vec<_> = lines[1..]
        .iter()
        .map(|it| (&it["sequence"], &it["balanceAfter"]))
        .collect();
    assert_eq!(told, written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_socket_lets_nobody_in_without_a_key_that_works() {
    Stage::on_sqlite(async |stage| {
        let client = stage.dev().await;
        let client = &client.client;
        for payload in [
            Value::Null,
            json!({}),
            json!({ "authorization": "Bearer wrong" }),
            json!({ "authorization": 1 }),
        ] {
            let mut socket = Socket::connect(client).await;
            socket.init(payload.clone()).await;
            let said = socket.hear().await;
            assert_eq!(
                said,
                Said::Closed(Some((4403, "Forbidden".to_owned()))),
                "{payload}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_socket_runs_subscriptions_only() {
    Stage::on_sqlite(async |stage| {
        let dev = stage.dev().await;
        let client = &dev.client;
        client.customer("acme", "5").await;
        let mut socket = Socket::open(client).await;
        for document in [
            r#"mutation { grantCredits(input: {externalCustomerId: "acme", credits: "1", source: PURCHASE, idempotencyKey: "ws"}) { block { id } } }"#,
            "{ viewer { scopes } }",
            "subscription { nothing }",
            "subscription {",
            r#"subscription { a: balanceUpdated(externalCustomerId: "acme") { sequence } b: balanceUpdated(externalCustomerId: "acme") { sequence } }"#,
            r#"subscription { ...F } fragment F on Subscription { balanceUpdated(externalCustomerId: "acme") { sequence } }"#,
            r#"subscription { balanceUpdated(externalCustomerId: "nobody") { sequence } }"#,
        ] {
            socket.subscribe("1", document).await;
            let Said::Message(message) = socket.hear().await else { panic!("{document}: closed") };
            assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!("1")), "{message}");
            let extensions = &message["payload"][0]["extensions"];
            assert!(extensions["code"].is_string() && extensions["requestId"].is_string(), "{message}");
        }
        // The connection lives on, and nothing was written.
        socket.subscribe("2", WATCH).await;
        let Said::Message(message) = socket.hear().await else { panic!("closed") };
        assert_eq!(message["payload"]["data"]["balanceUpdated"]["remaining"], "5");
        socket.say(&json!({ "type": "ping" })).await;
        assert_eq!(socket.hear().await, Said::Message(json!({ "type": "pong" })));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_events_refuses_strangers_and_mutations() {
    Stage::on_sqlite(async |stage| {
        let dev = stage.dev().await;
        let client = &dev.client;
        let wrong = client.with_key("wrong").stream(WATCH).send().await.unwrap();
        assert_eq!(wrong.status(), 401);
        let mutation = client
            .stream("mutation { x }")
            .header("accept", "application/graphql-response+json");
        assert_eq!(mutation.send().await.unwrap().status(), 400);
        // A customer that does not exist is an error in the stream, which then ends.
        let text = client.stream(WATCH).send().await.unwrap().text().await.unwrap();
        assert!(
            text.contains("BAD_USER_INPUT") && text.contains("event: complete"),
            "{text}"
        );
    })
    .await;
}
