//! Months of everything that vendors and customers do, on one clock that only runs forward, so that a model can follow to the
//! last micro-credit: usage in time and late, grants of all sources that end never, soon or with the month, corrections,
//! revocations, voids, and prices that change. Some live by billing cycles, the others by calendar months.

use std::sync::atomic::Ordering::SeqCst;

use app::{
    catalog::{CreateTemplate, CreateVariant},
    credit::{self, Adjust, Expiry, Grant},
    customer::{CustomerRef, shard_of},
    job,
    subscription::CreateSubscription,
    usage::{self, Age, NewEvent, Outcome},
};
use domain::{
    amount::{Credits, Quantity},
    credit::block::{Billing, Source},
    customer::Settlement,
    cycle::late::LatePolicy,
    id::{BlockId, CustomerId},
    metering::Price,
    money::{Currency, Money},
    plan::{interval::Interval, variant::Mode},
    subscription::admission::Admission,
    time::Timestamp,
};
use entity::{billing_cycle, block};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::json;

use super::{
    METRICS,
    mishap::{DRAINING, MOVING, Mishap, RECORDING, TURNING},
    model::{GRACE, Input, Model, Prices, Sold, Version},
    newcomer, on_both, sound, stands,
};
use crate::harness::{
    World, at, flat, graduated,
    mortal::Mortal,
    package, per_unit,
    plans::{agreement, template, variant},
};

const STEPS: usize = 220;
/// Steps after which the work comes to rest and everything is compared.
const REST_EVERY: usize = 20;
const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn months_are_as_the_model_says() {
    on_both("simulation::months::months_are_as_the_model_says", live).await;
}

async fn live(world: World, seed: u64) -> Vec<String> {
    let begun = world.now();
    let mut months = Months::begin(world, seed).await;
    for step in 1..=STEPS {
        months.step().await;
        if step % REST_EVERY == 0 {
            months.rest().await;
        }
    }
    let days = (months.worlds[0].now().micros() - begun.micros()) / DAY;
    assert!(days > 60, "{days} days are no months");
    println!("{days} days, {} versions of prices", months.prices.len());
    months.seen
}

struct Player {
    id: CustomerId,
    model: Model,
    /// A worker died here: how far it came is not known until the next rest.
    unclear: bool,
    blocks: Vec<(BlockId, Option<Timestamp>)>,
    events: Vec<NewEvent>,
}

impl Player {
    /// Insists that cycles were turned when they should, and tells the model of them, who knows where usage counts by them.
    async fn cycles(&mut self, world: &World, now: i64) {
        let rows = billing_cycle::Entity::find().filter(billing_cycle::Column::CustomerId.eq(self.id.0));
        let rows = rows.order_by_asc(billing_cycle::Column::Number);
        self.model.cycles = rows.all(world.app.db().writer()).await.unwrap();
        let sold = self.model.sold.as_ref().unwrap();
        let found: Vec<(i64, i64, i64, bool)> = self
            .model
            .cycles
            .iter()
            .map(|it| (it.period_start, it.period_end, it.granted, it.summary.is_some()))
            .collect();
        let wanted: Vec<(i64, i64, i64, bool)> = sold
            .bounds
            .windows(2)
            .filter(|it| it[0] <= now - GRACE)
            .map(|it| (it[0], it[1], sold.amount, it[1] + 60_000_000 <= now - GRACE))
            .collect();
        assert_eq!(found, wanted, "cycles");
    }
}

struct Months {
    worlds: [World; 2],
    rng: StdRng,
    players: Vec<Player>,
    prices: Prices,
    seen: Vec<String>,
}

impl Months {
    async fn begin(world: World, seed: u64) -> Self {
        let mut players: Vec<Player> = vec![];
        for (settlement, bound) in [
            (Settlement::NextPurchase, None),
            (Settlement::Manual, None),
            (Settlement::NextPurchase, Some(5_000_000)),
            (Settlement::NextInvoice, Some(2_000_000)),
            (Settlement::NextPurchase, Some(0)),
            (Settlement::Manual, Some(9_000_000)),
        ] {
            let others: Vec<CustomerId> = players.iter().map(|player| player.id).collect();
            players.push(Player {
                id: newcomer(&world, settlement, bound, &others).await,
                model: Model::new(settlement, bound),
                unclear: false,
                blocks: vec![],
                events: vec![],
            });
        }
        let other = world.another().await;
        let mut months = Self {
            worlds: [world, other],
            rng: StdRng::seed_from_u64(seed),
            players,
            prices: vec![],
            seen: vec![],
        };
        months.open_shop().await;
        months.subscribe(1, "CURRENT_CYCLE", 30).await;
        months.subscribe(2, "ADJUSTMENT", 11).await;
        months.subscribe(2, "CURRENT_CYCLE", 25).await;
        months.agree().await;
        months
    }

