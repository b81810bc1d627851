//! A collector of traces that keeps what it is sent.

use std::{
    io,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, routing::post};
use tokio::{net::TcpListener, task::JoinHandle};

/// Takes OTLP over HTTP until it is dropped.
pub struct Collector {
    /// Its address.
    pub url: String,
    taken: Arc<Mutex<Vec<u8>>>,
    serving: JoinHandle<io::Result<()>>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let taken: Arc<Mutex<Vec<u8>>> = Arc::default();
        let keep = async |State(taken): State<Arc<Mutex<Vec<u8>>>>, body: Bytes| {
            taken.lock().unwrap().extend_from_slice(&body);
        };
        let routes = Router::new()
            .route("/v1/traces", post(keep))
            .with_state(taken.clone());
        let serving = tokio::spawn(axum::serve(listener, routes).into_future());
        Self { url, taken, serving }
    }

    /// Whether these bytes were in what was sent. Protobuf keeps texts and ids as they are.
    pub fn has(&self, bytes: impl AsRef<[u8]>) -> bool {
        self.count(bytes) > 0
    }

    /// How often they were.
    pub fn count(&self, bytes: impl AsRef<[u8]>) -> usize {
        let (taken, bytes) = (self.taken.lock().unwrap(), bytes.as_ref());
        taken
            .windows(bytes.len())
            .filter(|window| *window == bytes)
            .count()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
