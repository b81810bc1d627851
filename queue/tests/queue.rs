//! The promises of the queue, each on SQLite and on PostgreSQL.
//!
//! PostgreSQL is taken from `TALLYGATE_TEST_POSTGRES_URL`; without a server these tests fail rather than skip.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs
)]

mod world;

use std::time::{Duration, Instant};

use app::{
    db::Backend,
    job::{Lane, Queue},
};
use sea_orm::TransactionTrait;
use world::{Consumer, PATIENCE, Seen, World, name, on_postgres, on_sqlite, pace, until, wakeup};

const LANE: Lane = Lane::Usage;

macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::on_sqlite(super::$case).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::on_postgres(super::$case).await;
            })*
        }
    };
}

on_both!(
    runs_what_is_committed_and_nothing_else,
    runs_a_thousand_pushed_with_gaps_and_is_quick,
    takes_a_thousand_in_one_push,
    survives_panics,
    drops_overdue_jobs,
    survives_garbage,
    stops_gracefully,
    gives_back_what_ran_too_long_at_a_stop,
    shares_a_lane_without_loss,
    takes_over_from_the_dead,
    leaves_busy_workers_their_jobs,
    starts_dead_workers_again,
    rescues_whatever_is_stranded,
    purges_and_measures,
    installs_twice,
);

/// Losing every connection at once is what a restart of the server looks like. SQLite has nothing like it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn survives_lost_connections() {
    on_postgres(|world| async move {
        let seen = Seen::default();
        let consumer = Consumer::start(world.queue(), 4, seen.handler());
        let other = world.another_process().await;
        for round in 0..5 {
            other.push(LANE, round * 20..(round + 1) * 20).await;
            let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
            other.execute(kill, "", vec![]).await;
            // Connections that were used a moment ago are taken for alive; ours were killed as well.
            tokio::time::sleep(Duration::from_millis(1_100)).await;
        }
        seen.wait_for(100).await;
        until(async || world.count(LANE, "Done").await == 100).await;
        println!("restarts: {}", consumer.queue.health()[0].restarts);
        consumer.stop().await;
    })
    .await;
}

