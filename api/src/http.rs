//! GraphQL over HTTP, as its specification asks: one operation per request, JSON only, `GET` for queries only.
//!
//! The order is: authenticate, read the body, check, parse, execute. A request that cannot be executed is answered with 400
//! under `application/graphql-response+json` and with 200 under `application/json`.

use std::{collections::HashMap, sync::Arc};

use app::Actor;
use async_graphql::{
    ErrorExtensionValues, Request, Response as Answer, ServerError, Value, Variables,
    parser::{
        parse_query,
        types::{DocumentOperations, ExecutableDocument, OperationDefinition, OperationType},
    },
};
use axum::{
    body::Bytes,
    extract::{
        Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use uuid::Uuid;

use crate::{
    auth,
    graphql::{self, error},
    guard,
    server::Service,
};

const JSON: &str = "application/json";
const GRAPHQL_JSON: &str = "application/graphql-response+json";

/// A request as the specification describes it.
#[derive(Debug, Deserialize)]
pub(crate) struct Wire {
    query: String,
    #[serde(rename = "operationName")]
    operation_name: Option<String>,
    variables: Option<serde_json::Map<String, serde_json::Value>>,
    #[allow(dead_code, reason = "read to insist that it is an object")]
    extensions: Option<serde_json::Map<String, serde_json::Value>>,
}

/// A request that may be executed.
pub(crate) struct Ready {
    pub(crate) request: Request,
    pub(crate) kind: OperationType,
}

/// A reply that ends a request before it is executed.
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    fn input(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error::BAD_USER_INPUT, message)
    }

    /// As one error of GraphQL.
    pub(crate) fn answer(&self) -> Answer {
        let mut error = ServerError::new(self.message.clone(), None);
        let mut extensions = ErrorExtensionValues::default();
        extensions.set("code", self.code);
        error.extensions = Some(extensions);
        Answer::from_errors(vec![error])
    }
}

impl From<auth::Refused> for Refusal {
    fn from(refused: auth::Refused) -> Self {
        match refused {
            auth::Refused::Unknown => {
                let message = "send `Authorization: Bearer <key>` with a valid key";
                Self::new(StatusCode::UNAUTHORIZED, error::UNAUTHENTICATED, message)
            }
            auth::Refused::Unavailable(error) => {
                tracing::warn!(%error, "a caller could not be authenticated");
                let message = "temporarily unavailable; try again";
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    error::SERVICE_UNAVAILABLE,
                    message,
                )
            }
        }
    }
}

/// `POST /graphql`.
pub(crate) async fn post(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let media = Media::of(&headers);
    let ready = match ready_from_body(&service, &headers, body).await {
        Ok((ready, _)) => ready,
        Err(refusal) => return reply_refusal(media, refusal),
    };
    execute(&service, media, ready).await
}

/// `GET /graphql`: queries only.
pub(crate) async fn get(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    query: Result<Query<HashMap<String, String>>, QueryRejection>,
) -> Response {
    let media = Media::of(&headers);
    let ready = match ready_from_query(&service, &headers, query).await {
        Ok((ready, _)) => ready,
        Err(refusal) => return reply_refusal(media, refusal),
    };
    execute(&service, media, ready).await
}

/// Authenticates, reads, checks and parses a `POST`.
pub(crate) async fn ready_from_body(
    service: &Service,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(Ready, Actor), Refusal> {
    let actor = auth::from_headers(&service.app, headers).await?;
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    if !content_type
        .split(';')
        .next()
        .is_some_and(|media| media.trim().eq_ignore_ascii_case(JSON))
    {
        let message = "send `Content-Type: application/json`";
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            error::BAD_USER_INPUT,
            message,
        ));
    }
    let body =
        body.map_err(|error| Refusal::new(error.status(), error::BAD_USER_INPUT, error.body_text()))?;
    let wire: Wire = serde_json::from_slice(&body)
        .map_err(|error| Refusal::input(format!("the body is not a GraphQL request: {error}")))?;
    Ok(wire.ready()?.for_caller(service, actor))
}

