//! Every connection is held by somebody who waits for a lock: requests end in bounded time with an error that says that trying
//! again helps, and go well when the lock is given back.

use std::time::Duration;

use app::db::{Backend, Db};
use futures::future::join_all;
use sea_orm::ConnectionTrait;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    load::Load,
    seed::Seed,
    wire::{
        client::Client,
        process::until,
        ready::{readiness, until_ready},
        stage::{Stage, base, dev_key},
    },
};

/// The fewest connections a process can be given.
const CONNECTIONS: &str = "5";
/// Readers at once: more than there are connections.
const READERS: usize = 12;
/// No reader waits longer.
const BOUND: Duration = Duration::from_secs(25);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_all_held_are_waited_for_in_bounded_time() {
    // At the same time, because there is little to do but wait.
    tokio::join!(
        Stage::on_sqlite(async |stage| held(stage, Backend::Sqlite).await),
        Stage::on_postgres(async |stage| held(stage, Backend::Postgres).await),
    );
}

async fn held(stage: &Stage, backend: Backend) {
    let seed = Seed::of("pool::connections_that_are_all_held_are_waited_for_in_bounded_time");
    let few = [("TALLYGATE_POSTGRES_CONNECTIONS", CONNECTIONS)];
    let mut process = stage.start_with(&["dev"], &few);
    let base = base(&mut process).await;
    let client = Client::new(&base, &dev_key(&process));
    Load::prepare(&client).await;
    until_ready(&client.base).await;
    let (load, stop) = (Load::gentle(), CancellationToken::new());
    load.aim(vec![client.clone()]);
    let blocker = Db::connect(&stage.url, 1, Duration::ZERO, |_| {}).await.unwrap();
    let script = async {
        load.progress(20).await;
        // One connection: what begins here ends there.
        let run = async |sql: &str| blocker.writer().execute_unprepared(sql).await.unwrap();
        run(match backend {
            Backend::Sqlite => "BEGIN IMMEDIATE",
            Backend::Postgres => "BEGIN; LOCK TABLE account, usage_event IN ACCESS EXCLUSIVE MODE",
        })
        .await;
        tokio::join!(read(&client, backend), refused(&load), unready(&client));
        run("ROLLBACK").await;
        load.progress(20).await;
        until_ready(&client.base).await;
        stop.cancel();
    };
    tokio::join!(load.run(&seed, &stop), script);
    load.prove(&client).await;
    blocker.close().await;
}

async fn refused(load: &Load) {
    until("producers are refused", async || {
        (load.refused("SERVICE_UNAVAILABLE") > 0).then_some(())
    })
    .await;
}

async fn unready(client: &Client) {
    until("it says that it is not ready", async || {
        (readiness(&client.base).await?.0 == 503).then_some(())
    })
    .await;
}

/// Readers, who on SQLite need nobody's lock.
async fn read(client: &Client, backend: Backend) {
    let query = r#"{ customer(externalId: "ada") { balance { remaining } } }"#;
    let ask = async || {
        let asked = tokio::time::timeout(BOUND, client.try_send(query, json!({}))).await;
        let reply = asked.expect("a reader was not answered in time").unwrap();
        match backend {
            Backend::Sqlite => assert_eq!(reply.body.get("errors"), None),
            Backend::Postgres => assert_eq!(
                (reply.code(), &reply.body["errors"][0]["extensions"]["retryable"]),
                ("SERVICE_UNAVAILABLE", &json!(true)),
                "{}",
                reply.body
            ),
        }
    };
    join_all((0..READERS).map(|_| ask())).await;
}
