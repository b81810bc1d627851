//! A usage trace of 8,819 rows, to the last micro-credit: 18,059,974 · 0.000003 = 54.179922 and 245,896 · 0.000015 = 3.68844.

use std::{
    fs,
    sync::atomic::{AtomicU64, Ordering},
};

use domain::amount::Credits;
use futures::future::join_all;
use serde_json::{Value, json};

use super::{
    client::{Client, event},
    process::until,
    stage::{Ended, Stage},
    trace,
};
use crate::harness::{naive, p4};

/// The command of the documentation.
const IMPORT: [&str; 11] = [
    "import",
    "usage",
    "trace.csv",
    "--customer",
    "acme",
    "--time-column",
    "TIMESTAMP",
    "--metric",
    "input_tokens=ContextTokens",
    "--metric",
    "output_tokens=GeneratedTokens",
];
/// Who uses something live while the import runs.
const LIVE: [&str; 5] = ["acme", "b", "c", "d", "e"];
const P4: &str = r#"{graduated: {tiers: [{upTo: "10000", creditsPerUnit: "1"}, {upTo: "100000", creditsPerUnit: "0.5"}, {upTo: null, creditsPerUnit: "0.1"}]}}"#;

async fn import(stage: &Stage, more: &[&str]) -> Ended {
    stage.command(&[&IMPORT[..], more].concat()).await
}

