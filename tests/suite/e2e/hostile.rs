//! Requests that mean harm, sent to the real command: each is refused in a moment, tells nothing of the inside, and the
//! process lives on.

use std::fmt::Write;

use futures::{StreamExt, stream};
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    client::{Client, Reply, reply},
    stage::{Server, Stage},
};

/// Words that only the inside knows.
const INSIDE: [&str; 14] = [
    "sqlx",
    "sea_orm",
    "sea-orm",
    "SELECT ",
    "INSERT ",
    "DbErr",
    "panicked",
    ".rs:",
    "async_graphql",
    "/root/",
    "/home/",
    "backtrace",
    "UNIQUE",
    "tokio",
];
/// Bytes that a process may need more after a body that is far too large.
const SLACK: u64 = 64 << 20;

async fn play(case: impl AsyncFnOnce(&Server)) {
    Stage::on_sqlite(async |stage| {
        stage.migrate().await;
        let mut server = stage.api().await;
        case(&server).await;
        assert!(server.process.ended().is_none(), "the process has died");
        assert_eq!(
            server.client.ask("{ viewer { tenant { name } } }").await["viewer"]["tenant"]["name"],
            "default"
        );
    })
    .await;
}

/// The reply to a document, which tells nothing of the inside.
async fn judge(client: &Client, document: &str) -> Reply {
    tells_nothing(client.raw(json!({ "query": document }).to_string()).await)
}

#[track_caller]
fn tells_nothing(reply: Reply) -> Reply {
    let text = reply.body.to_string();
    for word in INSIDE {
        assert!(!text.contains(word), "{word}: {text}");
    }
    assert!(text.len() < 100_000, "{} bytes of answer", text.len());
    reply
}

