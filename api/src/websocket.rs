//! Subscriptions over WebSocket, protocol `graphql-transport-ws`.
//!
//! The caller authenticates in the payload of `connection_init` (`{"authorization": "Bearer …"}`) or in the header of the
//! upgrade. Only subscriptions run here; a query or mutation is answered with an error.

use std::sync::Arc;

use async_graphql::{
    Data, Executor, Request, Response as Answer, ServerError, http::ALL_WEBSOCKET_PROTOCOLS,
    parser::types::OperationType,
};
use async_graphql_axum::{GraphQLProtocol, GraphQLWebSocket};
use axum::{
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message},
    },
    http::HeaderMap,
    response::Response,
};
use futures::{
    SinkExt, StreamExt, future,
    stream::{self, BoxStream},
};

use crate::{
    auth,
    graphql::{caller_data, error},
    http,
    observe::Live,
    server::Service,
};

/// Longest message, in bytes: a document and its variables.
const MAX_MESSAGE: usize = 64 * 1024;
/// Why a connection is closed that nobody may open.
const FORBIDDEN: &str = "Forbidden";

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
            let _counted = Live::socket();
            let stop = service.stop.clone();
            let executor = SubscriptionsOnly(service.clone());
            let (sink, stream) = socket.split();
            let sink = sink.with(|message| future::ready(Ok::<_, axum::Error>(with_usual_code(message))));
            let serving = GraphQLWebSocket::new_with_pair(sink, stream, executor, protocol)
                .on_connection_init(move |payload| async move {
                    let actor = match payload["authorization"]
                        .as_str()
                        .or(payload["Authorization"].as_str())
                    {
                        Some(text) => auth::from_text(&service.app, text).await.ok(),
                        None => from_header,
                    };
                    let actor = actor.ok_or_else(|| async_graphql::Error::new(FORBIDDEN))?;
                    Ok(caller_data(&service.app, actor))
                });
            tokio::select! {
                () = serving.serve() => {}
                () = stop.cancelled() => {}
            }
        })
}

/// Closes with the codes that the protocol fixes, where the library has others, and with reasons that fit into a frame.
fn with_usual_code(message: Message) -> Message {
    let Message::Close(Some(CloseFrame { code, reason })) = message else {
        return message;
    };
    let (code, reason) = match code {
        1002 if reason.as_str() == FORBIDDEN => (4403, reason),
        1002 => (4400, "Invalid message".into()),
        1011 => (4401, "Unauthorized".into()),
        usual => (usual, reason),
    };
    Message::Close(Some(CloseFrame { code, reason }))
}

/// Runs subscriptions and refuses everything else.
#[derive(Clone)]
struct SubscriptionsOnly(Arc<Service>);

impl SubscriptionsOnly {
    /// Checks and prepares a request.
    fn admit(&self, mut request: Request) -> Result<Request, Box<Answer>> {
        let variables = serde_json::to_string(&request.variables).unwrap_or_default();
        let wire = http::Wire {
            query: request.query.as_str().into(),
            operation_name: request.operation_name.as_deref().map(Into::into),
            variables: Some(&variables),
        };
        let refuse = |refusal: http::Refusal| Box::new(refusal.answer());
        let ready = http::admit(&self.0.documents, &wire).map_err(refuse)?;
        if ready.kind != OperationType::Subscription {
            let message = "only subscriptions run here; send queries and mutations to /graphql";
            return Err(refuse(http::Refusal::input(message)));
        }
        let data = std::mem::take(&mut request.data);
        request = ready.request;
        request.data = data;
        Ok(request)
    }
}

impl Executor for SubscriptionsOnly {
    async fn execute(&self, request: Request) -> Answer {
        match self.admit(request) {
            Ok(_) => Answer::from_errors(vec![ServerError::new("subscriptions are streams", None)]),
            Err(answer) => completed(*answer),
        }
    }

    fn execute_stream(&self, request: Request, session: Option<Arc<Data>>) -> BoxStream<'static, Answer> {
        match self.admit(request) {
            Ok(request) => {
                let live = Live::subscription("websocket");
                let answers = self
                    .0
                    .schema
                    .execute_stream_with_session_data(request, session.unwrap_or_default());
                answers
                    .map(move |answer| {
                        let _counted = &live;
                        completed(answer)
                    })
                    .boxed()
            }
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
