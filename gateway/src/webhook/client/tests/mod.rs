//! Deliveries to receivers of all kinds.

use std::{io, net::IpAddr, sync::atomic::AtomicUsize, sync::atomic::Ordering};

use hmac::{Hmac, KeyInit, Mac};
use tokio::{io::AsyncWriteExt, net::TcpListener, net::TcpStream, time::sleep};

use super::*;
use crate::webhook::{Secret, sign};
use receiver::Receiver;

mod names;
mod receiver;
mod tls;

const ID: &str = "evt_0198c0de";
const SECOND: i64 = 1_800_000_000;
const BODY: &str = r#"{"type":"balance.low","data":{"name":"Łódź"}}"#;
/// Long enough for a busy machine, short enough for a test that waits for it.
const SHORT: Duration = Duration::from_secs(1);
/// Where a test that does not wait ends by itself.
const QUICK: Limits = Limits {
    connect: Duration::from_secs(10),
    total: Duration::from_secs(20),
    idle: Duration::from_secs(30),
};
/// Where a test waits for the end.
const SOON: Limits = Limits {
    total: SHORT,
    ..QUICK
};

fn here() -> AddressPolicy {
    AddressPolicy::parse("127.0.0.0/8", false).unwrap()
}

fn webhooks(limits: Limits) -> Webhooks {
    Webhooks::new(here(), limits).unwrap()
}

async fn deliver(webhooks: &Webhooks, url: &str) -> Attempt {
    let secrets = [Secret::from_bytes([1; 32]), Secret::from_bytes([2; 32])];
    let signature = sign(ID, SECOND, BODY, &secrets);
    let message = Message {
        url,
        id: ID,
        timestamp_seconds: SECOND,
        body: BODY,
        signature: &signature,
    };
    webhooks.deliver(&message).await
}

/// What one receiver that always answers alike makes of a message.
async fn answered(answer: &'static str) -> Attempt {
    let receiver = Receiver::answering(answer).await;
    deliver(&webhooks(QUICK), &receiver.url()).await
}

fn failed(attempt: &Attempt) -> Option<Failure> {
    match attempt.outcome {
        Outcome::Failed(failure) => Some(failure),
        _ => None,
    }
}

/// A header of a request.
fn header<'a>(request: &'a str, name: &str) -> &'a str {
    let line = request.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.strip_prefix(": ")).unwrap_or_default()
}

#[tokio::test]
async fn a_message_arrives_and_can_be_believed() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let attempt = deliver(&webhooks(QUICK), &receiver.url()).await;
    assert_eq!(attempt.outcome, Outcome::Delivered);
    assert_eq!(
        attempt.response,
        Some(Response {
            status: 200,
            body: "ok".to_owned()
        })
    );
    assert_eq!(attempt.retry_after, None);

    let request = &receiver.requests()[0];
    assert!(request.starts_with("POST /hooks?a=b HTTP/1.1\r\n"), "{request}");
    assert_eq!(header(request, "content-type"), "application/json");
    assert_eq!(
        header(request, "user-agent"),
        concat!("Tallygate-Webhooks/", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(header(request, "accept-encoding"), "");
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, BODY);

    // As a receiver with the second secret would check it.
    let (id, second) = (
        header(request, "webhook-id"),
        header(request, "webhook-timestamp"),
    );
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&[2; 32]).unwrap();
    mac.update(format!("{id}.{second}.{body}").as_bytes());
    let second = header(request, "webhook-signature").split(' ').nth(1).unwrap();
    use base64::Engine;
    let signature = base64::prelude::BASE64_STANDARD
        .decode(second.strip_prefix("v1,").unwrap())
        .unwrap();
    mac.verify_slice(&signature).unwrap();
}

#[tokio::test]
async fn what_a_status_means() {
    for (answer, status, outcome) in [
        ("HTTP/1.1 204 No Content\r\n\r\n", 204, Outcome::Delivered),
        (
            "HTTP/1.1 299 Odd\r\ncontent-length: 0\r\n\r\n",
            299,
            Outcome::Delivered,
        ),
        ("HTTP/1.1 304 Not Modified\r\n\r\n", 304, Outcome::Refused),
        (
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
            400,
            Outcome::Refused,
        ),
        (
            "HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n",
            410,
            Outcome::Gone,
        ),
        (
            "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n",
            500,
            Outcome::Refused,
        ),
        (
            "HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n",
            999,
            Outcome::Refused,
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            200,
            Outcome::Delivered,
        ),
    ] {
        let attempt = answered(answer).await;
        assert_eq!(attempt.outcome, outcome, "{answer}");
        assert_eq!(attempt.response.unwrap().status, status, "{answer}");
    }
}

