//! What is seen of a request: its line in the log, its figures, its span.
//!
//! A request is told by its id, method, path, status and duration, by the operation's name, the hash of its document and its
//! cost, and by the ids of its key and tenant. Never by the document, variables, headers or body: those carry names and
//! secrets. Handlers add what they find out through the functions here, wherever they are; outside a request these do nothing.
//!
//! Ordinary requests are told at `debug`, because a busy process answers thousands in a second; those that failed on our side
//! at `warn`, slow ones at `info`. Target `access`, so `TALLYGATE_LOG=info,access=debug` tells all of them.

use std::{
    cell::RefCell,
    future::Future,
    sync::{Arc, LazyLock, OnceLock},
    time::Instant,
};

use app::{Actor, telemetry as t};
use async_graphql::{
    Name,
    parser::types::{Selection, SelectionSet},
};
use axum::{extract::Request, http::StatusCode, response::Response};
use domain::{
    id::{ApiKeyId, TenantId},
    rejection::RejectionCode,
};
use futures::FutureExt;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use sha2::{Digest, Sha256};
use tracing::{Instrument, Span, field};

use crate::{
    document::{Operation, Prepared},
    trace,
};

/// Requests that take longer are told without being asked for.
const SLOW_SECONDS: f64 = 1.0;
/// Longest name of an operation that is told. It is the caller's choice.
const MAX_NAME: usize = 64;
/// Bytes of a document's hash that are told: enough to tell a vendor's documents apart.
const HASH_BYTES: usize = 8;
/// What stands for an operation before one has been reached.
const NONE: &str = "none";

tokio::task_local! {
    static FOUND: RefCell<Found>;
}

/// What has been found out about a request. Cheap to note: texts are made when a line is written.
#[derive(Default)]
struct Found {
    document: Option<Arc<Prepared>>,
    /// The name the document gives to the operation.
    name: Option<Name>,
    /// The only field asked for, of the schema or not.
    field: Option<Name>,
    /// Whether the document was executed, which means that its fields are those of the schema.
    executed: bool,
    figures: Option<Arc<Figures>>,
    key: Option<ApiKeyId>,
    tenant: Option<TenantId>,
    codes: Vec<String>,
}

impl Found {
    /// The operation in figures: a field of the schema, or one of a few words.
    fn label(&self) -> String {
        match (&self.field, self.executed) {
            (Some(field), true) => field.to_string(),
            (Some(_), false) => "refused".to_owned(),
            (None, _) => NONE.to_owned(),
        }
    }
}

fn note(what: impl FnOnce(&mut Found)) {
    let _ = FOUND.try_with(|found| what(&mut found.borrow_mut()));
}

/// Notes who asks.
pub(crate) fn caller(actor: &Actor) {
    note(|found| {
        found.key = actor.key;
        found.tenant = Some(actor.tenant);
    });
}

/// What the log calls a document: the beginning of its SHA-256, as hexadecimal digits.
pub(crate) fn hash(document: &str) -> Box<str> {
    let digest = Sha256::digest(document.as_bytes());
    hex::encode(&digest[..HASH_BYTES]).into()
}

/// What figures call an operation that selects this.
pub(crate) fn label(selections: &SelectionSet) -> Name {
    match selections.items.as_slice() {
        [only] => match &only.node {
            Selection::Field(field) => field.node.name.node.clone(),
            _ => Name::new("fragment"),
        },
        _ => Name::new("several"),
    }
}

/// Notes which operation of a document is meant.
pub(crate) fn operation(document: &Arc<Prepared>, operation: &Operation) {
    note(|found| {
        found.document = Some(document.clone());
        found.name.clone_from(&operation.name);
        found.field = Some(operation.label.clone());
        found.figures = Some(operation.figures.clone());
    });
}

/// Where the answers to one operation are counted. Finding the place costs more than counting, so it is kept for what nearly
/// all of them are: answers with status 200.
#[derive(Default)]
pub(crate) struct Figures(OnceLock<(Counter, Histogram)>);

impl Figures {
    fn count(&self, label: &str, seconds: f64) {
        let (answers, times) = self.0.get_or_init(|| {
            let (label, status) = (label.to_owned(), StatusCode::OK.as_u16().to_string());
            (
                counter!(t::REQUESTS, "operation" => label.clone(), "status" => status),
                histogram!(t::REQUEST_SECONDS, "operation" => label),
            )
        });
        answers.increment(1);
        times.record(seconds);
    }
}

