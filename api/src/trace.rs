//! Spans of requests, for whoever follows one through several systems. Without a collector they cost next to nothing.

use app::telemetry::TRACE;
use axum::http::{HeaderMap, StatusCode};
use opentelemetry::{global, propagation::Extractor, trace::TraceContextExt};
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The span of a request; it continues the trace that the caller sent as W3C `traceparent`.
pub(crate) fn request(method: &str, path: &str, headers: &HeaderMap) -> Span {
    let span = tracing::debug_span!(
        target: TRACE,
        "request",
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = path,
        http.response.status_code = Empty,
    );
    if !span.is_disabled() {
        let parent = global::get_text_map_propagator(|known| known.extract(&Headers(headers)));
        // Only fails for a span that has begun already.
        let _ = span.set_parent(parent);
    }
    span
}

/// Notes how it ended.
pub(crate) fn answered(span: &Span, operation: &str, status: StatusCode) {
    if span.is_disabled() {
        return;
    }
    // Not the field `otel.name`: it names spans that have not begun, and is ignored afterwards.
    span.context().span().update_name(operation.to_owned());
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

/// The span of an operation's execution.
pub(crate) fn operation() -> Span {
    tracing::debug_span!(target: TRACE, "operation")
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}
