//! Server-sent events, in the "distinct connections" mode of the GraphQL over SSE protocol: one operation per connection,
//! `next` events with results, then `complete`.

use std::{convert::Infallible, sync::Arc, time::Duration};

use async_graphql::parser::types::OperationType;
use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{Stream, StreamExt, future, stream};

use crate::{
    graphql::error,
    http::{self, Ready, Refusal},
    observe::{self, Live},
    server::Service,
};

/// How often a silent stream shows that it lives; shorter than the idle limit of common proxies.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `/graphql/stream`, `POST` or `GET`.
pub(crate) async fn serve(State(service): State<Arc<Service>>, request: Request) -> Response {
    let media = http::Media::of(request.headers());
    let ready = http::read(&service, request).await;
    respond(&service, media, ready)
}

fn respond(service: &Arc<Service>, media: http::Media, ready: Result<Ready, Refusal>) -> Response {
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
            observe::known_field("stream");
            let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
            Sse::new(events(service.clone(), ready))
                .keep_alive(keep_alive)
                .into_response()
        }
        Err(refusal) => http::reply_refusal(media, refusal),
    }
}

fn events(service: Arc<Service>, ready: Ready) -> impl Stream<Item = Result<Event, Infallible>> {
    let live = Live::subscription("sse");
    let (stop, stopped) = (service.stop.clone(), service.stop.clone());
    let results = service
        .schema
        .execute_stream(ready.request)
        .take_until(stop.cancelled_owned())
        .map(move |answer| {
            let _counted = &live;
            let body = http::body(answer, &http::request_id());
            Event::default().event("next").data(body.to_string())
        });
    // Only an operation that has ended is complete; when the server stops, the client shall come back.
    let complete = stream::once(async move { stopped.is_cancelled() })
        .filter(|stopped| future::ready(!stopped))
        .map(|_| Event::default().event("complete").data(""));
    results.chain(complete).map(Ok)
}
