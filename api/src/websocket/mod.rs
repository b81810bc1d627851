//! Subscriptions over WebSocket, protocol `graphql-transport-ws`.
//!
//! The caller authenticates in the payload of `connection_init` (`{"authorization": "Bearer …"}`) or in the header of the
//! upgrade. Only subscriptions run here; a query or mutation is answered with an error. One task serves a socket, with no
//! queue of its own: what a slow reader has not taken stays with the source, and a reader that takes nothing is cut off.
//!
//! | module | what |
//! |---|---|
//! | [`protocol`] | messages and close codes |
//! | [`connection`] | the life of a socket |
//! | [`operations`] | what runs on it |

mod connection;
mod operations;
mod protocol;

use std::sync::Arc;

use axum::{
    extract::{
        State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{Extensions, HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use self::{
    connection::Caller,
    protocol::{MAX_MESSAGE, SUBPROTOCOL},
};
use crate::{
    auth,
    graphql::error,
    http::{self, Media, Refusal, enter},
    origin,
    server::Service,
};

/// What is read at once, in bytes, and kept for each socket. Messages of clients are short; longer ones take more reads.
const READ_BUFFER: usize = 512;
/// Longest message that is read at all. What is longer than allowed but shorter than this is read, so that the client can
/// be told; what is longer still is not waited for.
const MAX_READ: usize = 2 * MAX_MESSAGE;

/// `/graphql/ws`.
pub(crate) async fn upgrade(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    extensions: Extensions,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let refuse = |status, code, message: &str| {
        http::reply_refusal(Media::of(&headers), Refusal::new(status, code, message))
    };
    let Ok(upgrade) = upgrade else {
        let message = "open a WebSocket here, with the subprotocol `graphql-transport-ws`";
        let mut response = refuse(StatusCode::UPGRADE_REQUIRED, error::BAD_USER_INPUT, message);
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        return response;
    };
    if !origin::is_allowed(&headers, &service.options.live.origins) {
        let message = "pages of this origin may not connect; the operator can allow it";
        return refuse(StatusCode::FORBIDDEN, error::FORBIDDEN, message);
    }
    let upgrade = upgrade.protocols([SUBPROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        let message = "offer the subprotocol `graphql-transport-ws`";
        return refuse(StatusCode::BAD_REQUEST, error::BAD_USER_INPUT, message);
    }
    let address = enter::address(&service, &headers, &extensions);
    // Another scheme is meant for a proxy, not for us.
    let bearer = enter::credential(&headers).filter(|credential| auth::is_bearer(credential));
    let known = match bearer {
        Some(credential) => Some(enter::authenticate(&service, address, credential).await),
        None => None,
    };
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(MAX_READ)
        .max_frame_size(MAX_READ)
        .on_upgrade(async move |socket| {
            // A task of its own, so that nothing of the upgrade stays in memory with it.
            tokio::spawn(connection::serve(service, socket, Caller { known, address }));
        })
        .into_response()
}
