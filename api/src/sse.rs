//! Server-sent events, in the "distinct connections" mode of the GraphQL over SSE protocol: one operation per connection,
//! `next` events with results, then `complete`. The limits are those of WebSockets.

use std::{convert::Infallible, sync::Arc};

use app::{Actor, access};
use async_graphql::parser::types::OperationType;
use axum::{
    extract::{self, State},
    http::{HeaderMap, StatusCode, header},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{Stream, StreamExt, future, stream};

use crate::{
    graphql::error,
    http::{self, Asked, Refusal},
    lane::Word,
    live::{self, Seat},
    observe::{self, Live},
    origin,
    server::Service,
};

/// `/graphql/stream`, `POST` or `GET`.
pub(crate) async fn serve(State(service): State<Arc<Service>>, request: extract::Request) -> Response {
    let headers = request.headers().clone();
    let asked = http::read(&service, request).await;
    respond(&service, &headers, asked)
}

fn respond(service: &Arc<Service>, headers: &HeaderMap, asked: Result<(Asked, Actor), Refusal>) -> Response {
    let seated = asked.and_then(|(asked, actor)| {
        let seat = seat(service, headers, &asked, &actor)?;
        Ok((asked, actor, seat))
    });
    match seated {
        Ok((asked, actor, seat)) => {
            observe::known_field("stream");
            let keep_alive = KeepAlive::new().interval(service.options.live.ping_every);
            let events = events(service.clone(), asked, actor, seat);
            Sse::new(events).keep_alive(keep_alive).into_response()
        }
        Err(refusal) => http::reply_refusal(http::Media::of(headers), refusal),
    }
}

/// Checks what only streams ask, and takes a seat.
fn seat(service: &Service, headers: &HeaderMap, asked: &Asked, actor: &Actor) -> Result<Seat, Refusal> {
    let refuse = |status, code, message: &str| Err(Refusal::new(status, code, message));
    if !origin::is_allowed(headers, &service.options.live.origins) {
        let message = "pages of this origin may not connect; the operator can allow it";
        return refuse(StatusCode::FORBIDDEN, error::FORBIDDEN, message);
    }
    if matches!(asked, Asked::General(ready) if ready.kind == OperationType::Mutation) {
        let message = "mutations are sent to /graphql";
        return refuse(StatusCode::BAD_REQUEST, error::BAD_USER_INPUT, message);
    }
    if !takes_events(headers) {
        let message = "this is a stream of events; send `Accept: text/event-stream`";
        return refuse(StatusCode::NOT_ACCEPTABLE, error::BAD_USER_INPUT, message);
    }
    if let Asked::General(ready) = asked {
        live::check_subscription(ready)?;
    }
    match service.seats.take(actor, &service.options.live) {
        Some(seat) => Ok(seat),
        None => {
            let message = "too many live connections with this credential; close some";
            refuse(StatusCode::TOO_MANY_REQUESTS, error::RATE_LIMITED, message)
        }
    }
}

/// Whether the client takes a stream of events. One that does not say takes anything.
fn takes_events(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter().peekable();
    accepted.peek().is_none()
        || accepted
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|part| {
                let mut fields = part.split(';').map(str::trim);
                let named = fields.next().is_some_and(|name| {
                    ["text/event-stream", "text/*", "*/*"]
                        .iter()
                        .any(|known| name.eq_ignore_ascii_case(known))
                });
                let refused =
                    fields.any(|field| field.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0_f32)));
                named && !refused
            })
}

/// The events of an operation. They end without `complete` when the server stops or the credential ends: the client shall
/// come back, and be told then if it may not.
fn events(
    service: Arc<Service>,
    asked: Asked,
    actor: Actor,
    seat: Seat,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let live = Live::subscription("sse");
    let stop = service.stop.clone();
    let ended = access::ended(&service.app, &actor);
    let cut = async move {
        tokio::select! {
            () = stop.cancelled() => {}
            _ = ended => {}
        }
    };
    let texts = match asked {
        Asked::Lane(watch) => {
            let updates = watch.begin(service.app.clone(), actor);
            updates
                .map(|word| match word {
                    Word::Data(json) => String::from_utf8(json).unwrap_or_default(),
                    Word::Problem(answer) | Word::Refused(answer) => text(answer),
                })
                .boxed()
        }
        Asked::General(ready) => service.schema.execute_stream(ready.request).map(text).boxed(),
    };
    let results = texts.map(|text| Event::default().event("next").data(text));
    let complete = stream::once(future::ready(Event::default().event("complete").data("")));
    results
        .chain(complete)
        .take_until(Box::pin(cut))
        .map(move |event| {
            // Taken and counted as long as the stream is there.
            let _ = (&seat, &live);
            Ok(event)
        })
}

fn text(answer: async_graphql::Response) -> String {
    serde_json::to_string(&http::completed(answer)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn clients_say_what_they_take() {
        for (accept, taken) in [
            ("text/event-stream", true),
            ("application/json, text/event-stream;q=0.5", true),
            ("*/*", true),
            ("text/*", true),
            ("TEXT/EVENT-STREAM", true),
            ("application/json", false),
            ("text/event-stream;q=0", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(takes_events(&headers), taken, "{accept}");
        }
        assert!(takes_events(&HeaderMap::new()));
    }
}
