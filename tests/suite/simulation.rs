//! Random weeks: usage, deposits, voids, corrections and clock jumps over several customers and two processes, while wake-ups
//! are lost, doubled and reordered and workers die. Whenever the work has come to rest, the books must be sound, equal to a
//! [`model`] in memory that knows neither jobs nor batches, and the same on SQLite and PostgreSQL.
//!
//! `TALLYGATE_SEED=7` runs one seed, `TALLYGATE_SEEDS=1000` that many.

mod model;

use std::sync::atomic::Ordering::SeqCst;

use app::{
    credit::{self, Adjust, Expiry, Grant},
    customer::{CustomerRef, shard_of},
    db::Backend,
    job,
    usage::{NewEvent, Outcome},
};
use domain::{
    amount::{Credits, Quantity},
    credit::block::Billing,
    customer::Settlement,
    id::{BlockId, CustomerId},
    time::Timestamp,
};
use entity::{account, block, usage_counter, usage_rating};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::json;

use self::model::{Input, Line, Model};
use crate::{
    harness::{World, auditor, backend, flat, graduated, package, per_unit},
    jobs::Mortal,
};

/// Seeds unless told otherwise.
const SEEDS: u64 = 20;
const STEPS: usize = 90;
/// Steps after which the work comes to rest and everything is compared.
const REST_EVERY: usize = 18;
const METRICS: [&str; 3] = ["call", "second", "page"];

macro_rules! parts {
    ($($name:ident $part:literal),*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            run_part($part).await;
        }
    )*};
}
parts!(random_weeks_0 0, random_weeks_1 1, random_weeks_2 2, random_weeks_3 3);

async fn run_part(part: u64) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds: Vec<u64> = match (number("TALLYGATE_SEED"), number("TALLYGATE_SEEDS")) {
        (Some(seed), _) => vec![seed],
        (None, count) => (0..count.unwrap_or(SEEDS)).collect(),
    };
    for seed in seeds.into_iter().filter(|seed| seed % 4 == part) {
        println!("TALLYGATE_SEED={seed}");
        let sqlite = weeks(Backend::Sqlite, seed).await;
        let postgres = weeks(Backend::Postgres, seed).await;
        assert_eq!(sqlite, postgres, "the databases disagree: TALLYGATE_SEED={seed}");
    }
}

/// Lives through the weeks of a seed; answers with what was seen at every rest.
async fn weeks(backend: Backend, seed: u64) -> Vec<String> {
    backend::with_place(backend, async |place| {
        let world = World::over(place).await;
        let mut weeks = Weeks::begin(world, seed).await;
        for step in 1..=STEPS {
            weeks.step().await;
            if step % REST_EVERY == 0 {
                weeks.rest().await;
            }
        }
        weeks.seen
    })
    .await
}

struct Player {
    id: CustomerId,
    model: Model,
    /// A worker died here: how far it came is not known until the next rest.
    unclear: bool,
    blocks: Vec<(BlockId, Option<Timestamp>)>,
    events: Vec<NewEvent>,
}

struct Weeks {
    worlds: [World; 2],
    rng: StdRng,
    seed: u64,
    players: Vec<Player>,
    seen: Vec<String>,
}

impl Weeks {
    async fn begin(world: World, seed: u64) -> Self {
        let mut lines = vec![vec![], vec![], vec![]];
        let begun = world.now().micros();
        let change = begun + 9 * 86_400_000_000;
        for (metric, price) in [
            (0, graduated(&[("10", "1"), ("100", "0.5"), ("", "0.1")])),
            (1, per_unit("0.0004")),
            (2, package("7", "1.25")),
        ] {
            world.priced(METRICS[metric], price.clone()).await;
            lines[metric].push(Line {
                line: 0,
                large: false,
                from: 0,
                to: i64::MAX,
                price,
            });
        }
        let dearer = per_unit("0.333333");
        let from = Some(Timestamp::from_micros(change));
        world.try_rule("second", &[], dearer.clone(), from).await.unwrap();
        lines[1][0].to = change;
        lines[1].push(Line {
            line: 0,
            large: false,
            from: change,
            to: i64::MAX,
            price: dearer,
        });
        let large = flat("3");
        world
            .try_rule("call", &[("model", "large")], large.clone(), None)
            .await
            .unwrap();
        lines[0].push(Line {
            line: 1,
            large: true,
            from: 0,
            to: i64::MAX,
            price: large,
        });
        let mut players: Vec<Player> = vec![];
        for settlement in [
            Settlement::NextPurchase,
            Settlement::Manual,
            Settlement::NextPurchase,
            Settlement::NextInvoice,
        ] {
            // A shard each, so that what a worker does to one does not depend on random ids.
            let id = loop {
                let id = world.customer_settling(&world.key(), settlement).await;
                if players.iter().all(|other| shard_of(other.id) != shard_of(id)) {
                    break id;
                }
            };
            let model = Model::new(settlement, lines.clone());
            players.push(Player {
                id,
                model,
                unclear: false,
                blocks: vec![],
                events: vec![],
            });
        }
        let other = world.another().await;
        Self {
            worlds: [world, other],
            rng: StdRng::seed_from_u64(seed),
            seed,
            players,
            seen: vec![],
        }
    }

