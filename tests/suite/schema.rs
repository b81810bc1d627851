//! Migrations: forward, back and forward again, on a database that somebody uses meanwhile.

use app::{page::Page, usage};
use domain::usage::event::EventState;
use migration::MigratorTrait;
use sea_orm::ConnectionTrait;

use crate::harness::{World, auditor, graduated, per_unit, volume};

on_both!(
    up_down_up,
    ratings_survive_the_way_back_and_forth,
    overflow_is_refused_by_the_database
);

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

/// What events came to is the same after the step that packs it into rows was taken back and taken again.
async fn ratings_survive_the_way_back_and_forth(world: World) {
    world.priced("call", graduated(&[("10", "1"), ("", "0.5")])).await;
    world.metric("free").await;
    world.priced("page", volume(&[("10", "1"), ("", "0.5")])).await;
    let customer = world.customer("a").await;
    world.give(customer, "5").await;
    world.give(customer, "5").await;
    world.advance(1);
    world.consume(customer, "call", "4").await;
    world.consume(customer, "free", "3").await;
    world.run_to_rest().await;
    let key = world.consume(customer, "call", "40.5").await;
    world.consume(customer, "page", "10").await;
    world.consume(customer, "page", "90").await;
    world.run_to_rest().await;
    world.void(&key).await.unwrap();
    world.consume(customer, "call", "1").await;
    let read = async |world: &World| {
        let page = usage::events(&world.app, &world.actor, customer, Page::first(9)).await;
        page.unwrap().items
    };
    let before = read(&world).await;
    let states: Vec<EventState> = before.iter().map(|it| it.state).collect();
    assert!(states.contains(&EventState::Pending) && states.contains(&EventState::Voided));
    let purses = |it: &usage::UsageEvent| it.rating.as_ref().map_or(0, |it| it.draws.as_slice().len());
    assert_eq!(before.iter().map(purses).max(), Some(3));
    let fresh = world.back_and_forth("m0007_ratings").await;
    let mut wanted = before;
    wanted.sort_by_key(|it| it.id);
    let mut found = read(&fresh).await;
    found.sort_by_key(|it| it.id);
    assert_eq!(found, wanted);
    auditor::audit(fresh.app.db()).await;
    fresh.run_to_rest().await;
    for event in wanted.iter().filter(|it| it.state == EventState::Rated) {
        fresh.void(&event.key).await.unwrap();
    }
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
