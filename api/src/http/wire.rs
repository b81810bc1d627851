//! What comes in: the body of a `POST` or the query string of a `GET`, read within bounds.

use std::{borrow::Cow, collections::HashMap, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::Query,
    http::{HeaderMap, Method, StatusCode, Uri, header, request::Parts},
};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Refusal;
use crate::graphql::error;

const JSON: &str = "application/json";
/// Largest request body, in bytes: 1,000 events with properties fit.
pub(crate) const MAX_BODY: usize = 1024 * 1024;
/// How long the rest of a body is read of a request that has been refused, so that the caller gets to see the reply.
const DISCARD: Duration = Duration::from_secs(1);

/// A request as the specification describes it. Variables are still JSON.
#[derive(Debug)]
pub(crate) struct Wire<'a> {
    pub(crate) query: Cow<'a, str>,
    pub(crate) operation_name: Option<Cow<'a, str>>,
    pub(crate) variables: Option<&'a str>,
}

impl Wire<'_> {
    /// How much was sent.
    pub(crate) fn bytes(&self) -> usize {
        self.query.len() + self.variables.map_or(0, str::len)
    }
}

/// The bytes of a request.
pub(crate) enum Incoming {
    Post(Bytes),
    Get(HashMap<String, String>),
}

impl Incoming {
    /// Reads what there is to read.
    ///
    /// # Errors
    /// The wrong kind of body, one that is too large or too slow, or a query string that cannot be read.
    pub(crate) async fn read(parts: &Parts, body: Body, patience: Duration) -> Result<Self, Refusal> {
        if parts.method == Method::POST {
            check_media(&parts.headers)?;
            return Ok(Self::Post(read_body(&parts.headers, body, patience).await?));
        }
        Ok(Self::Get(query_of(&parts.uri)?))
    }

    /// The request in it.
    ///
    /// # Errors
    /// It is not one.
    pub(crate) fn wire(&self) -> Result<Wire<'_>, Refusal> {
        match self {
            Self::Post(body) => of_body(body),
            Self::Get(parts) => of_query(parts),
        }
    }
}

fn check_media(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let media = text(header::CONTENT_TYPE).unwrap_or("").split(';').next();
    let refuse = |message: &str| {
        Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            error::BAD_USER_INPUT,
            message,
        ))
    };
    if !media.is_some_and(|media| media.trim().eq_ignore_ascii_case(JSON)) {
        return refuse("send `Content-Type: application/json`");
    }
    // A few compressed bytes can be gigabytes.
    if headers.contains_key(header::CONTENT_ENCODING)
        && !text(header::CONTENT_ENCODING).is_some_and(|coding| coding.eq_ignore_ascii_case("identity"))
    {
        return refuse("send the body as it is, without `Content-Encoding`");
    }
    Ok(())
}

async fn read_body(headers: &HeaderMap, body: Body, patience: Duration) -> Result<Bytes, Refusal> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BODY as u64) {
        Box::pin(discard(body)).await;
        return Err(too_large());
    }
    let mut stream = body.into_data_stream();
    let reading = async {
        let Some(first) = stream.next().await else {
            return Ok(Bytes::new());
        };
        let mut read = first.map_err(|_| broken())?;
        let mut more = Vec::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|_| broken())?;
            if more.is_empty() {
                more.extend_from_slice(&read);
            }
            more.extend_from_slice(&chunk);
            if more.len() > MAX_BODY {
                return Err(too_large());
            }
        }
        if !more.is_empty() {
            read = Bytes::from(more);
        }
        if read.len() > MAX_BODY {
            Err(too_large())
        } else {
            Ok(read)
        }
    };
    match tokio::time::timeout(patience, reading).await {
        Ok(Err(refusal)) => {
            Box::pin(discard(Body::from_stream(stream))).await;
            Err(refusal)
        }
        Ok(read) => read,
        Err(_) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            error::BAD_USER_INPUT,
            format!("the body did not arrive within {} s", patience.as_secs()),
        )),
    }
}

fn too_large() -> Refusal {
    let message = format!("a body has at most {MAX_BODY} bytes");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error::BAD_USER_INPUT, message)
}

fn broken() -> Refusal {
    Refusal::input("the body could not be read")
}

/// Reads and forgets what is left of a body, within bounds: a connection that is closed with unread bytes loses the reply.
pub(crate) async fn discard(body: Body) {
    let mut stream = body.into_data_stream();
    let mut left = MAX_BODY;
    let reading = async {
        while let Some(Ok(chunk)) = stream.next().await {
            match left.checked_sub(chunk.len()) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    let _ = tokio::time::timeout(DISCARD, reading).await;
}

fn query_of(uri: &Uri) -> Result<HashMap<String, String>, Refusal> {
    let parts: Result<Query<HashMap<String, String>>, _> = Query::try_from_uri(uri);
    parts
        .map(|Query(parts)| parts)
        .map_err(|error| Refusal::input(error.body_text()))
}

fn of_body(body: &[u8]) -> Result<Wire<'_>, Refusal> {
    #[derive(Deserialize)]
    struct Raw<'a> {
        #[serde(borrow)]
        query: Text<'a>,
        #[serde(borrow, rename = "operationName")]
        operation_name: Option<Text<'a>>,
        #[serde(borrow)]
        variables: Option<&'a RawValue>,
        #[serde(borrow)]
        extensions: Option<&'a RawValue>,
    }
    let raw: Raw = serde_json::from_slice(body)
        .map_err(|error| Refusal::input(format!("the body is not a GraphQL request: {}", told(&error))))?;
    check_object(raw.extensions.map(RawValue::get), "extensions")?;
    let variables = raw.variables.map(RawValue::get);
    check_object(variables, "variables")?;
    Ok(Wire {
        query: raw.query.0,
        operation_name: raw.operation_name.map(|name| name.0),
        variables,
    })
}

/// What is wrong with JSON, and where. The library quotes values that have the wrong type; those are left out.
fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(", expected ") {
        Some((_, wanted)) if error.is_data() => format!("expected {wanted}"),
        _ => text,
    }
}

/// A text that is borrowed when it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn of_query(parts: &HashMap<String, String>) -> Result<Wire<'_>, Refusal> {
    let query = parts
        .get("query")
        .ok_or_else(|| Refusal::input("`query` is missing"))?;
    for name in ["variables", "extensions"] {
        if let Some(text) = parts.get(name) {
            let _: &RawValue = serde_json::from_str(text)
                .map_err(|_| Refusal::input(format!("`{name}` must be a JSON object")))?;
            check_object(Some(text.trim_start()), name)?;
        }
    }
    let variables = parts.get("variables").map(|text| text.trim());
    Ok(Wire {
        query: Cow::Borrowed(query),
        operation_name: parts
            .get("operationName")
            .map(|name| Cow::Borrowed(name.as_str())),
        variables: variables.filter(|text| *text != "null"),
    })
}

/// What is JSON and begins with a brace is an object.
fn check_object(json: Option<&str>, name: &str) -> Result<(), Refusal> {
    match json {
        Some(json) if !json.starts_with('{') && json != "null" => {
            Err(Refusal::input(format!("`{name}` must be a JSON object")))
        }
        _ => Ok(()),
    }
}
