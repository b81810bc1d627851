//! Months with two processes whose clocks disagree and jump, forward and back. Which block pays is then nobody's business:
//! an event was accepted when its process believed it was. But each is debited once, cycles cost what was used in them, and the
//! books are sound; and both databases decide alike.

use std::{collections::BTreeMap, sync::atomic::Ordering::SeqCst};

use app::{
    credit::{self, Expiry, Grant},
    customer::CustomerRef,
    job,
    usage::{NewEvent, Outcome},
};
use domain::{
    amount::{Credits, Quantity},
    customer::Settlement,
    id::CustomerId,
    metering::Price,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    METRICS,
    mishap::{DRAINING, Mishap},
    months::come_to_rest,
    newcomer, on_both, sound, stands,
};
use crate::harness::{World, graduated, naive::cumulative, package, per_unit};

const STEPS: usize = 150;
/// Steps after which the clocks are set right, the work comes to rest and everything is looked at.
const REST_EVERY: usize = 25;
const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_may_jump_and_disagree() {
    on_both("simulation::clocks::clocks_may_jump_and_disagree", live).await;
}

async fn live(world: World, seed: u64) -> Vec<String> {
    let mut two = Two::begin(world, seed).await;
    for step in 1..=STEPS {
        two.step().await;
        if step % REST_EVERY == 0 {
            two.rest().await;
        }
    }
    two.seen
}

/// What was used, and not taken back: customer, metric, units, first instant of the month.
type Used = BTreeMap<String, (usize, usize, i64, i64)>;

struct Two {
    worlds: [World; 2],
    rng: StdRng,
    prices: Vec<Price>,
    customers: Vec<CustomerId>,
    used: Used,
    events: usize,
    seen: Vec<String>,
}

impl Two {
    async fn begin(world: World, seed: u64) -> Self {
        let prices = vec![
            graduated(&[("10", "1"), ("100", "0.5"), ("", "0.1")]),
            per_unit("0.333333"),
            package("7", "1.25"),
        ];
        for (metric, price) in METRICS.iter().zip(&prices) {
            world.priced(metric, price.clone()).await;
        }
        let mut customers = vec![];
        for settlement in [
            Settlement::NextPurchase,
            Settlement::Manual,
            Settlement::NextInvoice,
        ] {
            let id = newcomer(&world, settlement, None, &customers).await;
            customers.push(id);
        }
        // However far they jump back, nobody's clock shows a time before the prices were written.
        world.advance(60 * 86_400);
        let other = world.elsewhere().await;
        Self {
            worlds: [world, other],
            rng: StdRng::seed_from_u64(seed),
            prices,
            customers,
            used: Used::new(),
            events: 0,
            seen: vec![],
        }
    }

    async fn step(&mut self) {
        for world in &self.worlds {
            world.advance_micros(self.rng.random_range(1_000..60_000_000));
        }
        let world = self.worlds[self.rng.random_range(0..2)].clone();
        let who = self.rng.random_range(0..self.customers.len());
        match self.rng.random_range(0..100) {
            0..40 => self.consume(&world, who).await,
            40..50 => self.grant(&world, who).await,
            50..60 => self.void(&world).await,
            60..72 => self.jump(&world),
            72..80 => job::run(&world.app, World::drain_job(self.customers[who])).await,
            80..84 => job::run(&world.app, World::expire_job()).await,
            84..88 => world.run_jobs().await,
            88..91 => job::sweep(&world.app).await.unwrap(),
            91..95 => self.break_down(&world, who).await,
            _ => {
                world.post.loses.store(self.rng.random_bool(0.4), SeqCst);
                world.post.doubles.store(self.rng.random_bool(0.4), SeqCst);
                world.post.reorders.store(self.rng.random_bool(0.4), SeqCst);
            }
        }
    }

    /// By seconds, as time is set right over the network, or by days, as people do it.
    fn jump(&mut self, world: &World) {
        let far = [2_000_000, HOUR, 3 * DAY][self.rng.random_range(0..3)];
        world.advance_micros(self.rng.random_range(-far..far));
    }

