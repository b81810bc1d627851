//! The words of `graphql-transport-ws`: what a client may say, what it is told, and the codes a socket is closed with.

use async_graphql::{Response as Answer, ServerError};
use serde::{Deserialize, Serialize};

use crate::http::Wire;

/// The only subprotocol that is spoken. Its older namesake `graphql-ws` has other messages and is refused.
pub(super) const SUBPROTOCOL: &str = "graphql-transport-ws";
/// Longest message, in bytes: the longest document.
pub(super) const MAX_MESSAGE: usize = 32 * 1024;
/// Longest id of an operation, in bytes. Clients use numbers or UUIDs.
const MAX_ID: usize = 64;

/// What a client says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Said {
    /// Who it is.
    ConnectionInit {
        payload: Option<serde_json::Map<String, serde_json::Value>>,
    },
    /// Are you there?
    Ping,
    /// I am here.
    Pong,
    /// An operation begins.
    Subscribe { id: String, payload: Payload },
    /// The client has heard enough.
    Complete { id: String },
}

/// An operation as the protocol carries it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Payload {
    query: String,
    operation_name: Option<String>,
    variables: Option<serde_json::Map<String, serde_json::Value>>,
    #[allow(dead_code, reason = "read to insist that it is an object")]
    extensions: Option<serde_json::Map<String, serde_json::Value>>,
}

impl Payload {
    /// How much there was to read.
    pub(super) fn bytes(&self) -> usize {
        self.query.len()
    }

    /// Its variables as JSON, as any other request has them.
    pub(super) fn variables(&self) -> Option<String> {
        serde_json::to_string(self.variables.as_ref()?).ok()
    }

    /// As any other request.
    pub(super) fn wire<'a>(&'a self, variables: Option<&'a str>) -> Wire<'a> {
        Wire {
            query: self.query.as_str().into(),
            operation_name: self.operation_name.as_deref().map(Into::into),
            variables,
        }
    }
}

impl Said {
    /// Reads a message.
    ///
    /// # Errors
    /// It is too long, or none of the protocol.
    pub(super) fn read(text: &str) -> Result<Self, Closing> {
        if text.len() > MAX_MESSAGE {
            return Err(Closing::TOO_BIG);
        }
        match serde_json::from_str(text) {
            Ok(Self::Subscribe { id, .. } | Self::Complete { id }) if id.is_empty() || id.len() > MAX_ID => {
                Err(Closing::BAD_MESSAGE)
            }
            Ok(said) => Ok(said),
            Err(_) => Err(Closing::BAD_MESSAGE),
        }
    }
}

/// What a client is told.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Told<'a> {
    /// It is let in.
    ConnectionAck,
    /// I am here.
    Pong,
    /// An answer of an operation.
    Next { id: &'a str, payload: &'a Answer },
    /// An operation was not begun, or cannot go on.
    Error { id: &'a str, payload: &'a [ServerError] },
    /// An operation has ended.
    Complete { id: &'a str },
}

impl Told<'_> {
    /// The text of the message.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| {
            // Nothing above can fail to be written; a client would rather be cut off than told nonsense.
            tracing::error!(%error, "a message could not be written");
            String::new()
        })
    }
}

/// The text of a message with an answer that is JSON already: what [`Told::Next`] says.
pub(super) fn next_in_json(id: &str, payload: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(payload.len() + MAX_ID);
    text.extend_from_slice(b"{\"type\":\"next\",\"id\":");
    // Writing into memory cannot fail.
    let _ = serde_json::to_writer(&mut text, id);
    text.extend_from_slice(b",\"payload\":");
    text.extend_from_slice(payload);
    text.push(b'}');
    text
}

/// Why a socket is closed, in the protocol's numbers. Clients come back after those of 1000 to 1999 that are used here,
/// except 1008 and 1009, and after 4403 and 4408; after the others they report an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closing {
    pub(super) code: u16,
    pub(super) reason: &'static str,
}

