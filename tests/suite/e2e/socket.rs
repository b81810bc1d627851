//! How live connections are opened, bounded and closed: every code of `graphql-transport-ws`, every limit.
//!
//! Limits of time are tried on a server in this process, where they are short; what crosses processes on the real command.

use std::{
    ops::Deref,
    time::{Duration, Instant},
};

use api::{Limits, LiveLimits, Options};
use app::{
    access::{self, CreateApiKey},
    clock::{Clock, SystemClock},
};
use domain::time::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    client::Client,
    listener::{PROTOCOL, Said, Socket},
    stage::Stage,
};
use crate::harness::World;

const WATCH: &str = r#"subscription { balanceUpdated(externalCustomerId: "a") { sequence remaining } }"#;

on_both!(
    every_mistake_has_its_code,
    whoever_says_nothing_is_shown_out,
    connections_and_subscriptions_are_counted,
    who_fails_to_authenticate_too_often_is_told_to_wait,
    only_known_pages_may_connect,
    a_flood_of_messages_ends_the_socket,
    a_reader_that_takes_nothing_is_cut_off,
    both_sides_may_end_a_subscription,
    stopping_says_that_it_goes,
    streams_of_events_keep_the_same_limits,
);

/// A server in this process.
pub struct Server {
    client: Client,
    stop: DropGuard,
}

