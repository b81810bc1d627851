//! Lost, doubled, reordered and poisonous work.

use std::{collections::BTreeSet, pin::pin, sync::atomic::Ordering::SeqCst};

use app::{
    credit::{Expiry, Grant},
    customer::shard_of,
    db::Backend,
    job::{self, Lane, ParkedWork},
    page::Page,
};
use domain::{
    id::CustomerId,
    rejection::RejectionCode::{IdempotencyConflict, NotFound},
};
use entity::work;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Statement, sea_query::Expr};
use serde_json::{Value, json};

use crate::harness::{World, mortal::Mortal, p4, per_unit, refusal};

on_both!(
    lost_wake_ups_are_found_by_the_sweep,
    a_clock_that_was_set_back_delays_nothing,
    a_run_under_way_is_told_to_look_again,
    doubled_and_reordered_wake_ups_are_harmless,
    one_wake_up_is_enough,
    a_customer_who_cannot_be_rated_is_parked,
    a_parked_customer_does_not_stop_the_expiry_of_others,
    damaged_rows_park_their_customer,
    who_kills_workers_is_parked,
    what_nobody_understands_is_parked,
    garbage_survives,
    parked_work_belongs_to_its_tenant,
    two_drains_of_one_shard,
    drains_dropped_anywhere,
    the_backlog_is_shown,
    what_must_last_waits_for_the_disk,
);

/// Parked work of all tenants and of none.
async fn anywhere(world: &World) -> Vec<ParkedWork> {
    job::parked_anywhere(&world.app, Page::first(50))
        .await
        .unwrap()
        .items
}

async fn parked(world: &World) -> Vec<ParkedWork> {
    job::parked(&world.app, &world.actor, Page::first(50))
        .await
        .unwrap()
        .items
}

/// Two customers of one shard.
async fn neighbours(world: &World) -> (CustomerId, CustomerId) {
    let mut all: Vec<CustomerId> = vec![];
    loop {
        let next = world.customer(&format!("n{}", all.len())).await;
        if let Some(first) = all.iter().find(|it| shard_of(**it) == shard_of(next)) {
            return (*first, next);
        }
        all.push(next);
    }
}

/// A customer with an event that waits, and of which no worker will hear.
async fn usage_whose_wake_up_is_lost(world: &World) -> CustomerId {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    world.post.loses.store(true, SeqCst);
    world.consume(id, "call", "1").await;
    world.run_jobs().await;
    world.post.loses.store(false, SeqCst);
    id
}

async fn a_clock_that_was_set_back_delays_nothing(world: World) {
    let id = usage_whose_wake_up_is_lost(&world).await;
    world.advance(-3_600);
    job::sweep(&world.app).await.unwrap();
    world.run_jobs().await;
    assert_eq!(
        (world.pending().await, world.stands(id).await.0),
        (0, "-1".to_owned())
    );
}

async fn a_run_under_way_is_told_to_look_again(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    world.consume(id, "call", "1").await;
    world.run_jobs().await;
    // Somebody else has begun to work on the shard and has not ended.
    work::Entity::update_many()
        .col_expr(work::Column::RunningSince, Expr::value(world.now().micros()))
        .filter(work::Column::Kind.eq("usage.drain"))
        .exec(world.app.db().writer())
        .await
        .unwrap();
    world.consume(id, "call", "1").await;
    world.quiet().await;
    assert_eq!(world.post.len(), 0, "no second worker is sent");
    let rows = work::Entity::find().all(world.app.db().reader()).await.unwrap();
    let again: Vec<i32> = rows
        .iter()
        .filter(|row| row.running_since > 0)
        .map(|row| row.again)
        .collect();
    assert_eq!(again, [1], "{rows:?}");
    // It died, and the sweep finds what it was told of.
    world.advance(16);
    world.run_to_rest().await;
    assert_eq!(world.stands(id).await.0, "-2");
}

async fn lost_wake_ups_are_found_by_the_sweep(world: World) {
    let id = usage_whose_wake_up_is_lost(&world).await;
    // A wake-up is on its way, as far as anybody knows: neither the sweep nor new usage sends another.
    job::sweep(&world.app).await.unwrap();
    world.consume(id, "call", "1").await;
    world.run_jobs().await;
    assert_eq!(world.pending().await, 2);
    world.advance(15);
    world.advance_micros(-1);
    job::sweep(&world.app).await.unwrap();
    assert_eq!(world.post.len(), 0);
    world.advance_micros(1);
    job::sweep(&world.app).await.unwrap();
    assert_eq!(world.post.len(), 1);
    world.run_jobs().await;
    assert_eq!(
        (world.pending().await, world.stands(id).await.0),
        (0, "-2".to_owned())
    );
    job::sweep(&world.app).await.unwrap();
    assert_eq!(world.post.len(), 0, "nothing is due");
}

