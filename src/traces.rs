//! Traces, by setting: spans go to an OpenTelemetry collector over OTLP (HTTP, protobuf).
//!
//! A span names what was done and how long it took, and nothing that a caller sent. Spans are sent in batches by a thread of their
//! own; a collector that is slow or away costs the spans that do not fit into the queue, never a request.

use std::{sync::Arc, time::Duration};

use app::telemetry::TRACE;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry::{global, trace::TracerProvider};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response, hyper::HyperClient};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracerProvider},
};
use tokio::runtime::Handle;
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

use crate::{
    config::Config,
    failure::{Failure, Outcome},
};

/// How long the collector may take to answer.
const BOUND: Duration = Duration::from_secs(10);
/// How long the last spans may take at the end of the process.
const LAST: Duration = Duration::from_secs(2);
/// Where collectors take traces, below their address.
const PATH: &str = "/v1/traces";

/// What sends the spans.
pub(crate) struct Traces(SdkTracerProvider);

impl Traces {
    /// Begins to send, if a collector is configured.
    ///
    /// # Errors
    /// Its address is no URL.
    pub(crate) fn start(config: &Config, process: &'static str) -> Outcome<Option<Self>> {
        let Some(endpoint) = &config.otlp_endpoint else {
            return Ok(None);
        };
        let refused = |error: &dyn std::fmt::Display| Failure::of("traces cannot be sent", error);
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new().map_err(|error| refused(&error))?)
            .with_endpoint(format!("{}{PATH}", endpoint.trim_end_matches('/')))
            .with_timeout(BOUND)
            .build()
            .map_err(|error| refused(&error))?;
        let resource = Resource::builder()
            .with_service_name(format!("tallygate-{process}"))
            .build();
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.trace_sample_ratio)));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(resource)
            .build();
        global::set_text_map_propagator(TraceContextPropagator::new());
        Ok(Some(Self(provider)))
    }

    /// What turns our spans into those of OpenTelemetry: only those made for it, without events and places in the source.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let only_ours = Targets::new().with_target(TRACE, LevelFilter::DEBUG);
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("tallygate"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(only_ours)
    }

    /// Sends what is left.
    pub(crate) async fn finish(self) {
        // It waits for its thread, which needs this runtime to send.
        let sent = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(LAST)).await;
        if !matches!(sent, Ok(Ok(()))) {
            tracing::warn!("the last traces may not have been sent");
        }
    }
}

/// Sends from whatever thread by means of our runtime.
#[derive(Debug)]
struct Client {
    http: Arc<HyperClient<HttpsConnector<HttpConnector>>>,
    runtime: Handle,
}

impl Client {
    fn new() -> std::io::Result<Self> {
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            http: Arc::new(HyperClient::new(connector, BOUND, None)),
            runtime: Handle::current(),
        })
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = Arc::clone(&self.http);
        self.runtime
            .spawn(async move { http.send_bytes(request).await })
            .await?
    }
}