impl Deref for Server {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// Serves a world with these limits, to a client that may do everything.
pub async fn serve(world: &World, live: LiveLimits) -> Server {
    let options = Options {
        live,
        ..Options::default()
    };
    serve_with(world, options).await
}

async fn serve_with(world: &World, options: Options) -> Server {
    let input = CreateApiKey {
        name: "test".to_owned(),
        scopes: world.actor.scopes.iter().map(ToString::to_string).collect(),
        expires_at: None,
    };
    let made = access::create_key(&world.app, &world.actor, input, &world.key()).await;
    let secret = made.unwrap().value.secret.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    tokio::spawn(api::serve(world.app.clone(), listener, options, stop.clone()));
    Server {
        client: Client::new(&base, &secret),
        stop: stop.drop_guard(),
    }
}

async fn every_mistake_has_its_code(world: World) {
    let server = serve(&world, LiveLimits::default()).await;
    let big = |size: usize| json!({ "type": "ping", "payload": { "x": "x".repeat(size) } }).to_string();

    let mut hasty = Socket::connect(&server).await;
    hasty.subscribe("1", WATCH).await;
    assert_eq!(hasty.closed().await.0, 4401);

    for frame in [
        Message::text("what"),
        Message::text(r#"{"type":"what"}"#),
        Message::text(r#"{"type":"complete"}"#),
        Message::text(r#"{"type":"subscribe","id":"1"}"#),
        Message::text(r#"{"type":"connection_init","payload":5}"#),
        Message::binary(br#"{"type":"ping"}"#.to_vec()),
    ] {
        for mut confused in [Socket::connect(&server).await, Socket::open(&server).await] {
            confused.send(frame.clone()).await;
            assert_eq!(confused.closed().await.0, 4400, "{frame}");
        }
    }
    let mut double = Socket::open(&server).await;
    double.init(json!({})).await;
    assert_eq!(double.closed().await.0, 4429);

    // Long messages are read as far as the limit, and refused by name beyond it, also before anybody was let in.
    for mut wordy in [Socket::connect(&server).await, Socket::open(&server).await] {
        wordy.send(Message::text(big(32_000))).await;
        assert_eq!(wordy.hear().await, Said::Message(json!({ "type": "pong" })));
        wordy.send(Message::text(big(33_000))).await;
        assert_eq!(wordy.closed().await.0, 1009);
    }
    let mut endless = Socket::open(&server).await;
    endless.send(Message::text(big(65_000))).await;
    assert!(matches!(endless.hear().await, Said::Closed(_)));

    world.customer("a").await;
    let mut twice = Socket::open(&server).await;
    twice.subscribe("same", WATCH).await;
    assert_eq!(message(&mut twice).await["type"], "next");
    twice.subscribe("same", WATCH).await;
    let closed = (4409, "Subscriber for this id already exists".to_owned());
    assert_eq!(twice.closed().await, closed);

    for (protocol, status) in [(None, 400), (Some("graphql-ws"), 400), (Some("soap"), 400)] {
        let refused = Socket::try_connect(&server, protocol, None).await;
        assert_eq!(refused.err(), Some(status), "{protocol:?}");
    }
    let plain = crate::harness::get(format!("{}/graphql/ws", server.base))
        .await
        .unwrap();
    assert_eq!(
        (plain.status().as_u16(), &plain.headers()["upgrade"]),
        (426, &"websocket".parse().unwrap())
    );
}

async fn whoever_says_nothing_is_shown_out(world: World) {
    let limits = LiveLimits {
        init_wait: Duration::from_millis(400),
        ping_every: Duration::from_millis(200),
        silence: Duration::from_secs(2),
        ..LiveLimits::default()
    };
    let server = serve(&world, limits).await;
    let begun = Instant::now();
    let mut shy = Socket::connect(&server).await;
    assert_eq!(shy.closed().await.0, 4408);
    assert!(begun.elapsed() >= Duration::from_millis(400));
    // Talking about other things does not help.
    let begun = Instant::now();
    let mut chatty = Socket::connect(&server).await;
    let code = loop {
        chatty.say(&json!({ "type": "ping" })).await;
        match chatty.hear().await {
            Said::Message(message) => assert_eq!(message["type"], "pong"),
            Said::Closed(frame) => break frame.unwrap().0,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(code, 4408);
    assert!(begun.elapsed() < Duration::from_secs(10));

    // Who answers pings stays; answering happens in the library while it waits for messages.
    world.customer("a").await;
    let mut alive = Socket::open(&server).await;
    let waiting = tokio::time::timeout(Duration::from_secs(4), alive.hear()).await;
    assert!(waiting.is_err(), "{waiting:?}");
    // Who does not even do that is shown out.
    assert_eq!(alive.last_code_unanswered().await, 1001);
}

async fn who_fails_to_authenticate_too_often_is_told_to_wait(world: World) {
    let limits = Limits {
        failures: 3,
        ..Limits::default()
    };
    let options = Options {
        limits,
        ..Options::default()
    };
    let server = serve_with(&world, options).await;
    world.customer("a").await;
    let good = Socket::open(&server).await;
    let guess = async |number: u32| {
        let mut socket = Socket::connect(&server).await;
        let credential = format!("Bearer tg_test_wrong{number}");
        socket.init(json!({ "authorization": credential })).await;
        socket.closed().await
    };
    for number in 0..3 {
        assert_eq!(guess(number).await, (4403, "Forbidden".to_owned()));
    }
    let told = (1013, "Too many failed authentications".to_owned());
    for number in 3..10 {
        assert_eq!(guess(number).await, told);
    }
    // Nothing given is nothing guessed, and a key that was good is good.
    let mut silent = Socket::connect(&server).await;
    silent.init(json!({})).await;
    assert_eq!(silent.closed().await.0, 4403);
    let mut again = Socket::open(&server).await;
    again.subscribe("1", WATCH).await;
    assert_eq!(message(&mut again).await["type"], "next");
    drop(good);
}

async fn connections_and_subscriptions_are_counted(world: World) {
    let limits = LiveLimits {
        per_key: 2,
        ..LiveLimits::default()
    };
    let server = serve(&world, limits).await;
    world.customer("a").await;
    let mut first = Socket::open(&server).await;
    let second = Socket::open(&server).await;
    let mut third = Socket::connect(&server).await;
    third.init(authorization(&server)).await;
    assert_eq!(third.closed().await.0, 1013);

    for n in 0..10 {
        first.subscribe(&n.to_string(), WATCH).await;
        assert_eq!(message(&mut first).await["id"], n.to_string());
    }
    first.subscribe("10", WATCH).await;
    let refused = message(&mut first).await;
    assert_eq!(
        (&refused["type"], &refused["id"]),
        (&json!("error"), &json!("10"))
    );
    first.say(&json!({ "type": "complete", "id": "3" })).await;
    first.subscribe("10", WATCH).await;
    assert_eq!(message(&mut first).await["type"], "next");

    // A seat is free again once its socket is closed.
    drop(second);
    let begun = Instant::now();
    loop {
        let mut next = Socket::connect(&server).await;
        next.init(authorization(&server)).await;
        match next.hear().await {
            Said::Message(_) => break,
            closed => assert!(begun.elapsed() < Duration::from_secs(10), "{closed:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn only_known_pages_may_connect(world: World) {
    let limits = LiveLimits {
        origins: vec!["https://console.example".to_owned()],
        ..LiveLimits::default()
    };
    let server = serve(&world, limits).await;
    let own = server.base.clone();
    for (origin, refused) in [
        (None, None),
        (Some("https://console.example"), None),
        (Some(own.as_str()), None),
        (Some("https://evil.example"), Some(403)),
        (Some("null"), Some(403)),
    ] {
        let opened = Socket::try_connect(&server, Some(PROTOCOL), origin).await;
        assert_eq!(opened.err(), refused, "{origin:?}");
    }
}

async fn a_flood_of_messages_ends_the_socket(world: World) {
    let server = serve(&world, LiveLimits::default()).await;
    let mut flood = Socket::open(&server).await;
    for _ in 0..100_000 {
        if flood.try_say(&json!({ "type": "pong" })).await.is_err() {
            break;
        }
    }
    assert!(matches!(flood.hear().await, Said::Closed(_)));
}

/// Ten subscriptions of a thousand long answers each, and a reader that takes none of them.
async fn a_reader_that_takes_nothing_is_cut_off(world: World) {
    let limits = LiveLimits {
        per_key: 1,
        send_wait: Duration::from_millis(500),
        ..LiveLimits::default()
    };
    let server = serve(&world, limits).await;
    let id = world.customer("a").await;
    world.give(id, "5").await;
    world.fill(id, 999).await;
    // As long as names may be, and a few of them.
    let long: String = ('a'..='h')
        .map(|name| format!("{}: sequence ", name.to_string().repeat(250)))
        .collect();
    let document =
        format!(r#"subscription {{ balanceUpdated(externalCustomerId: "a", after: 0) {{ {long} }} }}"#);
    let mut slow = Socket::connect_narrow(&server).await.let_in(&server).await;
    for n in 0..10 {
        slow.subscribe(&n.to_string(), &document).await;
    }
    // Its seat is free again although it is still connected.
    let begun = Instant::now();
    loop {
        let mut next = Socket::connect(&server).await;
        next.init(authorization(&server)).await;
        match next.hear().await {
            Said::Message(_) => break,
            closed => assert!(begun.elapsed() < Duration::from_secs(15), "{closed:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What had been sent can still be read, and is far from everything.
    let mut heard = 0;
    while let Said::Message(message) = slow.hear().await {
        assert_eq!(message["type"], "next", "{message}");
        heard += 1;
    }
    assert!(heard > 0 && heard < 10_000, "{heard} answers were kept");
}

async fn both_sides_may_end_a_subscription(world: World) {
    let server = serve(&world, LiveLimits::default()).await;
    let id = world.customer("a").await;
    let mut socket = Socket::open(&server).await;
    socket.subscribe("1", WATCH).await;
    socket.subscribe("2", WATCH).await;
    let mut ids = [
        message(&mut socket).await["id"].clone(),
        message(&mut socket).await["id"].clone(),
    ];
    ids.sort_by_key(ToString::to_string);
    assert_eq!(ids, ["1", "2"]);
    socket.say(&json!({ "type": "complete", "id": "1" })).await;
    // Ending what is not there is no mistake.
    socket.say(&json!({ "type": "complete", "id": "unknown" })).await;
    socket.say(&json!({ "type": "pong" })).await;
    socket
        .say(&json!({ "type": "ping", "payload": { "a": 1 } }))
        .await;
    assert_eq!(message(&mut socket).await, json!({ "type": "pong" }));
    world.give(id, "5").await;
    let told = message(&mut socket).await;
    assert_eq!((&told["type"], &told["id"]), (&json!("next"), &json!("2")));
    assert_eq!(told["payload"]["data"]["balanceUpdated"]["remaining"], "5");
    // The id is free again.
    socket.subscribe("1", WATCH).await;
    let told = message(&mut socket).await;
    assert_eq!((&told["type"], &told["id"]), (&json!("next"), &json!("1")));
}

async fn stopping_says_that_it_goes(world: World) {
    let Server { client, stop } = serve(&world, LiveLimits::default()).await;
    let mut anonymous = Socket::connect(&client).await;
    let mut known = Socket::open(&client).await;
    drop(stop);
    assert_eq!(known.closed().await.0, 1001);
    assert_eq!(anonymous.closed().await.0, 1001);
}

async fn streams_of_events_keep_the_same_limits(world: World) {
    let limits = LiveLimits {
        per_key: 1,
        ping_every: Duration::from_millis(200),
        ..LiveLimits::default()
    };
    let server = serve(&world, limits).await;
    world.customer("a").await;
    let ask = async |accept: &str, origin: &str| {
        let request = server
            .stream(WATCH)
            .header("accept", accept)
            .header("origin", origin);
        request.send().await.unwrap()
    };
    assert_eq!(ask("application/json", &server.base).await.status(), 406);
    assert_eq!(ask("*/*", "https://evil.example").await.status(), 403);
    let mut open = ask("text/event-stream", &server.base).await;
    assert_eq!(
        (open.status().as_u16(), &open.headers()["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );
    let refused = ask("text/event-stream", &server.base).await;
    assert_eq!(refused.status(), 429);
    // It shows that it lives.
    let mut text = String::new();
    while text.matches(":\n").count() < 2 {
        let chunk = tokio::time::timeout(Duration::from_secs(10), open.chunk()).await;
        text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap().unwrap()).unwrap());
    }
    assert!(text.contains("event: next"), "{text}");
    drop(open);
    let begun = Instant::now();
    while ask("text/event-stream", &server.base).await.status() != 200 {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "the seat is not given back"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn authorization(client: &Client) -> Value {
    json!({ "authorization": format!("Bearer {}", client.key) })
}

async fn message(socket: &mut Socket) -> Value {
    match socket.hear().await {
        Said::Message(message) => message,
        closed => panic!("{closed:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_key_reaches_open_connections_of_every_process_on_postgres() {
    Stage::on_postgres(ends_with_its_key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_key_reaches_open_connections_of_every_process_on_sqlite() {
    Stage::on_sqlite(ends_with_its_key).await;
}

async fn ends_with_its_key(stage: &Stage) {
    stage.migrate().await;
    let (here, mut there) = (stage.api().await, stage.api().await);
    here.client.customer("a", "5").await;
    let make = async |name: &str, expires_at: Option<String>| {
        let expires_at = expires_at.map_or_else(|| "null".to_owned(), |end| format!("\"{end}\""));
        let made = here
            .client
            .change(&format!(
                r#"mutation {{ createApiKey(input: {{name: "{name}", scopes: ["credit:read"], expiresAt: {expires_at}, idempotencyKey: "{name}"}}) {{ apiKey {{ id }} secret userErrors {{ code message }} }} }}"#
            ))
            .await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&made["apiKey"]["id"]), text(&made["secret"]))
    };

    // Revoked here, it ends here and there within six seconds, over both protocols; nobody else is disturbed.
    let (id, secret) = make("revoked", None).await;
    let mut other = Socket::open(&there.client).await;
    let mut open = Vec::new();
    let mut streams = Vec::new();
    for server in [&here, &there] {
        let client = server.client.with_key(&secret);
        let mut socket = Socket::open(&client).await;
        socket.subscribe("1", WATCH).await;
        assert_eq!(message(&mut socket).await["type"], "next");
        open.push(socket);
        let stream = client.stream(WATCH).send().await.unwrap();
        assert_eq!(stream.status(), 200);
        streams.push(stream);
    }
    let revoke = format!(
        r#"mutation {{ revokeApiKey(input: {{id: "{id}", idempotencyKey: "r"}}) {{ userErrors {{ code }} }} }}"#
    );
    let begun = Instant::now();
    here.client.change(&revoke).await;
    for socket in &mut open {
        let ended = (4403, "The credential has expired or was revoked".to_owned());
        assert_eq!(socket.closed().await, ended);
    }
    for stream in streams {
        let text = stream.text().await.unwrap();
        assert!(
            text.contains("event: next") && !text.contains("complete"),
            "{text}"
        );
    }
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());

    // A key that expires ends on time.
    let life = Duration::from_secs(4);
    let end = SystemClock.now().micros() + i64::try_from(life.as_micros()).unwrap();
    let begun = Instant::now();
    let (_, secret) = make("expiring", Some(Timestamp::from_micros(end).to_string())).await;
    let client = there.client.with_key(&secret);
    let mut socket = Socket::open(&client).await;
    let stream = client.stream(WATCH).send().await.unwrap();
    assert_eq!(socket.closed().await.0, 4403);
    stream.text().await.unwrap();
    let lived = begun.elapsed();
    assert!(
        lived > life / 2 && lived < life + Duration::from_secs(2),
        "{lived:?}"
    );

    // A process that is told to stop says so.
    other.say(&json!({ "type": "ping" })).await;
    assert_eq!(message(&mut other).await["type"], "pong");
    there.process.terminate();
    assert_eq!(other.closed().await.0, 1001);
    assert_eq!(there.process.code().await, 0);
}
