//! How HTTP requests are answered that are not quite right: with the status and the code that clients expect, and never with
//! what the server looks like inside.

use reqwest::{StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::{
    client::{Client, Reply, event, reply},
    stage::{Server, Stage},
};

const VIEWER: &str = r#"{"query":"{ viewer { scopes } }"}"#;
const CREATE: &str =
    r#"mutation { createCustomer(input: {externalId: "x", idempotencyKey: "x"}) { userErrors { code } } }"#;

/// The API as it is in production, on SQLite.
async fn api(stage: &Stage) -> Server {
    stage.migrate().await;
    stage.api().await
}

#[track_caller]
fn assert_refused(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status.as_u16(), reply.code()), (status, code), "{reply:?}");
    let extensions = &reply.body["errors"][0]["extensions"];
    assert_eq!(extensions["retryable"], false, "{reply:?}");
    assert!(
        extensions["requestId"]
            .as_str()
            .is_some_and(|id| id.starts_with("req_")),
        "{reply:?}"
    );
    assert_eq!(
        reply.headers["x-request-id"],
        extensions["requestId"].as_str().unwrap()
    );
    assert_eq!(reply.body.get("data"), None, "{reply:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_key_nothing_is_even_read() {
    Stage::on_sqlite(async |stage| {
        let server = api(stage).await;
        let client = &server.client;
        for body in [
            VIEWER.to_owned(),
            "no json".to_owned(),
            "[".repeat(20_000),
            String::new(),
        ] {
            let anonymous = reply(client.anonymous_post().body(body.clone())).await.unwrap();
            let wrong = reply(client.with_key("tg_test_wrong").post().body(body))
                .await
                .unwrap();
            for refused in [anonymous, wrong] {
                assert_refused(&refused, 401, "UNAUTHENTICATED");
                assert_eq!(refused.headers["www-authenticate"], "Bearer");
            }
        }
        let other_scheme = client
            .anonymous_post()
            .header("authorization", format!("Basic {}", client.key));
        assert_refused(
            &reply(other_scheme.body(VIEWER)).await.unwrap(),
            401,
            "UNAUTHENTICATED",
        );
        assert_refused(
            &reply(client.with_key("x").get(&[("query", "{")])).await.unwrap(),
            401,
            "UNAUTHENTICATED",
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_no_graphql_requests_are_refused() {
    Stage::on_sqlite(async |stage| {
        let server = api(stage).await;
        let client = &server.client;
        for media in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "application/jsonp",
        ] {
            let refused = reply(client.post().header(CONTENT_TYPE, media).body(VIEWER))
                .await
                .unwrap();
            assert_refused(&refused, 415, "BAD_USER_INPUT");
        }
        assert_refused(
            &reply(client.post().body(VIEWER)).await.unwrap(),
            415,
            "BAD_USER_INPUT",
        );
        let with_charset = client
            .post()
            .header(CONTENT_TYPE, "application/json; charset=utf-8");
        assert_eq!(
            reply(with_charset.body(VIEWER)).await.unwrap().status,
            StatusCode::OK
        );

        let batch = format!("[{VIEWER},{VIEWER}]");
        for body in [
            "",
            "{",
            "null",
            "{}",
            "[]",
            "1",
            batch.as_str(),
            r#"{"query": 1}"#,
            r#"{"query": null}"#,
            r#"{"query": "{ viewer { scopes } }", "variables": []}"#,
            r#"{"query": "{ viewer { scopes } }", "variables": "{}"}"#,
            r#"{"query": "{ viewer { scopes } }", "operationName": 1}"#,
            r#"{"query": "{ viewer { scopes } }", "operationName": "Other"}"#,
        ] {
            assert_refused(&client.raw(body.to_owned()).await, 400, "BAD_USER_INPUT");
        }
        assert_refused(
            &client.raw(&b"{\"query\": \"\xff\"}"[..]).await,
            400,
            "BAD_USER_INPUT",
        );
        assert_eq!(client.raw(VIEWER).await.status, StatusCode::OK);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_get_serves_queries_only() {
    Stage::on_sqlite(async |stage| {
        let server = api(stage).await;
        let client = &server.client;
        let fine = reply(client.get(&[("query", "{ viewer { tenant { name } } }")]))
            .await
            .unwrap();
        assert_eq!(
            fine.body["data"],
            json!({ "viewer": { "tenant": { "name": "default" } } })
        );
        assert_eq!(fine.body.get("errors"), None);
        let query = "query A($id: String) { customer(externalId: $id) { id } } mutation B { x }";
        let named = [
            ("query", query),
            ("operationName", "A"),
            ("variables", r#"{"id":"x"}"#),
        ];
        // Validation takes the whole document, the mutation too; there is nothing of it that could run.
        assert_eq!(
            reply(client.get(&named)).await.unwrap().code(),
            "GRAPHQL_VALIDATION_FAILED"
        );

        let refused = reply(client.get(&[("query", CREATE)])).await.unwrap();
        assert_refused(&refused, 405, "BAD_USER_INPUT");
        assert_eq!(refused.headers["allow"], "POST");
        assert_eq!(
            client.ask(r#"{ customer(externalId: "x") { id } }"#).await,
            json!({ "customer": null })
        );
        let no_query = reply(client.get(&[])).await.unwrap();
        assert_refused(&no_query, 400, "BAD_USER_INPUT");
        let bad_variables = [("query", "{ viewer { scopes } }"), ("variables", "[")];
        assert_refused(
            &reply(client.get(&bad_variables)).await.unwrap(),
            400,
            "BAD_USER_INPUT",
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_carry_codes_and_tell_nothing_of_the_inside() {
    Stage::on_sqlite(async |stage| {
        let server = api(stage).await;
        let client = &server.client;
        let deep = format!("{{ a(b: {}) }}", "[".repeat(20_000));
        let wide = format!("{{ {} }}", "viewer { scopes } ".repeat(2_000));
        let nested = format!("{{ viewer {} {} }}", "{ tenant".repeat(20), "}".repeat(20));
        for (document, code) in [
            ("{ viewer { scopes }", "GRAPHQL_PARSE_FAILED"),
            ("", "GRAPHQL_PARSE_FAILED"),
            ("{ viewer { secrets } }", "GRAPHQL_VALIDATION_FAILED"),
            (
                "{ custommer(externalId: \"x\") { id } }",
                "GRAPHQL_VALIDATION_FAILED",
            ),
            ("{ viewer }", "GRAPHQL_VALIDATION_FAILED"),
            (
                "mutation { recordUsage(input: {}) { acceptedCount } }",
                "GRAPHQL_VALIDATION_FAILED",
            ),
            (&deep, "QUERY_TOO_COMPLEX"),
            (&wide, "QUERY_TOO_COMPLEX"),
            (&nested, "QUERY_TOO_COMPLEX"),
        ] {
            let body = json!({ "query": document });
            // Under plain JSON a GraphQL request that failed is an answer, under the other media type it is an error.
            let plain = reply(client.post().json(&body)).await.unwrap();
            assert_refused(&plain, 200, code);
            let strict = client
                .post()
                .header("accept", "application/graphql-response+json")
                .json(&body);
            let strict = reply(strict).await.unwrap();
            assert_refused(&strict, 400, code);
            let message = strict.body["errors"][0]["message"].as_str().unwrap();
            assert!(
                !message.contains("Did you mean") && message.len() < 500,
                "{message}"
            );
        }
        let introspection = client.reply("{ __schema { types { name } } }").await;
        assert!(
            !introspection.body.to_string().contains("recordUsage"),
            "{introspection:?}"
        );
        assert!(
            introspection.body["data"]["__schema"].is_null(),
            "{introspection:?}"
        );
        assert_eq!(
            client.raw(VIEWER).await.status,
            StatusCode::OK,
            "the process lives on"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_bounded_in_length_and_depth() {
    Stage::on_sqlite(async |stage| {
        let server = api(stage).await;
        let client = &server.client;
        let long = json!({ "query": "{ viewer { scopes } }", "variables": { "x": "x".repeat(1 << 20) } });
        assert_refused(&client.raw(long.to_string()).await, 413, "BAD_USER_INPUT");
        let deep = format!(
            r#"{{"query": "{{ viewer {{ scopes }} }}", "variables": {{"x": {}}}}}"#,
            "[".repeat(20_000)
        );
        assert_refused(&client.raw(deep).await, 400, "BAD_USER_INPUT");
        // The largest request that is allowed fits, whatever the customers and keys are called.
        client.metric("call", r#"{flat: {credits: "1"}}"#).await;
        client.customer("acme", "1").await;
        let key = |n| format!("{n:0>255}");
        let events: Vec<Value> = (0..1_000).map(|n| event("acme", "call", 1, key(n))).collect();
        assert_eq!(client.record(&events).await["acceptedCount"], 1_000);
        let many = client
            .send(
                super::client::RECORD,
                json!({ "events": vec![&events[0]; 1_001] }),
            )
            .await;
        assert_eq!(
            many["recordUsage"]["userErrors"][0]["code"], "INVALID_INPUT",
            "{many}"
        );
        assert_eq!(
            client.raw(VIEWER).await.status,
            StatusCode::OK,
            "the process lives on"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nul_character_is_refused_wherever_it_is_hidden() {
    Stage::on_postgres(async |stage| {
        let server = api(stage).await;
        let client = &server.client;
        let nul = "a\u{0}b";
        let variable = json!({ "query": "query($id: String) { customer(externalId: $id) { id } }", "variables": { "id": nul } });
        assert_refused(&client.raw(variable.to_string()).await, 400, "BAD_USER_INPUT");
        let literal = r#"{ customer(externalId: "a\u0000b") { id } }"#;
        assert_refused(&client.raw(json!({ "query": literal }).to_string()).await, 400, "BAD_USER_INPUT");
        let asks = "query($id: String) { customer(externalId: $id) { id } }";
        for parts in [
            &[("query", literal)][..],
            &[("query", &literal.replace("\\u0000", "\0"))],
            &[("query", asks), ("variables", r#"{"id":"a\u0000b"}"#)],
        ] {
            let refused = reply(client.get(parts)).await.unwrap();
            assert!(["BAD_USER_INPUT", "GRAPHQL_PARSE_FAILED"].contains(&refused.code()), "{refused:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mutation_sent_twice_is_answered_twice_and_done_once() {
    Stage::on_sqlite(async |stage| {
        let server = api(stage).await;
        let client = &server.client;
        client.customer("acme", "10").await;
        let grant = |credits: &str| {
            format!(
                r#"mutation {{ grantCredits(input: {{externalCustomerId: "acme", credits: "{credits}", source: PURCHASE, idempotencyKey: "once"}}) {{ block {{ id credits }} idempotentReplay userErrors {{ code path message }} }} }}"#
            )
        };
        let first = client.change(&grant("5")).await;
        assert_eq!(first["idempotentReplay"], false);
        let again = client.change(&grant("5")).await;
        assert_eq!((&again["idempotentReplay"], &again["block"]), (&json!(true), &first["block"]));
        let other = &client.ask(&grant("6")).await["grantCredits"];
        assert_eq!((&other["block"], &other["idempotentReplay"]), (&Value::Null, &json!(false)));
        assert_eq!(other["userErrors"][0]["code"], "IDEMPOTENCY_CONFLICT");
        assert_eq!(client.settled("acme").await["remaining"], "15");
        at_once(client, &grant("5")).await;
    })
    .await;
}

/// Twenty of the same at the same time: one of them did it, before.
async fn at_once(client: &Client, mutation: &str) {
    let mutation = mutation.replace("once", "at-once");
    let all = futures::future::join_all((0..20).map(|_| client.change(&mutation))).await;
    let fresh = all
        .iter()
        .filter(|payload| payload["idempotentReplay"] == false)
        .count();
    assert_eq!(fresh, 1);
    assert!(all.iter().all(|payload| payload["block"] == all[0]["block"]));
    assert_eq!(client.settled("acme").await["remaining"], "20");
}