#[tokio::test]
async fn a_redirect_is_no_delivery() {
    let other = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let to = other.at;
    let receiver = Receiver::start("127.0.0.1:0", move |mut stream, _| async move {
        receiver::request(&mut stream).await;
        let answer =
            format!("HTTP/1.1 307 Over There\r\nlocation: http://{to}/\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let attempt = deliver(&webhooks(QUICK), &receiver.url()).await;
    assert_eq!(attempt.outcome, Outcome::Refused);
    assert_eq!(attempt.response.unwrap().status, 307);
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn who_wants_to_be_left_alone() {
    let of = Duration::from_secs;
    // The dates lie around `SECOND`, 2027-01-15T08:00:00Z.
    for (answer, wait) in [
        (
            "HTTP/1.1 429 No\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n",
            Some(of(120)),
        ),
        (
            "HTTP/1.1 503 No\r\nRetry-After: 90000\r\ncontent-length: 0\r\n\r\n",
            Some(of(86_400)),
        ),
        (
            "HTTP/1.1 503 No\r\nretry-after: Fri, 15 Jan 2027 07:00:00 GMT\r\ncontent-length: 0\r\n\r\n",
            Some(of(0)),
        ),
        (
            "HTTP/1.1 503 No\r\nretry-after: later\r\ncontent-length: 0\r\n\r\n",
            None,
        ),
        (
            "HTTP/1.1 302 No\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n",
            Some(of(5)),
        ),
        (
            "HTTP/1.1 200 OK\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n",
            None,
        ),
    ] {
        assert_eq!(answered(answer).await.retry_after, wait, "{answer}");
    }
    let dated = answered(
        "HTTP/1.1 429 No\r\nretry-after: Fri, 15 Jan 2027 09:00:00 GMT\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    assert_eq!(dated.outcome, Outcome::Refused);
    let wait = dated.retry_after.unwrap();
    assert!(wait <= of(3_600) && wait > of(3_570), "{wait:?}");
}

#[tokio::test]
async fn what_is_kept_of_an_answer() {
    let attempt = answered("HTTP/1.1 400 No\r\ncontent-length: 6\r\n\r\na\0b\0\nc").await;
    assert_eq!(attempt.response.unwrap().body, "ab\nc");
    let receiver = Receiver::then(|mut stream| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 400 No\r\ncontent-length: 5000\r\n\r\n")
            .await;
        let _ = stream.write_all(&[0xff; 5_000]).await;
    })
    .await;
    let attempt = deliver(&webhooks(QUICK), &receiver.url()).await;
    let body = attempt.response.unwrap().body;
    assert_eq!(body, "\u{fffd}".repeat(341));
}

#[tokio::test]
async fn silence_ends() {
    let receiver = Receiver::then(|stream| async move {
        sleep(Duration::from_mins(1)).await;
        drop(stream);
    })
    .await;
    let attempt = deliver(&webhooks(SOON), &receiver.url()).await;
    assert_eq!(failed(&attempt), Some(Failure::TimedOut));
    assert_eq!(attempt.response, None);
    assert!(
        attempt.took >= SHORT && attempt.took < SHORT * 8,
        "{:?}",
        attempt.took
    );
}

/// Writes something again and again, until nobody listens; how many bytes it came to.
async fn on_and_on(stream: &mut TcpStream, piece: &[u8], pause: Duration) -> usize {
    let mut written = 0;
    while let Ok(bytes) = stream.write(piece).await {
        written += bytes;
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
    written
}

#[tokio::test]
async fn a_head_that_never_ends_is_no_answer() {
    for piece in ["HTTP/1.1 100 Continue\r\n\r\n", "x-more: of it\r\n"] {
        let receiver = Receiver::then(move |mut stream| async move {
            if piece.starts_with('x') {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
            }
            on_and_on(&mut stream, piece.as_bytes(), Duration::from_millis(20)).await;
        })
        .await;
        let attempt = deliver(&webhooks(SOON), &receiver.url()).await;
        assert!(failed(&attempt).is_some(), "{attempt:?}");
        assert!(attempt.took < SHORT * 8, "{:?}", attempt.took);
    }
}

#[tokio::test]
async fn a_body_that_trickles_does_not_hold_us() {
    let receiver = Receiver::then(|mut stream| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
            .await;
        on_and_on(&mut stream, b"a", Duration::from_millis(20)).await;
    })
    .await;
    let attempt = deliver(&webhooks(SOON), &receiver.url()).await;
    assert_eq!(attempt.outcome, Outcome::Delivered);
    assert!(attempt.response.unwrap().body.starts_with('a'));
    assert!(attempt.took < SHORT * 8, "{:?}", attempt.took);
}

#[tokio::test]
async fn a_body_that_never_comes_or_breaks_changes_nothing() {
    let silent = Receiver::then(|mut stream| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
            .await;
        sleep(Duration::from_mins(1)).await;
    })
    .await;
    let broken = Receiver::then(|mut stream| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 410 Gone\r\ncontent-length: 5\r\n\r\nab")
            .await;
    })
    .await;
    let attempt = deliver(&webhooks(SOON), &silent.url()).await;
    assert_eq!(attempt.outcome, Outcome::Delivered);
    let attempt = deliver(&webhooks(QUICK), &broken.url()).await;
    assert_eq!(attempt.outcome, Outcome::Gone);
    assert_eq!(attempt.response.unwrap().body, "ab");
}

/// A receiver that sends without end, in the way that a head announces, counts by its status and costs little.
#[tokio::test]
async fn an_endless_body_costs_nothing() {
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n",
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n",
    ] {
        let (done, mut ended) = tokio::sync::mpsc::channel(1);
        let receiver = Receiver::start("127.0.0.1:0", move |mut stream, _| {
            let done = done.clone();
            async move {
                receiver::request(&mut stream).await;
                let _ = stream.write_all(head.as_bytes()).await;
                let written = on_and_on(&mut stream, &[b'a'; 4_096], Duration::ZERO).await;
                let _ = done.send(written).await;
            }
        })
        .await;
        let attempt = deliver(&webhooks(QUICK), &receiver.url()).await;
        assert_eq!(attempt.outcome, Outcome::Delivered, "{head}");
        assert_eq!(attempt.response.unwrap().body, "a".repeat(MOST_KEPT));
        assert!(attempt.took < Duration::from_secs(5), "{:?}", attempt.took);
        // What the system had taken on the way is all that there was beyond what was read.
        let written = tokio::time::timeout(Duration::from_secs(10), ended.recv())
            .await
            .unwrap()
            .unwrap();
        assert!(written < 32 << 20, "{written}");
    }
}

#[tokio::test]
async fn connections_are_kept() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let webhooks = webhooks(QUICK);
    for _ in 0..20 {
        assert_eq!(
            deliver(&webhooks, &receiver.url()).await.outcome,
            Outcome::Delivered
        );
    }
    assert_eq!((receiver.connections(), receiver.requests().len()), (1, 20));
}