/// Each fragment spreads the next one twice.
fn bomb(n: usize) -> String {
    let mut text = String::from("{ ...f0 }");
    for i in 0..n {
        write!(
            text,
            " fragment f{i} on Query {{ ...f{next} ...f{next} }}",
            next = i + 1
        )
        .unwrap();
    }
    write!(text, " fragment f{n} on Query {{ __typename }}").unwrap();
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_that_grow_when_they_are_read() {
    play(async |server| {
        let client = &server.client;
        let many = |n: usize, text: &str| {
            (0..n).fold(String::new(), |all, i| all + &text.replace('#', &i.to_string()))
        };
        for n in [12, 20, 28, 45, 400] {
            assert_eq!(
                judge(client, &bomb(n)).await.code(),
                "QUERY_TOO_COMPLEX",
                "{n} fragments"
            );
        }
        for open in ["[", "{a:", "(", "{ viewer ", "[[", "$x: ["] {
            for document in [
                open.repeat(8_000),
                format!("{{ a(b: {}", open.repeat(5_000)),
                format!("{{ a(b: \"\"\"x\" {}", open.repeat(5_000)),
            ] {
                let code = judge(client, &document).await.code().to_owned();
                assert!(
                    ["QUERY_TOO_COMPLEX", "GRAPHQL_PARSE_FAILED"].contains(&code.as_str()),
                    "{open}: {code}"
                );
            }
        }
        for document in [
            format!("{{ {} }}", many(101, "a#: viewer { scopes } ")),
            format!("{{ {} }}", "viewer { scopes } ".repeat(500)),
            format!("{{ viewer {{ {} }} }}", "scopes ".repeat(3_000)),
            format!("{{ viewer {{ scopes {} }} }}", "@include(if: true) ".repeat(500)),
            format!("{{ viewer {{ scopes {} }} }}", "@nothing ".repeat(10)),
            many(100, "query Q# { viewer { scopes } } "),
            format!(
                "{{ viewer {{ scopes }} }} {}",
                many(100, "fragment f# on Query { viewer { scopes } } ")
            ),
            format!("query({}) {{ viewer {{ scopes }} }}", many(1_000, "$v#: Int ")),
            format!("{{ {} }}", "a".repeat(10_000)),
            "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }".to_owned(),
            // Circular introspection.
            format!(
                "{{ __schema {{ {} {} }} }}",
                "types { fields { type { ".repeat(20),
                "}}} ".repeat(20)
            ),
            format!("{}{{ viewer {{ scopes }} }}", "# nothing\n".repeat(4_000)),
        ] {
            let refused = judge(client, &document).await;
            assert_eq!(
                refused.code(),
                "QUERY_TOO_COMPLEX",
                "{}",
                &document[..60.min(document.len())]
            );
        }
        // Comments, byte order marks and commas mean nothing.
        let odd = format!("\u{feff},,# {}\r{{ viewer {{ scopes }} }}", "[{(".repeat(100));
        assert!(judge(client, &odd).await.body["data"]["viewer"]["scopes"].is_array());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variables_that_grow() {
    play(async |server| {
        let client = &server.client;
        let send = async |variables: Value| {
            let body = json!({ "query": "query($id: String) { customer(externalId: $id) { id } }", "variables": variables });
            tells_nothing(client.raw(body.to_string()).await)
        };
        let names: serde_json::Map<_, _> = (0..10_000).map(|n| (format!("v{n}"), json!(1))).collect();
        let deep = (0..20).fold(json!(1), |inner, _| json!({ "a": inner }));
        for variables in [
            Value::Object(names),
            json!({ "id": "a", "x": deep }),
            json!({ "id": "a".repeat(70_000) }),
            json!({ "id": "a", "x": vec![1; 2_000] }),
        ] {
            assert_eq!(send(variables).await.code(), "QUERY_TOO_COMPLEX");
        }
        assert_eq!(send(json!({ "id": "a\u{0}" })).await.code(), "BAD_USER_INPUT");
        assert_eq!(send(json!({ "id": "a" })).await.body["data"], json!({ "customer": null }));
        let brackets = format!(r#"{{"query":"{{ viewer {{ scopes }} }}","variables":{{"a":{}"#, "[".repeat(100_000));
        assert_eq!(tells_nothing(client.raw(brackets).await).code(), "BAD_USER_INPUT");
        let extensions = format!(r#"{{"query":"{{ viewer {{ scopes }} }}","extensions":{{"a":{}1{}}}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        let answered = tells_nothing(client.raw(extensions).await);
        assert!(answered.body["data"]["viewer"].is_object() || answered.code() == "BAD_USER_INPUT");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_in_disguise() {
    play(async |server| {
        let client = &server.client;
        const QUERY: &str = r#"{"query":"{ viewer { scopes } }"}"#;
        let utf16: Vec<u8> = QUERY.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let bom = [&b"\xef\xbb\xbf"[..], QUERY.as_bytes()].concat();
        for body in [
            utf16,
            bom,
            b"\x1f\x8b\x08\x00".to_vec(),
            br#"{"query":"{ viewer { scopes } }","query":"{ viewer { tenant { id } } }"}"#.to_vec(),
            format!("[{QUERY},{QUERY}]").into_bytes(),
        ] {
            let refused = tells_nothing(client.raw(body).await);
            assert_eq!((refused.status.as_u16(), refused.code()), (400, "BAD_USER_INPUT"));
        }
        let twice = r#"{"query":"query($id: String) { customer(externalId: $id) { id } }","variables":{"id":1,"id":"a"}}"#;
        assert_eq!(client.raw(twice).await.body["data"], json!({ "customer": null }), "the last one counts");
        for (name, value) in [("content-encoding", "gzip"), ("content-type", "multipart/form-data; boundary=x")] {
            let mut request = client.post().header(name, value).body(QUERY);
            if name != "content-type" {
                request = request.header(CONTENT_TYPE, "application/json");
            }
            assert_eq!(tells_nothing(reply(request).await.unwrap()).status.as_u16(), 415, "{name}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_without_end_is_not_kept() {
    play(async |server| {
        let client = &server.client;
        client.ask("{ viewer { scopes } }").await;
        let before = server.process.memory();
        for key in ["with the key", "x"] {
            let sender = if key == "x" {
                client.with_key("x")
            } else {
                client.clone()
            };
            let chunk = vec![b' '; 1 << 20];
            let endless = stream::iter(0..256).map(move |_| Ok::<_, std::io::Error>(chunk.clone()));
            let request = sender
                .post()
                .header(CONTENT_TYPE, "application/json")
                .body(reqwest::Body::wrap_stream(endless));
            // The listener may close while the caller still writes.
            if let Ok(refused) = reply(request).await {
                let status = if key == "x" { 401 } else { 413 };
                assert_eq!(tells_nothing(refused).status.as_u16(), status);
            }
        }
        let after = server.process.memory();
        assert!(after < before + SLACK, "{before} bytes before, {after} after");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_http() {
    play(async |server| {
        let client = &server.client;
        let address = client.base.strip_prefix("http://").unwrap();
        let key = &client.key;
        let body = r#"{"query":"{ viewer { tenant { name } } }"}"#;
        let length = body.len();
        for (request, status) in [
            (format!("TRACE /graphql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n"), "405"),
            (format!("PUT /graphql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: 0\r\n\r\n"), "405"),
            ("GET /graphiql HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "404"),
            ("GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "404"),
            // Nobody is believed about who or where he is.
            (format!("POST /graphql HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: evil.example\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"), "200"),
            (format!("POST /graphql HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"), "401"),
            (format!("POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{body}"), "400"),
            (format!("POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: {length}\r\n\r\n{body}"), "400"),
            ("\u{0}\u{1}\u{2}\r\n\r\n".to_owned(), "400"),
        ] {
            let said = exchange(address, &request).await;
            assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{request}\n{said}");
            for word in INSIDE.iter().chain(&["evil.example"]) {
                assert!(!said.contains(word), "{word}: {said}");
            }
        }
        let preflight = "OPTIONS /graphql HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n\r\n";
        let said = exchange(address, preflight).await.to_ascii_lowercase();
        assert!(!said.contains("access-control-allow-origin"), "{said}");
    })
    .await;
}

/// One request, and the beginning of the reply.
async fn exchange(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = vec![0; 16 << 10];
    let read = tokio::time::timeout(super::process::LIMIT, stream.read(&mut heard));
    let count = read.await.expect("a reply").unwrap();
    String::from_utf8_lossy(&heard[..count]).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn provoked_errors_tell_nothing_of_the_inside() {
    play(async |server| {
        let client = &server.client;
        let values = [
            "null", "1", "-1", "1e400", "9223372036854775808", "1.5", "true", "\"\"", "\"'; DROP TABLE customer; --\"", "\"\\u0000\"",
            "[]", "[[]]", "{}", "{a: 1}", "X", "\"cus_\"", "\"cus_01890000000070008000000000000000\"", "\"9999999999999999999999\"",
            "\"-0.0000001\"", "\"2026-99-99\"",
        ];
        for value in values {
            for document in [
                format!("{{ customer(id: {value}) {{ id }} }}"),
                format!("{{ customer(externalId: {value}) {{ id }} }}"),
                format!("{{ node(id: {value}) {{ id }} }}"),
                format!("{{ metrics(first: {value}) {{ nodes {{ id }} }} }}"),
                format!("{{ metrics(after: {value}) {{ nodes {{ id }} }} }}"),
                format!("{{ entitlement(externalCustomerId: \"a\", metricKey: {value}) {{ allowed }} }}"),
                format!("{{ entitlement(externalCustomerId: \"a\", metricKey: \"a\", properties: {value}) {{ allowed }} }}"),
                format!("mutation {{ grantCredits(input: {{externalCustomerId: \"a\", credits: {value}, source: PURCHASE, idempotencyKey: \"k\"}}) {{ userErrors {{ code message }} }} }}"),
                format!("mutation {{ createCustomer(input: {{externalId: {value}, idempotencyKey: {value}}}) {{ userErrors {{ code message }} }} }}"),
                format!("mutation {{ recordUsage(input: {{events: [{{externalCustomerId: {value}, metricKey: {value}, units: {value}, idempotencyKey: {value}, properties: {value}}}]}}) {{ results {{ message }} userErrors {{ code message }} }} }}"),
            ] {
                let said = judge(client, &document).await;
                assert!(said.status.as_u16() < 500, "{document}: {said:?}");
                let code = said.code();
                assert!(!["INTERNAL", "SERVICE_UNAVAILABLE"].contains(&code), "{document}: {said:?}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutations_that_move_something_come_alone() {
    play(async |server| {
        let client = &server.client;
        client.customer("acme", "10").await;
        let grant = |name: &str| format!(r#"{name}: grantCredits(input: {{externalCustomerId: "acme", credits: "1", source: PURCHASE, idempotencyKey: "{name}"}}) {{ userErrors {{ code }} }}"#);
        let two = format!("mutation {{ {} {} }}", grant("a"), grant("b"));
        let refused = judge(client, &two).await;
        assert_eq!(refused.code(), "GRAPHQL_VALIDATION_FAILED");
        assert_eq!(client.settled("acme").await["remaining"], "10", "neither was done");
        let make = |name: &str| format!(r#"{name}: createCustomer(input: {{externalId: "{name}", idempotencyKey: "{name}"}}) {{ userErrors {{ code }} }}"#);
        let made = judge(client, &format!("mutation {{ {} {} }}", make("c"), make("d"))).await;
        assert_eq!(made.body["data"], json!({ "c": { "userErrors": [] }, "d": { "userErrors": [] } }));
    })
    .await;
}
