//! A listener over a world, for cases that need limits of their own.

use std::time::Duration;

use api::{Limits, Options};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

use super::World;

/// How long anything may take before a case fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Closed when it is dropped.
pub struct Door {
    address: String,
    key: String,
    http: reqwest::Client,
    stop: CancellationToken,
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The code of the first error.
    pub fn code(&self) -> &str {
        self.body["errors"][0]["extensions"]["code"]
            .as_str()
            .unwrap_or("")
    }
}

impl Door {
    /// Opens one, with a key that may do everything for the world's tenant.
    pub async fn open(world: &World, limits: Limits) -> Self {
        let options = Options {
            limits,
            ..Options::default()
        };
        Self::open_with(world, options).await
    }

    /// Opens one with any options.
    pub async fn open_with(world: &World, options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stop = CancellationToken::new();
        tokio::spawn(api::serve(world.app.clone(), listener, options, stop.clone()));
        let key = world.bearer().await;
        Self {
            address,
            key,
            http: super::http().build().unwrap(),
            stop,
        }
    }

    /// The same listener for somebody with another key.
    pub fn with_key(&self, key: &str) -> Self {
        Self {
            address: self.address.clone(),
            key: key.to_owned(),
            http: self.http.clone(),
            stop: CancellationToken::new(),
        }
    }

    /// Where something is.
    #[allow(dead_code, reason = "for the suite")]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The key that it is asked with.
    #[allow(dead_code, reason = "for the suite")]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Sends a request.
    pub async fn ask(&self, query: &str, variables: Value) -> Answer {
        let body = json!({ "query": query, "variables": variables });
        self.post(body.to_string(), &[]).await
    }

    /// Sends a request that must be answered; what it answers.
    #[allow(dead_code, reason = "for the suite")]
    pub async fn data(&self, query: &str, variables: Value) -> Value {
        let answer = self.ask(query, variables).await;
        assert_eq!(answer.body.get("errors"), None, "{query}: {}", answer.body);
        answer.body["data"].clone()
    }

    /// Sends a body.
    pub async fn post(&self, body: String, headers: &[(&str, &str)]) -> Answer {
        let mut request = self
            .http
            .post(format!("http://{}/graphql", self.address))
            .bearer_auth(&self.key)
            .header("content-type", "application/json")
            .body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = tokio::time::timeout(PATIENCE, request.send())
            .await
            .unwrap()
            .unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        Answer {
            status,
            headers,
            body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
        }
    }

    /// A connection that speaks for itself.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }

    /// The head of a `POST` with so many bytes of body.
    pub fn head(&self, length: usize) -> String {
        format!(
            "POST /graphql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n",
            self.key
        )
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Writes and reads until the other side closes.
pub async fn converse(mut stream: TcpStream, text: &[u8]) -> String {
    let _ = stream.write_all(text).await;
    let mut heard = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut heard))
        .await
        .expect("the other side closes");
    String::from_utf8_lossy(&heard).into_owned()
}
