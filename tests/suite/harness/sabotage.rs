//! Damage on purpose. The database refuses most of it by itself, so its guards are switched off first, by name, and on again
//! afterwards.

use app::db::{Backend, Db};
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, QueryResult, Statement, TransactionOptions, TransactionTrait,
};

/// Runs SQL without triggers, references and checks.
pub async fn run(db: &Db, sql: &str) {
    match db.backend() {
        Backend::Sqlite => on_sqlite(db, sql).await,
        Backend::Postgres => on_postgres(db, sql).await,
    }
}

async fn on_sqlite(db: &Db, sql: &str) {
    // There is one writing connection, and these settings are the connection's own.
    let pragma = async |off: &str, on: &str| {
        let both = format!("PRAGMA foreign_keys = {on}; PRAGMA ignore_check_constraints = {off}");
        db.writer().execute_unprepared(&both).await.unwrap();
    };
    pragma("ON", "OFF").await;
    let tx = begin(db).await;
    let triggers = texts(
        &tx,
        "SELECT name, sql AS definition FROM sqlite_master WHERE type = 'trigger'",
    )
    .await;
    for (name, _) in &triggers {
        execute(&tx, &format!("DROP TRIGGER {name}")).await;
    }
    execute(&tx, sql).await;
    for (_, definition) in &triggers {
        execute(&tx, definition).await;
    }
    tx.commit().await.unwrap();
    pragma("OFF", "ON").await;
}

async fn on_postgres(db: &Db, sql: &str) {
    let tx = begin(db).await;
    let tables = texts(
        &tx,
        "SELECT relname::text AS name, '' AS definition FROM pg_class
         WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
    )
    .await;
    let checks = texts(
        &tx,
        "SELECT conrelid::regclass || ' ' || quote_ident(conname) AS name, pg_get_constraintdef(oid) AS definition
         FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace",
    )
    .await;
    let split = |name: &str| {
        name.split_once(' ')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap()
    };
    for (table, _) in &tables {
        execute(&tx, &format!("ALTER TABLE {table} DISABLE TRIGGER ALL")).await;
    }
    for (name, _) in &checks {
        let (table, check) = split(name);
        execute(&tx, &format!("ALTER TABLE {table} DROP CONSTRAINT {check}")).await;
    }
    execute(&tx, sql).await;
    for (name, definition) in &checks {
        let (table, check) = split(name);
        // What is in the table now may not fit: only what comes is checked again.
        let definition = definition.trim_end_matches(" NOT VALID");
        execute(
            &tx,
            &format!("ALTER TABLE IF EXISTS {table} ADD CONSTRAINT {check} {definition} NOT VALID"),
        )
        .await;
    }
    for (table, _) in &tables {
        execute(&tx, &format!("ALTER TABLE IF EXISTS {table} ENABLE TRIGGER ALL")).await;
    }
    tx.commit().await.unwrap();
}

async fn begin(db: &Db) -> DatabaseTransaction {
    let options = TransactionOptions::default();
    db.writer().begin_with_options(options).await.unwrap()
}

async fn execute(tx: &DatabaseTransaction, sql: &str) {
    if let Err(error) = tx.execute_unprepared(sql).await {
        panic!("{sql}: {error}");
    }
}

async fn texts(tx: &DatabaseTransaction, sql: &str) -> Vec<(String, String)> {
    let asked = Statement::from_string(tx.get_database_backend(), sql);
    let read = |row: &QueryResult| {
        (
            row.try_get("", "name").unwrap(),
            row.try_get("", "definition").unwrap(),
        )
    };
    tx.query_all_raw(asked).await.unwrap().iter().map(read).collect()
}
