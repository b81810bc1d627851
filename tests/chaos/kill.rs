//! APIs and workers killed at random moments under load, and started again.

use std::time::{Duration, Instant};

use app::db::Backend;
use domain::plan::interval::Interval;
use rand::RngExt;
use tokio_util::sync::CancellationToken;

use crate::{
    agreed::{Backlog, Order, beside, disbelieve_runs, outcome, same},
    alone::alone,
    load::Load,
    seed::{Seed, length},
    wire::{
        client::Client,
        process::{LIMIT, Process},
        stage::{KEY, Stage, base},
    },
};

/// How long the killing goes on in a short run.
const SHORT: Duration = Duration::from_secs(5);
/// Longest time between two blows, and longest time until a process is back.
const LULL: u64 = 900;
const GONE: u64 = 400;

/// How much is due when workers are killed that turn cycles.
const DAYS: i64 = 120;
const GROUPS: usize = 4;
const CLOCKS: usize = 3;
/// Longest time between two blows to workers.
const RESPITE: u64 = 600;

/// A place where a process runs.
struct Post {
    command: &'static str,
    process: Process,
    client: Option<Client>,
}

impl Post {
    async fn man(stage: &Stage, command: &'static str) -> Self {
        let mut process = stage.start(&[command]);
        let client = match command {
            "api" => Some(Client::new(&base(&mut process).await, KEY)),
            _ => None,
        };
        Self {
            command,
            process,
            client,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_when_processes_are_killed() {
    let seed = Seed::of("kill::nothing_is_lost_or_doubled_when_processes_are_killed");
    // At the same time, because much of it is waiting.
    tokio::join!(
        killed(Backend::Sqlite, &seed, &["api", "worker", "worker"]),
        killed(Backend::Postgres, &seed, &["api", "api", "worker", "worker"]),
    );
}

async fn killed(backend: Backend, seed: &Seed, commands: &[&'static str]) {
    Stage::on(backend, async |stage| {
        stage.migrate().await;
        let mut posts = vec![];
        for command in commands {
            posts.push(Post::man(stage, command).await);
        }
        let (load, stop) = (Load::deadly(), CancellationToken::new());
        Load::prepare(posts[0].client.as_ref().unwrap()).await;
        let kill = async {
            kill_for(length(SHORT), stage, seed, &load, &mut posts).await;
            stop.cancel();
        };
        tokio::join!(load.run(seed, &stop), kill);
        load.prove(posts[0].client.as_ref().unwrap()).await;
    })
    .await;
}

/// Kills one after the other and starts it again.
async fn kill_for(time: Duration, stage: &Stage, seed: &Seed, load: &Load, posts: &mut [Post]) {
    let (mut rng, begun, mut blows) = (seed.rng(99), Instant::now(), 0);
    let millis = Duration::from_millis;
    aim(load, posts);
    while begun.elapsed() < time {
        tokio::time::sleep(millis(rng.random_range(0..LULL))).await;
        let post = rng.random_range(0..posts.len());
        posts[post].process.kill();
        posts[post].client = None;
        aim(load, posts);
        tokio::time::sleep(millis(rng.random_range(0..GONE))).await;
        posts[post] = Post::man(stage, posts[post].command).await;
        aim(load, posts);
        blows += 1;
    }
    println!("{blows} blows");
}

fn aim(load: &Load, posts: &[Post]) {
    load.aim(posts.iter().filter_map(|post| post.client.clone()).collect());
}

/// Workers that turn many cycles of many customers. Whoever finishes, each is turned once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_cycle_is_turned_once_when_workers_are_killed() {
    let seed = Seed::of("kill::each_cycle_is_turned_once_when_workers_are_killed");
    let begun = Instant::now();
    loop {
        let backlog = Backlog::of(DAYS, Interval::WEEKLY, GROUPS, CLOCKS);
        let wanted = {
            let _turn = alone().await;
            backlog.wanted().await
        };
        tokio::join!(
            turned(Backend::Sqlite, &seed, &backlog, &wanted),
            turned(Backend::Postgres, &seed, &backlog, &wanted),
        );
        if begun.elapsed() > length(Duration::ZERO) {
            break;
        }
    }
}

async fn turned(backend: Backend, seed: &Seed, backlog: &Backlog, wanted: &[String]) {
    Stage::on(backend, async |stage| {
        stage.migrate().await;
        let (world, all) = {
            let _turn = alone().await;
            let world = beside(&stage.url).await;
            let all = backlog.amass(&world).await;
            (world, all)
        };
        let (mut rng, begun, mut blows) = (seed.rng(98), Instant::now(), 0);
        let mut workers = [stage.worker(), stage.worker()];
        while !backlog.is_done(&world).await {
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..RESPITE))).await;
            if begun.elapsed() < SHORT {
                let struck = rng.random_range(0..workers.len());
                workers[struck].kill();
                // Also of those that live, which others then run into.
                disbelieve_runs(&world).await;
                workers[struck] = stage.worker();
                blows += 1;
            }
            assert!(begun.elapsed() < LIMIT, "the work does not come to an end");
        }
        for worker in &mut workers {
            worker.kill();
        }
        println!("{blows} blows to workers that turn cycles");
        let _turn = alone().await;
        same(&outcome(&world, &all, Order::Any).await, wanted);
        world.app.db().close().await;
    })
    .await;
}