async fn prepare(stage: &Stage, client: &Client) {
    client
        .metric("input_tokens", r#"{perUnit: {creditsPerUnit: "0.000003"}}"#)
        .await;
    client
        .metric("output_tokens", r#"{perUnit: {creditsPerUnit: "0.000015"}}"#)
        .await;
    client.customer("acme", "100").await;
    fs::write(stage.dir.join("trace.csv"), trace::csv()).unwrap();
}

async fn assert_imported(client: &Client) {
    let used = |metric: &str, units: u64, credits: &str| json!({ "metricKey": metric, "units": units.to_string(), "events": trace::ROWS, "credits": credits });
    assert_eq!(
        client.used("acme", "input_tokens").await,
        used("input_tokens", trace::INPUT, "54.179922")
    );
    assert_eq!(
        client.used("acme", "output_tokens").await,
        used("output_tokens", trace::OUTPUT, "3.68844")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_is_a_privilege_and_importing_twice_changes_nothing() {
    Stage::on_sqlite(async |stage| {
        let dev = stage.dev().await;
        prepare(stage, &dev.client).await;

        let refused = import(stage, &["--rejects", "bad.csv"]).await;
        assert_eq!(refused.code, 3, "{}", refused.err);
        assert!(
            refused.out.contains("0 events accepted") && refused.out.contains("8,819 rows"),
            "{}",
            refused.out
        );
        assert!(
            refused.err.contains("line 2: ") && refused.err.contains("--allow-history"),
            "{}",
            refused.err
        );
        let bad = fs::read_to_string(stage.dir.join("bad.csv")).unwrap();
        let lines: Vec<u64> = bad
            .lines()
            .skip(1)
            .filter_map(|line| line.split(',').next()?.parse().ok())
            .collect();
        assert_eq!(lines, (2..=trace::ROWS + 1).collect::<Vec<_>>());

        let imported = import(stage, &["--allow-history", "--wait"]).await;
        assert_eq!(imported.code, 0, "{imported:?}");
        assert!(
            imported
                .out
                .contains("17,638 events accepted, 0 duplicates, 0 rejected"),
            "{}",
            imported.out
        );
        // `--wait` has waited: everything is debited already.
        assert_imported(&dev.client).await;
        let balance = dev.client.settled("acme").await;
        assert_eq!(balance["remaining"], "42.131638");

        let again = import(stage, &["--allow-history", "--wait"]).await;
        assert_eq!(again.code, 0, "{again:?}");
        assert!(
            again
                .out
                .contains("0 events accepted, 17,638 duplicates, 0 rejected"),
            "{}",
            again.out
        );
        assert_eq!(dev.client.settled("acme").await, balance);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_and_live_usage_are_exact_although_a_worker_is_killed() {
    Stage::on_postgres(async |stage| {
        stage.migrate().await;
        let (one, two) = (stage.api().await, stage.api().await);
        let mut workers = [stage.worker(), stage.worker(), stage.worker()];
        prepare(stage, &one.client).await;
        one.client.metric("api_call", P4).await;
        for name in &LIVE[1..] {
            one.client.customer(name, "1000").await;
        }

        let sent = LIVE.map(|_| AtomicU64::new(0));
        let live = async {
            // Two processes take turns, and neither of them begins at the same customer.
            let lanes = [(&one.client, 0), (&two.client, 2)];
            join_all(lanes.map(async |(client, first)| {
                for round in 0..40 {
                    let place = (first + round) % LIVE.len();
                    let key = |n| format!("live-{first}-{round}-{n}");
                    let events: Vec<Value> = (0..25)
                        .map(|n| event(LIVE[place], "api_call", 60, key(n)))
                        .collect();
                    assert_eq!(client.record(&events).await["acceptedCount"], 25);
                    sent[place].fetch_add(25, Ordering::SeqCst);
                }
            }))
            .await
        };
        let killed = async {
            until("the first of the import is debited", async || {
                let used = one.client.used("acme", "input_tokens").await;
                (used["events"].as_u64()? > 0).then_some(())
            })
            .await;
            workers[0].kill();
            one.client.used("acme", "output_tokens").await["events"]
                .as_u64()
                .unwrap()
        };
        let (imported, _, debited) = tokio::join!(import(stage, &["--allow-history"]), live, killed);
        assert!(debited < trace::ROWS, "the worker was killed when all was done");
        assert_eq!(imported.code, 0, "{imported:?}");

        for (name, sent) in LIVE.iter().zip(&sent) {
            one.client.settled(name).await;
            let (used, events) = (
                two.client.used(name, "api_call").await,
                sent.load(Ordering::SeqCst),
            );
            assert_eq!(
                (&used["units"], &used["events"]),
                (&json!((events * 60).to_string()), &json!(events))
            );
            let credits: Credits = used["credits"].as_str().unwrap().parse().unwrap();
            let events = i64::try_from(events).unwrap();
            assert_eq!(
                i128::from(credits.raw()),
                naive::cumulative(&p4(), events * 60_000_000, events),
                "{name}"
            );
        }
        assert_imported(&two.client).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_rows_are_listed_by_line_and_lose_no_good_one() {
    Stage::on_sqlite(async |stage| {
        let dev = stage.dev().await;
        let client = &dev.client;
        client.metric("call", r#"{flat: {credits: "1"}}"#).await;
        client.customer("acme", "100").await;
        let rows = [
            "who,n,note",
            "acme,1,fine",
            "acme,-1,below zero",
            "acme,two,no number",
            "nobody,1,a stranger",
            "acme,1,\"a\nlong one\"",
            "acme,1",
            "acme,0.0000001,too fine",
            ",1,nobody",
            "acme,2,last",
        ];
        let import = async |rows: &[&str]| {
            fs::write(stage.dir.join("rows.csv"), rows.join("\n")).unwrap();
            let args = [
                "import",
                "usage",
                "rows.csv",
                "--customer-column",
                "who",
                "--metric",
                "call=n",
                "--wait",
            ];
            stage.command(&args).await
        };
        let first = import(&rows).await;
        assert_eq!(first.code, 3, "{first:?}");
        assert!(
            first
                .out
                .contains("9 rows: 3 events accepted, 0 duplicates, 6 rejected (in 6 rows)"),
            "{}",
            first.out
        );
        // The row of line 6 has a line break inside, so those after it begin one line later.
        for line in [3, 4, 5, 8, 9, 10] {
            assert!(
                first.err.contains(&format!("line {line}: ")),
                "line {line}\n{}",
                first.err
            );
        }
        for line in [2, 6, 7, 11] {
            assert!(
                !first.err.contains(&format!("line {line}: ")),
                "line {line}\n{}",
                first.err
            );
        }
        assert_eq!(client.used("acme", "call").await["events"], 3);

        let mut corrected = rows;
        corrected[2] = "acme,1,above zero";
        let second = import(&corrected).await;
        assert_eq!(second.code, 3, "{second:?}");
        assert!(
            second
                .out
                .contains("9 rows: 1 events accepted, 3 duplicates, 5 rejected (in 5 rows)"),
            "{}",
            second.out
        );
        assert_eq!(client.used("acme", "call").await["events"], 4);
    })
    .await;
}