/// Notes the field that is asked for where there is no document to take it from.
pub(crate) fn known_field(name: &'static str) {
    note(|found| {
        found.field = Some(Name::new(name));
        found.executed = true;
    });
}

/// Notes that the document was executed.
pub(crate) fn executed() {
    note(|found| found.executed = true);
}

/// Counts an error at the top of an answer. Codes are ours, so they are few.
pub(crate) fn error(code: &str) {
    counter!(t::ERRORS, "code" => code.to_owned()).increment(1);
    note(|found| found.codes.push(code.to_owned()));
}

/// Counts a mutation that a rule refused.
pub(crate) fn user_error(code: RejectionCode) {
    let name = serde_json::to_value(code).unwrap_or_default();
    let name = name.as_str().unwrap_or("OTHER").to_owned();
    counter!(t::USER_ERRORS, "code" => name).increment(1);
}

/// Counts a request as running while it lives.
struct Running;

static RUNNING: LazyLock<Gauge> = LazyLock::new(|| gauge!(t::REQUESTS_RUNNING));

impl Running {
    fn begin() -> Self {
        RUNNING.increment(1);
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.decrement(1);
    }
}

/// Watches a request being answered. `route` is one of ours: what strangers put into a path is no word of ours.
pub(crate) fn observe<A: Future<Output = Response>>(
    route: &'static str,
    request: Request,
    answering: impl FnOnce(Request) -> A,
) -> impl Future<Output = Response> {
    let begun = Instant::now();
    let running = Running::begin();
    let method = request.method().clone();
    let span = trace::request(method.as_str(), route, request.headers());
    let watched = watched(answering(request)).instrument(span.clone());
    watched.map(move |(response, found)| {
        drop(running);
        tell(
            method.as_str(),
            route,
            &response,
            &found,
            begun.elapsed().as_secs_f64(),
            &span,
        );
        response
    })
}

fn watched(answering: impl Future<Output = Response>) -> impl Future<Output = (Response, Found)> {
    let taken = answering.map(|response| (response, FOUND.with(RefCell::take)));
    FOUND.scope(RefCell::default(), taken)
}

fn tell(method: &str, path: &str, response: &Response, found: &Found, seconds: f64, span: &Span) {
    let status = response.status();
    let label = found.label();
    match &found.figures {
        Some(figures) if found.executed && status == StatusCode::OK => figures.count(&label, seconds),
        _ => {
            counter!(t::REQUESTS, "operation" => label.clone(), "status" => status.as_u16().to_string())
                .increment(1);
            histogram!(t::REQUEST_SECONDS, "operation" => label.clone()).record(seconds);
        }
    }
    trace::answered(span, &label, status);
    let id = response
        .headers()
        .get("x-request-id")
        .and_then(|id| id.to_str().ok());
    let codes = found.codes.join(",");
    let name = found
        .name
        .as_ref()
        .map(|name| name.chars().take(MAX_NAME).collect::<String>());
    let (key, tenant) = (found.key.map(field::display), found.tenant.map(field::display));
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                target: "access",
                request = id,
                method,
                path,
                status = status.as_u16(),
                millis = seconds * 1_000.0,
                operation = name,
                field = (found.executed).then_some(label.as_str()),
                document = found.document.as_ref().map(|it| &*it.hash),
                cost = found.document.as_ref().map(|it| it.steps),
                key,
                tenant,
                codes = (!codes.is_empty()).then_some(codes.as_str()),
                "request"
            )
        };
    }
    if status.is_server_error() {
        line!(warn);
    } else if seconds > SLOW_SECONDS && status != StatusCode::SWITCHING_PROTOCOLS {
        line!(info);
    } else {
        line!(debug);
    }
}

/// Counts something live, a socket or a subscription, while it lives.
#[derive(Debug)]
pub(crate) struct Live(&'static str, Option<&'static str>);

impl Live {
    /// An open WebSocket.
    pub(crate) fn socket() -> Self {
        Self(t::SOCKETS, None).counted(1.0)
    }

    /// A subscription over `websocket` or `sse`.
    pub(crate) fn subscription(transport: &'static str) -> Self {
        Self(t::SUBSCRIPTIONS, Some(transport)).counted(1.0)
    }

    fn counted(self, by: f64) -> Self {
        self.add(by);
        self
    }

    fn add(&self, by: f64) {
        match self.1 {
            Some(transport) => gauge!(self.0, "transport" => transport).increment(by),
            None => gauge!(self.0).increment(by),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.add(-1.0);
    }
}