    fn world(&mut self) -> World {
        self.worlds[self.rng.random_range(0..2)].clone()
    }

    async fn step(&mut self) {
        let world = self.world();
        let jump = match self.rng.random_range(0..20) {
            0 => self.rng.random_range(1..4 * 86_400_000_000),
            1..8 => self.rng.random_range(1..3_600_000_000),
            _ => self.rng.random_range(1..5_000_000),
        };
        // Never at the same instant as the step before: then it would be open which came first.
        world.advance_micros(jump + 1_000);
        let who = self.rng.random_range(0..self.players.len());
        match self.rng.random_range(0..100) {
            0..40 => self.consume(&world, who).await,
            40..54 => self.grant(&world, who).await,
            54..60 => self.adjust(&world, who).await,
            60..64 => self.revoke(&world, who).await,
            64..74 => self.void(&world, who).await,
            74..82 => job::run(&world.app, World::drain_job(self.players[who].id)).await,
            82..86 => job::run(&world.app, World::expire_job()).await,
            86..90 => world.run_jobs().await,
            90..95 => {
                let polls = self.rng.random_range(1..80);
                self.players[who].unclear = true;
                let run = job::run(&world.app, World::drain_job(self.players[who].id));
                Mortal::new(run, polls).await;
            }
            _ => {
                world.post.loses.store(self.rng.random_bool(0.4), SeqCst);
                world.post.doubles.store(self.rng.random_bool(0.4), SeqCst);
                world.post.reorders.store(self.rng.random_bool(0.4), SeqCst);
            }
        }
    }

    async fn consume(&mut self, world: &World, who: usize) {
        let now = world.now();
        let mut batch = vec![];
        for _ in 0..self.rng.random_range(1..5) {
            let player = &mut self.players[who];
            if !player.events.is_empty() && self.rng.random_bool(0.15) {
                let known = self.rng.random_range(0..player.events.len());
                batch.push((player.events[known].clone(), false));
                continue;
            }
            let metric = self.rng.random_range(0..3);
            let large = self.rng.random_bool(0.2);
            let late = self
                .rng
                .random_bool(0.2)
                .then(|| self.rng.random_range(1..20 * 86_400));
            let micros = self.rng.random_range(0..60_000_000_i64);
            let event = NewEvent {
                customer: Some(CustomerRef::Id(player.id)),
                metric_key: METRICS[metric].to_owned(),
                units: Quantity::from_raw(micros).to_string(),
                key: format!("{who}-{}", player.events.len()),
                occurred_at: late.map(|seconds| now.plus_seconds(-seconds)),
                properties: large.then(|| json!({ "model": "large" })),
            };
            let occurred = event.occurred_at.unwrap_or(now).micros();
            let input = Input::Event {
                key: event.key.clone(),
                metric,
                units: micros,
                occurred,
                large,
            };
            player.model.history.push((now.micros(), input));
            player.events.push(event.clone());
            batch.push((event, true));
        }
        let fresh: Vec<bool> = batch.iter().map(|(_, fresh)| *fresh).collect();
        let outcomes = world
            .record(batch.into_iter().map(|(event, _)| event).collect())
            .await;
        for (outcome, fresh) in outcomes.iter().zip(fresh) {
            let fine = match outcome {
                Outcome::Accepted(_) => fresh,
                Outcome::Duplicate(_) => !fresh,
                _ => false,
            };
            assert!(fine, "{outcome:?} TALLYGATE_SEED={}", self.seed);
        }
        world.quiet().await;
    }

    async fn grant(&mut self, world: &World, who: usize) {
        let now = world.now();
        let amount = self.rng.random_range(1..60_000_000);
        let priority = [0, 0, 0, 5, -5][self.rng.random_range(0..5)];
        let seconds = self
            .rng
            .random_bool(0.5)
            .then(|| self.rng.random_range(1..6 * 86_400));
        let billing = [Billing::Free, Billing::Prepaid, Billing::Budget][self.rng.random_range(0..3)];
        let metric = self.rng.random_bool(0.2).then(|| self.rng.random_range(0..3));
        let player = &mut self.players[who];
        let grant = Grant {
            credits: Credits::from_raw(amount),
            priority: Some(priority),
            billing: Some(billing),
            expiry: seconds.map_or(Expiry::Never, Expiry::AfterSeconds),
            metric_keys: metric.map(|metric: usize| vec![METRICS[metric].to_owned()]),
            ..world.deposit(player.id, "1")
        };
        let block = world.grant(grant).await.block;
        let expires = seconds.map(|seconds| now.plus_seconds(seconds));
        assert_eq!(block.expires_at, expires);
        let input = Input::Grant {
            amount,
            priority,
            billing,
            expires: expires.map(Timestamp::micros),
            metric,
        };
        player.model.history.push((now.micros(), input));
        player.blocks.push((block.id, expires));
    }