#[tokio::test]
async fn a_kept_connection_ends_by_itself() {
    let receiver = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let limits = Limits {
        idle: Duration::from_millis(50),
        ..QUICK
    };
    let webhooks = webhooks(limits);
    deliver(&webhooks, &receiver.url()).await;
    sleep(Duration::from_millis(200)).await;
    deliver(&webhooks, &receiver.url()).await;
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn who_is_not_there_or_does_not_speak_http() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let attempt = deliver(&webhooks(QUICK), &nobody).await;
    assert_eq!(failed(&attempt), Some(Failure::Connect));

    for garbage in [
        "",
        "220 mail.example.com ESMTP\r\n",
        "HTTP/1.1 \r\n\r\n",
        "\0\0\0\0\r\n\r\n",
    ] {
        let receiver = Receiver::then(move |mut stream| async move {
            let _ = stream.write_all(garbage.as_bytes()).await;
        })
        .await;
        let attempt = deliver(&webhooks(QUICK), &receiver.url()).await;
        assert_eq!(failed(&attempt), Some(Failure::Broken), "{garbage:?}");
    }
}

#[tokio::test]
async fn addresses_that_are_none() {
    for (url, expected) in [
        ("nonsense", Failure::BadUrl),
        ("http://example.com/", Failure::BadUrl),
        ("https://a:b@example.com/", Failure::BadUrl),
        ("https://10.0.0.1/", Failure::ForbiddenAddress),
        ("https://[::ffff:169.254.169.254]/", Failure::ForbiddenAddress),
        ("https://localhost./", Failure::ForbiddenAddress),
    ] {
        let webhooks = Webhooks::new(AddressPolicy::default(), QUICK).unwrap();
        let attempt = deliver(&webhooks, url).await;
        assert_eq!(failed(&attempt), Some(expected), "{url}");
    }
}

#[test]
fn each_failure_has_a_code_of_its_own() {
    let codes: std::collections::HashSet<_> = Failure::ALL.map(Failure::as_str).into();
    assert_eq!(codes.len(), Failure::ALL.len());
}
