//! How many connections a process opens to PostgreSQL, of which a server has few to give.

use std::time::Duration;

use app::{db::Db, job::Lane};
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::{process::until, stage::Stage};

/// The fewest that the application of a process can be given.
const OF_THE_APPLICATION: &str = "5";
/// One that listens for jobs.
const LISTENERS: i64 = 1;
/// Longer than it takes until each lane has given a sign of life: by then it has asked for all the connections that it ever wants at once.
const LONG_ENOUGH: Duration = Duration::from_secs(7);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lanes_of_a_worker_share_their_connections_on_postgres() {
    Stage::on_postgres(async |stage| {
        stage.migrate().await;
        let few = [("TALLYGATE_POSTGRES_CONNECTIONS", OF_THE_APPLICATION)];
        let _worker = stage.start_with(&["worker"], &few);
        // One connection: what begins here ends there.
        let db = Db::connect(&stage.url, 1, Duration::ZERO, |_| {}).await.unwrap();
        let lanes = i64::try_from(Lane::ALL.len()).unwrap();
        until("every lane has a worker", async || {
            (count(&db, "apalis.workers").await == lanes).then_some(())
        })
        .await;
        // Whoever fetches jobs or gives a sign of life keeps the connection.
        let run = async |sql: &str| db.writer().execute_unprepared(sql).await.unwrap();
        run("BEGIN; LOCK TABLE apalis.jobs, apalis.workers IN ACCESS EXCLUSIVE MODE").await;
        tokio::time::sleep(LONG_ENOUGH).await;
        let others = "pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
            AND pid <> pg_backend_pid()";
        let open = count(&db, others).await;
        run("ROLLBACK").await;
        db.close().await;
        let most = OF_THE_APPLICATION.parse::<i64>().unwrap() + lanes + 1 + LISTENERS;
        assert!((lanes..=most).contains(&open), "{open} connections are open");
    })
    .await;
}

async fn count(db: &Db, what: &str) -> i64 {
    let asked = Statement::from_string(DbBackend::Postgres, format!("SELECT COUNT(*) AS n FROM {what}"));
    let row = db.reader().query_one_raw(asked).await.unwrap();
    row.unwrap().try_get("", "n").unwrap()
}
