//! Who comes in.

use std::time::Instant;

use app::Actor;
use axum::http::{header::AUTHORIZATION, request::Parts};

use super::Refusal;
use crate::{
    auth,
    limit::{Peer, caller_address},
    server::Service,
};

/// Authenticates the caller of a request.
///
/// # Errors
/// Nobody, or somebody who has failed too often.
pub(super) async fn enter(service: &Service, parts: &Parts) -> Result<Actor, Refusal> {
    let credential = parts
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .ok_or(auth::Refused::Unknown)?;
    let address = parts
        .extensions
        .get::<Peer>()
        .map(|peer| caller_address(peer.0, &parts.headers, &service.options.limits.proxies));
    let failures = &service.failures;
    let wait = |wait: std::time::Duration| Refusal::too_many_failures(wait.as_secs() + 1);
    if let Some(address) = address {
        failures
            .admit(address, credential, Instant::now())
            .map_err(wait)?;
    }
    match auth::from_headers(&service.app, &parts.headers).await {
        Ok(actor) => {
            failures.succeeded(credential);
            Ok(actor)
        }
        Err(auth::Refused::Unknown) => Err(address
            .and_then(|address| failures.failed(address, Instant::now()))
            .map_or_else(|| auth::Refused::Unknown.into(), wait)),
        Err(refused) => Err(refused.into()),
    }
}
