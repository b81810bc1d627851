//! No room left on the disk: what cannot be written is refused with a clear error, what is there stays whole, and when there is
//! room again everything goes on by itself.
//!
//! SQLite meets the real thing: the system lets no file of the process grow (`RLIMIT_FSIZE`). A PostgreSQL server with a full
//! disk needs a file system of its own, which only an administrator can make; there the server's answer is given in its place,
//! with its code (`53100`). A full disk under its log ends the server, which `restart` covers.

use std::{path::Path, process::Command, time::Duration};

use app::db::Db;
use sea_orm::ConnectionTrait;
use tokio_util::sync::CancellationToken;

use crate::{
    load::Load,
    seed::Seed,
    wire::{
        client::Client,
        process::{COMMAND, Process, until},
        ready::{readiness, until_ready},
        stage::{Stage, base, dev_key},
    },
};

/// A program that becomes the command, and lets it see a file that may not grow as an error rather than as a signal.
const WITHOUT_SIGNAL: &str = "trap '' XFSZ; exec \"$0\" \"$@\"";
/// Refusals after which the outage has been felt.
const FELT: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_gives_errors_and_no_damage() {
    let seed = Seed::of("room::a_full_disk_gives_errors_and_no_damage");
    // At the same time, because much of it is waiting.
    tokio::join!(
        Stage::on_sqlite(async |stage| on_sqlite(stage, &seed).await),
        Stage::on_postgres(async |stage| on_postgres(stage, &seed).await),
    );
}

async fn on_sqlite(stage: &Stage, seed: &Seed) {
    let mut shell = Command::new("sh");
    shell.args(["-c", WITHOUT_SIGNAL, COMMAND]);
    let mut process = stage.start_by(shell, &["dev"], &[]);
    let base = base(&mut process).await;
    let client = Client::new(&base, &dev_key(&process));
    let file = stage.dir.join("tallygate-data/tallygate.db-wal");
    outage(
        seed,
        &client,
        async || limit(&process, &size(&file).to_string()),
        async || limit(&process, "unlimited"),
    )
    .await;
}

async fn on_postgres(stage: &Stage, seed: &Seed) {
    let server = stage.dev().await;
    let db = Db::connect(&stage.url, 1, Duration::ZERO, |_| {}).await.unwrap();
    let run = async |sql: &str| {
        db.writer().execute_unprepared(sql).await.unwrap();
    };
    run("CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$")
    .await;
    let on =
        |table: &str| format!("CREATE TRIGGER no_room BEFORE INSERT ON {table} EXECUTE FUNCTION no_room();");
    let fill: String = ["usage_event", "usage_rating", "apalis.jobs"].map(on).concat();
    outage(
        seed,
        &server.client,
        async || run(&fill).await,
        async || {
            run("DROP FUNCTION no_room CASCADE").await;
        },
    )
    .await;
    db.close().await;
}

/// Usage before, during and after there is no room.
async fn outage(seed: &Seed, client: &Client, fill: impl AsyncFn(), clear: impl AsyncFn()) {
    let (load, stop) = (Load::gentle(), CancellationToken::new());
    Load::prepare(client).await;
    until_ready(&client.base).await;
    load.aim(vec![client.clone()]);
    let script = async {
        load.progress(20).await;
        fill().await;
        until("producers are refused", async || {
            (load.refused("SERVICE_UNAVAILABLE") >= FELT).then_some(())
        })
        .await;
        until("it says that it is not ready", async || {
            let (status, bad) = readiness(&client.base).await?;
            (status == 503 && bad.contains("collector")).then_some(())
        })
        .await;
        // What is there can be read.
        client
            .ask(r#"{ customer(externalId: "ada") { balance { remaining } } }"#)
            .await;
        clear().await;
        load.progress(20).await;
        until_ready(&client.base).await;
        stop.cancel();
    };
    tokio::join!(load.run(seed, &stop), script);
    load.prove(client).await;
}

fn size(file: &Path) -> u64 {
    std::fs::metadata(file).unwrap().len()
}

/// Lets no file of a process grow beyond so many bytes. It may be lifted again.
fn limit(process: &Process, bytes: &str) {
    let limited = Command::new("prlimit")
        .args(["--pid", &process.id().to_string(), &format!("--fsize={bytes}:")])
        .status()
        .expect("`prlimit` is needed to fill a disk for one process (Linux: apt install util-linux)");
    assert!(limited.success(), "the limit of file sizes cannot be set");
}
