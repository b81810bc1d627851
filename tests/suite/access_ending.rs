//! The end of credentials under which something is open.

use std::{sync::Arc, time::Duration};

use app::{
    Actor, App, Limits,
    access::{self, CreateApiKey, Ended, NewKey},
    clock::SystemClock,
};
use domain::time::Timestamp;
use futures::future::join_all;
use tokio::{task::JoinHandle, time::timeout};

use crate::harness::World;

on_both!(
    a_revocation_reaches_every_process,
    the_operator_does_not_end,
    a_clock_that_jumps_is_noticed,
    expiry_is_exact_and_needs_no_database,
);

/// Far more than is promised: the machine that runs the cases may be busy.
const LONG: Duration = Duration::from_secs(60);

async fn key(app: &App, maker: &Actor, once: &str, expires_at: Option<Timestamp>) -> NewKey {
    let input = CreateApiKey {
        name: "till".to_owned(),
        scopes: vec!["credit:read".to_owned()],
        expires_at,
    };
    access::create_key(app, maker, input, once).await.unwrap().value
}

async fn caller(app: &App, key: &NewKey) -> Actor {
    let secret = key.secret.as_ref().unwrap();
    access::authenticate(app, secret).await.unwrap().unwrap()
}

fn waiting(app: &App, actor: &Actor) -> JoinHandle<Ended> {
    let (app, actor) = (app.clone(), actor.clone());
    tokio::spawn(async move { access::ended(&app, &actor).await })
}

async fn a_revocation_reaches_every_process(world: World) {
    let other = world.another().await;
    let made = key(&world.app, &world.actor, "k1", None).await;
    let spared = key(&world.app, &world.actor, "k2", None).await;
    let (here, there) = (caller(&world.app, &made).await, caller(&other.app, &made).await);
    let many = (0..5_000).map(|_| waiting(&other.app, &there));
    let all: Vec<_> = many.chain([waiting(&world.app, &here)]).collect();
    let stays = waiting(&other.app, &caller(&other.app, &spared).await);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(all.iter().all(|one| !one.is_finished()));
    access::revoke_key(&world.app, &world.actor, made.key.id, "r")
        .await
        .unwrap();
    for ended in timeout(LONG, join_all(all)).await.unwrap() {
        assert_eq!(ended.unwrap(), Ended::Revoked);
    }
    assert!(!stays.is_finished(), "another key was not revoked");
    stays.abort();
}

async fn the_operator_does_not_end(world: World) {
    let waiter = waiting(&world.app, &world.actor);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!waiter.is_finished());
    waiter.abort();
}

async fn a_clock_that_jumps_is_noticed(world: World) {
    let made = key(
        &world.app,
        &world.actor,
        "k",
        Some(world.now().plus_seconds(86_400)),
    )
    .await;
    let waiter = waiting(&world.app, &caller(&world.app, &made).await);
    world.advance(86_399);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!waiter.is_finished());
    world.advance(1);
    assert_eq!(timeout(LONG, waiter).await.unwrap().unwrap(), Ended::Expired);
}

async fn expiry_is_exact_and_needs_no_database(world: World) {
    let db = world.place.connect().await;
    let app = App::with_clock(db, world.post.clone(), Limits::default(), Arc::new(SystemClock));
    let end = Timestamp::from_micros(app.now().micros() + 700_000);
    let made = key(&app, &world.actor, "k", Some(end)).await;
    let waiter = waiting(&app, &caller(&app, &made).await);
    // Without the table nobody can be asked, so only the waiter's own timer can tell.
    world.sabotage("ALTER TABLE api_key RENAME TO gone").await;
    assert_eq!(timeout(LONG, waiter).await.unwrap().unwrap(), Ended::Expired);
    assert!(app.now() >= end);
    world.sabotage("ALTER TABLE gone RENAME TO api_key").await;
    app.db().close().await;
}
