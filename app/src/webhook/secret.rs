//! Secrets of endpoints. None is kept: each is derived from one root, the endpoint, and how often it was replaced.
//!
//! The root is the operator's setting; without one it is made once and kept in the database, so that all processes agree.

use domain::time::Timestamp;
use gateway::webhook::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Endpoint, store};
use crate::{
    App,
    error::{Error, Result},
    op::Op,
};

/// What the derivation is for, so that the root can serve others as well.
const PURPOSE: &[u8] = b"tallygate webhook secret 1";
/// Bytes of a root that is made here.
const ROOT_BYTES: usize = 32;

/// What secrets are derived from, and shows nothing of itself.
#[derive(Clone)]
pub struct Root(Vec<u8>);

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Root")
    }
}

impl Root {
    /// From bytes that nobody can guess.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The secret of one generation of an endpoint.
    fn derive(&self, endpoint: &Endpoint, generation: i32) -> Result<Secret> {
        let unkeyed = |_| Error::Internal("a root without bytes".to_owned());
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).map_err(unkeyed)?;
        mac.update(PURPOSE);
        mac.update(endpoint.id.0.as_bytes());
        mac.update(&endpoint.salt);
        mac.update(&generation.to_be_bytes());
        Ok(Secret::from_bytes(mac.finalize().into_bytes().into()))
    }
}

/// The root. At most two statements, once in the life of a process.
pub(super) async fn root(app: &App) -> Result<Root> {
    if let Some(root) = &app.limits().webhook_root {
        return Ok(root.clone());
    }
    let known = app.webhook_root().get_or_try_init(|| async {
        let mut fresh = [0_u8; ROOT_BYTES];
        rand::fill(&mut fresh);
        let op = Op::begin(app).await?;
        let root = store::root(&op, &fresh).await?;
        op.commit().await?;
        Ok::<_, Error>(Root(root))
    });
    known.await.cloned()
}

/// The present secret of an endpoint.
pub(super) async fn present(app: &App, endpoint: &Endpoint) -> Result<Secret> {
    root(app).await?.derive(endpoint, endpoint.generation)
}

/// The secrets that sign at an instant: the present one, and the one before while their time overlaps.
pub(super) async fn signing(app: &App, endpoint: &Endpoint, now: Timestamp) -> Result<Vec<Secret>> {
    let root = root(app).await?;
    let mut secrets = vec![root.derive(endpoint, endpoint.generation)?];
    if endpoint.generation > 1 && endpoint.former_until.is_some_and(|until| now < until) {
        secrets.push(root.derive(endpoint, endpoint.generation - 1)?);
    }
    Ok(secrets)
}
