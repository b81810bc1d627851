//! GraphQL over HTTP, as its specification asks: one operation per request, JSON only, `GET` for queries only.
//!
//! The order is: authenticate, read the body, check, parse, execute. A request that cannot be executed is answered with 400
//! under `application/graphql-response+json` and with 200 under `application/json`.

mod refusal;
mod reply;
mod wire;

use std::{sync::Arc, time::Duration};

use async_graphql::{Request, Variables, parser::types::OperationType};
use axum::{
    extract::{self, State},
    http::{Method, StatusCode},
    response::Response,
};

pub(crate) use self::{
    refusal::Refusal,
    reply::{Media, body, reply_refusal, request_id},
    wire::Wire,
};
use self::{reply::reply_answer, wire::Incoming};
use crate::{
    auth,
    document::Documents,
    graphql::{self, error},
    guard,
    server::Service,
};

/// How long a body may take to arrive.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// A request that may be executed.
pub(crate) struct Ready {
    pub(crate) request: Request,
    pub(crate) kind: OperationType,
}

/// `POST /graphql`, and `GET` for queries.
pub(crate) async fn serve(State(service): State<Arc<Service>>, request: extract::Request) -> Response {
    let media = Media::of(request.headers());
    let ready = match read(&service, request).await {
        Ok(ready) => ready,
        Err(refusal) => return reply_refusal(media, refusal),
    };
    execute(&service, media, ready).await
}

/// Authenticates the caller of a `POST` or `GET`, reads it, and prepares it.
///
/// # Errors
/// It cannot be executed.
pub(crate) async fn read(service: &Service, request: extract::Request) -> Result<Ready, Refusal> {
    let (parts, body) = request.into_parts();
    let actor = match auth::from_headers(&service.app, &parts.headers).await {
        Ok(actor) => actor,
        Err(refused) => {
            wire::discard(body).await;
            return Err(refused.into());
        }
    };
    let incoming = Incoming::read(&parts, body, BODY_PATIENCE).await?;
    let mut ready = admit(&service.documents, &incoming.wire()?)?;
    if ready.kind == OperationType::Mutation && parts.method != Method::POST {
        let message = "a GET serves queries only; send a POST";
        return Err(Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            error::BAD_USER_INPUT,
            message,
        ));
    }
    ready.request = graphql::with_caller(ready.request, &service.app, actor);
    Ok(ready)
}

/// Checks a request and prepares it for execution: the one way in for `POST`, `GET`, server-sent events and WebSocket.
///
/// # Errors
/// The document or the variables are refused, or there is no such operation.
pub(crate) fn admit(documents: &Documents, wire: &Wire<'_>) -> Result<Ready, Refusal> {
    let prepared = documents.prepare(&wire.query)?;
    let name = wire.operation_name.as_deref();
    let operation = prepared
        .operation(name)
        .ok_or_else(|| Refusal::input("`operationName` must name one of the document's operations"))?;
    let json = wire.variables.unwrap_or("{}");
    let variables: Option<serde_json::Map<_, _>> =
        serde_json::from_str(json).map_err(|error| Refusal::input(format!("`variables`: {error}")))?;
    let variables = variables.unwrap_or_default();
    guard::check_variables(&variables, json.len(), operation.class.room())?;
    if let Some(name) = operation.missing(&variables) {
        return Err(Refusal::input(format!("the variable `${name}` is required")));
    }
    // The text is not needed any more: the document is parsed.
    let mut request = Request::new("").variables(Variables::from_json(variables.into()));
    request.operation_name = name.map(str::to_owned);
    request.set_parsed_query(prepared.document.clone());
    Ok(Ready {
        request,
        kind: operation.kind,
    })
}

async fn execute(service: &Service, media: Media, ready: Ready) -> Response {
    if ready.kind == OperationType::Subscription {
        let message = "subscriptions run over /graphql/ws or /graphql/stream";
        return reply_refusal(media, Refusal::input(message));
    }
    reply_answer(media, service.schema.execute(ready.request).await)
}

/// The reply when a handler has panicked.
pub(crate) fn internal() -> Response {
    let refusal = Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error::INTERNAL, error::MASKED);
    reply_refusal(Media::Json, refusal)
}