async fn runs_what_is_committed_and_nothing_else(world: World) {
    let seen = Seen::default();
    let consumer = Consumer::start(world.queue(), 4, seen.handler());
    let tx = world.db.writer().begin().await.unwrap();
    let wakeups = [wakeup(LANE, 1), wakeup(Lane::Upkeep, 2)];
    world.queue().push(&tx, &wakeups).await.unwrap();
    tx.rollback().await.unwrap();
    let tx = world.db.writer().begin().await.unwrap();
    world.queue().push(&tx, &[]).await.unwrap();
    world.queue().push(&tx, &[wakeup(LANE, 3)]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(seen.len(), 0, "nothing runs before its commit");
    tx.commit().await.unwrap();
    seen.wait_for(1).await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert!(seen.all().contains_key(&3) && seen.len() == 1);
    consumer.stop().await;
}

async fn runs_a_thousand_pushed_with_gaps_and_is_quick(world: World) {
    let seen = Seen::default();
    let consumer = Consumer::start(world.queue(), 8, seen.handler());
    let other = world.another_process().await;
    let mut pushed = Vec::new();
    for number in 0..1_000 {
        other.push(LANE, [number]).await;
        pushed.push(Instant::now());
        // Bursts, short gaps and gaps in which the lane falls idle.
        let gap = match number % 50 {
            0 => 40,
            n if n % 5 == 0 => 5,
            _ => 0,
        };
        tokio::time::sleep(Duration::from_millis(gap)).await;
    }
    seen.wait_for(1_000).await;
    let all = seen.all();
    let mut delays: Vec<Duration> = (0..1_000_usize)
        .map(|n| all[&(n as u64)][0].saturating_duration_since(pushed[n]))
        .collect();
    delays.sort();
    let [median, p99, longest] = [500, 990, 999].map(|n| delays[n]);
    println!("push to handler: median {median:?}, p99 {p99:?}, longest {longest:?}");
    assert!(median < Duration::from_millis(250), "{median:?}");
    assert!(all.values().all(|runs| runs.len() == 1));
    consumer.stop().await;
    assert_eq!(world.count(LANE, "Done").await, 1_000);
}

async fn takes_a_thousand_in_one_push(world: World) {
    let begun = Instant::now();
    world.push(LANE, 0..1_000).await;
    println!("one push of 1,000: {:?}", begun.elapsed());
    let seen = Seen::default();
    let begun = Instant::now();
    let consumer = Consumer::start(world.queue(), 50, seen.handler());
    seen.wait_for(1_000).await;
    println!("1,000 jobs, concurrency 50: {:?}", begun.elapsed());
    consumer.stop().await;
    assert_eq!(world.count(LANE, "Done").await, 1_000);
}

async fn survives_panics(world: World) {
    let seen = Seen::default();
    let handler = seen.then(async |number| assert!(number % 2 == 0, "as intended"));
    let consumer = Consumer::start(world.queue(), 2, handler);
    world.push(LANE, 0..20).await;
    seen.wait_for(20).await;
    world.push(LANE, [100]).await;
    seen.wait_for(21).await;
    assert_eq!(consumer.queue.health()[0].restarts, 0);
    consumer.stop().await;
    assert_eq!(world.count(LANE, "Killed").await, 10);
    assert_eq!(world.count(LANE, "Done").await, 11);
}

async fn drops_overdue_jobs(world: World) {
    let seen = Seen::default();
    let handler = seen.then(async |number| {
        if number == 0 {
            std::future::pending::<()>().await;
        }
    });
    let mut timings = pace();
    timings.handler_limit = Duration::from_millis(500);
    let consumer = Consumer::start(world.queue().with_timings(timings), 1, handler);
    world.push(LANE, [0]).await;
    seen.wait_for(1).await;
    world.push(LANE, [1]).await;
    seen.wait_for(2).await;
    consumer.stop().await;
    assert_eq!(world.count(LANE, "Done").await, 2);
}

/// Rows no parser of apalis can read, each with another defect.
async fn insert_garbage(world: &World) -> i64 {
    let rows = [
        ("not a ULID", "{}"),
        ("", "{}"),
        ("01arz3ndektsv4rrffq69g5fav", "{}"),
        ("01ARZ3NDEKTSV4RRFFQ69G5FA0", "not json"),
        ("01ARZ3NDEKTSV4RRFFQ69G5FA1", ""),
    ];
    for (id, job) in rows {
        world
            .execute(
                "INSERT INTO apalis.jobs (id, job_type, job, run_at) VALUES ($1, $2, $3, now() - interval '1 minute')",
                "INSERT INTO Jobs (id, job_type, job, run_at) VALUES (?1, ?2, ?3, unixepoch() - 60)",
                vec![id.into(), name(LANE).into(), job.as_bytes().to_vec().into()],
            )
            .await;
    }
    if world.db.backend() == Backend::Sqlite {
        return 5;
    }
    let null = "INSERT INTO apalis.jobs (id, job_type, job, run_at, metadata) \
        VALUES ('01ARZ3NDEKTSV4RRFFQ69G5FA2', $1, '{}', now() - interval '1 minute', hstore('a', NULL))";
    world.execute(null, "", vec![name(LANE).into()]).await;
    6
}

async fn survives_garbage(world: World) {
    let seen = Seen::default();
    let consumer = Consumer::start(world.queue(), 2, seen.handler());
    world.push(LANE, 0..10).await;
    seen.wait_for(10).await;
    let garbage = insert_garbage(&world).await;
    world.push(LANE, 10..20).await;
    seen.wait_for(20).await;
    until(async || world.count(LANE, "Killed").await == garbage).await;
    println!("restarts: {}", consumer.queue.health()[0].restarts);
    consumer.stop().await;
    assert_eq!(world.count(LANE, "Done").await, 20);
}

async fn stops_gracefully(world: World) {
    world.push(LANE, 0..20).await;
    let seen = Seen::default();
    let finished = Seen::default();
    let finish = finished.handler();
    let handler = seen.then(move |number| {
        let finish = finish.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(600)).await;
            finish(serde_json::json!({ "args": number })).await;
        }
    });
    let consumer = Consumer::start(world.queue(), 3, handler);
    seen.wait_for(3).await;
    let took = consumer.stop().await;
    println!("a stop with 3 running jobs took {took:?}");
    assert_eq!((seen.len(), finished.len()), (3, 3));
    assert_eq!(world.count(LANE, "Done").await, 3);
    assert_eq!(world.count(LANE, "Pending").await, 17);
}

