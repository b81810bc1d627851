//! GraphQL over HTTP, as its specification asks: one operation per request, JSON only, `GET` for queries only.
//!
//! The order is: authenticate, read the body, check, parse, charge, execute. A request that cannot be executed is answered
//! with 400 under `application/graphql-response+json` and with 200 under `application/json`.

pub(crate) mod enter;
mod quick;
mod refusal;
mod reply;
mod run;
mod wire;

use std::sync::Arc;

use app::Actor;
use async_graphql::{Request, Variables, parser::types::OperationType};
use axum::{
    extract::{self, State},
    http::{Method, StatusCode},
    response::Response,
};

pub(crate) use self::{
    quick::subscription,
    refusal::Refusal,
    reply::{Media, completed, reply_refusal},
    wire::Wire,
};
use self::{reply::reply_answer, wire::Incoming};
use crate::{
    document::{Documents, Operation, Prepared},
    graphql::{self, error},
    guard, lane,
    limit::{Charge, Spent},
    observe,
    server::Service,
};

/// A request that may be executed.
pub(crate) struct Ready {
    pub(crate) request: Request,
    pub(crate) kind: OperationType,
    /// Whether it selects one field only.
    pub(crate) single: bool,
    /// What it costs.
    pub(crate) charge: Charge,
    /// What was paid for it, once it is paid.
    pub(crate) spent: Option<Spent>,
}

/// What shall be told over a live connection, paid for.
pub(crate) enum Asked {
    /// A subscription of the typed lane.
    Lane(lane::Watch),
    /// Whatever it is.
    General(Box<Ready>),
}

/// A request that was read, and who sent it.
struct Received {
    actor: Actor,
    method: Method,
    incoming: Incoming,
}

/// `POST /graphql`, and `GET` for queries.
pub(crate) async fn serve(State(service): State<Arc<Service>>, request: extract::Request) -> Response {
    let media = Media::of(request.headers());
    match answer(&service, media, request).await {
        Ok(response) => response,
        Err(refusal) => reply_refusal(media, refusal),
    }
}

async fn answer(service: &Service, media: Media, request: extract::Request) -> Result<Response, Refusal> {
    let received = receive(service, request).await?;
    let wire = received.incoming.wire()?;
    if let Some(response) = quick::answer(service, media, &received, &wire).await? {
        return Ok(response);
    }
    let ready = prepare(service, &received, &wire)?;
    // In a place of its own: what takes the typed lane has no use for the room that the general way needs.
    Box::pin(execute(service, media, ready)).await
}

/// Authenticates the caller of a `POST` or `GET`, reads it, prepares it, and charges for it.
///
/// # Errors
/// It cannot be executed.
pub(crate) async fn read(service: &Service, request: extract::Request) -> Result<(Asked, Actor), Refusal> {
    let received = receive(service, request).await?;
    let wire = received.incoming.wire()?;
    let asked = match subscription(&service.documents, &wire) {
        Some((watch, cost)) => {
            charge(service, &received.actor, cost)?;
            Asked::Lane(watch)
        }
        None => Asked::General(Box::new(prepare(service, &received, &wire)?)),
    };
    Ok((asked, received.actor))
}

async fn receive(service: &Service, request: extract::Request) -> Result<Received, Refusal> {
    let (parts, body) = request.into_parts();
    let actor = match enter::enter(service, &parts).await {
        Ok(actor) => actor,
        Err(refusal) => {
            Box::pin(wire::discard(body)).await;
            return Err(refusal);
        }
    };
    observe::caller(&actor);
    let incoming = Incoming::read(&parts, body, service.options.limits.body).await?;
    Ok(Received {
        actor,
        method: parts.method,
        incoming,
    })
}