    async fn adjust(&mut self, world: &World, who: usize) {
        let amount = self.rng.random_range(1..30_000_000) * [1, -1][self.rng.random_range(0..2)];
        let player = &mut self.players[who];
        let input = Adjust {
            customer: CustomerRef::Id(player.id),
            credits: Credits::from_raw(amount),
            description: None,
        };
        let done = credit::adjust(&world.app, &world.actor, input, &world.key()).await;
        let refused = match done {
            Ok(_) => false,
            Err(app::Error::Rejected(_)) => true,
            Err(error) => panic!("{error} TALLYGATE_SEED={}", self.seed),
        };
        player
            .model
            .history
            .push((world.now().micros(), Input::Adjust { amount, refused }));
    }

    async fn revoke(&mut self, world: &World, who: usize) {
        let now = world.now();
        let player = &mut self.players[who];
        if player.blocks.is_empty() {
            return;
        }
        let (id, expires) = player
            .blocks
            .remove(self.rng.random_range(0..player.blocks.len()));
        if expires.is_some_and(|end| end <= now) {
            return;
        }
        let row = block::Entity::find_by_id(id.0)
            .one(world.app.db().reader())
            .await
            .unwrap()
            .unwrap();
        credit::revoke(&world.app, &world.actor, id, &world.key())
            .await
            .unwrap();
        player.model.history.push((
            now.micros(),
            Input::Revoke {
                granted: row.granted_at,
            },
        ));
    }

    async fn void(&mut self, world: &World, who: usize) {
        let player = &mut self.players[who];
        if player.unclear || player.events.is_empty() {
            return;
        }
        let index = self.rng.random_range(0..player.events.len());
        let key = player.events[index].key.clone();
        let event = app::usage::event(&world.app, &world.actor, &key)
            .await
            .unwrap()
            .unwrap();
        match entity::to_text(event.state).as_str() {
            "VOIDED" => drop(world.void(&key).await.unwrap_err()),
            _ => {
                // Pending or debited: what was accepted before is debited before.
                world.void(&key).await.unwrap();
                player
                    .model
                    .history
                    .push((world.now().micros(), Input::Void { key }));
            }
        }
    }

    /// Lets the work come to rest, and compares.
    async fn rest(&mut self) {
        let world = self.worlds[0].clone();
        world.quiet().await;
        for flag in [&world.post.loses, &world.post.doubles, &world.post.reorders] {
            flag.store(false, SeqCst);
        }
        for _ in 0..3 {
            world.advance(120);
            job::sweep(&world.app).await.unwrap();
            world.run_jobs().await;
        }
        assert_eq!(
            world.pending().await,
            0,
            "work is left: TALLYGATE_SEED={}",
            self.seed
        );
        auditor::prove_changes(&world.app).await;
        let problems = auditor::problems(world.app.db()).await;
        assert!(problems.is_empty(), "{problems:#?} TALLYGATE_SEED={}", self.seed);
        let now = world.now().micros();
        for player in &mut self.players {
            player.unclear = false;
            let found = stands(&world, player.id).await;
            let wanted = player.model.replay(now);
            assert_eq!(found, wanted, "the model disagrees: TALLYGATE_SEED={}", self.seed);
            self.seen.push(found);
        }
    }
}

/// How a customer stands, without names that differ from run to run.
async fn stands(world: &World, id: CustomerId) -> String {
    let db = world.app.db().reader();
    let account = account::Entity::find_by_id(id.0).one(db).await.unwrap().unwrap();
    let blocks = block::Entity::find()
        .filter(block::Column::CustomerId.eq(id.0))
        .order_by_asc(block::Column::GrantedAt)
        .all(db)
        .await
        .unwrap();
    let counters = usage_counter::Entity::find().filter(usage_counter::Column::CustomerId.eq(id.0));
    let counters = counters.all(db).await.unwrap();
    let ratings = usage_rating::Entity::find().filter(usage_rating::Column::CustomerId.eq(id.0));
    let ratings = ratings.all(db).await.unwrap();
    let mut lines = vec![format!("overdraft {}", account.overdraft)];
    lines.extend(
        blocks
            .iter()
            .map(|it| format!("block {} {} of {}", it.granted_at, it.remaining, it.credits)),
    );
    let mut counts: Vec<String> = vec![];
    for it in &counters {
        let metrics =
            app::catalog::metric_by_id(&world.app, &world.actor, domain::id::MetricId(it.metric_id));
        let key = metrics.await.unwrap().unwrap().key;
        let rule = app::catalog::rule(&world.app, &world.actor, domain::id::MeteringRuleId(it.line_id));
        let line = u8::from(!rule.await.unwrap().unwrap().matches.is_empty());
        counts.push(format!(
            "count {key} {line} {} {} {} {}",
            it.period_start, it.units, it.events, it.credits
        ));
    }
    counts.sort();
    lines.extend(counts);
    let rated: i64 = ratings.iter().map(|it| it.events).sum();
    lines.push(format!("rated {rated}"));
    lines.join("\n")
}