/// Authenticates, reads, checks and parses a `GET`.
pub(crate) async fn ready_from_query(
    service: &Service,
    headers: &HeaderMap,
    query: Result<Query<HashMap<String, String>>, QueryRejection>,
) -> Result<(Ready, Actor), Refusal> {
    let actor = auth::from_headers(&service.app, headers).await?;
    let Query(mut parts) = query.map_err(|error| Refusal::input(error.body_text()))?;
    let object = |text: Option<String>, name: &str| {
        text.map(|json| serde_json::from_str(&json))
            .transpose()
            .map_err(|_| Refusal::input(format!("`{name}` must be a JSON object")))
    };
    let wire = Wire {
        query: parts
            .remove("query")
            .ok_or_else(|| Refusal::input("`query` is missing"))?,
        operation_name: parts.remove("operationName"),
        variables: object(parts.remove("variables"), "variables")?,
        extensions: object(parts.remove("extensions"), "extensions")?,
    };
    let ready = wire.ready()?;
    if ready.kind == OperationType::Mutation {
        let message = "a GET serves queries only; send a POST";
        return Err(Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            error::BAD_USER_INPUT,
            message,
        ));
    }
    Ok(ready.for_caller(service, actor))
}

impl Wire {
    /// Checks and parses a request.
    pub(crate) fn ready(self) -> Result<Ready, Refusal> {
        let variables = serde_json::Value::Object(self.variables.unwrap_or_default());
        guard::check(&self.query, &variables)
            .map_err(|refused| Refusal::new(StatusCode::BAD_REQUEST, refused.code(), refused.to_string()))?;
        let document = parse_query(&self.query).map_err(|problem| {
            Refusal::new(
                StatusCode::BAD_REQUEST,
                error::GRAPHQL_PARSE_FAILED,
                problem.to_string(),
            )
        })?;
        let operation = operation(&document, self.operation_name.as_deref())?;
        let kind = operation.ty;
        check_variables(operation, &variables)?;
        let mut request = Request::new(self.query).variables(Variables::from_json(variables));
        request.operation_name = self.operation_name;
        request.set_parsed_query(document);
        Ok(Ready { request, kind })
    }
}

impl Ready {
    fn for_caller(mut self, service: &Service, actor: Actor) -> (Self, Actor) {
        self.request = graphql::with_caller(self.request, &service.app, actor.clone());
        (self, actor)
    }
}

/// The operation that is meant.
pub(crate) fn operation<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Result<&'a OperationDefinition, Refusal> {
    let found = match (&document.operations, name) {
        (DocumentOperations::Single(single), None) => Some(&single.node),
        (DocumentOperations::Single(_), Some(_)) => None,
        (DocumentOperations::Multiple(all), Some(name)) => all.get(name).map(|operation| &operation.node),
        (DocumentOperations::Multiple(all), None) if all.len() == 1 => all.values().next().map(|it| &it.node),
        (DocumentOperations::Multiple(_), None) => None,
    };
    found.ok_or_else(|| Refusal::input("`operationName` must name one of the document's operations"))
}

/// A required variable that is missing is the request's fault, not a field's.
fn check_variables(operation: &OperationDefinition, variables: &serde_json::Value) -> Result<(), Refusal> {
    for definition in &operation.variable_definitions {
        let (name, definition) = (definition.node.name.node.as_str(), &definition.node);
        let required = !definition.var_type.node.nullable && definition.default_value.is_none();
        if required && variables.get(name).is_none_or(serde_json::Value::is_null) {
            // The request is well formed, but does not fit its document: plain JSON answers that with 200.
            return Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                error::GRAPHQL_VALIDATION_FAILED,
                format!("the variable `${name}` is required"),
            ));
        }
    }
    Ok(())
}

