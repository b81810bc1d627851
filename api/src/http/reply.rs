//! What goes out: media types, status, headers, and the JSON of answers.

use std::collections::BTreeMap;

use async_graphql::{Response as Answer, ServerError, Value, value};
use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use uuid::Uuid;

use super::Refusal;
use crate::{graphql::error, limit::Spent, observe};

const JSON: &str = "application/json";
const GRAPHQL_JSON: &str = "application/graphql-response+json";
/// Most errors in one answer: a caller that makes more has read enough.
const MAX_ERRORS: usize = 20;
/// Largest answer, in bytes. Pages are small; this bounds what many of them within each other can come to.
const MAX_ANSWER: usize = 5 * 1024 * 1024;
/// Seconds after which to try again, when nothing better is known.
const SOON: HeaderValue = HeaderValue::from_static("1");

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

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json; charset=utf-8",
            Self::GraphqlJson => "application/graphql-response+json; charset=utf-8",
        })
    }
}

/// The reply to a request that is not executed.
pub(crate) fn reply_refusal(media: Media, refusal: Refusal) -> Response {
    let mut response = reply(media, refusal.status, refusal.answer(), refusal.spent.as_deref());
    let headers = response.headers_mut();
    // Who may not come in, or came the wrong way, is told so in HTTP's own words as well.
    match refusal.status {
        StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        _ => {}
    }
    if let Some(seconds) = refusal.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The reply to a request that was handed to the schema.
pub(crate) fn reply_answer(media: Media, answer: Answer, spent: Option<&Spent>) -> Response {
    let executed = was_executed(&answer);
    if executed {
        observe::executed();
    }
    let status = if !executed {
        StatusCode::BAD_REQUEST
    } else if is_unavailable(&answer) {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    let mut response = reply(media, status, answer, spent);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, SOON);
    }
    response
}

/// Without data and with an error that has no path, nothing was executed: the request itself was wrong.
fn was_executed(answer: &Answer) -> bool {
    answer.data != Value::Null || answer.errors.iter().all(|error| !error.path.is_empty())
}

/// Nothing could be answered, because the database is out of reach or too busy: proxies and clients know what 503 means.
fn is_unavailable(answer: &Answer) -> bool {
    let busy = |error: &ServerError| code_of(error) == Some(error::SERVICE_UNAVAILABLE);
    answer.data == Value::Null && !answer.errors.is_empty() && answer.errors.iter().all(busy)
}

fn code_of(error: &ServerError) -> Option<&str> {
    match error.extensions.as_ref()?.get("code")? {
        Value::String(code) => Some(code),
        _ => None,
    }
}

/// Writes an answer; every error carries a code, whether trying again helps, and the request's id.
fn reply(media: Media, status: StatusCode, mut answer: Answer, spent: Option<&Spent>) -> Response {
    let request_id = request_id();
    complete(&mut answer, &request_id);
    if let Some(spent) = spent {
        answer.extensions.insert("cost".to_owned(), cost(spent));
    }
    // Under plain JSON a GraphQL request that failed is still a well-formed answer; only what was no GraphQL request is a 400.
    let well_formed = answer
        .errors
        .first()
        .is_some_and(|error| code_of(error) != Some(error::BAD_USER_INPUT));
    let status = match media {
        Media::Json if status == StatusCode::BAD_REQUEST && well_formed => StatusCode::OK,
        Media::Json | Media::GraphqlJson => status,
    };
    let text = json(&answer);
    if text.len() > MAX_ANSWER {
        let message = format!("the answer is larger than {MAX_ANSWER} bytes; ask for less at once");
        let large = Refusal::new(StatusCode::BAD_REQUEST, error::QUERY_TOO_COMPLEX, message);
        return reply(media, StatusCode::BAD_REQUEST, large.answer(), spent);
    }
    respond(media, status, &request_id, text, spent)
}

/// Ends the JSON of an answer that is open after its `data`.
pub(super) fn close(mut json: Vec<u8>, spent: Option<&Spent>) -> Vec<u8> {
    if let Some(spent) = spent {
        json.extend_from_slice(b",\"extensions\":{\"cost\":");
        let _ = serde_json::to_writer(&mut json, &cost(spent));
        json.push(b'}');
    }
    json.push(b'}');
    json
}

