//! What a key may not do below the root, and that a key which is gone is gone at once. Every root field is tried by
//! [`authorisation`](crate::authorisation).

use serde_json::json;

use super::{client::Client, stage::Stage};

/// Makes a key; answers its id and its secret.
async fn key(client: &Client, name: &str, scopes: &str) -> (String, Client) {
    let made = client
        .change(&format!(
            r#"mutation {{ createApiKey(input: {{name: "{name}", scopes: [{scopes}], idempotencyKey: "key-{name}"}}) {{ apiKey {{ id scopes hint }} secret idempotentReplay userErrors {{ code message }} }} }}"#
        ))
        .await;
    let secret = made["secret"].as_str().unwrap();
    assert!(
        !made["apiKey"]["hint"].as_str().unwrap().contains(&secret[8..]),
        "{made}"
    );
    (
        made["apiKey"]["id"].as_str().unwrap().to_owned(),
        client.with_key(secret),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_below_the_root_have_scopes_of_their_own() {
    Stage::on_sqlite(async |stage| {
        let dev = stage.dev().await;
        let owner = &dev.client;
        let id = owner.customer("acme", "10").await;
        let (_, reader) = key(owner, "reader", r#""customer:read""#).await;
        for field in [
            "balance { remaining }",
            "blocks { nodes { id } }",
            "ledger { nodes { id } }",
            "usageEvents { nodes { id } }",
            "usageSummary { metrics { units } }",
        ] {
            for root in [
                "customer(externalId: \"acme\")".to_owned(),
                format!("node(id: \"{id}\")"),
            ] {
                let reply = reader
                    .reply(&format!("{{ {root} {{ ... on Customer {{ {field} }} }} }}"))
                    .await;
                assert_eq!(reply.code(), "FORBIDDEN", "{field}: {reply:?}");
            }
        }
        assert_eq!(
            reader
                .ask(r#"{ customer(externalId: "acme") { externalId } }"#)
                .await["customer"]["externalId"],
            "acme"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_refused_at_once_and_a_key_makes_no_stronger_ones() {
    Stage::on_sqlite(async |stage| {
        let dev = stage.dev().await;
        let owner = &dev.client;
        let (id, maker) = key(owner, "maker", r#""access:write", "usage:read""#).await;
        let stronger = r#"mutation { createApiKey(input: {name: "s", scopes: ["usage:write"], idempotencyKey: "s"}) { secret userErrors { code path } } }"#;
        let refused = &maker.ask(stronger).await["createApiKey"];
        assert_eq!((&refused["secret"], &refused["userErrors"][0]["path"]), (&json!(null), &json!(["input", "scopes"])));

        assert_eq!(maker.ask("{ viewer { apiKeyId } }").await["viewer"]["apiKeyId"], id.as_str());
        let revoke = format!(r#"mutation {{ revokeApiKey(input: {{id: "{id}", idempotencyKey: "r"}}) {{ apiKey {{ revokedAt }} userErrors {{ code }} }} }}"#);
        assert!(owner.change(&revoke).await["apiKey"]["revokedAt"].is_string());
        let reply = maker.reply("{ viewer { apiKeyId } }").await;
        assert_eq!((reply.status.as_u16(), reply.code()), (401, "UNAUTHENTICATED"));
    })
    .await;
}
