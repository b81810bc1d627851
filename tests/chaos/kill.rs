//! APIs and workers killed at random moments under load, and started again.

use std::time::{Duration, Instant};

use app::db::Backend;
use rand::RngExt;
use tokio_util::sync::CancellationToken;

use crate::{
    load::Load,
    seed::{Seed, length},
    wire::{
        client::Client,
        process::Process,
        stage::{KEY, Stage, base},
    },
};

/// How long the killing goes on in a short run.
const SHORT: Duration = Duration::from_secs(5);
/// Longest time between two blows, and longest time until a process is back.
const LULL: u64 = 900;
const GONE: u64 = 400;

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