async fn doubled_and_reordered_wake_ups_are_harmless(world: World) {
    world.priced("call", p4()).await;
    world.post.doubles.store(true, SeqCst);
    world.post.reorders.store(true, SeqCst);
    let mut ids = vec![];
    for index in 0..5 {
        ids.push(world.customer(&index.to_string()).await);
    }
    for round in 0..4 {
        for id in &ids {
            world.consume(*id, "call", "3750").await;
        }
        if round % 2 == 1 {
            world.run_jobs().await;
        }
    }
    world.run_to_rest().await;
    for id in ids {
        assert_eq!(world.stands(id).await.0, "-12500");
    }
}

async fn one_wake_up_is_enough(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    let other = world.another().await;
    // What is due by the clock, which stands still from now on, is done.
    job::sweep(&world.app).await.unwrap();
    world.run_jobs().await;
    // For a shard that was never woken, and for one that was.
    for total in ["-10", "-20"] {
        for _ in 0..5 {
            world.consume(id, "call", "1").await;
            other.consume(id, "call", "1").await;
            world.quiet().await;
            job::sweep(&other.app).await.unwrap();
        }
        assert_eq!(world.post.len(), 1);
        world.run_jobs().await;
        assert_eq!(world.stands(id).await.0, total);
    }
}

async fn a_customer_who_cannot_be_rated_is_parked(world: World) {
    world.priced("call", per_unit("1")).await;
    world.priced("gold", per_unit("9223372")).await;
    let (poison, neighbour) = neighbours(&world).await;
    let bad = world.consume(poison, "gold", "9000000000000").await;
    world.consume(poison, "call", "1").await;
    world.consume(neighbour, "call", "2").await;
    world.run_jobs().await;
    assert_eq!(
        (world.stands(neighbour).await.0, world.stands(poison).await.0),
        ("-2".to_owned(), "0".to_owned())
    );
    let work = parked(&world).await;
    assert_eq!(work.len(), 1);
    assert_eq!(
        (work[0].kind.as_str(), &work[0].subject),
        ("usage.customer", &poison.to_string())
    );
    assert!(work[0].error.as_ref().unwrap().contains("too large"), "{work:?}");
    // It stays aside, and others are served as before.
    world.consume(neighbour, "call", "2").await;
    world.run_jobs().await;
    assert_eq!(
        (world.stands(neighbour).await.0, world.pending().await),
        ("-4".to_owned(), 2)
    );
    // Retried too early it is parked again.
    job::retry(&world.app, &world.actor, work[0].id, "early")
        .await
        .unwrap();
    world.run_jobs().await;
    let work = parked(&world).await;
    assert_eq!(work.len(), 1);
    world.void(&bad).await.unwrap();
    let done = job::retry(&world.app, &world.actor, work[0].id, "r")
        .await
        .unwrap();
    assert!(
        !done.replay
            && job::retry(&world.app, &world.actor, work[0].id, "r")
                .await
                .unwrap()
                .replay
    );
    world.run_jobs().await;
    assert_eq!(
        (world.stands(poison).await.0, world.pending().await),
        ("-1".to_owned(), 0)
    );
    assert!(parked(&world).await.is_empty());
    let again = job::retry(&world.app, &world.actor, work[0].id, "r2").await;
    assert_eq!(refusal(again).0, NotFound, "there is nothing left to retry");
    assert_eq!(
        refusal(
            job::retry(
                &world.app,
                &world.actor,
                domain::id::WorkId(uuid::Uuid::nil()),
                "r"
            )
            .await
        )
        .0,
        IdempotencyConflict
    );
    assert_eq!(
        refusal(
            job::retry(
                &world.app,
                &world.actor,
                domain::id::WorkId(uuid::Uuid::nil()),
                "r3"
            )
            .await
        )
        .0,
        NotFound
    );
}