impl Closing {
    pub(super) const GOING_AWAY: Self = Self::new(1001, "Going away");
    pub(super) const SILENT: Self = Self::new(1001, "Nothing was heard for too long");
    pub(super) const TOO_MANY_MESSAGES: Self = Self::new(1008, "Too many messages");
    pub(super) const TOO_BIG: Self = Self::new(1009, "Message too big");
    pub(super) const TOO_MANY_SOCKETS: Self = Self::new(1013, "Too many connections with this credential");
    pub(super) const TOO_MANY_FAILURES: Self = Self::new(1013, "Too many failed authentications");
    pub(super) const UNAVAILABLE: Self = Self::new(1013, "Temporarily unavailable");
    pub(super) const BAD_MESSAGE: Self = Self::new(4400, "Invalid message");
    pub(super) const UNAUTHORIZED: Self = Self::new(4401, "Unauthorized");
    pub(super) const FORBIDDEN: Self = Self::new(4403, "Forbidden");
    pub(super) const ENDED: Self = Self::new(4403, "The credential has expired or was revoked");
    pub(super) const INIT_TIMEOUT: Self = Self::new(4408, "Connection initialisation timeout");
    pub(super) const DUPLICATE: Self = Self::new(4409, "Subscriber for this id already exists");
    pub(super) const SECOND_INIT: Self = Self::new(4429, "Too many initialisation requests");

    const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_protocols_messages_are_read() {
        for text in [
            r#"{"type":"connection_init"}"#,
            r#"{"type":"connection_init","payload":{"authorization":"x"}}"#,
            r#"{"type":"ping","payload":{"a":1}}"#,
            r#"{"type":"pong"}"#,
            r#"{"type":"complete","id":"1"}"#,
            r#"{"id":"1","type":"subscribe","payload":{"query":"{ a }","variables":null,"extensions":{}}}"#,
        ] {
            assert!(Said::read(text).is_ok(), "{text}");
        }
        let long = "x".repeat(MAX_ID + 1);
        for text in [
            "",
            "null",
            "[]",
            r#"{"type":"start"}"#,
            r#"{"type":"next","id":"1","payload":{}}"#,
            r#"{"type":"complete"}"#,
            r#"{"type":"complete","id":1}"#,
            r#"{"type":"complete","id":""}"#,
            &format!(r#"{{"type":"complete","id":"{long}"}}"#),
            r#"{"type":"subscribe","payload":{"query":"{ a }"}}"#,
            r#"{"type":"subscribe","id":"1"}"#,
            r#"{"type":"connection_init","payload":5}"#,
            r#"{"type":"connection_init","payload":["authorization"]}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":1}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":"{ a }","variables":[]}}"#,
        ] {
            assert_eq!(Said::read(text).err(), Some(Closing::BAD_MESSAGE), "{text}");
        }
        assert_eq!(
            Said::read(&" ".repeat(MAX_MESSAGE + 1)).err(),
            Some(Closing::TOO_BIG)
        );
    }

    #[test]
    fn an_answer_in_json_is_told_like_any_other() {
        let answer = Answer::new(async_graphql::value!({ "balanceUpdated": { "sequence": 1 } }));
        let json = serde_json::to_vec(&answer).unwrap();
        for id in ["1", "a \"quoted\" one", "é\u{1}"] {
            let payload = &answer;
            let told = Told::Next { id, payload }.text();
            assert_eq!(String::from_utf8(next_in_json(id, &json)).unwrap(), told);
        }
    }

    #[test]
    fn reasons_fit_into_a_control_frame() {
        for closing in [
            Closing::GOING_AWAY,
            Closing::SILENT,
            Closing::TOO_MANY_SOCKETS,
            Closing::ENDED,
            Closing::TOO_MANY_FAILURES,
            Closing::DUPLICATE,
        ] {
            assert!(closing.reason.len() <= 123, "{closing:?}");
        }
    }
}
