//! A live subscription over WebSocket, protocol `graphql-transport-ws`, with buffers as small as its messages.

use std::net::SocketAddr;

use domain::amount::Credits;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue, protocol::WebSocketConfig},
};

use crate::{Outcome, process::KEY, world::external_id};

/// Bytes read at once: a message fits.
const BUFFER: usize = 1024;

/// A socket that is read by one task.
#[derive(Debug)]
pub struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// Opens a socket.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn open(address: SocketAddr, path: &str, protocol: Option<&'static str>) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut request = format!("ws://{address}{path}").into_client_request()?;
        if let Some(protocol) = protocol {
            let protocol = HeaderValue::from_static(protocol);
            request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(0);
        let opened = client_async_with_config(request, stream, Some(config)).await;
        Ok(Self(opened?.0))
    }

    /// Subscribes to the balance of a customer; the present state comes first.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn watch(address: SocketAddr, customer: usize) -> Outcome<Self> {
        let mut socket = Self::open(address, "/graphql/ws", Some("graphql-transport-ws")).await?;
        let payload = json!({ "authorization": format!("Bearer {KEY}") });
        socket
            .send(&json!({ "type": "connection_init", "payload": payload }))
            .await?;
        let answer: Value = serde_json::from_str(&socket.text().await?)?;
        if answer["type"] != "connection_ack" {
            return Err(format!("not let in: {answer}").into());
        }
        let query = format!(
            r#"subscription {{ balanceUpdated(externalCustomerId: "{}") {{ sequence remaining }} }}"#,
            external_id(customer)
        );
        socket
            .send(&json!({ "id": "1", "type": "subscribe", "payload": { "query": query } }))
            .await?;
        Ok(socket)
    }

    /// The next balance, in micro-credits.
    ///
    /// # Errors
    /// The subscription ended.
    pub async fn balance(&mut self) -> Outcome<i64> {
        loop {
            let message: Value = serde_json::from_str(&self.text().await?)?;
            match message["type"].as_str() {
                Some("ping") => self.send(&json!({ "type": "pong" })).await?,
                Some("pong") => {}
                Some("next") => return read(&message).ok_or_else(|| format!("unexpected: {message}").into()),
                _ => return Err(format!("the subscription ended: {message}").into()),
            }
        }
    }

    /// The next text.
    ///
    /// # Errors
    /// The socket was closed.
    pub async fn text(&mut self) -> Outcome<String> {
        loop {
            match self.0.next().await.ok_or("the socket was closed")?? {
                Message::Text(text) => return Ok(text.as_str().to_owned()),
                Message::Close(frame) => return Err(format!("the socket was closed: {frame:?}").into()),
                _ => {}
            }
        }
    }

    async fn send(&mut self, message: &Value) -> Outcome<()> {
        Ok(self.0.send(Message::text(message.to_string())).await?)
    }
}

fn read(message: &Value) -> Option<i64> {
    let remaining = &message["payload"]["data"]["balanceUpdated"]["remaining"];
    Some(remaining.as_str()?.parse::<Credits>().ok()?.raw())
}