async fn a_parked_customer_does_not_stop_the_expiry_of_others(world: World) {
    world.priced("gold", per_unit("9223372")).await;
    let (poison, other) = (world.customer("poison").await, world.customer("other").await);
    let mut blocks = vec![];
    for id in [poison, other] {
        let short = Grant {
            expiry: Expiry::AfterSeconds(60),
            ..world.deposit(id, "5")
        };
        blocks.push(world.grant(short).await);
    }
    world.advance(1);
    let bad = world.consume(poison, "gold", "9000000000000").await;
    world.run_jobs().await;
    assert_eq!(parked(&world).await.len(), 1);
    world.advance(120);
    job::run(&world.app, World::expire_job()).await;
    assert_eq!(world.left(&blocks[1]).await.1, "EXPIRED");
    // The end of the parked customer's block waits for the usage before it.
    assert_eq!(world.left(&blocks[0]).await.1, "ACTIVE");
    world.void(&bad).await.unwrap();
    let work = parked(&world).await.remove(0);
    job::retry(&world.app, &world.actor, work.id, "r").await.unwrap();
    world.run_jobs().await;
    world.advance(120);
    job::run(&world.app, World::expire_job()).await;
    assert_eq!(world.left(&blocks[0]).await.1, "EXPIRED");
}

async fn damaged_rows_park_their_customer(world: World) {
    world.priced("call", per_unit("1")).await;
    let (damaged, neighbour) = neighbours(&world).await;
    world.consume(damaged, "call", "1").await;
    world
        .sabotage("UPDATE usage_pending SET properties = 'nonsense'")
        .await;
    world.consume(neighbour, "call", "2").await;
    for _ in 0..20 {
        world.run_jobs().await;
        world.advance(61);
        job::sweep(&world.app).await.unwrap();
        if world.post.len() == 0 && world.pending().await == 1 {
            break;
        }
    }
    assert_eq!(world.stands(neighbour).await.0, "-2");
    let work = parked(&world).await;
    assert_eq!((work.len(), work[0].subject.clone()), (1, damaged.to_string()));
    world.sabotage("UPDATE usage_pending SET properties = NULL").await;
    job::retry(&world.app, &world.actor, work[0].id, "r")
        .await
        .unwrap();
    world.run_to_rest().await;
    assert_eq!(world.stands(damaged).await.0, "-1");
}