fn prepare(service: &Service, received: &Received, wire: &Wire<'_>) -> Result<Ready, Refusal> {
    let actor = &received.actor;
    let mut ready = match admit(&service.documents, wire) {
        Ok(ready) => ready,
        Err(refusal) => {
            charge(service, actor, Charge::refused(wire.bytes()))?;
            return Err(refusal);
        }
    };
    if ready.kind == OperationType::Mutation && received.method != Method::POST {
        let message = "a GET serves queries only; send a POST";
        return Err(Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            error::BAD_USER_INPUT,
            message,
        ));
    }
    ready.spent = charge(service, actor, ready.charge)?;
    ready.request = graphql::with_caller(ready.request, &service.app, actor.clone());
    Ok(ready)
}

/// Takes what a request costs from the caller's bucket.
///
/// # Errors
/// There is not enough in it.
pub(crate) fn charge(service: &Service, actor: &Actor, charge: Charge) -> Result<Option<Spent>, Refusal> {
    service
        .rates
        .spend(actor, charge)
        .map_err(|(spent, wait)| Refusal::too_often(wait).with_spent(spent))
}

/// Checks a request and prepares it for execution: the one way in for `POST`, `GET`, server-sent events and WebSocket.
///
/// # Errors
/// The document or the variables are refused, or there is no such operation.
pub(crate) fn admit(documents: &Documents, wire: &Wire<'_>) -> Result<Ready, Refusal> {
    let prepared = documents.prepare(&wire.query)?;
    let operation = operation(&prepared, wire)?;
    observe::operation(&prepared, operation);
    let json = wire.variables.unwrap_or("{}");
    let variables: Option<serde_json::Map<_, _>> =
        serde_json::from_str(json).map_err(|error| Refusal::input(format!("`variables`: {error}")))?;
    let variables = variables.unwrap_or_default();
    guard::check_variables(&variables, json.len(), operation.class.room())?;
    if let Some(name) = operation.missing(&variables) {
        // The request is well formed, but does not fit its document: plain JSON answers that with 200.
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            error::GRAPHQL_VALIDATION_FAILED,
            format!("the variable `${name}` is required"),
        ));
    }
    // The text is not needed any more: the document is parsed.
    let mut request = Request::new("").variables(Variables::from_json(variables.into()));
    request.operation_name = wire.operation_name.as_deref().map(str::to_owned);
    request.set_parsed_query(prepared.document.clone());
    Ok(Ready {
        request,
        kind: operation.kind,
        single: operation.single,
        charge: Charge::new(operation.class, prepared.nodes, wire.bytes()),
        spent: None,
    })
}

/// The operation that is meant.
fn operation<'a>(prepared: &'a Prepared, wire: &Wire<'_>) -> Result<&'a Operation, Refusal> {
    prepared
        .operation(wire.operation_name.as_deref())
        .ok_or_else(|| Refusal::input("`operationName` must name one of the document's operations"))
}

async fn execute(service: &Service, media: Media, ready: Ready) -> Result<Response, Refusal> {
    let place = Arc::clone(&service.places)
        .try_acquire_owned()
        .map_err(|_| Refusal::busy())?;
    let limits = &service.options.limits;
    let answer = match ready.kind {
        OperationType::Query => run::query(&service.schema, ready.request, limits.query).await,
        OperationType::Mutation => {
            run::mutation(service.schema.clone(), ready.request, limits.mutation, place).await
        }
        OperationType::Subscription => {
            let message = "subscriptions run over /graphql/ws or /graphql/stream";
            Err(Refusal::input(message))
        }
    };
    Ok(reply_answer(media, answer?, ready.spent.as_ref()))
}

/// The reply when a handler has panicked.
pub(crate) fn internal() -> Response {
    let refusal = Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error::INTERNAL, error::MASKED);
    reply_refusal(Media::Json, refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of the future that a function answers with.
    fn size_of_future<A, B, F>(_: impl Fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    /// Every request makes these anew, moves them and zeroes some of them.
    #[test]
    fn a_request_takes_little_room() {
        let (handler, around) = (size_of_future(serve), size_of_future(crate::server::answer));
        assert!(
            handler <= 3_072 && around <= 1_024,
            "{handler} and {around} bytes"
        );
    }
}