async fn gives_back_what_ran_too_long_at_a_stop(world: World) {
    world.push(LANE, 0..3).await;
    let seen = Seen::default();
    let handler = seen.then(async |number| {
        if number == 0 {
            std::future::pending::<()>().await;
        }
    });
    let consumer = Consumer::start(world.queue(), 3, handler);
    seen.wait_for(3).await;
    let took = consumer.stop().await;
    assert!(took < pace().grace + Duration::from_secs(2), "{took:?}");
    assert_eq!(world.count(LANE, "Done").await, 2);
    assert_eq!(world.count(LANE, "Pending").await, 1);
}

async fn shares_a_lane_without_loss(world: World) {
    let (first, second) = (Seen::default(), Seen::default());
    let other = world.another_process().await;
    let work = async |_| tokio::time::sleep(Duration::from_millis(5)).await;
    let consumers = [
        Consumer::start(world.queue(), 4, first.then(work)),
        Consumer::start(other.queue(), 4, second.then(work)),
    ];
    for hundred in 0..5 {
        world.push(LANE, hundred * 100..(hundred + 1) * 100).await;
    }
    until(async || first.len() + second.len() >= 500).await;
    for consumer in consumers {
        consumer.stop().await;
    }
    println!("shares: {} and {}", first.len(), second.len());
    assert!(first.len() > 0 && second.len() > 0);
    assert_eq!(first.runs() + second.runs(), 500, "every job ran once");
    assert_eq!(world.count(LANE, "Done").await, 500);
}

