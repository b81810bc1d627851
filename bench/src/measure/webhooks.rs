//! Signed messages to one endpoint, 64 on their way at a time: a worker of the lane `webhooks`, which reads what is due and writes what came
//! of it; against a loop that has everything in memory, signs and posts with the same client.
//!
//! Both send to the same receiver, a process of its own that counts and answers 200: at once, so that processor time decides, and once more after
//! 5 ms, so that it shows whether 64 are on their way all the time. Both send everything twice, and the second time is
//! measured: by then connections are open, and statements are planned. The time begins with the first message that arrives and ends with the
//! last. Each time, every message must be delivered in the rows as well.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use app::{
    clock::SystemClock,
    webhook::{self, CreateEndpoint},
};
use domain::id::WebhookEndpointId;
use futures::{StreamExt, stream};
use gateway::webhook::{AddressPolicy, Secret, Webhooks, sign};
use reqwest::Client;

use crate::{
    Bench, Outcome,
    by_hand::Hand,
    figure::{Figure, Target},
    load::http::{Connection, post},
    pair::pair,
    place::Backend,
    process::KEY,
    world::{Vendor, now},
};

/// Messages on their way at a time.
const AT_ONCE: usize = 64;
/// Has everything sent once more. The worker finds it at its next look around.
const AGAIN: &str =
    "UPDATE webhook_delivery SET state = 'PENDING', attempts = 0, next_at = created_at, ended_at = NULL";
/// How long the messages may take before something must be wrong.
const PATIENCE: Duration = Duration::from_secs(300);
/// What the worker needs to be told to send to this machine.
const ALLOWED: [(&str, &str); 2] = [
    ("TALLYGATE_WEBHOOK_ALLOW", "127.0.0.0/8"),
    ("TALLYGATE_WEBHOOK_PLAIN_HTTP", "allow"),
];

pub async fn run(bench: &Bench, backend: Backend) -> Outcome<Vec<Figure>> {
    Ok(vec![
        sent_to("/hook", bench, backend, "webhooks").await?,
        sent_to("/hook-after-5-ms", bench, backend, "webhooks_5_ms").await?,
    ])
}

/// Messages to one path of the receiver.
async fn sent_to(path: &str, bench: &Bench, backend: Backend, name: &str) -> Outcome<Figure> {
    let messages = bench.scale.messages;
    let ours = async || {
        let receiver = bench.programs.by_hand(&[]).await?;
        let hook = format!("http://{}{path}", receiver.address);
        let vendor = Vendor::make(bench, backend, std::sync::Arc::new(SystemClock)).await?;
        vendor.has_messages(&hook, messages).await?;
        let world = vendor.with(Vec::new()).await?;
        let worker = bench
            .programs
            .worker_of(&world.place.url, &["--lane", "webhooks"], &ALLOWED)?;
        let hand = Hand::connect(&world.place, 1).await?;
        received(receiver.address, 0, messages).await?;
        delivered(&hand, messages).await?;
        hand.run(AGAIN).await?;
        let rate = received(receiver.address, messages, messages).await?;
        delivered(&hand, messages).await?;
        hand.close().await;
        worker.stop().await;
        receiver.stop().await;
        world.remove(bench).await?;
        Ok([rate])
    };
    let limit = async || {
        let receiver = bench.programs.by_hand(&[]).await?;
        let client = client()?;
        let hook = format!("http://{}{path}", receiver.address);
        send(&client, &hook, messages).await?;
        let (sent, rate) = tokio::join!(
            send(&client, &hook, messages),
            received(receiver.address, messages, messages)
        );
        sent?;
        let rate = rate?;
        receiver.stop().await;
        Ok([rate])
    };
    let ([ours], [limit]) = pair(bench.scale.rounds, ours, limit).await?;
    let figure = Figure::new(name, backend, "messages/s", ours, limit);
    Ok(figure
        .target(Target::ratio(0.8))
        .against("reqwest loop that signs and posts, 64 at a time"))
}

impl Vendor {
    /// An endpoint at a receiver, and so many messages that wait to be sent to it.
    async fn has_messages(&self, hook: &str, messages: usize) -> Outcome<()> {
        let input = CreateEndpoint {
            url: hook.to_owned(),
            types: None,
            description: None,
            customer: None,
            at_once: i32::try_from(AT_ONCE).ok(),
        };
        let made = webhook::create(&self.app, &self.actor, input, "endpoint").await?;
        let id: WebhookEndpointId = made.value.endpoint.id;
        let send = async |number: usize| {
            let key = format!("message-{number}");
            webhook::send_test(&self.app, &self.actor, id, &key).await?;
            Ok(())
        };
        self.each(messages, send).await?;
        Ok(())
    }
}

/// A sender that may send to this machine. It only checks addresses here.
pub fn sender() -> Outcome<Webhooks> {
    let policy = AddressPolicy::parse("127.0.0.0/8", true)?;
    Ok(Webhooks::new(policy, gateway::webhook::Limits::default())?)
}

/// Messages a second, from the first that arrives to the last, of so many that come after so many others.
async fn received(receiver: SocketAddr, others: usize, messages: usize) -> Outcome<f64> {
    let mut connection = Connection::open(receiver).await?;
    let question = post("/hooked", KEY, "");
    let begun = Instant::now();
    let mut first: Option<(Instant, usize)> = None;
    loop {
        let answer = connection.exchange(&question).await?;
        let count: usize = std::str::from_utf8(answer.body)?.parse()?;
        match first {
            None if count > others => first = Some((Instant::now(), count)),
            Some((since, before)) if count >= others + messages => {
                return Ok((count - before) as f64 / since.elapsed().as_secs_f64());
            }
            _ if begun.elapsed() > PATIENCE => {
                return Err(format!("only {count} of {} have come", others + messages).into());
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until the rows say so, too.
async fn delivered(hand: &Hand, messages: usize) -> Outcome<()> {
    let begun = Instant::now();
    loop {
        let count = hand
            .number("SELECT COUNT(*) FROM webhook_delivery WHERE state = 'DELIVERED'")
            .await?;
        if usize::try_from(count)? == messages {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("only {count} of {messages} are delivered").into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What sends by hand.
fn client() -> Outcome<Client> {
    // The client wants one even where it is not needed; a second one changes nothing.
    rustls::crypto::ring::default_provider().install_default().ok();
    Ok(Client::builder().build()?)
}

/// By hand: signs and posts, and knows nothing of what came before.
async fn send(client: &Client, hook: &str, messages: usize) -> Outcome<()> {
    let secret = Secret::from_bytes([7; 32]);
    let one = async |number: usize| {
        let id = format!("evt_{number:032}");
        let body = format!(
            r#"{{"id":"{id}","type":"webhook.test","version":1,"timestamp":"2026-01-01T00:00:00.000000Z","customer_id":null,"sequence":null,"data":{{"webhook_endpoint_id":"{id}"}}}}"#
        );
        let second = now() / 1_000_000;
        let request = client
            .post(hook)
            .header("content-type", "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", second)
            .header(
                "webhook-signature",
                sign(&id, second, &body, std::slice::from_ref(&secret)),
            );
        let answer = request.body(body).send().await?;
        Outcome::Ok(answer.error_for_status()?.bytes().await?)
    };
    let mut sent = stream::iter((0..messages).map(one)).buffer_unordered(AT_ONCE);
    while let Some(answer) = sent.next().await {
        answer?;
    }
    Ok(())
}
