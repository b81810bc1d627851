//! What the database refuses by itself, and the chain of hashes that shows what it could not refuse.

use std::collections::HashSet;

use app::credit::{self, Adjust};
use domain::{
    customer::Settlement,
    id::CustomerId,
    ledger::chain::{Content, EntryHash},
};
use entity::{account, ledger_entry};
use migration::MigratorTrait;
use sea_orm::{ConnectionTrait, EntityTrait, QueryOrder};
use uuid::Uuid;

use crate::harness::{World, credits, graduated};

on_both!(
    entries_are_final,
    rows_stay_with_their_owners,
    entries_say_nothing_impossible,
    every_entry_is_chained_to_the_one_before,
    what_is_answered_is_what_is_kept,
    ledgers_from_before_are_chained_by_the_migration,
);

async fn refused(world: &World, sql: &str) -> String {
    match world.app.db().writer().execute_unprepared(sql).await {
        Err(error) => error.to_string(),
        Ok(_) => panic!("not refused: {sql}"),
    }
}

async fn entries_are_final(world: World) {
    let customer = world.customer("a").await;
    world.give(customer, "5").await;
    for sql in [
        "UPDATE ledger_entry SET description = description",
        "UPDATE ledger_entry SET credits = 0 WHERE sequence = 1",
        "DELETE FROM ledger_entry",
        "TRUNCATE ledger_entry",
        "TRUNCATE customer CASCADE",
    ] {
        let truncate = sql.starts_with("TRUNCATE");
        if truncate && world.app.db().backend() == app::db::Backend::Sqlite {
            continue;
        }
        let error = refused(&world, sql).await;
        assert!(error.contains("ledger entries are final"), "{sql}: {error}");
    }
}

async fn rows_stay_with_their_owners(world: World) {
    let (customer, other) = (world.customer("a").await, world.customer("b").await);
    let block = world.give(customer, "5").await.block.id;
    let stranger = world.stranger().await;
    let tenant = literal(&world, stranger.tenant().0);
    for sql in [
        format!(
            "INSERT INTO ledger_entry SELECT customer_id, 2, {tenant}, kind, 'x', block_id, 0, 0, balance_after,
                overdraft_after, description, metric_id, rule_id, period_start, from_units, from_events, to_units,
                to_events, first_event, last_event, event_count, created_at, hash FROM ledger_entry"
        ),
        format!(
            "INSERT INTO ledger_entry SELECT {}, 1, tenant_id, kind, 'x', {}, 0, 0, balance_after,
                overdraft_after, description, metric_id, rule_id, period_start, from_units, from_events, to_units,
                to_events, first_event, last_event, event_count, created_at, hash FROM ledger_entry",
            literal(&world, other.0),
            literal(&world, block.0),
        ),
        format!(
            "INSERT INTO block SELECT {}, {tenant}, customer_id, source, billing, priority, credits, 0, granted_at,
                expires_at, metrics, state, description, NULL, NULL, NULL, 0 FROM block",
            literal(&world, Uuid::now_v7()),
        ),
    ] {
        refused(&world, &sql).await;
    }
}

/// An id as both databases write it.
fn literal(world: &World, id: Uuid) -> String {
    match world.app.db().backend() {
        app::db::Backend::Sqlite => format!("x'{}'", id.simple()),
        app::db::Backend::Postgres => format!("'{id}'::uuid"),
    }
}

async fn entries_say_nothing_impossible(world: World) {
    let customer = world.customer("a").await;
    world.give(customer, "5").await;
    let hash = match world.app.db().backend() {
        app::db::Backend::Sqlite => "zeroblob(32)",
        app::db::Backend::Postgres => "decode(repeat('00', 32), 'hex')",
    };
    let line = |values: &str| {
        format!(
            "INSERT INTO ledger_entry (customer_id, sequence, tenant_id, kind, effect_key, credits, overdraft_change,
                balance_after, overdraft_after, description, created_at, hash)
             SELECT customer_id, 2, tenant_id, 'GRANT', 'x', {values} FROM ledger_entry"
        )
    };
    refused(&world, &line(&format!("7, 0, 12, 0, 'from nowhere', 0, {hash}"))).await;
    refused(&world, &line(&format!("0, 0, 5, -1, 'negative', 0, {hash}"))).await;
    refused(&world, &line("0, 0, 5, 0, 'short hash', 0, NULL")).await;
}

