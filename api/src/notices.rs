//! Where payment providers send their notices. A notice needs no key: its signature says whose it is. Whoever gets no good answer sends it
//! again, so that none is lost while the database is out of reach.

use std::sync::Arc;

use app::payment::{Received, receive as receive_notice};
use axum::{
    body::{Body, to_bytes},
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};

use crate::server::Service;

/// What the paths begin with.
pub(crate) const NOTICES: &str = "/notices/";
/// Longest notice, in bytes.
const LONGEST: usize = 1 << 18;

/// Takes a notice of a provider.
pub(crate) async fn receive(
    State(service): State<Arc<Service>>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Ok(_place) = service.places.try_acquire() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let reading = tokio::time::timeout(service.options.limits.body, to_bytes(body, LONGEST));
    let Ok(Ok(body)) = reading.await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    match receive_notice(&service.app, &provider, &headers, &body).await {
        Ok(Received::Kept) => StatusCode::OK.into_response(),
        Ok(Received::NotTaken) => StatusCode::NOT_FOUND.into_response(),
        Ok(Received::Refused(why)) => {
            tracing::warn!(provider, why, "a notice was refused");
            (StatusCode::BAD_REQUEST, why).into_response()
        }
        Err(error) => {
            tracing::error!(provider, %error, "a notice could not be kept");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}
