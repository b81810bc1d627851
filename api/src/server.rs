//! The listener: routes, limits, and stopping in good order.

use std::{future::IntoFuture, io, sync::Arc, time::Duration};

use app::App;
use async_graphql::http::GraphiQLSource;
use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    response::{Html, IntoResponse},
    routing::{any, get, post},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    graphql::{self, TallygateSchema},
    http,
    live::{LiveLimits, Seats},
    sse, websocket,
};

/// Largest request body: 1,000 events with properties fit.
const MAX_BODY: usize = 1024 * 1024;
/// How long open requests may take to finish after the stop.
const GRACE: Duration = Duration::from_secs(20);

/// How the listener behaves.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Development mode: introspection and the editor.
    pub dev: bool,
    /// Key that the editor sends, in development mode.
    pub dev_key: Option<String>,
    /// Limits of live connections.
    pub live: LiveLimits,
}

/// What every handler needs.
pub(crate) struct Service {
    pub(crate) app: App,
    pub(crate) schema: TallygateSchema,
    pub(crate) options: Options,
    pub(crate) stop: CancellationToken,
    pub(crate) seats: Seats,
}

/// Serves until stopped; open requests get time to finish, live streams are closed.
///
/// # Errors
/// The listener broke.
pub async fn serve(
    app: App,
    listener: TcpListener,
    options: Options,
    stop: CancellationToken,
) -> io::Result<()> {
    let schema = graphql::schema(options.dev);
    let service = Arc::new(Service {
        app,
        schema,
        options,
        stop: stop.clone(),
        seats: Seats::default(),
    });
    let serving =
        axum::serve(listener, routes(service)).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::select! {
        ended = serving.into_future() => ended,
        () = async { stop.cancelled().await; tokio::time::sleep(GRACE).await } => {
            tracing::warn!("some requests did not finish in time");
            Ok(())
        }
    }
}

fn routes(service: Arc<Service>) -> Router {
    let mut router = Router::new()
        .route("/graphql", post(http::post).get(http::get))
        .route("/graphql/stream", post(sse::post).get(sse::get))
        .route("/graphql/ws", any(websocket::upgrade))
        .route("/healthz", get(|| async { "ok" }));
    if service.options.dev {
        router = router.route("/graphiql", get(graphiql)).route("/", get(graphiql));
    }
    router
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(CatchPanicLayer::custom(|_| http::internal().into_response()))
        .with_state(service)
}

async fn graphiql(State(service): State<Arc<Service>>) -> Html<String> {
    let authorization = service
        .options
        .dev_key
        .as_ref()
        .map(|key| format!("Bearer {key}"));
    let mut page = GraphiQLSource::build()
        .endpoint("/graphql")
        .subscription_endpoint("/graphql/ws")
        .title("Tallygate");
    if let Some(authorization) = &authorization {
        page = page
            .header("Authorization", authorization)
            .ws_connection_param("authorization", authorization);
    }
    Html(page.finish())
}
