//! What the command says: greetings that work when they are pasted, and one clear line when something is wrong.

use std::{net::TcpListener, process::Command};

use super::stage::{Ended, Stage};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_greeting_works_when_it_is_pasted_into_a_shell() {
    Stage::on_sqlite(async |stage| {
        let dev = stage.dev().await;
        let greeting = dev.process.out();
        let (_, pasted) = greeting
            .split_once("Try:\n")
            .expect("the greeting has something to try");
        let output = Command::new("sh")
            .args(["-c", pasted])
            .env("no_proxy", "*")
            .output()
            .unwrap();
        assert!(output.status.success(), "{pasted}\n{output:?}");
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["data"]["viewer"]["tenant"]["name"], "default", "{answer}");
        let editor = crate::harness::get(format!("{}/graphiql", dev.client.base))
            .await
            .unwrap();
        assert!(
            editor.text().await.unwrap().contains(&dev.client.key),
            "the editor carries the key"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dev_shows_the_same_key_at_every_start_and_keeps_what_was_there() {
    Stage::on_sqlite(async |stage| {
        let mut first = stage.dev().await;
        first.client.customer("acme", "5").await;
        first.process.terminate();
        assert!(first.process.end().await.success(), "{}", first.process.err());
        let second = stage.dev().await;
        assert_eq!(second.client.key, first.client.key);
        assert_eq!(second.client.settled("acme").await["remaining"], "5");
        let file = std::fs::read_to_string(stage.dir.join("tallygate-data/dev-key")).unwrap();
        assert_eq!(file.trim(), second.client.key);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_taken_is_one_clear_line() {
    Stage::on_sqlite(async |stage| {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let listen = [("TALLYGATE_LISTEN", address.as_str())];
        assert_complaint(
            &stage.command_with(&["dev"], &listen).await,
            &[&address, "another process uses it"],
        );
        stage.migrate().await;
        assert_complaint(
            &stage.command_with(&["api"], &listen).await,
            &[&address, "another process uses it"],
        );
        let nonsense = [("TALLYGATE_LISTEN", "nowhere")];
        assert_complaint(
            &stage.command_with(&["dev"], &nonsense).await,
            &["nowhere", "127.0.0.1:4000"],
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_url_that_is_wrong_is_one_clear_line() {
    Stage::on_sqlite(async |stage| {
        for (url, words) in [
            ("mysql://localhost/x", "postgres://USER@HOST:PORT/NAME"),
            ("tallygate.db", "sqlite:PATH"),
            ("sqlite::memory:", "SQLite needs a file"),
            ("sqlite:/no/such/folder/tallygate.db", "no folder /no/such/folder"),
            ("postgres://user:secret@localhost:port/x", "postgres"),
        ] {
            for command in ["dev", "migrate"] {
                let ended = stage
                    .command_with(&[command], &[("TALLYGATE_DATABASE_URL", url)])
                    .await;
                assert_complaint(&ended, &[words]);
                assert!(!ended.err.contains("secret"), "{}", ended.err);
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_migrated_is_one_clear_line_on_sqlite() {
    Stage::on_sqlite(not_migrated).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_migrated_is_one_clear_line_on_postgres() {
    Stage::on_postgres(not_migrated).await;
}

async fn not_migrated(stage: &Stage) {
    for command in [&["api"][..], &["worker"], &["keys", "create", "--all-scopes"]] {
        assert_complaint(&stage.command(command).await, &["run `tallygate migrate`"]);
    }
    for _ in 0..2 {
        stage.migrate().await;
    }
    let key = stage
        .command(&["keys", "create", "--scopes", "usage:write"])
        .await;
    assert_eq!((key.code, key.out.lines().count()), (0, 1), "{key:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_down_is_waited_for_and_then_one_clear_line() {
    Stage::on_sqlite(async |stage| {
        // A port that was free a moment ago: nobody answers there.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let url = format!("postgres://user:secret@127.0.0.1:{port}/x");
        let down = [
            ("TALLYGATE_DATABASE_URL", url.as_str()),
            ("TALLYGATE_DATABASE_WAIT_SECONDS", "2"),
        ];
        let commands = [
            &["dev"][..],
            &["api"],
            &["worker"],
            &["migrate"],
            &["keys", "create", "--all-scopes"],
        ];
        let all = commands.map(|command| stage.command_with(command, &down));
        for ended in futures::future::join_all(all).await {
            assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{ended:?}");
            let (waits, last) = ended
                .err
                .trim_end()
                .rsplit_once('\n')
                .expect("it says that it waits");
            assert!(
                waits
                    .lines()
                    .all(|line| line.starts_with("waiting for the database at ")),
                "{}",
                ended.err
            );
            assert!(
                last.starts_with("error: ") && last.contains("within 2 seconds"),
                "{}",
                ended.err
            );
            assert!(!ended.err.contains("secret"), "{}", ended.err);
        }
    })
    .await;
}

/// Exit code 1, nothing on standard output, and one line that contains these words.
#[track_caller]
fn assert_complaint(ended: &Ended, words: &[&str]) {
    assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{ended:?}");
    assert_eq!(ended.err.lines().count(), 1, "one line:\n{}", ended.err);
    assert!(ended.err.starts_with("error: "), "{}", ended.err);
    for word in words {
        assert!(ended.err.contains(word), "`{word}` is missing:\n{}", ended.err);
    }
}
