//! What a subscription agreed to before, what the catalog says now, and who waits for whom.

use std::time::Duration;

use app::{
    audit::{self, Reached},
    catalog::{self, CreateTemplate, CreateVariant},
    customer::{self, CreateCustomer},
    job,
    page::Page,
    subscription::Wish,
    test_clock::{self, AdvanceTestClock, CreateTestClock},
};
use domain::{
    id::{CustomerId, SubscriptionId, TestClockId, VariantId},
    plan::{interval::Interval, variant::Mode},
};
use sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionTrait};
use serde_json::json;

use crate::{
    e2e::process::until,
    harness::{
        World, at,
        backend::on_postgres,
        per_unit,
        plans::{template, variant},
    },
};

on_both!(
    credits_of_plans_long_gone_roll_over_as_these_said,
    a_block_within_a_cycle_ends_at_its_own_end,
    a_clock_in_the_past_gives_no_credits_away,
    a_cycle_may_end_at_the_instant_at_which_it_was_used,
    a_customer_that_cannot_go_on_holds_no_clock,
);

async fn monthly(world: &World, amount: &str, rollover: &str) -> VariantId {
    let credits = CreateTemplate {
        rollover: rollover.parse().unwrap(),
        ..template(amount)
    };
    world.sells(variant(Mode::Postpaid), vec![credits]).await
}

fn daily(amount: &str) -> CreateTemplate {
    CreateTemplate {
        every: Some(Interval::DAILY),
        ..template(amount)
    }
}

async fn change(world: &World, id: SubscriptionId, to: VariantId) {
    world.wish(id, Wish::ChangePlan { to, now: true }).await.unwrap();
}

async fn clock(world: &World, now: &str) -> TestClockId {
    let input = CreateTestClock {
        name: "clock".to_owned(),
        now: Some(at(now)),
    };
    let made = test_clock::create(&world.app, &world.actor, input, &world.key()).await;
    made.unwrap().value.id
}

async fn customer_on(world: &World, clock: TestClockId, name: &str) -> CustomerId {
    let input = CreateCustomer {
        external_id: name.to_owned(),
        clock: Some(clock),
        ..CreateCustomer::default()
    };
    let made = customer::create(&world.app, &world.actor, input, &world.key()).await;
    made.unwrap().value.id
}

/// Moves a clock. It arrives, whoever cannot go on.
async fn advance(world: &World, clock: TestClockId, to: &str) {
    let input = AdvanceTestClock { clock, to: at(to) };
    test_clock::send(&world.app, &world.actor, input, &world.key())
        .await
        .unwrap();
    world.catch_up().await;
    let arrived = test_clock::clock(&world.app, &world.actor, clock)
        .await
        .unwrap()
        .unwrap();
    assert!(arrived.ready && arrived.now == at(to), "{arrived:?}");
}

async fn prove(world: &World) {
    let run = audit::full(&world.app, Reached::All, |_, _| ()).await.unwrap();
    assert_eq!(run.violations, 0, "{:?}", run.first);
}

/// The second plan is neither what the subscription has nor what its cycle began with: only its blocks still tell of it.
async fn credits_of_plans_long_gone_roll_over_as_these_said(world: World) {
    let first = monthly(&world, "100", "50").await;
    let second = monthly(&world, "50", "100").await;
    let third = monthly(&world, "30", "0").await;
    let id = world.customer("a").await;
    let it = world.subscribe(id, first).await;
    world.until("2026-03-20").await;
    change(&world, it, second).await;
    let of_first = world.blocks(id).await[0].clone();
    world.until("2026-03-30").await;
    change(&world, it, third).await;
    let blocks = world.blocks(id).await;
    assert_eq!(blocks.len(), 3, "{blocks:?}");
    assert_eq!(blocks[0], of_first);
    world.until("2026-04-11").await;
    let rolled = world.blocks(id).await;
    let of = |source: &str| rolled.iter().filter(|block| block.starts_with(source)).count();
    assert_eq!((of("ROLLOVER"), of("PLAN_GRANT")), (2, 1), "{rolled:?}");
    world.until("2026-05-11").await;
    let again = world.blocks(id).await;
    let of = |source: &str| again.iter().filter(|block| block.starts_with(source)).count();
    assert_eq!((of("ROLLOVER"), of("PLAN_GRANT")), (2, 1), "{again:?}");
    prove(&world).await;
}

/// Its template grants no longer, so that no step comes at its end.
async fn a_block_within_a_cycle_ends_at_its_own_end(world: World) {
    let plan = world.sells(variant(Mode::Postpaid), vec![daily("5")]).await;
    let clock = clock(&world, "2026-03-10").await;
    let clocked = customer_on(&world, clock, "clocked").await;
    let by_the_wall = world.customer("wall").await;
    let it = world.subscribe(by_the_wall, plan).await;
    world.subscribe(clocked, plan).await;
    assert_eq!(world.stands(by_the_wall).await.0, "5");
    let offered = catalog::templates(&world.app, &world.actor, plan, Page::first(10))
        .await
        .unwrap();
    catalog::archive_template(&world.app, &world.actor, offered.items[0].template.id)
        .await
        .unwrap();
    world.until("2026-03-11T12:00:00Z").await;
    assert_eq!(world.stands(by_the_wall).await.0, "0");
    advance(&world, clock, "2026-03-12").await;
    assert_eq!(world.stands(clocked).await.0, "0");
    prove(&world).await;
    // The cycle goes on, and nothing of it comes back when it turns.
    world.until("2026-04-15").await;
    let closed = &world.cycles(it).await[0];
    assert_eq!(
        closed
            .summary
            .clone()
            .unwrap()
            .net_balance_at_cycle_end
            .to_string(),
        "0"
    );
    assert!(world.blocks(by_the_wall).await.is_empty());
}

