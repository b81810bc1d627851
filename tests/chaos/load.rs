//! Producers that never stop, and remember what they were told.
//!
//! They send to whichever server there is, send some things again, and judge every answer: it is either an outcome, or an error
//! that says that trying again helps, or, where servers are killed, none at all. At the end everything that was ever sent is
//! sent again, as a producer does who does not know what arrived; then the sums must be those of every event exactly once.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Mutex,
    time::Duration,
};

use futures::future::join_all;
use rand::{RngExt, rngs::StdRng};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    seed::Seed,
    wire::{
        client::{Client, RECORD, Reply, event},
        process::until,
    },
};

/// Producers at once.
const PRODUCERS: u64 = 4;
const CUSTOMERS: [&str; 5] = ["ada", "bob", "cyd", "dan", "eve"];
pub const METRIC: &str = "call";
/// No request may take longer than this, whatever is broken: the longest wait for a connection and the longest for a lock, and
/// the same once more for a request that began behind them.
const BOUND: Duration = Duration::from_secs(45);
/// Pause of a producer who got no outcome.
const PAUSE: Duration = Duration::from_millis(50);

/// What producers have sent, and what they were told.
#[derive(Default)]
struct Sent {
    all: Vec<Value>,
    /// Keys that were accepted.
    accepted: HashSet<String>,
    /// Keys that were accepted or known: somebody was told that the event is there.
    acknowledged: HashSet<String>,
    /// How often each error was answered; `none`: no answer.
    refused: BTreeMap<String, usize>,
}

/// The producers of a case.
pub struct Load {
    sent: Mutex<Sent>,
    targets: Mutex<Vec<Client>>,
    /// Whether a server may vanish in the middle of a request.
    deadly: bool,
}

impl Load {
    /// Producers whose servers live.
    pub fn gentle() -> Self {
        Self::new(false)
    }

    /// Producers whose servers are killed.
    pub fn deadly() -> Self {
        Self::new(true)
    }

    fn new(deadly: bool) -> Self {
        Self {
            sent: Mutex::default(),
            targets: Mutex::default(),
            deadly,
        }
    }

    /// What is sold, and who buys.
    pub async fn prepare(client: &Client) {
        client.metric(METRIC, r#"{perUnit: {creditsPerUnit: "1"}}"#).await;
        for name in CUSTOMERS {
            client.customer(name, "1000000").await;
        }
    }

    /// Where to send from now on.
    pub fn aim(&self, targets: Vec<Client>) {
        *self.targets.lock().unwrap() = targets;
    }

    /// Events that were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.sent.lock().unwrap().acknowledged.len()
    }

    /// Waits until so many more events are acknowledged.
    pub async fn progress(&self, more: usize) {
        let enough = self.acknowledged() + more;
        until("more events are acknowledged", async || {
            (self.acknowledged() >= enough).then_some(())
        })
        .await;
    }

    /// Answers with this code so far; `none`: requests without one.
    pub fn refused(&self, code: &str) -> usize {
        self.sent.lock().unwrap().refused.get(code).copied().unwrap_or(0)
    }

    /// Sends until it is told to stop.
    pub async fn run(&self, seed: &Seed, stop: &CancellationToken) {
        let producers = (0..PRODUCERS).map(|producer| self.produce(producer, seed.rng(producer), stop));
        join_all(producers).await;
    }

