//! From a bearer token to an [`Actor`].

use app::{Actor, App, access};
use axum::http::{HeaderMap, header::AUTHORIZATION};

/// Longest token that is looked at.
const MAX_TOKEN: usize = 512;

/// Why nobody is let in.
#[derive(Debug)]
pub(crate) enum Refused {
    /// No token, or one that belongs to nobody.
    Unknown,
    /// It cannot be found out now.
    Unavailable(app::Error),
}

/// Who the `Authorization` header belongs to.
pub(crate) async fn from_headers(app: &App, headers: &HeaderMap) -> Result<Actor, Refused> {
    let value = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .ok_or(Refused::Unknown)?;
    from_text(app, value).await
}

/// Who `Bearer <token>` belongs to.
pub(crate) async fn from_text(app: &App, authorization: &str) -> Result<Actor, Refused> {
    let (scheme, token) = authorization.split_once(' ').ok_or(Refused::Unknown)?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.len() > MAX_TOKEN {
        return Err(Refused::Unknown);
    }
    match access::authenticate(app, token).await {
        Ok(Some(actor)) => Ok(actor),
        Ok(None) => Err(Refused::Unknown),
        Err(error) => Err(Refused::Unavailable(error)),
    }
}