    /// Some have agreed to plans, which workers advance. Where the clock stands at first decides when cycles end.
    async fn agree(&mut self) {
        let world = self.worlds[0].clone();
        let now = world.now();
        let zone = domain::zone::Zone::UTC;
        let free = CreateVariant {
            fee: Some(Money::of(0, Currency::USD)),
            late: LatePolicy::Adjustment,
            ..variant(Mode::Prepaid)
        };
        let weekly = CreateVariant {
            interval: Interval::WEEKLY,
            ..variant(Mode::Postpaid)
        };
        let rolling = |amount| CreateTemplate {
            rollover: "50".parse().unwrap(),
            ..template(amount)
        };
        // The day of the month on which all began is one that every month has.
        let month = |number: i64| {
            let (year, month) = (2026 + (2 + number) / 12, (2 + number) % 12 + 1);
            at(&format!("{year}-{month:02}-10T12:00:00Z")).micros()
        };
        assert_eq!(month(0), now.micros(), "the beginning of every world");
        let months: Vec<i64> = (0..60).map(month).collect();
        let weeks = |all: i32| (0..=all).map(|it| zone.plus_days(now, 7 * it).micros()).collect();
        let contract: Vec<i64> = weeks(10);
        for (who, variant, template, billing, bounds) in [
            (
                3,
                variant(Mode::Postpaid),
                rolling("33.333333"),
                Billing::Budget,
                months.clone(),
            ),
            (4, weekly, rolling("12.000001"), Billing::Budget, contract),
            (5, free, rolling("21"), Billing::Free, months),
        ] {
            let (amount, ends) = (template.credits.raw(), bounds.len() == 11);
            let plan = world.sells(variant, vec![template]).await;
            let player = &mut self.players[who];
            let input = CreateSubscription {
                contract_end: ends.then(|| Timestamp::from_micros(bounds[10])),
                ..agreement(player.id, plan)
            };
            world.try_subscribe(input).await.unwrap();
            player.model.sold = Some(Sold {
                bounds,
                amount,
                billing,
                rolls_over: true,
            });
        }
    }

    /// Three years of cycles of so many days for a player. Those of an earlier call count first.
    async fn subscribe(&mut self, who: usize, late: &'static str, days: i64) {
        let world = &self.worlds[0];
        let id = self.players[who].id;
        let begun = world.now().plus_seconds(-20 * 86_400 - days);
        let earlier = i64::try_from(self.players[who].model.cycles.len()).unwrap();
        let since = begun.plus_seconds(earlier).to_string();
        let of = world.written_subscription(id, &since, late).await;
        for number in 1..=1_000 / days {
            // A day is left out now and then.
            let at = |day: i64| begun.plus_seconds(day * 86_400);
            let rest = i64::from(number % 3 == 0);
            world
                .cycle(of, number, at((number - 1) * days), at(number * days - rest))
                .await;
        }
        world.barrier(id, Timestamp::MAX, Admission::Admitted).await;
        let rows = billing_cycle::Entity::find().filter(billing_cycle::Column::CustomerId.eq(id.0));
        self.players[who].model.cycles = rows.all(world.app.db().writer()).await.unwrap();
    }

    /// A first price for everything, and one for large requests.
    async fn open_shop(&mut self) {
        let world = self.worlds[0].clone();
        for metric in METRICS {
            world.metric(metric).await;
        }
        let tiers = graduated(&[("10", "1"), ("100", "0.5"), ("", "0.1")]);
        self.price(&world, 0, false, tiers, None).await;
        self.price(&world, 1, false, per_unit("0.0004"), None).await;
        self.price(&world, 2, false, package("7", "1.25"), None).await;
        self.price(&world, 0, true, flat("3"), None).await;
    }

    fn world(&mut self) -> World {
        self.worlds[self.rng.random_range(0..2)].clone()
    }

