//! Migrations: forward, back and forward again, on a database that somebody uses meanwhile.

use migration::MigratorTrait;
use sea_orm::ConnectionTrait;

use crate::harness::{World, per_unit};

on_both!(up_down_up, overflow_is_refused_by_the_database);

async fn up_down_up(world: World) {
    let db = world.app.db().writer();
    world.priced("call", per_unit("1")).await;
    migration::Migrator::down(db, None).await.unwrap();
    for table in ["tenant", "account", "usage_event", "work"] {
        let read = db.execute_unprepared(&format!("SELECT * FROM {table}")).await;
        assert!(read.is_err(), "{table} is still there");
    }
    migration::Migrator::up(db, None).await.unwrap();
    let pending = migration::Migrator::get_pending_migrations(db).await.unwrap();
    assert_eq!(pending.len(), 0);
    // The new tables work.
    let fresh = World::over(world.place.clone()).await;
    fresh.priced("call", per_unit("1")).await;
    let customer = fresh.customer("a").await;
    fresh.give(customer, "10").await;
    fresh.consume(customer, "call", "3").await;
    fresh.run_to_rest().await;
    assert_eq!(fresh.stands(customer).await.0, "7");
}

/// On SQLite an integer that overflows would silently become a float; STRICT tables forbid it.
async fn overflow_is_refused_by_the_database(world: World) {
    let customer = world.customer("a").await;
    world.give(customer, "1").await;
    let db = world.app.db().writer();
    for sql in [
        "UPDATE account SET blocks = blocks + 9223372036854775807",
        "UPDATE account SET blocks = -1",
        "UPDATE account SET overdraft = -1",
        "UPDATE block SET remaining = credits + 1",
        "UPDATE block SET remaining = -1",
        "UPDATE block SET state = 'EXPIRED'",
        "INSERT INTO ledger_entry SELECT * FROM ledger_entry",
    ] {
        assert!(db.execute_unprepared(sql).await.is_err(), "{sql}");
    }
}