/// A worker that dies as soon as its attempt at a kind of work is counted.
async fn dies_when_counted(world: &World, job: Value, kind: &str) {
    let counted = async || {
        let rows = work::Entity::find().all(world.app.db().reader()).await.unwrap();
        let attempts = rows.iter().filter(|row| row.kind == kind).map(|row| row.attempts);
        attempts.sum::<i32>()
    };
    // Long enough after the one before that nobody takes that one for alive.
    world.advance(16);
    let before = counted().await;
    let mut run = pin!(job::run(&world.app, job));
    while counted().await == before {
        // It goes no further than to its next wait.
        let ended = futures::poll!(run.as_mut()).is_ready();
        assert!(!ended, "it came through without being counted");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

/// Runs that die without a word are counted beforehand; in the end the customer that kills them is set aside.
async fn who_kills_workers_is_parked(world: World) {
    world.priced("call", per_unit("1")).await;
    let (killer, neighbour) = neighbours(&world).await;
    world.consume(killer, "call", "1").await;
    world.consume(neighbour, "call", "2").await;
    world.post.clear();
    for kind in [["usage.drain"; 2].as_slice(), &["usage.customer"; 5]].concat() {
        dies_when_counted(&world, World::drain_job(killer), kind).await;
        assert!(parked(&world).await.is_empty() && world.pending().await == 2);
    }
    world.advance(16);
    job::run(&world.app, World::drain_job(killer)).await;
    let work = parked(&world).await;
    assert_eq!((work.len(), work[0].subject.clone()), (1, killer.to_string()));
    assert!(work[0].error.as_ref().unwrap().contains("killed"), "{work:?}");
    assert_eq!(
        (world.stands(killer).await.0, world.stands(neighbour).await.0),
        ("0".to_owned(), "-2".to_owned())
    );
    job::retry(&world.app, &world.actor, work[0].id, "r")
        .await
        .unwrap();
    world.run_to_rest().await;
    assert_eq!(world.stands(killer).await.0, "-1");
    let rows = work::Entity::find().all(world.app.db().reader()).await.unwrap();
    assert!(
        rows.iter().all(|row| row.attempts == 0),
        "earlier deaths are forgotten: {rows:?}"
    );
}

async fn what_nobody_understands_is_parked(world: World) {
    let strange = json!({ "kind": "invoice.print", "args": "42" });
    for _ in 0..2 {
        job::run(&world.app, strange.clone()).await;
    }
    let work = anywhere(&world).await;
    assert_eq!((work.len(), work[0].kind.as_str()), (1, "unknown"));
    assert_eq!(serde_json::from_str::<Value>(&work[0].subject).unwrap(), strange);
    // It belongs to no tenant and may speak of anybody, so no tenant sees it.
    assert!(parked(&world).await.is_empty());
    let id = work[0].id;
    assert_eq!(
        job::parked_by_id(&world.app, &world.actor, id).await.unwrap(),
        None
    );
    assert_eq!(
        refusal(job::retry(&world.app, &world.actor, id, "r").await).0,
        NotFound
    );
    job::retry_anywhere(&world.app, id).await.unwrap();
    assert!(anywhere(&world).await.is_empty());
}

async fn garbage_survives(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    world.consume(id, "call", "1").await;
    for garbage in [
        json!(null),
        json!([]),
        json!("usage.drain"),
        json!({ "kind": "usage.drain" }),
        json!({ "kind": "usage.drain", "args": 7 }),
        json!({ "kind": "usage.drain", "args": "seven" }),
        json!({ "kind": "usage.drain", "args": ["7", "seven"] }),
        json!({ "kind": "usage.drain", "args": ["7", "7", "7"] }),
        json!({ "kind": "usage.drain", "args": (0..100).map(|shard| shard.to_string()).collect::<Vec<_>>() }),
        json!({ "kind": "usage.drain", "args": [] }),
        json!({ "kind": "usage.drain", "args": ["7", 8] }),
        json!({ "kind": "usage.drain", "args": "-1" }),
        json!({ "kind": "usage.drain", "args": "99999999999999999999" }),
        json!({ "kind": 1, "args": "1" }),
        json!({ "kind": "\u{0}", "args": "\u{0}" }),
        json!({ "kind": "usage.drain", "args": "\u{0}" }),
        json!({ "kind": "x".repeat(5_000), "args": "ü".repeat(5_000) }),
        json!({ "kind": "credit.expire", "args": "" }),
    ] {
        job::run(&world.app, garbage).await;
    }
    world.run_to_rest().await;
    assert_eq!(world.stands(id).await.0, "-1");
    assert!(anywhere(&world).await.len() >= 6);
}

async fn parked_work_belongs_to_its_tenant(world: World) {
    world.priced("gold", per_unit("9223372")).await;
    let id = world.customer("a").await;
    let bad = world.consume(id, "gold", "9000000000000").await;
    world.run_jobs().await;
    let work = parked(&world).await.remove(0);
    let them = world.stranger().await;
    assert!(parked(&them).await.is_empty());
    assert_eq!(anywhere(&them).await.len(), 1);
    assert_eq!(
        refusal(job::retry(&them.app, &them.actor, work.id, "r").await).0,
        NotFound
    );
    world.void(&bad).await.unwrap();
}

async fn two_drains_of_one_shard(world: World) {
    world.priced("call", p4()).await;
    let (one, two) = neighbours(&world).await;
    let other = world.another().await;
    world.give(one, "1000").await;
    world.advance(1);
    for _ in 0..4 {
        for id in [one, two] {
            let events = (0..250).map(|_| world.event(id, "call", "15"));
            world.accept(events.collect()).await;
        }
        let drain = |world: &World| {
            let app = world.app.clone();
            tokio::spawn(async move { job::run(&app, World::drain_job(one)).await })
        };
        let runs = [drain(&world), drain(&other), drain(&world), drain(&other)];
        world.give(one, "1").await;
        for run in runs {
            run.await.unwrap();
        }
        world.advance(61);
    }
    world.run_to_rest().await;
    assert_eq!(
        (world.stands(one).await.0, world.stands(two).await.0),
        ("-11496".to_owned(), "-12500".to_owned())
    );
}

async fn drains_dropped_anywhere(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    world.give(id, "1000").await;
    for polls in (1..120).step_by(3) {
        world.advance(1);
        world.consume(id, "call", "1").await;
        let mut run = pin!(Mortal::new(job::run(&world.app, World::drain_job(id)), polls));
        run.as_mut().await;
        world.post.clear();
        let parked = parked(&world).await;
        if let Some(work) = parked.first() {
            job::retry(&world.app, &world.actor, work.id, &world.key())
                .await
                .unwrap();
        }
    }
    world.run_to_rest().await;
    assert_eq!(world.stands(id).await.0, "960");
}

async fn the_backlog_is_shown(world: World) {
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    let soon = Grant {
        expiry: Expiry::AfterSeconds(10),
        ..world.deposit(id, "1")
    };
    world.grant(soon).await;
    let begun = world.now();
    world.consume(id, "call", "1").await;
    world.advance(10);
    world.consume(id, "call", "1").await;
    let status = job::status(&world.app, &world.actor).await.unwrap();
    assert_eq!(status.as_of, world.now());
    let lane = |lane| status.lanes.iter().find(|it| it.lane == lane).unwrap();
    assert_eq!(
        (lane(Lane::Usage).backlog, lane(Lane::Usage).oldest),
        (2, Some(begun))
    );
    assert_eq!(
        (lane(Lane::Upkeep).backlog, lane(Lane::Upkeep).oldest),
        (1, Some(world.now()))
    );
    // Another tenant sees its own lanes, which are empty; who runs the process sees all.
    let them = world.stranger().await;
    let theirs = job::status(&them.app, &them.actor).await.unwrap();
    assert!(theirs.lanes.iter().all(|it| (it.backlog, it.oldest) == (0, None)));
    let overview = job::overview(&world.app).await.unwrap();
    assert_eq!((overview.lanes, overview.shards_waiting), (status.lanes, 1));
    assert!(overview.parked.iter().all(|(_, rows)| *rows == 0));
    world.run_to_rest().await;
    let status = job::status(&world.app, &world.actor).await.unwrap();
    assert!(
        status
            .lanes
            .iter()
            .all(|it| it.backlog == 0 && it.oldest.is_none())
    );
}

/// Writes down, for each table that is written to, whether the commit will wait for the disk; what is parked, by itself.
const WATCH_COMMITS: &str = "
    CREATE TABLE commits (what text, waits text);
    CREATE FUNCTION note_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO commits VALUES (COALESCE(TG_ARGV[0], TG_TABLE_NAME), current_setting('synchronous_commit'));
        RETURN NULL;
    END $$;
    DO $$ DECLARE t text; BEGIN
        FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'commits' LOOP
            EXECUTE format('CREATE TRIGGER note_commit AFTER INSERT OR UPDATE OR DELETE ON %I
                FOR EACH STATEMENT EXECUTE FUNCTION note_commit()', t);
        END LOOP;
    END $$;
    CREATE TRIGGER note_parking AFTER INSERT OR UPDATE ON work FOR EACH ROW WHEN (NEW.state = 'PARKED')
        EXECUTE FUNCTION note_commit('parked')";

/// Only what is noted of wake-ups and runs may be lost with a server that crashes.
async fn what_must_last_waits_for_the_disk(world: World) {
    let db = world.app.db();
    if db.backend() == Backend::Sqlite {
        // One writing connection, which always waits: 2 is FULL.
        let asked = Statement::from_string(db.writer().get_database_backend(), "PRAGMA synchronous");
        let row = db.writer().query_one_raw(asked).await.unwrap().unwrap();
        assert_eq!(row.try_get_by_index::<i32>(0).unwrap(), 2);
        return;
    }
    db.writer().execute_unprepared(WATCH_COMMITS).await.unwrap();
    world.priced("call", per_unit("1")).await;
    let id = world.customer("a").await;
    world.give(id, "5").await;
    let key = world.consume(id, "call", "7").await;
    world.run_to_rest().await;
    world.void(&key).await.unwrap();
    job::run(&world.app, json!({ "kind": "of tomorrow", "args": "x" })).await;
    let asked = Statement::from_string(
        db.writer().get_database_backend(),
        "SELECT DISTINCT what, waits FROM commits",
    );
    let noted: BTreeSet<(String, String)> = db
        .reader()
        .query_all_raw(asked)
        .await
        .unwrap()
        .iter()
        .map(|row| (row.try_get_by_index(0).unwrap(), row.try_get_by_index(1).unwrap()))
        .collect();
    let waiting = |what: &str, waits: &str| noted.contains(&(what.to_owned(), waits.to_owned()));
    for what in [
        "usage_event",
        "usage_pending",
        "account",
        "block",
        "ledger_entry",
        "usage_rating",
        "parked",
    ] {
        assert!(waiting(what, "on"), "{what} is not written to: {noted:?}");
    }
    let passing: Vec<&str> = noted
        .iter()
        .filter(|(_, waits)| waits != "on")
        .map(|(what, _)| what.as_str())
        .collect();
    assert_eq!(passing, ["work"], "{noted:?}");
    db.writer()
        .execute_unprepared("DROP FUNCTION note_commit CASCADE; DROP TABLE commits")
        .await
        .unwrap();
}