    async fn step(&mut self) {
        let world = self.world();
        // Never at the same instant as the step before: then it would be open which came first.
        world.advance_micros(self.pass(world.now()) + 1_000);
        let who = self.rng.random_range(0..self.players.len());
        match self.rng.random_range(0..100) {
            0..38 => self.consume(&world, who).await,
            38..51 => self.grant(&world, who).await,
            51..57 => self.adjust(&world, who).await,
            57..61 => self.revoke(&world, who).await,
            61..71 => self.void(&world, who).await,
            71..75 => self.reprice(&world).await,
            75..80 => job::run(&world.app, self.job(who).0).await,
            80..83 => job::run(&world.app, World::expire_job()).await,
            83..87 => world.run_jobs().await,
            87..91 => self.die(&world, who).await,
            91..96 => self.break_down(&world, who).await,
            _ => {
                world.post.loses.store(self.rng.random_bool(0.4), SeqCst);
                world.post.doubles.store(self.rng.random_bool(0.4), SeqCst);
                world.post.reorders.store(self.rng.random_bool(0.4), SeqCst);
            }
        }
    }

    /// How long it is until the next step, in microseconds.
    fn pass(&mut self, now: Timestamp) -> i64 {
        match self.rng.random_range(0..40) {
            0..2 => self.rng.random_range(1..20 * DAY),
            // Just before the month ends, or just after.
            2..4 => {
                let beside = self.rng.random_range(-10_000_000..10_000_000);
                (month_end(now) - now.micros() + beside).max(1)
            }
            4..16 => self.rng.random_range(1..HOUR),
            _ => self.rng.random_range(1..5_000_000),
        }
    }