    async fn break_down(&mut self, world: &World, who: usize) {
        let _mishap = Mishap::at(DRAINING, &mut self.rng);
        let (app, payload) = (world.app.clone(), World::drain_job(self.customers[who]));
        let _ = tokio::spawn(async move { job::run(&app, payload).await }).await;
    }

    async fn consume(&mut self, world: &World, who: usize) {
        let mut batch = vec![];
        for _ in 0..self.rng.random_range(1..5) {
            let metric = self.rng.random_range(0..METRICS.len());
            let micros = self.rng.random_range(0..60_000_000_i64);
            let before = self.rng.random_range(1..20 * 86_400);
            let occurred = world.now().plus_seconds(-before);
            let key = format!("e-{}", self.events);
            self.events += 1;
            let month = occurred.month().start.micros();
            self.used.insert(key.clone(), (who, metric, micros, month));
            batch.push(NewEvent {
                customer: Some(CustomerRef::Id(self.customers[who])),
                metric_key: METRICS[metric].to_owned(),
                units: Quantity::from_raw(micros).to_string(),
                key,
                occurred_at: Some(occurred),
                properties: None,
            });
        }
        for outcome in world.record(batch).await {
            assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
        }
        for world in &self.worlds {
            world.quiet().await;
        }
    }

    async fn grant(&mut self, world: &World, who: usize) {
        let expiry = match self.rng.random_range(0..3) {
            0 => Expiry::Never,
            1 => Expiry::AfterSeconds(self.rng.random_range(1..86_400)),
            _ => Expiry::AfterSeconds(self.rng.random_range(1..40 * 86_400)),
        };
        let grant = Grant {
            credits: Credits::from_raw(self.rng.random_range(1..60_000_000)),
            expiry,
            ..world.deposit(self.customers[who], "1")
        };
        credit::grant(&world.app, &world.actor, grant, &world.key())
            .await
            .unwrap();
    }

    async fn void(&mut self, world: &World) {
        if self.events == 0 {
            return;
        }
        let key = format!("e-{}", self.rng.random_range(0..self.events));
        let done = world.void(&key).await;
        assert_eq!(done.is_ok(), self.used.remove(&key).is_some(), "{key}: {done:?}");
    }

    async fn rest(&mut self) {
        let latest = self.worlds.iter().map(World::now).max().unwrap();
        for world in &self.worlds {
            world.move_to(latest);
        }
        let world = &self.worlds[0];
        come_to_rest(world).await;
        self.worlds[1].move_to(world.now());
        sound(world).await;
        for (who, id) in self.customers.iter().enumerate() {
            let found = stands(world, *id).await;
            let counts: Vec<&str> = found.lines().filter(|line| line.starts_with("count ")).collect();
            // What was all taken back has a count of nothing.
            let counts: Vec<&str> = counts
                .into_iter()
                .filter(|line| !line.ends_with(" 0 0 0"))
                .collect();
            assert_eq!(counts, self.due(who), "{id}");
            self.seen.push(found);
        }
    }

    /// What each cycle of a customer comes to.
    fn due(&self, who: usize) -> Vec<String> {
        let mut cycles: BTreeMap<(usize, i64), (i64, i64)> = BTreeMap::new();
        for (_, metric, units, month) in self.used.values().filter(|it| it.0 == who) {
            let cycle = cycles.entry((*metric, *month)).or_default();
            cycle.0 += units;
            cycle.1 += 1;
        }
        let line = |((metric, month), (units, events)): (&(usize, i64), &(i64, i64))| {
            let credits = cumulative(&self.prices[*metric], *units, *events);
            format!("count {} 0 {month} {units} {events} {credits}", METRICS[*metric])
        };
        let mut lines: Vec<String> = cycles.iter().map(line).collect();
        lines.sort();
        lines
    }
}