/// Grants, debits, overdraft, repayment, a void, corrections and an expiry, of two customers.
async fn story(world: &World) -> [CustomerId; 2] {
    world.priced("call", graduated(&[("10", "1"), ("", "0.5")])).await;
    let customer = world.customer("a").await;
    let other = world.customer_settling("b", Settlement::Manual).await;
    let mut grant = world.deposit(customer, "3");
    grant.expiry = credit::Expiry::AfterSeconds(60);
    grant.description = Some("Größe \u{1F600}".to_owned());
    world.grant(grant).await;
    world.give(customer, "20").await;
    let key = world.consume(customer, "call", "12").await;
    world.consume(other, "call", "40").await;
    world.run_to_rest().await;
    world.void(&key).await.unwrap();
    world.advance(100);
    world.run_to_rest().await;
    world.give(other, "7").await;
    world.consume(customer, "call", "100").await;
    world.run_to_rest().await;
    world.give(customer, "90").await;
    [customer, other]
}

async fn ledgers(world: &World) -> Vec<ledger_entry::Model> {
    ledger_entry::Entity::find()
        .order_by_asc(ledger_entry::Column::CustomerId)
        .order_by_asc(ledger_entry::Column::Sequence)
        .all(world.app.db().reader())
        .await
        .unwrap()
}

async fn heads(world: &World) -> Vec<(Uuid, Vec<u8>)> {
    let all = account::Entity::find().order_by_asc(account::Column::CustomerId);
    let all = all.all(world.app.db().reader()).await.unwrap();
    all.into_iter().map(|it| (it.customer_id, it.head)).collect()
}

async fn every_entry_is_chained_to_the_one_before(world: World) {
    let customers = story(&world).await;
    let entries = ledgers(&world).await;
    let kinds: HashSet<&str> = entries.iter().map(|it| it.kind.as_str()).collect();
    assert!(kinds.len() >= 5, "{kinds:?}");
    let mut last = vec![];
    for customer in customers {
        let mut hash = EntryHash::NONE;
        for entry in entries.iter().filter(|it| it.customer_id == customer.0) {
            let content: Content<'_> = entry.content();
            hash = hash.next(&content);
            assert_eq!(hash.as_bytes(), entry.hash, "line {}", entry.sequence);
        }
        last.push((customer.0, hash.as_bytes().to_vec()));
    }
    last.sort();
    assert_eq!(heads(&world).await, last);
}

async fn what_is_answered_is_what_is_kept(world: World) {
    let [customer, _] = story(&world).await;
    let input = Adjust {
        customer: app::customer::CustomerRef::Id(customer),
        credits: credits("-2"),
        description: None,
    };
    let done = credit::adjust(&world.app, &world.actor, input, &world.key())
        .await
        .unwrap();
    let kept = world.ledger(customer).await;
    assert_eq!(done.value.entries.last(), kept.last());
    let head = kept.last().unwrap().hash;
    assert_eq!(
        (done.value.balance.head, world.balance(customer).await.head),
        (head, head)
    );
    assert_ne!(head, EntryHash::NONE);
}

async fn ledgers_from_before_are_chained_by_the_migration(world: World) {
    story(&world).await;
    let (entries, before) = (ledgers(&world).await, heads(&world).await);
    let db = world.app.db().writer();
    let later = migration::Migrator::migrations()
        .iter()
        .rev()
        .take_while(|step| step.name() != "m0008_books")
        .count();
    let steps = u32::try_from(later).unwrap() + 1;
    migration::Migrator::down(db, Some(steps)).await.unwrap();
    assert!(
        db.execute_unprepared("SELECT hash FROM ledger_entry")
            .await
            .is_err()
    );
    migration::Migrator::up(db, None).await.unwrap();
    assert_eq!(ledgers(&world).await, entries);
    assert_eq!(heads(&world).await, before);
    assert!(
        refused(&world, "DELETE FROM ledger_entry")
            .await
            .contains("final")
    );
}
