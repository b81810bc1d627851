//! What PostgreSQL reads for statements over rows: no more than they ask for, whatever its planner knows of them. There is nothing of
//! the kind to see on SQLite, which plans a statement once for all rows, knows nothing of how many these are, and counts no reads.

use app::usage::Outcome;
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::{
    e2e::process::until,
    harness::{World, backend::on_postgres, per_unit},
};

const CUSTOMERS: usize = 12;
const EVENTS_EACH: usize = 200;
/// Events of all that are sent again: enough that reading all of them looks cheaper.
const SOME: usize = 1_000;

/// Customers with usage that waits. Answers all of it.
async fn backlog(world: &World) -> Vec<app::usage::NewEvent> {
    world.priced("call", per_unit("1")).await;
    let mut all = Vec::new();
    for n in 0..CUSTOMERS {
        let id = world.customer(&format!("customer {n}")).await;
        let events: Vec<_> = (0..EVENTS_EACH).map(|_| world.event(id, "call", "1")).collect();
        world.accept(events.clone()).await;
        all.extend(events);
    }
    all
}

async fn execute(world: &World, sql: &str) {
    let db = world.app.db().writer();
    db.execute_unprepared(sql).await.unwrap();
}

/// Rows of a table that were read so far: by reading all of it, and by an index. And connections to the database.
async fn look(world: &World, table: &str) -> (i64, i64, i64) {
    let sql = "SELECT seq_tup_read AS whole, idx_tup_fetch AS by_index,
            (SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend') AS open
         FROM pg_stat_user_tables WHERE relname = $1";
    let asked = Statement::from_sql_and_values(DbBackend::Postgres, sql, [table.into()]);
    let row = world.app.db().reader().query_one_raw(asked).await;
    let row = row.unwrap().unwrap();
    let number = |name: &str| row.try_get("", name).unwrap();
    (number("whole"), number("by_index"), number("open"))
}

/// Rows of a table that another process has read, whole and by an index, while it did something. So many it must have read. It has to
/// end, because PostgreSQL tells what was read at the end of a connection at the latest, and some versions a moment later.
async fn read_by_another(
    world: &World,
    table: &str,
    least: usize,
    work: impl AsyncFnOnce(&World),
) -> (i64, i64) {
    let least = i64::try_from(least).unwrap();
    let before = look(world, table).await;
    let other = world.another().await;
    work(&other).await;
    other.app.db().close().await;
    until("it is known what was read", async || {
        let (whole, by_index, open) = look(world, table).await;
        let read = (whole - before.0, by_index - before.1);
        (open <= before.2 && read.0 + read.1 >= least).then_some(read)
    })
    .await
}

/// Usage is taken shard by shard, each in its order. Customers first would be the better plan by what the planner is told here, that there
/// are thousands of them and few are meant; but then all usage of each is read once for every shard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_is_not_read_once_for_every_shard() {
    on_postgres(async |world| {
        let events = backlog(&world).await.len();
        execute(
            &world,
            "ALTER TABLE usage_pending ALTER customer_id SET (n_distinct = 10000)",
        )
        .await;
        execute(&world, "ANALYZE usage_pending").await;
        // Plans for any number of rows, which each connection makes after a while.
        execute(
            &world,
            "DO $$ BEGIN
                EXECUTE format('ALTER DATABASE %I SET plan_cache_mode = force_generic_plan', current_database());
             END $$",
        )
        .await;
        let drain = async |other: &World| other.run_jobs().await;
        // Twice: to find whose accounts to lock, and to take it.
        let (whole, by_index) = read_by_another(&world, "usage_pending", 2 * events, drain).await;
        assert_eq!(world.pending().await, 0);
        let (read, events) = (whole + by_index, i64::try_from(events).unwrap());
        assert!(read < 3 * events, "{read} rows were read for {events} events");
    })
    .await;
}

/// What is looked up by its key is found by it, also the first time that a connection is asked, when the planner may see how much is
/// looked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_not_read_whole_for_some_of_its_rows() {
    on_postgres(async |world| {
        let some = backlog(&world).await.split_off(CUSTOMERS * EVENTS_EACH - SOME);
        execute(&world, "ANALYZE usage_event").await;
        let record = async |other: &World| {
            for outcome in other.record(some).await {
                assert!(matches!(outcome, Outcome::Duplicate(_)), "{outcome:?}");
            }
        };
        let (whole, _) = read_by_another(&world, "usage_event", SOME, record).await;
        assert_eq!(whole, 0);
    })
    .await;
}
