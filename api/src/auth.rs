//! From a bearer token to an [`Actor`].

use app::{Actor, App, access};

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

/// Whether it is a bearer token.
pub(crate) fn is_bearer(authorization: &str) -> bool {
    let scheme = authorization.split(' ').next().unwrap_or_default();
    scheme.eq_ignore_ascii_case("bearer")
}

/// Who `Bearer <token>` belongs to.
pub(crate) async fn from_text(app: &App, authorization: &str) -> Result<Actor, Refused> {
    let (_, token) = authorization.split_once(' ').ok_or(Refused::Unknown)?;
    let token = token.trim();
    if !is_bearer(authorization) || token.is_empty() || token.len() > MAX_TOKEN {
        return Err(Refused::Unknown);
    }
    match access::authenticate(app, token).await {
        Ok(Some(actor)) => Ok(actor),
        Ok(None) => Err(Refused::Unknown),
        Err(error) => Err(Refused::Unavailable(error)),
    }
}
