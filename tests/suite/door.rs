//! What the listener allows: how often, how many, how long.

use std::time::{Duration, Instant};

use api::{Limits, LiveLimits, Options, RateLimits};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{
    World,
    door::{Answer, Door, converse},
    per_unit,
};

on_both! {
    a_key_that_asks_too_often_is_told_to_wait,
    who_fails_to_authenticate_too_often_is_told_to_wait,
    requests_beyond_the_places_are_shed,
    heads_and_bodies_that_trickle_in_are_given_up,
    connections_beyond_the_seats_wait,
    answers_say_to_keep_nothing_and_guess_nothing,
    only_listed_pages_may_read,
}

const READ: &str = "{ viewer { scopes } }";
const SHORT: Duration = Duration::from_millis(300);

fn rates() -> RateLimits {
    RateLimits {
        usage: 0,
        checks: 0,
        writes: 0,
        reads: 0,
        tokens: 0,
    }
}

async fn read(door: &Door) -> Answer {
    door.ask(READ, json!({})).await
}

async fn a_key_that_asks_too_often_is_told_to_wait(world: World) {
    world.priced("call", per_unit("1")).await;
    world.customer("a").await;
    // So slow that nothing comes back while the case runs.
    let limits = Limits {
        rates: RateLimits {
            reads: 1,
            checks: 1,
            ..rates()
        },
        ..Limits::default()
    };
    let door = Door::open(&world, limits).await;
    let first = read(&door).await;
    assert_eq!((first.status, first.body.get("errors")), (200, None), "{first:?}");
    assert_eq!(first.headers["ratelimit-policy"], "\"reads\";q=2;w=2");
    assert!(
        first.headers["ratelimit"]
            .to_str()
            .unwrap()
            .starts_with("\"reads\";r=1;t="),
        "{first:?}"
    );
    assert_eq!(
        first.body["extensions"]["cost"],
        json!({ "requested": 1, "limit": 2, "remaining": 1 })
    );

    let mut refused = read(&door).await;
    while refused.status == 200 {
        refused = read(&door).await;
    }
    assert_eq!(
        (refused.status, refused.code()),
        (429, "RATE_LIMITED"),
        "{refused:?}"
    );
    assert_eq!(refused.headers["retry-after"], "1");
    assert!(
        refused.headers["ratelimit"]
            .to_str()
            .unwrap()
            .starts_with("\"reads\";r=0;t="),
        "{refused:?}"
    );
    assert_eq!(refused.body["errors"][0]["extensions"]["retryable"], true);
    assert_eq!(refused.body["extensions"]["cost"]["remaining"], 0);
    assert_eq!(refused.body.get("data"), None);

    // Refused documents are paid for; the gate and usage have buckets of their own, or none.
    let bad = door.ask("{", json!({})).await;
    assert!(
        ["RATE_LIMITED", "GRAPHQL_PARSE_FAILED"].contains(&bad.code()),
        "{bad:?}"
    );
    let check = r#"{ entitlement(externalCustomerId: "a", metricKey: "call") { allowed } }"#;
    let asked = door.ask(check, json!({})).await;
    assert_eq!(
        (asked.status, &asked.body["data"]["entitlement"]["allowed"]),
        (200, &json!(false)),
        "{asked:?}"
    );
    assert_eq!(asked.headers["ratelimit-policy"], "\"checks\";q=2;w=2");
    let unlimited = door
        .ask(
            "mutation { updateMetric(input: {key: \"call\", name: \"x\"}) { userErrors { code } } }",
            json!({}),
        )
        .await;
    assert_eq!(unlimited.headers.get("ratelimit"), None, "{unlimited:?}");
    assert_eq!(unlimited.body.get("extensions"), None);
}

async fn who_fails_to_authenticate_too_often_is_told_to_wait(world: World) {
    let limits = Limits {
        failures: 3,
        rates: rates(),
        ..Limits::default()
    };
    let door = Door::open(&world, limits.clone()).await;
    assert_eq!(read(&door).await.status, 200);
    let guess = async |door: &Door, number: u32, from: &str| {
        let guess = door.with_key(&format!("tg_test_wrong{number}"));
        guess
            .post(json!({ "query": READ }).to_string(), &[("x-forwarded-for", from)])
            .await
    };
    for number in 0..3 {
        assert_eq!(guess(&door, number, "198.51.100.1").await.status, 401);
    }
    // The header is not believed: the address is still the same.
    for number in 3..20 {
        let refused = guess(&door, number, &format!("198.51.100.{number}")).await;
        assert_eq!(
            (refused.status, refused.code()),
            (429, "RATE_LIMITED"),
            "{refused:?}"
        );
        let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=11).contains(&wait), "{wait}");
    }
    assert_eq!(read(&door).await.status, 200, "a key that was good is good");

    // Behind a proxy that is trusted, callers are told apart.
    let proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let door = Door::open(&world, Limits { proxies, ..limits }).await;
    for number in 0..10 {
        assert_eq!(
            guess(&door, number, &format!("198.51.100.{number}")).await.status,
            401
        );
    }
    for number in 0..3 {
        assert_eq!(guess(&door, number, "203.0.113.1").await.status, 401);
    }
    assert_eq!(guess(&door, 3, "1.1.1.1, 203.0.113.1").await.status, 429);
}