/// What was written by the clock on the wall lies in the future of such a clock.
async fn a_clock_in_the_past_gives_no_credits_away(world: World) {
    let (small, large) = (monthly(&world, "5", "0").await, monthly(&world, "300", "0").await);
    let clock = clock(&world, "2020-04-01").await;
    let id = customer_on(&world, clock, "past").await;
    let it = world.subscribe(id, small).await;
    advance(&world, clock, "2020-04-16").await;
    change(&world, it, large).await;
    assert_eq!(world.stands(id).await.0, "152.5");
    change(&world, it, small).await;
    assert_eq!(world.stands(id).await.0, "5", "to and fro creates nothing");
    prove(&world).await;
}

/// On a clock that stands, everything between two moves has one instant.
async fn a_cycle_may_end_at_the_instant_at_which_it_was_used(world: World) {
    world.priced("call", per_unit("1")).await;
    let plan = monthly(&world, "10", "0").await;
    let clock = clock(&world, "2026-03-10").await;
    let id = customer_on(&world, clock, "a").await;
    world.give(id, "7").await;
    let it = world.subscribe(id, plan).await;
    world.wish(it, Wish::Pause).await.unwrap();
    advance(&world, clock, "2026-04-20").await;
    world.wish(it, Wish::Resume).await.unwrap();
    world.consume(id, "call", "1").await;
    world.catch_up().await;
    assert_eq!(world.stands(id).await.0, "16");
    world.wish(it, Wish::Cancel { at_end: false }).await.unwrap();
    assert_eq!(world.stands(id).await.0, "7");
    world.catch_up().await;
    prove(&world).await;
}

/// A step that has read the catalog, and waits before it writes, must not write over what a template changes meanwhile. On SQLite,
/// where one writes at a time, it cannot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "on PostgreSQL only")]
async fn a_template_that_is_added_during_a_step_is_noticed() {
    on_postgres(async |world: World| {
        // Turn and close are one step, so that no other one comes after it and looks again by chance.
        let at_once = CreateVariant {
            late_seconds: 0,
            ..variant(Mode::Postpaid)
        };
        let plan = world.sells(at_once, vec![template("10")]).await;
        let id = world.customer("a").await;
        world.subscribe(id, plan).await;
        world.move_to(at("2026-04-12"));
        // Blocks are read after the catalog.
        let held = world.app.db().writer().begin().await.unwrap();
        held.execute_unprepared("LOCK TABLE block IN ACCESS EXCLUSIVE MODE")
            .await
            .unwrap();
        let step = async {
            for shard in 0..32 {
                let payload = json!({ "kind": "subscription.advance", "args": shard.to_string() });
                job::run(&world.app, payload).await;
            }
        };
        let adds = async {
            until("the step waits", async || {
                let sql =
                    "SELECT COUNT(*) AS n FROM pg_locks WHERE NOT granted AND relation = 'block'::regclass
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
                let statement = Statement::from_string(DbBackend::Postgres, sql);
                let row = world.app.db().reader().query_one_raw(statement).await.unwrap();
                let waiting: i64 = row.unwrap().try_get("", "n").unwrap();
                (waiting > 0).then_some(())
            })
            .await;
            // It waits for the step; without that it would be done long before.
            let adding = world.adds(plan, daily("2"));
            tokio::pin!(adding);
            let early = tokio::time::timeout(Duration::from_millis(500), &mut adding)
                .await
                .is_ok();
            held.rollback().await.unwrap();
            if !early {
                adding.await;
            }
        };
        tokio::join!(step, adds);
        world.catch_up().await;
        world.until("2026-04-13T12:00:00Z").await;
        assert_eq!(world.stands(id).await.0, "12");
    })
    .await;
}

async fn a_customer_that_cannot_go_on_holds_no_clock(world: World) {
    let plan = monthly(&world, "10", "0").await;
    let clock = clock(&world, "2026-03-10").await;
    let (well, ill) = (
        customer_on(&world, clock, "well").await,
        customer_on(&world, clock, "ill").await,
    );
    let goes_on = world.subscribe(well, plan).await;
    let damaged = world.subscribe(ill, plan).await;
    let literal = world.literal(damaged.0);
    let zone = |name: &str| format!("UPDATE subscription SET zone = '{name}' WHERE id = {literal}");
    world.sabotage(&zone("Nowhere/Land")).await;
    advance(&world, clock, "2026-05-20").await;
    assert_eq!(world.cycles(goes_on).await.len(), 3);
    let parked = job::parked(&world.app, &world.actor, Page::first(10))
        .await
        .unwrap()
        .items;
    let parked: Vec<_> = parked
        .iter()
        .map(|work| (work.id, work.subject.clone()))
        .collect();
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].1, ill.to_string());
    // What it missed is done in order as soon as the clock comes to it again.
    world.sabotage(&zone("UTC")).await;
    job::retry(&world.app, &world.actor, parked[0].0, "again")
        .await
        .unwrap();
    advance(&world, clock, "2026-05-21").await;
    let cycles = world.cycles(damaged).await;
    assert_eq!(
        cycles.iter().map(|cycle| cycle.number).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    prove(&world).await;
}
