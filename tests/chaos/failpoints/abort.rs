//! Sudden death of the real command between any two steps.
//!
//! One process after the other, each with a place at which it ends itself, is sent usage until it is dead. Each begins with
//! what the one before has left behind; the last is a healthy one, which finds everything again.

use std::{collections::HashMap, time::Duration};

use app::{
    Actor, App, Limits, access,
    credit::{self, Expiry, Grant},
    customer::{self, CreateCustomer, CustomerRef, shard_of},
    db::{Backend, Db},
    failpoint,
};
use domain::{credit::block::Source, id::CustomerId};
use sea_orm::ConnectionTrait;
use serde_json::Value;

use super::{by_its_own_hand, exists};
use crate::{
    alone::alone,
    harness::{credits, post::Post},
    load::{Load, METRIC},
    wire::{
        client::{Client, event},
        process::{Process, until},
        stage::{Server, Stage, dev_key, try_base},
    },
};

/// Customers of different shards. A shard whose run has died is left alone for a while, so places take turns.
const CUSTOMERS: usize = 24;
/// Runs of a shard that have failed when the next goes customer by customer.
const FAILED: u32 = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_die_at_every_step() {
    // At the same time, because much of it is waiting.
    tokio::join!(
        Stage::on_sqlite(async |stage| die_at_every_step(stage, Backend::Sqlite).await),
        Stage::on_postgres(async |stage| die_at_every_step(stage, Backend::Postgres).await),
    );
}

async fn die_at_every_step(stage: &Stage, backend: Backend) {
    let load = Load::deadly();
    let cast = Cast::assemble(stage, &load).await;
    let points = failpoint::ALL.iter().filter(|point| exists(point, backend));
    for (place, point) in points.enumerate() {
        let (name, shard) = &cast.customers[place % CUSTOMERS];
        if point.starts_with("careful.") {
            cast.fail_before(*shard).await;
        }
        let process = stage.start_with(&["dev"], &[("FAILPOINTS", &asked(point))]);
        die(process, &load, point, name).await;
    }
    cast.db.close().await;
    let Server {
        client,
        process: _process,
    } = stage.dev().await;
    load.prove(&client).await;
}

/// What a process is told: where to die, and what makes it come there.
fn asked(point: &str) -> String {
    match point {
        // A wake-up must come while a run is under way.
        "job.again" => "job.ran=sleep(300);job.again=return(abort)".to_owned(),
        // Some commits are made at the start.
        commit if commit.starts_with("op.") => format!("{commit}=5*off->return(abort)"),
        other => format!("{other}=return(abort)"),
    }
}

/// Sends usage until the process is dead.
async fn die(mut process: Process, load: &Load, point: &str, customer: &str) {
    // What was left behind may bring it there before it says a word.
    if let Some(base) = try_base(&mut process).await {
        let client = Client::new(&base, &dev_key(&process));
        let known = event(customer, METRIC, 1, format!("{point}-0"));
        load.intend(std::slice::from_ref(&known));
        let mut request = 0;
        until(&format!("it dies at {point}"), async || {
            request += 1;
            let fresh = event(customer, METRIC, 2, format!("{point}-{request}"));
            load.intend(std::slice::from_ref(&fresh));
            load.send(&client, &[known.clone(), fresh]).await;
            process.ended()
        })
        .await;
    }
    by_its_own_hand(process, point).await;
}

/// Who is there before anything goes wrong.
struct Cast {
    db: Db,
    /// Names and shards, no shard twice.
    customers: Vec<(String, i32)>,
}

impl Cast {
    async fn assemble(stage: &Stage, load: &Load) -> Self {
        let Server { client, mut process } = stage.dev().await;
        client.metric(METRIC, r#"{perUnit: {creditsPerUnit: "1"}}"#).await;
        let db = Db::connect(&stage.url, 2, Duration::ZERO, |_| {}).await.unwrap();
        let mut found: HashMap<i32, String> = HashMap::new();
        {
            let _turn = alone().await;
            let app = App::new(
                db.clone(),
                std::sync::Arc::new(Post::default()),
                Limits::default(),
            );
            let tenant = access::tenant(&app, "default").await.unwrap();
            let actor = Actor::operator(tenant.id);
            for number in 0.. {
                let name = format!("customer-{number}");
                let id = create(&app, &actor, &name).await;
                found.entry(shard_of(id)).or_insert(name);
                if found.len() == CUSTOMERS {
                    break;
                }
            }
        }
        let customers: Vec<(String, i32)> = found.into_iter().map(|(shard, name)| (name, shard)).collect();
        // Every shard has been worked on once, so that its work has a row.
        let first = |(name, _): &(String, i32)| event(name, METRIC, 0, format!("first-{name}"));
        let events: Vec<Value> = customers.iter().map(first).collect();
        load.intend(&events);
        assert!(load.send(&client, &events).await);
        for (name, _) in &customers {
            client.settled(name).await;
        }
        process.kill();
        Self { db, customers }
    }

    /// The last runs of a shard have failed.
    async fn fail_before(&self, shard: i32) {
        let sql = format!(
            "UPDATE work SET attempts = {FAILED}, due_at = 0, running_since = 0
             WHERE kind = 'usage.drain' AND subject = '{shard}'"
        );
        let done = self.db.writer().execute_unprepared(&sql).await.unwrap();
        assert_eq!(done.rows_affected(), 1);
    }
}

async fn create(app: &App, actor: &Actor, name: &str) -> CustomerId {
    let input = CreateCustomer {
        external_id: name.to_owned(),
        ..CreateCustomer::default()
    };
    let made = customer::create(app, actor, input, &format!("customer-{name}")).await;
    let customer = made.unwrap().value.id;
    let grant = Grant {
        customer: CustomerRef::Id(customer),
        credits: credits("5"),
        source: Source::Purchase,
        billing: None,
        priority: None,
        expiry: Expiry::Never,
        metric_keys: None,
        description: None,
    };
    credit::grant(app, actor, grant, &format!("grant-{name}"))
        .await
        .unwrap();
    customer
}