async fn requests_beyond_the_places_are_shed(world: World) {
    let none = Limits {
        in_flight: 0,
        ..Limits::default()
    };
    let door = Door::open(&world, none).await;
    let shed = read(&door).await;
    assert_eq!(
        (shed.status, shed.code()),
        (503, "SERVICE_UNAVAILABLE"),
        "{shed:?}"
    );
    assert_eq!(shed.headers["retry-after"], "1");
    assert_eq!(shed.body["errors"][0]["extensions"]["retryable"], true);
    let one = Limits {
        in_flight: 1,
        rates: rates(),
        ..Limits::default()
    };
    let door = Door::open(&world, one).await;
    let answers = futures::future::join_all((0..50).map(|_| read(&door))).await;
    assert!(answers.iter().any(|answer| answer.status == 200));
    assert!(answers.iter().all(|answer| [200, 503].contains(&answer.status)));
    assert_eq!(read(&door).await.status, 200, "the place is free again");
}

async fn heads_and_bodies_that_trickle_in_are_given_up(world: World) {
    let limits = Limits {
        head: SHORT,
        body: SHORT,
        idle: SHORT,
        ..Limits::default()
    };
    let door = Door::open(&world, limits).await;
    // A byte now and then, never the end of the head.
    let stream = door.connect().await;
    let (mut reader, mut writer) = stream.into_split();
    let begun = Instant::now();
    let trickle = tokio::spawn(async move {
        let bytes = b"POST /graphql HTTP/1.1\r\nX-A: "
            .iter()
            .chain(std::iter::repeat(&b'a'));
        for byte in bytes {
            if writer.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(SHORT / 20).await;
        }
    });
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(SHORT * 100, reader.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the listener closes");
    assert!(begun.elapsed() >= SHORT);
    trickle.abort();

    let half = format!("{}{{\"query\":", door.head(100));
    let said = converse(door.connect().await, half.as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    assert!(
        converse(door.connect().await, b"").await.is_empty(),
        "an idle connection is closed"
    );
    let large = format!("GET /graphql?query={} HTTP/1.1\r\n\r\n", "a".repeat(100_000));
    let said = converse(door.connect().await, large.as_bytes()).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    assert_eq!(read(&door).await.status, 200);
}

async fn connections_beyond_the_seats_wait(world: World) {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let door = Door::open(&world, limits).await;
    let (one, two) = (door.connect().await, door.connect().await);
    let body = json!({ "query": READ }).to_string();
    let request = format!("{}{body}", door.head(body.len()));
    let mut third = door.connect().await;
    third.write_all(request.as_bytes()).await.unwrap();
    let mut byte = [0; 1];
    let early = tokio::time::timeout(SHORT, third.read_exact(&mut byte)).await;
    assert!(early.is_err(), "nobody has time for it");
    drop((one, two));
    let heard = tokio::time::timeout(SHORT * 100, third.read_exact(&mut byte)).await;
    assert!(heard.is_ok_and(|heard| heard.is_ok()));
}

async fn answers_say_to_keep_nothing_and_guess_nothing(world: World) {
    let door = Door::open(&world, Limits::default()).await;
    let fine = read(&door).await;
    let refused = door.with_key("x").ask(READ, Value::Null).await;
    for answer in [fine, refused] {
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("content-security-policy", "frame-ancestors 'none'"),
        ] {
            assert_eq!(answer.headers[name], value, "{answer:?}");
        }
        assert!(
            answer.headers["x-request-id"]
                .to_str()
                .unwrap()
                .starts_with("req_")
        );
    }
}

async fn only_listed_pages_may_read(world: World) {
    let listed = Options {
        live: LiveLimits {
            origins: vec!["https://console.example".to_owned()],
            ..LiveLimits::default()
        },
        ..Options::default()
    };
    let (none, listed) = (
        Door::open(&world, Limits::default()).await,
        Door::open_with(&world, listed).await,
    );
    let body = json!({ "query": READ }).to_string();
    for (door, origin, allowed) in [
        (&none, "https://console.example", None),
        (
            &listed,
            "https://console.example",
            Some("https://console.example"),
        ),
        (&listed, "https://console.example.evil.example", None),
        (&listed, "null", None),
    ] {
        let answer = door.post(body.clone(), &[("origin", origin)]).await;
        let said = answer.headers.get("access-control-allow-origin");
        assert_eq!(said.map(|value| value.to_str().unwrap()), allowed, "{origin}");
        assert_eq!(answer.headers.get("access-control-allow-credentials"), None);
    }
}
