//! Subscriptions over WebSocket, protocol `graphql-transport-ws`.
//!
//! The caller authenticates in the payload of `connection_init` (`{"authorization": "Bearer …"}`) or in the header of the
//! upgrade. Only subscriptions run here; a query or mutation is answered with an error.

use std::sync::Arc;

use async_graphql::{
    Data, Executor, Request, Response as Answer, ServerError,
    http::ALL_WEBSOCKET_PROTOCOLS,
    parser::{parse_query, types::OperationType},
};
use async_graphql_axum::{GraphQLProtocol, GraphQLWebSocket};
use axum::{
    extract::{State, WebSocketUpgrade},
    http::HeaderMap,
    response::Response,
};
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};

use crate::{
    auth,
    graphql::{TallygateSchema, caller_data, error},
    guard, http,
    server::Service,
};

/// Longest message, in bytes: a document and its variables.
const MAX_MESSAGE: usize = 64 * 1024;

/// `/graphql/ws`.
pub(crate) async fn upgrade(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    protocol: GraphQLProtocol,
    upgrade: WebSocketUpgrade,
) -> Response {
    let from_header = auth::from_headers(&service.app, &headers).await.ok();
    upgrade
        .protocols(ALL_WEBSOCKET_PROTOCOLS)
        .max_message_size(MAX_MESSAGE)
        .on_upgrade(move |socket| async move {
            let stop = service.stop.clone();
            let executor = SubscriptionsOnly(service.schema.clone());
            let serving = GraphQLWebSocket::new(socket, executor, protocol).on_connection_init(
                move |payload| async move {
                    let actor = match payload["authorization"]
                        .as_str()
                        .or(payload["Authorization"].as_str())
                    {
                        Some(text) => auth::from_text(&service.app, text).await.ok(),
                        None => from_header,
                    };
                    let actor = actor.ok_or_else(|| async_graphql::Error::new("Forbidden"))?;
                    Ok(caller_data(&service.app, actor))
                },
            );
            tokio::select! {
                () = serving.serve() => {}
                () = stop.cancelled() => {}
            }
        })
}

/// Runs subscriptions and refuses everything else.
#[derive(Clone)]
struct SubscriptionsOnly(TallygateSchema);

impl SubscriptionsOnly {
    /// Checks and parses a request.
    fn admit(mut request: Request) -> Result<Request, Box<Answer>> {
        let refuse = |code: &'static str, message: String| {
            Box::new(http::Refusal::new(axum::http::StatusCode::BAD_REQUEST, code, message).answer())
        };
        guard::check(&request.query)
            .map_err(|refused| refuse(error::QUERY_TOO_COMPLEX, refused.to_string()))?;
        let document = parse_query(&request.query)
            .map_err(|problem| refuse(error::GRAPHQL_PARSE_FAILED, problem.to_string()))?;
        let operation = http::operation(&document, request.operation_name.as_deref())
            .map_err(|refusal| Box::new(refusal.answer()))?;
        if operation.ty != OperationType::Subscription {
            let message = "only subscriptions run here; send queries and mutations to /graphql";
            return Err(refuse(error::BAD_USER_INPUT, message.to_owned()));
        }
        request.set_parsed_query(document);
        Ok(request)
    }
}

impl Executor for SubscriptionsOnly {
    async fn execute(&self, request: Request) -> Answer {
        match Self::admit(request) {
            Ok(_) => Answer::from_errors(vec![ServerError::new("subscriptions are streams", None)]),
            Err(answer) => completed(*answer),
        }
    }

    fn execute_stream(&self, request: Request, session: Option<Arc<Data>>) -> BoxStream<'static, Answer> {
        match Self::admit(request) {
            Ok(request) => self
                .0
                .execute_stream_with_session_data(request, session.unwrap_or_default())
                .map(completed)
                .boxed(),
            Err(answer) => stream::once(async { completed(*answer) }).boxed(),
        }
    }
}

fn completed(mut answer: Answer) -> Answer {
    let request_id = http::request_id();
    for problem in &mut answer.errors {
        error::complete(problem, &request_id);
    }
    answer
}
