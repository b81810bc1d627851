//! A reader of live balances, over either protocol.

use std::time::Duration;

use futures::{SinkExt, Stream, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

use super::client::Client;

/// How long an update may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a WebSocket server said.
#[derive(Debug, PartialEq)]
pub enum Said {
    /// A message.
    Message(Value),
    /// It closed the connection, with this code and reason.
    Closed(Option<(u16, String)>),
}

/// A WebSocket that speaks `graphql-transport-ws`.
pub struct Socket(WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>);

impl Socket {
    /// Connects, and says nothing yet.
    pub async fn connect(client: &Client) -> Self {
        let url = format!("{}/graphql/ws", client.base.replacen("http", "ws", 1));
        let mut request = url.into_client_request().unwrap();
        let protocol = HeaderValue::from_static("graphql-transport-ws");
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", protocol.clone());
        let (socket, response) = tokio_tungstenite::connect_async(request).await.unwrap();
        assert_eq!(response.headers().get("Sec-WebSocket-Protocol"), Some(&protocol));
        Self(socket)
    }

    /// Connects and authenticates as the protocol says.
    pub async fn open(client: &Client) -> Self {
        let mut socket = Self::connect(client).await;
        socket
            .init(json!({ "authorization": format!("Bearer {}", client.key) }))
            .await;
        assert_eq!(
            socket.hear().await,
            Said::Message(json!({ "type": "connection_ack" }))
        );
        socket
    }

    /// Sends `connection_init`.
    pub async fn init(&mut self, payload: Value) {
        self.say(&json!({ "type": "connection_init", "payload": payload }))
            .await;
    }

    /// Sends `subscribe` with a document.
    pub async fn subscribe(&mut self, id: &str, query: &str) {
        self.say(&json!({ "id": id, "type": "subscribe", "payload": { "query": query } }))
            .await;
    }

    /// Sends a message.
    pub async fn say(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message of the protocol, or the end.
    pub async fn hear(&mut self) -> Said {
        loop {
            let heard = tokio::time::timeout(PATIENCE, self.0.next())
                .await
                .expect("the server said nothing");
            match heard {
                Some(Ok(Message::Text(text))) => return Said::Message(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => {
                    return Said::Closed(frame.map(|frame| (frame.code.into(), frame.reason.to_string())));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Said::Closed(None),
            }
        }
    }
}

/// Updates of a balance as they come.
pub enum Listener {
    WebSocket(Box<Socket>),
    Sse(std::pin::Pin<Box<dyn Stream<Item = String> + Send>>, String),
}

impl Listener {
    /// Subscribes over a WebSocket of its own.
    pub async fn web_socket(client: &Client, query: &str) -> Self {
        let mut socket = Socket::open(client).await;
        socket.subscribe("1", query).await;
        Self::WebSocket(Box::new(socket))
    }

    /// Subscribes over server-sent events.
    pub async fn sse(client: &Client, query: &str) -> Self {
        let response = client.stream(query).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let text = response
            .bytes_stream()
            .map(|bytes| String::from_utf8(bytes.unwrap().to_vec()).unwrap());
        Self::Sse(Box::pin(text), String::new())
    }

    /// The next update.
    pub async fn next(&mut self) -> Value {
        let payload = match self {
            Self::WebSocket(socket) => match socket.hear().await {
                Said::Message(message) => {
                    assert_eq!(
                        (&message["type"], &message["id"]),
                        (&json!("next"), &json!("1")),
                        "{message}"
                    );
                    message["payload"].clone()
                }
                closed => panic!("{closed:?}"),
            },
            Self::Sse(stream, text) => {
                let event = tokio::time::timeout(PATIENCE, next_event(stream, text)).await;
                event.expect("no update came")
            }
        };
        assert_eq!(payload.get("errors"), None);
        payload["data"]["balanceUpdated"].clone()
    }

    /// All updates up to one with so many credits remaining. Insists that no number is left out.
    pub async fn until(&mut self, remaining: &str) -> Vec<Value> {
        let mut seen: Vec<Value> = Vec::new();
        loop {
            let update = self.next().await;
            if let Some(before) = seen.last() {
                assert_eq!(
                    update["sequence"].as_u64(),
                    before["sequence"].as_u64().map(|it| it + 1),
                    "{seen:?}"
                );
            }
            let done = update["remaining"] == remaining;
            seen.push(update);
            if done {
                return seen;
            }
        }
    }
}

async fn next_event(stream: &mut (impl Stream<Item = String> + Unpin), text: &mut String) -> Value {
    loop {
        while let Some((event, rest)) = text.split_once("\n\n") {
            let lines: Vec<String> = event.lines().map(str::to_owned).collect();
            *text = rest.to_owned();
            let field = |name: &str| {
                lines
                    .iter()
                    .find_map(|line| line.strip_prefix(name).map(str::trim_start))
            };
            match field("event:") {
                Some("next") => return serde_json::from_str(field("data:").unwrap()).unwrap(),
                // A sign of life.
                None => {}
                Some(other) => panic!("the stream says {other}"),
            }
        }
        text.push_str(&stream.next().await.expect("the stream ended"));
    }
}
