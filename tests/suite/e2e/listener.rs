//! A reader of live balances, over either protocol.

use std::{future::Future, time::Duration};

use futures::{SinkExt, Stream, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{self, Message, client::IntoClientRequest, handshake::client::Request, http::HeaderValue},
};

use super::client::Client;

/// How long an update may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// The subprotocol.
pub const PROTOCOL: &str = "graphql-transport-ws";

fn upgrade(client: &Client, protocol: Option<&str>, origin: Option<&str>) -> Request {
    let url = format!("{}/graphql/ws", client.base.replacen("http", "ws", 1));
    let mut request = url.into_client_request().unwrap();
    let mut set = |name, value: Option<&str>| {
        if let Some(value) = value {
            request
                .headers_mut()
                .insert(name, HeaderValue::from_str(value).unwrap());
        }
    };
    set("Sec-WebSocket-Protocol", protocol);
    set("Origin", origin);
    request
}

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
        let opened = Self::try_connect(client, Some(PROTOCOL), None).await;
        opened.unwrap_or_else(|status| panic!("the upgrade was refused with {status}"))
    }

    /// Connects with a subprotocol from a page of an origin. Answers the status of a refusal.
    pub async fn try_connect(
        client: &Client,
        protocol: Option<&str>,
        origin: Option<&str>,
    ) -> Result<Self, u16> {
        let request = upgrade(client, protocol, origin);
        match tokio_tungstenite::connect_async(request).await {
            Ok((socket, response)) => {
                let chosen = response.headers().get("Sec-WebSocket-Protocol");
                assert_eq!(chosen.and_then(|it| it.to_str().ok()), Some(PROTOCOL));
                Ok(Self(socket))
            }
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(other) => panic!("{other}"),
        }
    }

    /// Connects as a reader that has hardly any room for what it does not read.
    pub async fn connect_narrow(client: &Client) -> Self {
        let address = client.base.strip_prefix("http://").unwrap().parse().unwrap();
        let tcp = tokio::net::TcpSocket::new_v4().unwrap();
        tcp.set_recv_buffer_size(4_096).unwrap();
        let stream = tcp.connect(address).await.unwrap();
        let request = upgrade(client, Some(PROTOCOL), None);
        let (socket, _) = tokio_tungstenite::client_async(request, MaybeTlsStream::Plain(stream))
            .await
            .unwrap();
        Self(socket)
    }

    /// Connects and authenticates as the protocol says.
    pub async fn open(client: &Client) -> Self {
        Self::connect(client).await.let_in(client).await
    }

    /// Authenticates as the protocol says.
    pub async fn let_in(self, client: &Client) -> Self {
        let mut socket = self;
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
        self.send(Message::text(message.to_string())).await;
    }

    /// Sends a message, if the line is still open.
    pub async fn try_say(&mut self, message: &Value) -> Result<(), tungstenite::Error> {
        self.0.send(Message::text(message.to_string())).await
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: Message) {
        self.0.send(frame).await.unwrap();
    }

    /// Reads to the end without ever answering, and tells the code of the last frame.
    pub async fn last_code_unanswered(self) -> u16 {
        let mut raw = self.0.into_inner();
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(PATIENCE, raw.read_to_end(&mut bytes)).await;
        read.expect("the server does not hang up").unwrap();
        // A close frame: its opcode, a length below 126, the code, the reason.
        let at = bytes
            .windows(2)
            .position(|it| it[0] == 0x88)
            .expect("no close frame");
        assert_eq!(at + 2 + usize::from(bytes[at + 1]), bytes.len());
        u16::from_be_bytes([bytes[at + 2], bytes[at + 3]])
    }

    /// The code that the server closes with, which is the next thing it says.
    #[track_caller]
    pub fn closed(&mut self) -> impl Future<Output = (u16, String)> {
        let at = std::panic::Location::caller();
        async move {
            match self.hear().await {
                Said::Closed(Some(frame)) => frame,
                other => panic!("{at}: not closed but {other:?}"),
            }
        }
    }

    /// The text of the next message, or of the end.
    pub async fn text(&mut self) -> String {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return text.to_string(),
                Some(Ok(Message::Close(frame))) => return format!("{frame:?}"),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => std::future::pending().await,
            }
        }
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
