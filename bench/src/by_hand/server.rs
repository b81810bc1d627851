//! Bare servers, in a process of their own as ours is:
//!
//! * `POST /memory` reads the JSON body and answers from memory;
//! * `POST /insert` reads it and writes one durable row per request;
//! * `GET /nothing` answers 204;
//! * `POST /hook` counts, `POST /hook-after-5-ms` counts and takes as long as a receiver nearby, and `POST /hooked` says how often;
//! * `GET /ws` keeps a socket, and `POST /broadcast` sends one text to all of them.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use app::clock::{Clock, Ids, SystemClock};
use axum::{
    Router,
    body::Bytes,
    extract::{
        State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use clap::Args;
use serde_json::Value;
use tokio::{net::TcpListener, sync::broadcast};
use uuid::Uuid;

use super::Hand;
use crate::{
    Outcome,
    place::{Backend, Place},
    world::now,
};

/// Connections to PostgreSQL: as many as one process of the product has.
const CONNECTIONS: u32 = 12;
/// Texts that may wait for a slow socket.
const WAITING: usize = 64;
/// An answer as long as ours.
const ANSWER: &str = r#"{"data":{"entitlement":{"allowed":true,"reason":null,"affordableUnits":"1000000","available":"1000"}}}"#;

/// What the process is told.
#[derive(Debug, Args)]
pub struct Options {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// Where `/insert` writes.
    #[arg(long)]
    database_url: Option<String>,
    /// Whose rows `/insert` writes: tenant, customer, metric.
    #[arg(long, value_delimiter = ',')]
    ids: Vec<Uuid>,
}

/// One row in the table of events.
const INSERT: &str =
    "INSERT INTO usage_event (id, tenant_id, customer_id, metric_id, key, fingerprint, units,
        occurred_at, received_at)
    VALUES ($1, $2, $3, $4, $5, $1, 1000000, $6, $6)";

struct Bare {
    database: Option<(Hand, [Uuid; 3])>,
    ids: Ids,
    texts: broadcast::Sender<Arc<str>>,
    hooked: AtomicUsize,
}

/// Serves until it is killed.
///
/// # Errors
/// The address or the database cannot be used.
pub async fn run(options: Options) -> Outcome<()> {
    let database = match options.database_url {
        Some(url) => {
            let backend = if url.starts_with("sqlite") {
                Backend::Sqlite
            } else {
                Backend::Postgres
            };
            let ids = options.ids.try_into().map_err(|_| "three ids")?;
            Some((Hand::connect(&Place::at(backend, url), CONNECTIONS).await?, ids))
        }
        None => None,
    };
    let bare = Arc::new(Bare {
        database,
        ids: Ids::default(),
        texts: broadcast::Sender::new(WAITING),
        hooked: AtomicUsize::new(0),
    });
    let routes = Router::new()
        .route("/memory", post(memory))
        .route("/insert", post(insert))
        .route("/nothing", get(async || StatusCode::NO_CONTENT))
        .route("/hook", post(hook))
        .route("/hook-after-5-ms", post(hook_later))
        .route("/hooked", post(hooked))
        .route("/ws", any(socket))
        .route("/broadcast", post(send_to_all))
        .with_state(bare);
    let listener = TcpListener::bind(options.listen).await?;
    axum::serve(listener, routes).await?;
    Ok(())
}

async fn memory(body: Bytes) -> Response {
    match serde_json::from_slice::<Value>(&body) {
        Ok(_) => answer(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

async fn hook(State(bare): State<Arc<Bare>>, _: Bytes) -> StatusCode {
    bare.hooked.fetch_add(1, Ordering::Relaxed);
    StatusCode::OK
}

async fn hook_later(bare: State<Arc<Bare>>, body: Bytes) -> StatusCode {
    tokio::time::sleep(Duration::from_millis(5)).await;
    hook(bare, body).await
}

async fn hooked(State(bare): State<Arc<Bare>>) -> String {
    bare.hooked.load(Ordering::Relaxed).to_string()
}

fn answer() -> Response {
    ([(CONTENT_TYPE, "application/json")], ANSWER).into_response()
}

async fn insert(State(bare): State<Arc<Bare>>, body: Bytes) -> Response {
    let written = match serde_json::from_slice::<Value>(&body) {
        Ok(body) => bare.insert(&body).await,
        Err(error) => Err(error.into()),
    };
    match written {
        Ok(()) => answer(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

impl Bare {
    /// One row in the table of events, nothing else.
    async fn insert(&self, body: &Value) -> Outcome<()> {
        let key = body["variables"]["events"][0]["idempotencyKey"]
            .as_str()
            .ok_or("no key")?;
        let (hand, [tenant, customer, metric]) = self.database.as_ref().ok_or("no database")?;
        let id = self.ids.next(SystemClock.now());
        macro_rules! run {
            ($pool:expr) => {
                sqlx::query(INSERT)
                    .bind(id)
                    .bind(tenant)
                    .bind(customer)
                    .bind(metric)
                    .bind(key)
                    .bind(now())
                    .execute($pool)
                    .await
                    .map(drop)?
            };
        }
        match hand {
            Hand::Postgres(pool) => run!(pool),
            Hand::Sqlite(pool) => run!(pool),
        }
        Ok(())
    }
}

async fn socket(State(bare): State<Arc<Bare>>, upgrade: WebSocketUpgrade) -> Response {
    // Buffers as small as the texts: they are allocated for every socket.
    upgrade
        .read_buffer_size(1024)
        .write_buffer_size(0)
        .on_upgrade(move |socket| keep(bare, socket))
}

async fn keep(bare: Arc<Bare>, mut socket: WebSocket) {
    let mut texts = bare.texts.subscribe();
    loop {
        tokio::select! {
            text = texts.recv() => match text {
                Ok(text) => {
                    if socket.send(Message::text(&*text)).await.is_err() {
                        return;
                    }
                }
                Err(_) => return,
            },
            message = socket.recv() => if !matches!(message, Some(Ok(_))) {
                return;
            },
        }
    }
}

async fn send_to_all(State(bare): State<Arc<Bare>>, text: String) -> String {
    // A moment for sockets that were opened just now to have begun to listen.
    while bare.texts.receiver_count() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    bare.texts.send(text.into()).unwrap_or(0).to_string()
}