    /// A wake-up for what a customer's use or its cycles may need, and where its run may fail.
    fn job(&mut self, who: usize) -> (serde_json::Value, &'static [&'static str]) {
        let player = &self.players[who];
        if player.model.sold.is_some() && self.rng.random_bool(0.6) {
            let shard = shard_of(player.id).to_string();
            return (json!({ "kind": "subscription.advance", "args": shard }), TURNING);
        }
        (World::drain_job(player.id), DRAINING)
    }

    /// A worker that is gone in the middle of a run.
    async fn die(&mut self, world: &World, who: usize) {
        let polls = self.rng.random_range(1..80);
        self.players[who].unclear = true;
        let (payload, _) = self.job(who);
        let run = job::run(&world.app, payload);
        Mortal::new(run, polls).await;
    }

    /// A run in which a statement fails, or the code.
    async fn break_down(&mut self, world: &World, who: usize) {
        let (payload, places) = self.job(who);
        let _mishap = Mishap::at(places, &mut self.rng);
        self.players[who].unclear = true;
        let app = world.app.clone();
        let _ = tokio::spawn(async move { job::run(&app, payload).await }).await;
    }

    async fn price(&mut self, world: &World, metric: usize, large: bool, price: Price, from: Option<i64>) {
        let matches: &[(&str, &str)] = if large { &[("model", "large")] } else { &[] };
        let last = self
            .prices
            .iter()
            .filter(|it| (it.metric, it.large) == (metric, large));
        let last = last.map(|it| it.from).max();
        let now = world.now().micros();
        let begins = from.unwrap_or(if last.is_none() { i64::MIN } else { now });
        let asked = world.try_rule(
            METRICS[metric],
            matches,
            price.clone(),
            from.map(Timestamp::from_micros),
        );
        if asked.await.is_err() {
            assert!(last.is_some_and(|last| begins <= last), "a price was refused");
            return;
        }
        self.prices.push(Version {
            metric,
            large,
            known: now,
            from: begins,
            price,
        });
    }

    /// A new version of a price, of any kind, from now on or from some day on.
    async fn reprice(&mut self, world: &World) {
        let rng = &mut self.rng;
        let cents = |rng: &mut StdRng, most: u32| format!("0.{:02}", rng.random_range(1..most));
        let price = match rng.random_range(0..4) {
            0 => {
                let (ends, rest) = (
                    [rng.random_range(1..40), rng.random_range(40..300)],
                    cents(rng, 20),
                );
                let [first, second] = ends.map(|end| end.to_string());
                let (dear, fair) = (cents(rng, 99), cents(rng, 60));
                graduated(&[(&first, &dear), (&second, &fair), ("", &rest)])
            }
            1 => per_unit(&cents(rng, 50)),
            2 => package(&rng.random_range(2..30).to_string(), &cents(rng, 99)),
            _ => flat(&cents(rng, 99)),
        };
        let (metric, large) = (rng.random_range(0..METRICS.len()), rng.random_bool(0.3));
        let from = rng
            .random_bool(0.5)
            .then(|| world.now().micros() + rng.random_range(1..20 * DAY));
        self.price(world, metric, large, price, from).await;
    }

    async fn consume(&mut self, world: &World, who: usize) {
        let now = world.now();
        let mut batch = vec![];
        for _ in 0..self.rng.random_range(1..5) {
            let known = self.players[who].events.len();
            if known > 0 && self.rng.random_bool(0.15) {
                let known = &self.players[who].events[self.rng.random_range(0..known)];
                // What happened too long ago is refused, known or not.
                if known
                    .occurred_at
                    .is_none_or(|at| at >= now.plus_seconds(-34 * 86_400))
                {
                    batch.push(known.clone());
                    continue;
                }
            }
            batch.push(self.event(who, now));
        }
        if self.rng.random_bool(0.2) {
            let _mishap = Mishap::at(RECORDING, &mut self.rng);
            let (world, batch) = (world.clone(), batch.clone());
            // Whatever is answered, the producer sends the same again.
            let sent = async move {
                usage::record(&world.app, &world.actor, batch, Age::Limited)
                    .await
                    .is_ok()
            };
            let _ = tokio::spawn(sent).await;
            self.worlds[0].quiet().await;
        }
        for outcome in world.record(batch).await {
            let fine = matches!(outcome, Outcome::Accepted(_) | Outcome::Duplicate(_));
            assert!(fine, "{outcome:?}");
        }
        world.quiet().await;
    }

    /// A new event, which the model hears of as well.
    fn event(&mut self, who: usize, now: Timestamp) -> NewEvent {
        let rng = &mut self.rng;
        let (metric, large) = (rng.random_range(0..METRICS.len()), rng.random_bool(0.2));
        let late = rng.random_bool(0.25).then(|| rng.random_range(1..34 * 86_400));
        let micros = rng.random_range(0..60_000_000_i64);
        let player = &mut self.players[who];
        let event = NewEvent {
            customer: Some(CustomerRef::Id(player.id)),
            metric_key: METRICS[metric].to_owned(),
            units: Quantity::from_raw(micros).to_string(),
            key: format!("{who}-{}", player.events.len()),
            occurred_at: late.map(|seconds| now.plus_seconds(-seconds)),
            properties: large.then(|| json!({ "model": "large" })),
        };
        let input = Input::Event {
            key: event.key.clone(),
            metric,
            units: micros,
            occurred: event.occurred_at.unwrap_or(now).micros(),
            large,
        };
        player.model.history.push((now.micros(), input));
        player.events.push(event.clone());
        event
    }

    async fn grant(&mut self, world: &World, who: usize) {
        let (now, id) = (world.now(), self.players[who].id);
        let rng = &mut self.rng;
        let source = SOURCES[rng.random_range(0..SOURCES.len())];
        let billing = [
            None,
            Some(Billing::Free),
            Some(Billing::Prepaid),
            Some(Billing::Budget),
        ];
        let billing = billing[rng.random_range(0..billing.len())];
        let amount = rng.random_range(1..60_000_000);
        let priority = [0, 0, 0, 5, -5][rng.random_range(0..5)];
        let metric = rng.random_bool(0.2).then(|| rng.random_range(0..METRICS.len()));
        let expiry = match rng.random_range(0..10) {
            0..3 => Expiry::Never,
            3..5 => Expiry::AfterSeconds(rng.random_range(1..6 * 86_400)),
            5..7 => Expiry::AfterSeconds([7, 14, 30, 90][rng.random_range(0..4)] * 86_400),
            // With the month, or a moment beside its end.
            _ => {
                let beside = month_end(now) + rng.random_range(-1..2);
                Expiry::At(Timestamp::from_micros(beside.max(now.micros() + 1)))
            }
        };
        let grant = Grant {
            credits: Credits::from_raw(amount),
            source,
            priority: Some(priority),
            billing,
            expiry,
            metric_keys: metric.map(|metric: usize| vec![METRICS[metric].to_owned()]),
            ..world.deposit(id, "1")
        };
        let key = world.key();
        self.stumble(world, async |world| {
            credit::grant(&world.app, &world.actor, grant.clone(), &key)
                .await
                .map(drop)
        })
        .await;
        let made = credit::grant(&world.app, &world.actor, grant, &key)
            .await
            .unwrap();
        let block = made.value.block;
        let player = &mut self.players[who];
        let input = Input::Grant {
            amount,
            priority,
            billing: billing.unwrap_or(source.default_billing()),
            expires: block.expires_at.map(Timestamp::micros),
            metric,
        };
        player.model.history.push((now.micros(), input));
        player.blocks.push((block.id, block.expires_at));
    }

    /// Sometimes a request goes wrong first; it is then made again with the same key.
    async fn stumble(&mut self, world: &World, ask: impl AsyncFn(&World) -> app::Result<()>) {
        if self.rng.random_bool(0.25) {
            let _mishap = Mishap::at(MOVING, &mut self.rng);
            let asked = std::panic::AssertUnwindSafe(ask(world));
            let _ = futures::FutureExt::catch_unwind(asked).await;
        }
    }

    async fn adjust(&mut self, world: &World, who: usize) {
        let amount = self.rng.random_range(1..30_000_000) * [1, -1][self.rng.random_range(0..2)];
        let input = Adjust {
            customer: CustomerRef::Id(self.players[who].id),
            credits: Credits::from_raw(amount),
            description: None,
        };
        let key = world.key();
        self.stumble(world, async |world| {
            credit::adjust(&world.app, &world.actor, input.clone(), &key)
                .await
                .map(drop)
        })
        .await;
        let refused = match credit::adjust(&world.app, &world.actor, input, &key).await {
            Ok(_) => false,
            Err(app::Error::Rejected(_)) => true,
            Err(error) => panic!("{error}"),
        };
        let input = Input::Adjust { amount, refused };
        let history = &mut self.players[who].model.history;
        history.push((world.now().micros(), input));
    }

    async fn revoke(&mut self, world: &World, who: usize) {
        let now = world.now();
        let player = &mut self.players[who];
        if player.blocks.is_empty() {
            return;
        }
        let chosen = self.rng.random_range(0..player.blocks.len());
        let (id, expires) = player.blocks.remove(chosen);
        if expires.is_some_and(|end| end <= now) {
            return;
        }
        let db = world.app.db().reader();
        let row = block::Entity::find_by_id(id.0).one(db).await.unwrap().unwrap();
        let key = world.key();
        self.stumble(world, async |world| {
            credit::revoke(&world.app, &world.actor, id, &key).await.map(drop)
        })
        .await;
        credit::revoke(&world.app, &world.actor, id, &key).await.unwrap();
        let input = Input::Revoke {
            granted: row.granted_at,
        };
        self.players[who].model.history.push((now.micros(), input));
    }

    async fn void(&mut self, world: &World, who: usize) {
        let player = &mut self.players[who];
        if player.unclear || player.events.is_empty() {
            return;
        }
        let index = self.rng.random_range(0..player.events.len());
        let key = player.events[index].key.clone();
        let event = usage::event(&world.app, &world.actor, &key)
            .await
            .unwrap()
            .unwrap();
        if entity::to_text(event.state) == "VOIDED" {
            return drop(world.void(&key).await.unwrap_err());
        }
        // Pending or debited: what was accepted before is debited before.
        world.void(&key).await.unwrap();
        player
            .model
            .history
            .push((world.now().micros(), Input::Void { key }));
    }

    /// Lets the work come to rest, and compares.
    async fn rest(&mut self) {
        let world = self.worlds[0].clone();
        come_to_rest(&world).await;
        sound(&world).await;
        let now = world.now().micros();
        for player in &mut self.players {
            player.unclear = false;
            if player.model.sold.is_some() {
                player.cycles(&world, now).await;
            }
            let found = stands(&world, player.id).await;
            assert_eq!(
                found,
                player.model.replay(&self.prices, now),
                "the model disagrees"
            );
            self.seen.push(found);
        }
    }
}

const SOURCES: [Source; 8] = [
    Source::PlanGrant,
    Source::Included,
    Source::Purchase,
    Source::Bonus,
    Source::Promotion,
    Source::Trial,
    Source::Rollover,
    Source::Adjustment,
];

/// First instant of the next UTC month.
fn month_end(now: Timestamp) -> i64 {
    let begins = now.month().start;
    let next = begins.plus_seconds(32 * 86_400);
    next.month().start.micros()
}

/// Nothing gets lost any more, and pauses pass, until nothing is left to do.
pub(super) async fn come_to_rest(world: &World) {
    world.quiet().await;
    for flag in [&world.post.loses, &world.post.doubles, &world.post.reorders] {
        flag.store(false, SeqCst);
    }
    for _ in 0..3 {
        world.advance(120);
        job::sweep(&world.app).await.unwrap();
        world.run_jobs().await;
    }
    assert_eq!(world.pending().await, 0, "work is left");
}