fn cost(spent: &Spent) -> Value {
    value!({
        "requested": spent.requested,
        "limit": spent.limit,
        "remaining": spent.remaining,
    })
}

/// The response around the JSON of an answer.
pub(super) fn respond(
    media: Media,
    status: StatusCode,
    request_id: &str,
    json: Vec<u8>,
    spent: Option<&Spent>,
) -> Response {
    let mut response = (status, json).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, media.content_type());
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-request-id", id);
    }
    if let Some(spent) = spent {
        spent.put_into(headers);
    }
    response
}

/// An answer whose errors carry a code, whether trying again helps, and an id to find them by.
pub(crate) fn completed(mut answer: Answer) -> Answer {
    if !answer.errors.is_empty() {
        complete(&mut answer, &request_id());
    }
    answer
}

fn json(answer: &Answer) -> Vec<u8> {
    serde_json::to_vec(&Parts::of(answer)).unwrap_or_default()
}

fn complete(answer: &mut Answer, request_id: &str) {
    answer.errors.truncate(MAX_ERRORS);
    for problem in &mut answer.errors {
        error::complete(problem, request_id);
    }
}

/// The parts of an answer in the order in which people read them.
#[derive(Serialize)]
struct Parts<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [ServerError],
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extensions: &'a BTreeMap<String, Value>,
}

impl<'a> Parts<'a> {
    fn of(answer: &'a Answer) -> Self {
        Self {
            errors: &answer.errors,
            data: was_executed(answer).then_some(&answer.data),
            extensions: &answer.extensions,
        }
    }
}

/// A name for a request, to find it in the log.
pub(crate) fn request_id() -> String {
    format!("req_{}", Uuid::now_v7().simple())
}

#[cfg(test)]
mod tests {
    use async_graphql::{ErrorExtensionValues, PathSegment};

    use super::*;

    fn failed(code: &str) -> ServerError {
        let mut error = ServerError::new("no", None);
        let mut extensions = ErrorExtensionValues::default();
        extensions.set("code", code);
        error.extensions = Some(extensions);
        error.path = vec![PathSegment::Field("a".to_owned())];
        error
    }

    async fn told(answer: Answer, media: Media) -> (StatusCode, HeaderMap, serde_json::Value) {
        let (head, body) = reply_answer(media, answer, None).into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (head.status, head.headers, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn a_database_that_is_busy_or_away_is_a_503() {
        for media in [Media::Json, Media::GraphqlJson] {
            let busy = Answer::from_errors(vec![failed(error::SERVICE_UNAVAILABLE)]);
            let (status, headers, body) = told(busy, media).await;
            assert_eq!((status.as_u16(), &headers["retry-after"]), (503, &SOON));
            assert_eq!(body["errors"][0]["extensions"]["retryable"], true);
            assert_eq!(body["data"], serde_json::Value::Null);
            // What was answered in part, or failed otherwise, is an answer.
            let mut part = Answer::from_errors(vec![failed(error::SERVICE_UNAVAILABLE)]);
            part.data = value!({ "b": 1 });
            assert_eq!(told(part, media).await.0, StatusCode::OK);
            let bug = Answer::from_errors(vec![failed(error::SERVICE_UNAVAILABLE), failed(error::INTERNAL)]);
            assert_eq!(told(bug, media).await.0, StatusCode::OK);
        }
    }

    #[tokio::test]
    async fn answers_are_bounded() {
        let large = Answer::new(Value::String("x".repeat(MAX_ANSWER)));
        let (status, _, body) = told(large, Media::GraphqlJson).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(body["errors"][0]["extensions"]["code"], error::QUERY_TOO_COMPLEX);
        assert_eq!(body.get("data"), None);
        let many = Answer::from_errors((0..1_000).map(|_| failed(error::BAD_USER_INPUT)).collect());
        let (.., body) = told(many, Media::Json).await;
        assert_eq!(body["errors"].as_array().unwrap().len(), MAX_ERRORS);
        let mut long = failed(error::BAD_USER_INPUT);
        long.message = "é".repeat(10_000);
        let (.., body) = told(Answer::from_errors(vec![long]), Media::Json).await;
        assert!(body["errors"][0]["message"].as_str().unwrap().len() <= 500);
    }
}
