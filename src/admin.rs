//! The listener for operators: figures and readiness. It has no keys; only operators and their monitoring may reach it.

use std::{io, sync::Arc};

use app::health::Health;
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    config::AdminListen,
    failure::{Failure, Outcome},
    figures::Figures,
    recorder::Recorder,
    serve,
};

/// Where `dev` and `api` have it unless told otherwise.
pub(crate) const USUAL: &str = "127.0.0.1:4001";
/// Where `worker` has it, so that an API and a worker on one host are found where one looks for them.
pub(crate) const USUAL_OF_WORKER: &str = "127.0.0.1:4002";
/// Any port of this machine that is free.
const ANY: &str = "127.0.0.1:0";

/// An open listener that nobody serves yet.
pub(crate) struct Admin {
    pub(crate) listener: TcpListener,
    recorder: Recorder,
}

impl Admin {
    /// Takes the configured address and begins to keep figures; `None` when it is switched off.
    ///
    /// # Errors
    /// An address that was asked for cannot be taken.
    pub(crate) async fn open(config: &AdminListen, usual: &str) -> Outcome<Option<Self>> {
        let listener = match config {
            AdminListen::Off => return Ok(None),
            AdminListen::At(address) => {
                serve::bind(address, "--admin-listen and TALLYGATE_ADMIN_LISTEN").await?
            }
            AdminListen::Usual => at_or_near(usual)
                .await
                .map_err(|error| Failure::of("the admin listener cannot be opened", error))?,
        };
        tracing::info!(admin = %serve::address(&listener)?, "metrics and readiness are shown");
        let recorder = Recorder::install()?;
        Ok(Some(Self { listener, recorder }))
    }

    /// Answers until stopped.
    pub(crate) async fn serve(self, health: Health, figures: Figures, stop: CancellationToken) {
        let desk = Arc::new(Desk {
            recorder: self.recorder,
            health,
            figures,
        });
        let routes = Router::new()
            .route("/metrics", get(metrics))
            .route("/readyz", get(readyz))
            .route("/healthz", get(|| async { "ok" }))
            .with_state(desk);
        let serving = axum::serve(self.listener, routes);
        tokio::select! {
            ended = serving.into_future() => if let Err(error) = ended {
                tracing::error!(%error, "the admin listener broke");
            },
            () = stop.cancelled() => {}
        }
    }
}

/// A usual port that another process has is no reason to fail: any other will do.
async fn at_or_near(usual: &str) -> io::Result<TcpListener> {
    match TcpListener::bind(usual).await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => TcpListener::bind(ANY).await,
        bound => bound,
    }
}

struct Desk {
    recorder: Recorder,
    health: Health,
    figures: Figures,
}

async fn metrics(State(desk): State<Arc<Desk>>) -> Response {
    desk.figures.refresh().await;
    let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, format)], desk.recorder.render()).into_response()
}

async fn readyz(State(desk): State<Arc<Desk>>) -> Response {
    let report = desk.health.report();
    let status = if report.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(report)).into_response()
}
