//! PostgreSQL is stopped, and crashed, under load. Nobody restarts anything of ours: readiness goes and comes back, live
//! balances go on where they were, and callers were either told that an event is there, or to try again.

use std::time::{Duration, Instant};

use rand::RngExt;
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    load::Load,
    postgres::{Ending, Server},
    seed::{Seed, length},
    wire::{
        client::Client,
        listener::{Said, Socket},
        process::{Process, until},
        ready::{admin, readiness, until_ready},
        stage::{KEY, Stage, base},
    },
};

/// Longest time that the server works between two endings, and that it is gone.
const CALM: u64 = 1_500;
const GONE: u64 = 1_500;
/// Whose balance is watched: one of those that the load uses.
const WATCHED: &str = "ada";
/// Once everything is ready, producers are served again within this.
const BACK: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_restarted_and_crashes_under_load() {
    let seed = Seed::of("restart::postgres_is_restarted_and_crashes_under_load");
    let mut server = Server::start().await;
    let url = server.url();
    Stage::on_database(&url, async |stage| {
        stage.migrate().await;
        let house = House::open(stage).await;
        let (load, stop) = (Load::gentle(), CancellationToken::new());
        Load::prepare(&house.client).await;
        let watch = Watch::begin(&house.client).await;
        load.aim(vec![house.client.clone()]);
        let break_it = async {
            let (mut rng, begun) = (seed.rng(99), Instant::now());
            let mut endings = [Ending::Fast, Ending::Immediate].into_iter().cycle();
            for round in 0.. {
                if round >= 2 && begun.elapsed() >= length(Duration::ZERO) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(500 + rng.random_range(0..CALM))).await;
                server.end(endings.next().unwrap());
                house.until_unready().await;
                tokio::time::sleep(Duration::from_millis(rng.random_range(0..GONE))).await;
                server.resume().await;
                house.until_ready().await;
                let back = Instant::now();
                load.progress(20).await;
                assert!(back.elapsed() < BACK, "it took {:?}", back.elapsed());
            }
            stop.cancel();
        };
        tokio::join!(load.run(&seed, &stop), break_it);
        assert!(load.refused("SERVICE_UNAVAILABLE") > 0, "nobody felt the outages");
        load.prove(&house.client).await;
        watch
            .until(&house.client.settled(WATCHED).await["remaining"])
            .await;
    })
    .await;
}

/// The processes of a case, which nobody restarts.
struct House {
    client: Client,
    /// Where each tells whether it is ready.
    places: Vec<String>,
    _processes: Vec<Process>,
}

impl House {
    async fn open(stage: &Stage) -> Self {
        let mut api = stage.start(&["api"]);
        let base = base(&mut api).await;
        let worker = stage.worker();
        let places = vec![base.clone(), admin(&worker).await];
        let house = Self {
            client: Client::new(&base, KEY),
            places,
            _processes: vec![api, worker],
        };
        house.until_ready().await;
        house
    }

    async fn until_ready(&self) {
        for place in &self.places {
            until_ready(place).await;
        }
    }

    async fn until_unready(&self) {
        for place in &self.places {
            until(&format!("{place} is not ready"), async || {
                let (status, bad) = readiness(place).await?;
                (status == 503 && bad.contains("database")).then_some(())
            })
            .await;
        }
    }
}

/// A subscription that is open all the time.
struct Watch {
    last: watch::Receiver<Value>,
    listening: JoinHandle<()>,
}

impl Watch {
    async fn begin(client: &Client) -> Self {
        let mut socket = Socket::open(client).await;
        let query =
            format!(r#"subscription {{ balanceUpdated(externalCustomerId: "{WATCHED}") {{ remaining }} }}"#);
        socket.subscribe("1", &query).await;
        let (told, last) = watch::channel(Value::Null);
        let listening = tokio::spawn(async move {
            loop {
                match socket.hear().await {
                    // An error is passed over: the stream goes on.
                    Said::Message(message) if message["type"] == "next" => {
                        let remaining = &message["payload"]["data"]["balanceUpdated"]["remaining"];
                        if remaining.is_string() {
                            told.send_replace(remaining.clone());
                        }
                    }
                    other => panic!("the subscription ended: {other:?}"),
                }
            }
        });
        Self { last, listening }
    }

    /// Waits until it has told that so much is left.
    async fn until(self, remaining: &Value) {
        until(&format!("the balance is {remaining}"), async || {
            assert!(!self.listening.is_finished(), "the subscription ended");
            (*self.last.borrow() == *remaining).then_some(())
        })
        .await;
        self.listening.abort();
    }
}
