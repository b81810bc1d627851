//! The listener: routes, limits, and stopping in good order.

use std::{
    convert::Infallible,
    io,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    time::Duration,
};

use app::{App, health::Health, invoice::DOCUMENTS};
use async_graphql::http::GraphiQLSource;
use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::{any, get, post},
};
use futures::{FutureExt, future};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use crate::{
    cors,
    document::Documents,
    documents,
    gate::{self, GATE},
    graphql::{self, TallygateSchema},
    http,
    limit::{Failures, Limits, Rates},
    listener,
    live::{LiveLimits, Seats},
    notices::{self, NOTICES},
    observe, sse, websocket,
};

/// How long open requests may take to finish after the stop.
const GRACE: Duration = Duration::from_secs(20);
/// How often buckets that are full again are forgotten.
const TIDY: Duration = Duration::from_secs(60);

/// How the listener behaves.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Development mode: introspection and the editor.
    pub dev: bool,
    /// Key that the editor sends, in development mode.
    pub dev_key: Option<String>,
    /// How long, how many, how often.
    pub limits: Limits,
    /// What `/readyz` shows; without it there is no such path.
    pub health: Option<Health>,
    /// Limits of live connections.
    pub live: LiveLimits,
}

/// What every handler needs.
pub(crate) struct Service {
    pub(crate) app: App,
    pub(crate) schema: TallygateSchema,
    pub(crate) documents: Documents,
    pub(crate) rates: Rates,
    pub(crate) failures: Failures,
    /// One per request that may be executed at once.
    pub(crate) places: Arc<Semaphore>,
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
        rates: Rates::new(&options.limits.rates),
        failures: Failures::new(options.limits.failures),
        places: Arc::new(Semaphore::new(options.limits.in_flight)),
        app,
        schema,
        documents: Documents::default(),
        options,
        stop: stop.clone(),
        seats: Seats::default(),
    });
    let tidying = tokio::spawn(tidy(service.clone()));
    let serving = listener::run(listener, routes(service.clone()), &service.options.limits, &stop);
    tokio::select! {
        () = serving => {}
        () = async { stop.cancelled().await; tokio::time::sleep(GRACE).await } => {
            tracing::warn!("some requests did not finish in time");
        }
    }
    tidying.abort();
    Ok(())
}

/// Forgets, now and then, what need not be remembered.
async fn tidy(service: Arc<Service>) {
    loop {
        tokio::time::sleep(TIDY).await;
        service.rates.tidy();
    }
}

fn routes(service: Arc<Service>) -> Router {
    let mut router = Router::new()
        .route("/graphql", post(http::serve).get(http::serve))
        .route("/graphql/stream", post(sse::serve).get(sse::serve))
        .route("/graphql/ws", any(websocket::upgrade))
        .route("/documents/{name}", get(documents::serve))
        .route("/notices/{provider}", post(notices::receive))
        .route(GATE, any(gate::answer))
        .route("/gate/{*of}", any(gate::answer))
        .route("/healthz", get(|| async { "ok" }));
    if let Some(health) = service.options.health.clone() {
        router = router.route("/readyz", get(|| async move { readyz(&health) }));
    }
    if service.options.dev {
        router = router.route("/graphiql", get(graphiql)).route("/", get(graphiql));
    }
    let cors = cors::layer(&service.options.live.origins);
    let router = router.with_state(service);
    match cors {
        Some(cors) => router.layer(cors),
        None => router,
    }
}

/// The route of a path, as the log and figures call it.
fn route(path: &str) -> &'static str {
    const ROUTES: [&str; 7] = [
        "/graphql",
        "/graphql/stream",
        "/graphql/ws",
        "/healthz",
        "/readyz",
        "/graphiql",
        "/",
    ];
    if let Some(under) = [DOCUMENTS, NOTICES, GATE]
        .into_iter()
        .find(|it| path.starts_with(it))
    {
        return under;
    }
    ROUTES.into_iter().find(|route| *route == path).unwrap_or("-")
}

/// Answers a request, whatever its handler does. Around the routes by hand and not as layers, each of which would cost every
/// request an allocation or two; and of parts that are put together, because blocks that wait for each other keep what they hand
/// on once each.
pub(crate) fn answer(mut router: Router, request: Request) -> impl Future<Output = Response> {
    observe::observe(route(request.uri().path()), request, move |request| {
        // Finding the route may panic as well as answering.
        let answering = panic::catch_unwind(AssertUnwindSafe(|| router.call(request)));
        let answering = match answering {
            Ok(answering) => AssertUnwindSafe(answering).catch_unwind().left_future(),
            Err(panic) => future::ready(Err(panic)).right_future(),
        };
        answering.map(|answered| {
            let mut response = match answered {
                Ok(Ok::<_, Infallible>(response)) => response,
                Err(_) => http::internal(),
            };
            guard(response.headers_mut());
            response
        })
    })
}

/// Says to browsers and proxies: keep nothing, guess nothing, frame nothing.
fn guard(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn readyz(health: &Health) -> Response {
    let report = health.report();
    let status = if report.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(report)).into_response()
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