    async fn produce(&self, producer: u64, mut rng: StdRng, stop: &CancellationToken) {
        for request in 0_u64.. {
            if stop.is_cancelled() {
                return;
            }
            let Some(target) = self.target(&mut rng) else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let events = self.next(producer, request, &mut rng);
            if !self.send(&target, &events).await {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Sends events, and judges the answer. Answers whether it told what became of them.
    pub async fn send(&self, target: &Client, events: &[Value]) -> bool {
        let asked = target.try_send(RECORD, json!({ "events": events }));
        let answer = tokio::time::timeout(BOUND, asked).await;
        self.note(events, answer.expect("a request was not answered in time"))
    }

    /// Notes events that are about to be sent for the first time.
    pub fn intend(&self, events: &[Value]) {
        self.sent.lock().unwrap().all.extend_from_slice(events);
    }

    fn target(&self, rng: &mut StdRng) -> Option<Client> {
        let targets = self.targets.lock().unwrap();
        (!targets.is_empty()).then(|| targets[rng.random_range(0..targets.len())].clone())
    }

    /// Some new events, and sometimes old ones once more.
    fn next(&self, producer: u64, request: u64, rng: &mut StdRng) -> Vec<Value> {
        let mut sent = self.sent.lock().unwrap();
        let fresh = |n: u64| {
            let customer = CUSTOMERS[rng.random_range(0..CUSTOMERS.len())];
            let units = rng.random_range(1..5);
            event(customer, METRIC, units, format!("{producer}-{request}-{n}"))
        };
        let mut events: Vec<Value> = (0..1 + request % 9).map(fresh).collect();
        sent.all.extend(events.clone());
        if rng.random_bool(0.3) {
            let known = sent.all[rng.random_range(0..sent.all.len())].clone();
            if !events.contains(&known) {
                events.push(known);
            }
        }
        events
    }

    /// Notes what a request came to. Answers whether there were outcomes.
    fn note(&self, events: &[Value], answer: reqwest::Result<Reply>) -> bool {
        let mut sent = self.sent.lock().unwrap();
        let reply = match answer {
            Ok(reply) => reply,
            Err(error) => {
                assert!(self.deadly, "a server that lives did not answer: {error:?}");
                *sent.refused.entry("none".to_owned()).or_default() += 1;
                return false;
            }
        };
        if let Some(outcomes) = reply.body["data"]["recordUsage"]["results"].as_array() {
            for (event, outcome) in events.iter().zip(outcomes) {
                sent.hear(event, outcome);
            }
            return true;
        }
        let error = &reply.body["errors"][0]["extensions"];
        assert!(
            error["code"] == "SERVICE_UNAVAILABLE" && error["retryable"] == true,
            "not a clear answer: {} {}",
            reply.status,
            reply.body
        );
        *sent.refused.entry(reply.code().to_owned()).or_default() += 1;
        false
    }

    /// Sends everything again, and insists on exactly once.
    pub async fn prove(&self, client: &Client) {
        let sent = std::mem::take(&mut *self.sent.lock().unwrap());
        assert!(!sent.acknowledged.is_empty(), "nothing was ever acknowledged");
        for events in sent.all.chunks(500) {
            let answer = client.record(events).await;
            for (event, result) in events.iter().zip(answer["results"].as_array().unwrap()) {
                let known = sent.acknowledged.contains(key(event));
                let outcome = &result["outcome"];
                assert!(
                    outcome == "DUPLICATE" || (outcome == "ACCEPTED" && !known),
                    "{event}: acknowledged {known}, now {outcome}"
                );
            }
        }
        let mut due: HashMap<&str, (u64, u64)> = HashMap::new();
        for event in &sent.all {
            let (units, count) = due
                .entry(event["externalCustomerId"].as_str().unwrap())
                .or_default();
            *units += event["units"].as_str().unwrap().parse::<u64>().unwrap();
            *count += 1;
        }
        for (name, (units, count)) in due {
            client.settled(name).await;
            let (units, used) = (units.to_string(), client.used(name, METRIC).await);
            let once = json!({ "metricKey": METRIC, "units": units, "events": count, "credits": units });
            assert_eq!(used, once, "{name}");
        }
        println!(
            "{} events, {} acknowledged at first, refused {:?}",
            sent.all.len(),
            sent.acknowledged.len(),
            sent.refused
        );
    }
}

impl Sent {
    fn hear(&mut self, event: &Value, result: &Value) {
        let outcome = &result["outcome"];
        assert!(
            outcome == "ACCEPTED" || outcome == "DUPLICATE",
            "{event}: {result}"
        );
        let key = key(event).to_owned();
        let again = outcome == "ACCEPTED" && !self.accepted.insert(key.clone());
        assert!(!again, "{key} was accepted twice");
        self.acknowledged.insert(key);
    }
}

fn key(event: &Value) -> &str {
    event["idempotencyKey"].as_str().unwrap()
}