async fn takes_over_from_the_dead(world: World) {
    let (dead, heir) = (Seen::default(), Seen::default());
    let victim = world.another_process().await;
    let hang = dead.then(|_| std::future::pending());
    let consumer = Consumer::start(victim.queue(), 4, hang);
    world.push(LANE, 0..8).await;
    dead.wait_for(4).await;
    consumer.task.abort();
    let begun = Instant::now();
    let consumer = Consumer::start(world.queue(), 4, heir.handler());
    heir.wait_for(8).await;
    println!("taken over after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(6));
    consumer.stop().await;
    assert_eq!(world.count(LANE, "Done").await, 8);
}

async fn leaves_busy_workers_their_jobs(world: World) {
    // Job 0 ends early, so that two more are fetched of which one has to wait for longer than the orphan time. apalis
    // gives no sign of life as long as one waits.
    let work = |number: u64| {
        let time = if number == 0 { 500 } else { 4_500 };
        tokio::time::sleep(Duration::from_millis(time))
    };
    let (first, second) = (Seen::default(), Seen::default());
    let busy = Consumer::start(world.queue(), 2, first.then(work));
    world.push(LANE, [0, 1]).await;
    first.wait_for(2).await;
    world.push(LANE, [2, 3]).await;
    first.wait_for(3).await;
    let other = world.another_process().await;
    let idle = Consumer::start(other.queue(), 2, second.then(work));
    let runs = || first.runs() + second.runs();
    until(async || runs() >= 4 && world.count(LANE, "Done").await == 4).await;
    busy.stop().await;
    idle.stop().await;
    assert_eq!(runs(), 4, "no job ran twice");
}

async fn starts_dead_workers_again(world: World) {
    let seen = Seen::default();
    let finished = Seen::default();
    let finish = finished.handler();
    let handler = seen.then(move |number| {
        let finish = finish.clone();
        async move {
            if number == 0 {
                tokio::time::sleep(Duration::from_millis(2_500)).await;
            }
            finish(serde_json::json!({ "args": number })).await;
        }
    });
    let consumer = Consumer::start(world.queue(), 2, handler);
    world.push(LANE, [0]).await;
    seen.wait_for(1).await;
    // The worker's next heartbeat finds no row and fails, as it would if the database had lost it.
    world
        .execute(
            "UPDATE apalis.workers SET worker_type = 'lost'",
            "UPDATE Workers SET worker_type = 'lost'",
            vec![],
        )
        .await;
    until(async || consumer.queue.health()[0].restarts == 1).await;
    world.push(LANE, [1]).await;
    finished.wait_for(2).await;
    until(async || world.count(LANE, "Done").await == 2).await;
    let health = consumer.queue.health();
    assert!(health[0].alive && health[0].lane == LANE, "{health:?}");
    // The acknowledgement died with the first worker, so job 0 runs again, but only after its first run has ended.
    let runs = &seen.all()[&0];
    assert!(runs.len() <= 2);
    assert!(runs.len() < 2 || runs[1] - runs[0] > Duration::from_millis(2_400));
    consumer.stop().await;
}

async fn rescues_whatever_is_stranded(world: World) {
    world.push(LANE, 0..4).await;
    let ids = "SELECT id FROM apalis.jobs ORDER BY id";
    // One row of a worker nobody knows, one of nobody, one of a worker long silent, one held beyond the lease.
    world
        .execute(
            "INSERT INTO apalis.workers (id, worker_type, storage_name, last_seen) VALUES \
                ('silent', 'other', 's', now() - interval '1 hour'), ('alive', 'other', 's', now() + interval '1 hour')",
            "INSERT INTO Workers (id, worker_type, storage_name, last_seen) VALUES \
                ('silent', 'other', 's', unixepoch() - 3600), ('alive', 'other', 's', unixepoch() + 3600)",
            vec![],
        )
        .await;
    for (place, owner, age) in [
        (0, Some("unknown"), 0),
        (1, None, 0),
        (2, Some("silent"), 0),
        (3, Some("alive"), 3_600),
    ] {
        // SQLite's foreign key admits no unknown owner.
        let owner_lite = owner.filter(|owner| *owner != "unknown");
        let owner = match world.db.backend() {
            Backend::Postgres => owner,
            Backend::Sqlite => owner_lite,
        };
        let values = vec![
            owner.map(str::to_owned).into(),
            f64::from(age).into(),
            i64::from(place).into(),
        ];
        let changed = world
            .execute(
                &format!(
                    "UPDATE apalis.jobs SET status = 'Queued', lock_by = $1, \
                        lock_at = now() - make_interval(secs => $2) WHERE id = ({ids} LIMIT 1 OFFSET $3)"
                ),
                "UPDATE Jobs SET status = 'Queued', lock_by = ?1, lock_at = unixepoch() - ?2 \
                    WHERE id = (SELECT id FROM Jobs ORDER BY id LIMIT 1 OFFSET ?3)",
                values,
            )
            .await;
        assert_eq!(changed, 1);
    }
    let seen = Seen::default();
    let consumer = Consumer::start(world.queue(), 2, seen.handler());
    seen.wait_for(4).await;
    consumer.stop().await;
    assert_eq!(world.count(LANE, "Done").await, 4);
}

async fn purges_and_measures(world: World) {
    world.push(LANE, 0..30).await;
    let depth = world.queue().depth(LANE).await.unwrap();
    assert_eq!((depth.pending, depth.running), (30, 0));
    assert!(depth.oldest_pending_seconds < PATIENCE.as_secs_f64());
    let seen = Seen::default();
    let consumer = Consumer::start(world.queue(), 8, seen.handler());
    seen.wait_for(30).await;
    consumer.stop().await;
    assert_eq!(world.queue().purge().await.unwrap(), 0, "too young");
    world.push(LANE, [99]).await;
    world
        .execute(
            "UPDATE apalis.jobs SET done_at = now() - interval '2 hours', run_at = now() - interval '5 seconds'",
            "UPDATE Jobs SET done_at = unixepoch() - 7200, run_at = unixepoch() - 5",
            vec![],
        )
        .await;
    world
        .execute(
            "UPDATE apalis.workers SET last_seen = now() - interval '2 days'",
            "UPDATE Workers SET last_seen = unixepoch() - 172800",
            vec![],
        )
        .await;
    assert_eq!(world.queue().purge().await.unwrap(), 30);
    let depth = world.queue().depth(LANE).await.unwrap();
    assert_eq!(depth.pending, 1, "a pending job is never purged");
    assert!((4.0..60.0).contains(&depth.oldest_pending_seconds));
    let workers = world
        .execute("DELETE FROM apalis.workers", "DELETE FROM Workers", vec![])
        .await;
    assert_eq!(workers, 0, "the silent worker is forgotten");
}

async fn installs_twice(world: World) {
    let other = world.another_process().await;
    let (first, second) = tokio::join!(queue::install(&world.db), queue::install(&other.db));
    first.unwrap();
    second.unwrap();
    world.push(LANE, [1]).await;
    assert_eq!(world.count(LANE, "Pending").await, 1);
}
