//! Processes that are stopped or killed while requests are under way: what was acknowledged is there, once, and is debited.
//!
//! Afterwards everything that was ever sent is sent again, as a producer does who does not know what arrived. What had been
//! acknowledged must be a duplicate, and then the sums must be those of every event exactly once.

use std::{
    collections::HashSet,
    sync::Mutex,
    time::{Duration, Instant},
};

use futures::future::join_all;
use serde_json::{Value, json};

use super::{
    client::{Client, event},
    process::{Process, until},
    stage::{Server, Stage},
};

/// Producers at once.
const PRODUCERS: usize = 6;
/// Requests that must be acknowledged before the process is hit.
const WARM: usize = 40;
/// How long a process may take to stop in good order.
const STOP: Duration = Duration::from_secs(8);

/// What producers have sent.
#[derive(Default)]
struct Sent {
    all: Vec<Value>,
    acknowledged: HashSet<String>,
    requests: usize,
}

/// Sends until the server is gone, and hits it with `blow` while it does.
async fn under_load(client: &Client, sent: &Mutex<Sent>, round: usize, blow: impl AsyncFnOnce()) {
    let warm = sent.lock().unwrap().requests + WARM;
    let produce = async |producer: usize| {
        for request in 0.. {
            let key = |n| format!("{round}-{producer}-{request}-{n}");
            let events: Vec<Value> = (0..1 + request % 9)
                .map(|n| event("acme", "call", 1, key(n)))
                .collect();
            sent.lock().unwrap().all.extend(events.clone());
            let Some(answer) = client.try_record(&events).await else {
                return;
            };
            assert_eq!(
                answer["acceptedCount"].as_u64(),
                Some(events.len() as u64),
                "{answer}"
            );
            let mut sent = sent.lock().unwrap();
            sent.requests += 1;
            sent.acknowledged.extend((0..events.len()).map(key));
        }
    };
    let hit = async {
        until("enough is acknowledged", async || {
            (sent.lock().unwrap().requests >= warm).then_some(())
        })
        .await;
        blow().await;
    };
    tokio::join!(join_all((0..PRODUCERS).map(produce)), hit);
}

/// Sends everything again and insists on exactly once.
async fn assert_once(client: &Client, sent: &Sent) {
    for events in sent.all.chunks(500) {
        let answer = client.record(events).await;
        for (event, result) in events.iter().zip(answer["results"].as_array().unwrap()) {
            let key = event["idempotencyKey"].as_str().unwrap();
            let outcome = result["outcome"].as_str().unwrap();
            let acknowledged = sent.acknowledged.contains(key);
            assert!(
                outcome == "DUPLICATE" || (outcome == "ACCEPTED" && !acknowledged),
                "{key}: {acknowledged} {outcome}"
            );
        }
    }
    client.settled("acme").await;
    let (used, count) = (client.used("acme", "call").await, sent.all.len());
    let expected = json!({ "metricKey": "call", "units": count.to_string(), "events": count, "credits": count.to_string() });
    assert_eq!(used, expected);
}

async fn prepare(client: &Client) {
    client.metric("call", r#"{perUnit: {creditsPerUnit: "1"}}"#).await;
    client.customer("acme", "1000000").await;
}

/// SIGTERM, and an end with exit code 0 before long.
async fn stop(process: &mut Process) {
    let begun = Instant::now();
    process.terminate();
    let status = process.end().await;
    assert!(status.success(), "{status}\n{}", process.err());
    assert!(
        begun.elapsed() < STOP,
        "it took {:?} to stop\n{}",
        begun.elapsed(),
        process.err()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dev_that_is_killed_under_load_loses_and_doubles_nothing() {
    Stage::on_sqlite(async |stage| {
        let sent = Mutex::new(Sent::default());
        for round in 0..3 {
            let Server { mut process, client } = stage.dev().await;
            if round == 0 {
                prepare(&client).await;
            }
            under_load(&client, &sent, round, async || process.kill()).await;
        }
        let dev = stage.dev().await;
        assert_once(&dev.client, &sent.into_inner().unwrap()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dev_that_is_asked_to_stop_under_load_answers_what_it_has_begun() {
    Stage::on_sqlite(async |stage| {
        let sent = Mutex::new(Sent::default());
        let Server { mut process, client } = stage.dev().await;
        prepare(&client).await;
        under_load(&client, &sent, 0, async || stop(&mut process).await).await;
        let dev = stage.dev().await;
        assert_once(&dev.client, &sent.into_inner().unwrap()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_on_postgres_stop_in_good_order_and_are_replaced_under_load() {
    Stage::on_postgres(async |stage| {
        stage.migrate().await;
        let sent = Mutex::new(Sent::default());
        let mut old = stage.api().await;
        prepare(&old.client).await;
        let mut worker = stage.worker();
        under_load(&old.client, &sent, 0, async || {
            tokio::join!(stop(&mut old.process), stop(&mut worker));
        })
        .await;
        let Server { mut process, client } = stage.api().await;
        let mut worker = stage.worker();
        under_load(&client, &sent, 1, async || {
            worker.kill();
            process.kill();
        })
        .await;
        let api = stage.api().await;
        let _worker = stage.worker();
        assert_once(&api.client, &sent.into_inner().unwrap()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_live_stream_does_not_hold_up_the_stop() {
    Stage::on_sqlite(async |stage| {
        let Server { mut process, client } = stage.dev().await;
        prepare(&client).await;
        let watch = r#"subscription { balanceUpdated(externalCustomerId: "acme") { sequence } }"#;
        let mut socket = super::listener::Listener::web_socket(&client, watch).await;
        let mut stream = super::listener::Listener::sse(&client, watch).await;
        assert_eq!(
            (
                socket.next().await["sequence"].clone(),
                stream.next().await["sequence"].clone()
            ),
            (json!(1), json!(1))
        );
        stop(&mut process).await;
    })
    .await;
}
