//! Tenants on one server do not hinder each other: the same names mean other things, down to the idempotency keys. That things
//! of another tenant do not exist is tried field by field by [`authorisation`](crate::authorisation).

use serde_json::Value;

use super::{
    client::{Client, event},
    stage::Stage,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_free_for_another_tenant_on_sqlite() {
    Stage::on_sqlite(play).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_free_for_another_tenant_on_postgres() {
    Stage::on_postgres(play).await;
}

async fn play(stage: &Stage) {
    stage.migrate().await;
    let server = stage.api().await;
    let _worker = stage.worker();
    let owner = &server.client;
    let made = stage
        .command(&["keys", "create", "--tenant", "other", "--all-scopes"])
        .await;
    assert_eq!(made.code, 0, "{made:?}");
    let stranger = owner.with_key(made.out.trim());
    assert_eq!(
        stranger.ask("{ viewer { tenant { name mode } } }").await["viewer"]["tenant"]["name"],
        "other"
    );

    owner.metric("call", r#"{flat: {credits: "1"}}"#).await;
    owner.customer("acme", "10").await;
    owner.record(&[event("acme", "call", 1, "e1")]).await;
    owner.settled("acme").await;
    let before = state(owner).await;
    stranger.metric("own", r#"{flat: {credits: "1"}}"#).await;

    // The same names are free for the other tenant, down to the idempotency keys.
    assert_eq!(state(owner).await, before, "nothing of the owner has changed");
    stranger.metric("call", r#"{flat: {credits: "2"}}"#).await;
    stranger.customer("acme", "10").await;
    assert_eq!(
        stranger.record(&[event("acme", "call", 1, "e1")]).await["acceptedCount"],
        1
    );
    assert_eq!(stranger.settled("acme").await["remaining"], "8");
    assert_eq!(state(owner).await, before, "nothing of the owner has changed");
}

/// Everything that the owner can see.
async fn state(owner: &Client) -> Value {
    owner
        .ask(r#"{ customers { nodes { id name updatedAt balance { remaining sequence pendingEvents } blocks { nodes { state remaining } }
            ledger { nodes { id } } usageEvents { nodes { id state credits } } } }
            metrics { nodes { id name } } meteringRules { nodes { id } } apiKeys { nodes { id revokedAt } } }"#)
        .await
}
