//! Somebody who receives webhooks: keeps what has come, and answers as it is told to.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use app::{Limits, webhook::Endpoint};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use domain::id::{CustomerId, WebhookEndpointId};
use gateway::webhook::{self, AddressPolicy, Secret, Webhooks, sign};
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch};

use super::World;

/// How a receiver answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manner {
    /// With a status, at once.
    Status(u16),
    /// With a status and the wish to be left alone for so many seconds.
    Later(u16, u64),
    /// By pointing elsewhere.
    Elsewhere(String),
    /// With a status, once it is let go.
    #[allow(dead_code, reason = "for the suite")]
    Held(u16),
    /// Not at all.
    Silent,
    /// With a body that never ends.
    Endless,
}

/// A message that has come.
#[derive(Debug, Clone)]
pub struct Received {
    pub id: String,
    pub timestamp: i64,
    pub signatures: Vec<String>,
    pub body: String,
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    /// Whether one of its signatures was made with a secret.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let secret = Secret::parse(secret).unwrap();
        let signature = sign(&self.id, self.timestamp, &self.body, &[secret]);
        self.signatures.contains(&signature)
    }
}

struct Inner {
    received: Mutex<Vec<Received>>,
    /// The answers to come; then `usual`.
    script: Mutex<VecDeque<Manner>>,
    usual: Mutex<Option<Manner>>,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    /// Whether what is held is let go.
    let_go: watch::Sender<bool>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            received: Mutex::default(),
            script: Mutex::default(),
            usual: Mutex::default(),
            under_way: AtomicUsize::default(),
            most_under_way: AtomicUsize::default(),
            let_go: watch::Sender::new(false),
        }
    }
}

pub struct Receiver {
    address: SocketAddr,
    inner: Arc<Inner>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// One that answers 200.
    pub async fn open() -> Self {
        let inner = Arc::new(Inner::default());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(receive).with_state(inner.clone());
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self { address, inner, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }

    /// Its port under a name that leads to this machine.
    pub fn url_by_name(&self) -> String {
        format!("http://localhost:{}/hooks", self.address.port())
    }

    /// How it answers from now on.
    pub fn answers(&self, manner: Manner) {
        *self.inner.usual.lock().unwrap() = Some(manner);
    }

    /// How it answers next, before it goes on as usual.
    pub fn answers_next(&self, manners: impl IntoIterator<Item = Manner>) {
        self.inner.script.lock().unwrap().extend(manners);
    }

    pub fn received(&self) -> Vec<Received> {
        self.inner.received.lock().unwrap().clone()
    }

    /// The types of what has come, in the order in which it came.
    pub fn kinds(&self) -> Vec<String> {
        self.received().iter().map(Received::kind).collect()
    }

    /// Waits until so many messages have come.
    #[allow(dead_code, reason = "for the suite")]
    pub async fn has(&self, count: usize) {
        let begun = std::time::Instant::now();
        while self.received().len() < count {
            assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", self.kinds());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Answers what is held, and what comes to be held.
    #[allow(dead_code, reason = "for the suite")]
    pub fn lets_go(&self) {
        self.inner.let_go.send_replace(true);
    }

    pub fn forget(&self) {
        self.inner.received.lock().unwrap().clear();
    }

    /// Most messages that were here at once.
    pub fn most_at_once(&self) -> usize {
        self.inner.most_under_way.load(Ordering::SeqCst)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response {
    let now = inner.under_way.fetch_add(1, Ordering::SeqCst) + 1;
    inner.most_under_way.fetch_max(now, Ordering::SeqCst);
    let text = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!(text("content-type"), "application/json");
    inner.received.lock().unwrap().push(Received {
        id: text("webhook-id"),
        timestamp: text("webhook-timestamp").parse().unwrap(),
        signatures: text("webhook-signature").split(' ').map(str::to_owned).collect(),
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    let next = inner.script.lock().unwrap().pop_front();
    let manner = next.or_else(|| inner.usual.lock().unwrap().clone());
    let let_go = inner.let_go.subscribe();
    let answer = answer(manner.unwrap_or(Manner::Status(200)), let_go).await;
    inner.under_way.fetch_sub(1, Ordering::SeqCst);
    answer
}

async fn answer(manner: Manner, mut let_go: watch::Receiver<bool>) -> Response {
    let status = |code: u16| StatusCode::from_u16(code).unwrap();
    match manner {
        Manner::Status(code) => (status(code), format!("I say {code}")).into_response(),
        Manner::Later(code, seconds) => {
            (status(code), [("retry-after", seconds.to_string())], "later").into_response()
        }
        Manner::Elsewhere(place) => (StatusCode::FOUND, [("location", place)], "").into_response(),
        Manner::Held(code) => {
            let _ = let_go.wait_for(|it| *it).await;
            status(code).into_response()
        }
        Manner::Silent => std::future::pending().await,
        Manner::Endless => {
            let chunk = Bytes::from(vec![b'x'; 64 << 10]);
            let endless = futures::stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone()));
            Body::from_stream(endless).into_response()
        }
    }
}

/// Sends to this machine; gives up an attempt after so long.
pub fn limits(total: Duration) -> Limits {
    sending_to("127.0.0.0/8,::1", total)
}

/// Sends to some private networks besides the public ones.
pub fn sending_to(networks: &str, total: Duration) -> Limits {
    let policy = AddressPolicy::parse(networks, true).unwrap();
    let limits = webhook::Limits {
        total,
        ..webhook::Limits::default()
    };
    Limits {
        webhooks: Some(Arc::new(Webhooks::new(policy, limits).unwrap())),
        ..super::world::usual()
    }
}

/// An endpoint and its secret.
pub struct Hook {
    pub endpoint: Endpoint,
    pub secret: String,
}

impl World {
    /// The same vendor with a process that sends webhooks to this machine.
    pub async fn sends(&self) -> Self {
        self.with_limits(limits(Duration::from_secs(5))).await
    }

    /// An endpoint at an address, for some types of events; none: all.
    pub async fn hook(&self, url: &str, types: &[&str]) -> Hook {
        let made = self.try_hook(url, types).await.unwrap();
        Hook {
            endpoint: made.endpoint,
            secret: made.secret,
        }
    }

    /// Points a customer's own URL at an address, from where it hears of its limits, and answers with the endpoint behind it. With spend management
    /// switched on or off, or as it was.
    #[allow(dead_code, reason = "for the suite")]
    pub async fn own_url(
        &self,
        customer: CustomerId,
        url: String,
        enabled: Option<bool>,
    ) -> WebhookEndpointId {
        let input = app::spend::UpdateSpend {
            customer: app::customer::CustomerRef::Id(customer),
            enabled,
            mode: None,
            daily: None,
            monthly: None,
            webhook_url: Some(Some(url)),
        };
        let updated = app::spend::update(&self.app, &self.actor, input).await.unwrap();
        updated.spend.endpoint.unwrap().id
    }

    pub async fn try_hook(&self, url: &str, types: &[&str]) -> app::Result<app::webhook::Rotated> {
        let input = app::webhook::CreateEndpoint {
            url: url.to_owned(),
            types: (!types.is_empty()).then(|| types.iter().map(|&it| it.to_owned()).collect()),
            description: None,
            customer: None,
            at_once: None,
        };
        let made = app::webhook::create(&self.app, &self.actor, input, &self.key()).await?;
        Ok(made.value)
    }
}
