//! Server-sent events, in the "distinct connections" mode of the GraphQL over SSE protocol: one operation per connection,
//! `next` events with results, then `complete`.

use std::{collections::HashMap, convert::Infallible, sync::Arc, time::Duration};

use async_graphql::parser::types::OperationType;
use axum::{
    body::Bytes,
    extract::{
        Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{Stream, StreamExt, future, stream};

use crate::{
    graphql::error,
    http::{self, Ready, Refusal},
    server::Service,
};

/// How often a silent stream shows that it lives; shorter than the idle limit of common proxies.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `POST /graphql/stream`.
pub(crate) async fn post(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let ready = http::ready_from_body(&service, &headers, body).await;
    respond(&service, &headers, ready)
}

/// `GET /graphql/stream`.
pub(crate) async fn get(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    query: Result<Query<HashMap<String, String>>, QueryRejection>,
) -> Response {
    let ready = http::ready_from_query(&service, &headers, query).await;
    respond(&service, &headers, ready)
}

fn respond(service: &Arc<Service>, headers: &HeaderMap, ready: Result<Ready, Refusal>) -> Response {
    let ready = ready.and_then(|ready| match ready.kind {
        OperationType::Mutation => {
            let message = "mutations are sent to /graphql";
            Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                error::BAD_USER_INPUT,
                message,
            ))
        }
        OperationType::Query | OperationType::Subscription => Ok(ready),
    });
    match ready {
        Ok(ready) => {
            let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
            Sse::new(events(service.clone(), ready))
                .keep_alive(keep_alive)
                .into_response()
        }
        Err(refusal) => http::reply_refusal(http::Media::of(headers), refusal),
    }
}

fn events(service: Arc<Service>, ready: Ready) -> impl Stream<Item = Result<Event, Infallible>> {
    let (stop, stopped) = (service.stop.clone(), service.stop.clone());
    let results = service
        .schema
        .execute_stream(ready.request)
        .take_until(stop.cancelled_owned())
        .map(|answer| {
            let body = http::body(answer, &http::request_id());
            Event::default().event("next").data(body.to_string())
        });
    // Only an operation that has ended is complete; when the server stops, the client shall come back.
    let complete = stream::once(async move { stopped.is_cancelled() })
        .filter(|stopped| future::ready(!stopped))
        .map(|_| Event::default().event("complete").data(""));
    results.chain(complete).map(Ok)
}