async fn execute(service: &Service, media: Media, ready: Ready) -> Response {
    if ready.kind == OperationType::Subscription {
        let message = "subscriptions run over /graphql/ws or /graphql/stream";
        return reply_refusal(media, Refusal::input(message));
    }
    let answer = service.schema.execute(ready.request).await;
    let status = if was_executed(&answer) {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    };
    reply(media, status, answer)
}

/// Without data and with an error that has no path, nothing was executed: the request itself was wrong.
fn was_executed(answer: &Answer) -> bool {
    answer.data != Value::Null || answer.errors.iter().all(|error| !error.path.is_empty())
}

/// What the caller reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    Json,
    GraphqlJson,
}

impl Media {
    /// The better liked of the two; plain JSON when the caller does not care.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut best = (Self::Json, 0.0);
        let accepted = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok());
        for part in accepted.flat_map(|value| value.split(',')) {
            let mut fields = part.split(';').map(str::trim);
            let media = match fields.next() {
                Some(name) if name.eq_ignore_ascii_case(GRAPHQL_JSON) => Self::GraphqlJson,
                Some(name) if name.eq_ignore_ascii_case(JSON) || name == "*/*" || name == "application/*" => {
                    Self::Json
                }
                _ => continue,
            };
            let quality = fields
                .find_map(|field| field.strip_prefix("q=")?.parse::<f32>().ok())
                .unwrap_or(1.0);
            if quality > best.1 {
                best = (media, quality);
            }
        }
        best.0
    }
}

pub(crate) fn reply_refusal(media: Media, refusal: Refusal) -> Response {
    let mut response = reply(media, refusal.status, refusal.answer());
    // Who may not come in, or came the wrong way, is told so in HTTP's own words as well.
    if refusal.status == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

/// Writes an answer; every error carries a code, whether trying again helps, and the request's id.
fn reply(media: Media, status: StatusCode, answer: Answer) -> Response {
    let request_id = request_id();
    let body = body(answer, &request_id);
    let (status, content_type) = match media {
        Media::GraphqlJson => (status, "application/graphql-response+json; charset=utf-8"),
        Media::Json if status == StatusCode::BAD_REQUEST && is_well_formed(&body) => {
            (StatusCode::OK, "application/json; charset=utf-8")
        }
        Media::Json => (status, "application/json; charset=utf-8"),
    };
    let mut response = (status, body.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        headers.insert("x-request-id", id);
    }
    response
}

/// Under plain JSON a GraphQL request that failed is still a well-formed answer; only what was no GraphQL request is a 400.
fn is_well_formed(body: &serde_json::Value) -> bool {
    let code = body["errors"][0]["extensions"]["code"].as_str();
    code.is_some_and(|code| code != error::BAD_USER_INPUT)
}

/// An answer whose errors carry a code, whether trying again helps, and an id to find them by.
pub(crate) fn completed(mut answer: Answer) -> Answer {
    if !answer.errors.is_empty() {
        let request_id = request_id();
        for problem in &mut answer.errors {
            error::complete(problem, &request_id);
        }
    }
    answer
}

/// The JSON of an answer. `data` is left out when nothing was executed.
pub(crate) fn body(mut answer: Answer, request_id: &str) -> serde_json::Value {
    for problem in &mut answer.errors {
        error::complete(problem, request_id);
    }
    let executed = was_executed(&answer);
    let mut body = serde_json::to_value(&answer).unwrap_or_default();
    if let Some(object) = body.as_object_mut().filter(|_| !executed) {
        object.remove("data");
    }
    body
}

/// A name for a request, to find it in the log.
pub(crate) fn request_id() -> String {
    format!("req_{}", Uuid::now_v7().simple())
}

/// The reply when a handler has panicked.
pub(crate) fn internal() -> Response {
    let refusal = Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error::INTERNAL, error::MASKED);
    reply_refusal(Media::Json, refusal)
}
