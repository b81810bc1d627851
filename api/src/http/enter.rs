//! Who comes in.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use app::Actor;
use axum::http::{Extensions, HeaderMap, header::AUTHORIZATION, request::Parts};

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
pub(crate) async fn enter(service: &Service, parts: &Parts) -> Result<Actor, Refusal> {
    let credential = credential(&parts.headers).ok_or(auth::Refused::Unknown)?;
    let address = address(service, &parts.headers, &parts.extensions);
    authenticate(service, address, credential).await
}

/// The credential in the head of a request.
pub(crate) fn credential(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()
}

/// Where a request comes from, proxies that are trusted left out.
pub(crate) fn address(service: &Service, headers: &HeaderMap, extensions: &Extensions) -> Option<IpAddr> {
    let peer = extensions.get::<Peer>()?;
    Some(caller_address(peer.0, headers, &service.options.limits.proxies))
}

/// Authenticates whoever comes with a credential from an address: for requests and sockets alike.
///
/// # Errors
/// Nobody, or somebody who has failed too often.
pub(crate) async fn authenticate(
    service: &Service,
    address: Option<IpAddr>,
    credential: &str,
) -> Result<Actor, Refusal> {
    let failures = &service.failures;
    let wait = |wait: Duration| Refusal::too_many_failures(wait.as_secs() + 1);
    if let Some(address) = address {
        failures
            .admit(address, credential, Instant::now())
            .map_err(wait)?;
    }
    match auth::from_text(&service.app, credential).await {
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
