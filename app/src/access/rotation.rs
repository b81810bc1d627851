//! A new secret for a key that stays what it is. The old secret stays good for a while, so that whoever uses it can change
//! over without a gap; a key has at most two secrets that are good.

use domain::{id::ApiKeyId, rejection::Rejection, time::Timestamp};
use serde::Serialize;

use super::{
    forget, hint, secret, store,
    view::{ApiKey, FormerSecret, NewKey},
};
use crate::{
    App,
    actor::{Actor, Credential, Scope},
    error::Result,
    idempotency::{Claim, Once, claim},
    op::Op,
};

/// How long the old secret stays good unless asked for otherwise, in seconds.
pub const DEFAULT_OVERLAP: i64 = 24 * 3_600;
/// Longest time for which the old secret may stay good, in seconds.
pub const MAX_OVERLAP: i64 = 7 * 24 * 3_600;

/// A key to give a new secret.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RotateApiKey {
    /// Which key.
    pub id: ApiKeyId,
    /// How long the old secret stays good, 0 to [`MAX_OVERLAP`]; `None`: [`DEFAULT_OVERLAP`].
    pub overlap_seconds: Option<i64>,
}

/// Gives a key a new secret; id, name and scopes stay. A secret that was still good from the rotation before ends at once.
/// The new secret is shown once: a replay answers without it. Eight statements.
///
/// # Errors
/// No such key, one that was revoked or has expired, an overlap out of range, or a key that may do more or lives longer than
/// the caller: its secret would be worth more than the caller's own.
pub async fn rotate_key(app: &App, actor: &Actor, input: RotateApiKey, key: &str) -> Result<Once<NewKey>> {
    actor.require(Scope::AccessWrite)?;
    let overlap = check_overlap(input.overlap_seconds)?;
    let op = Op::begin(app).await?;
    let fresh = match claim(&op, actor.tenant, "rotateApiKey", key, &input).await? {
        Claim::Replay(known) => return Ok(NewKey::again(known)),
        Claim::Fresh(fresh) => fresh,
    };
    let row = store::lock_key(&op, actor.tenant, input.id)
        .await?
        .ok_or_else(|| Rejection::not_found("id", "API key"))?;
    let mut rotated = ApiKey::from(row.clone());
    check(actor, &rotated, op.now())?;
    let until = op.now().plus_seconds(overlap);
    let former = FormerSecret {
        hint: rotated.hint,
        expires_at: rotated.expires_at.map_or(until, |end| end.min(until)),
    };
    let mode = store::mode(&op, actor.tenant).await?;
    let secret = secret(mode.key_prefix());
    store::retire_secret(&op, &row, &former).await?;
    rotated.hint = hint(&secret);
    rotated.rotated_at = Some(op.now());
    rotated.former_secret = (overlap > 0).then_some(former);
    store::replace_secret(&op, &rotated, &Credential::of(&secret)).await?;
    let made = fresh.settle(&op, rotated).await?;
    op.commit().await?;
    forget(app);
    Ok(Once {
        value: NewKey {
            secret: Some(secret),
            key: made.value,
        },
        replay: false,
    })
}

fn check_overlap(wanted: Option<i64>) -> Result<i64> {
    let seconds = wanted.unwrap_or(DEFAULT_OVERLAP);
    if !(0..=MAX_OVERLAP).contains(&seconds) {
        let message = format!("the old secret stays good for 0 to {MAX_OVERLAP} seconds");
        return Err(Rejection::invalid("overlapSeconds", message).into());
    }
    Ok(seconds)
}

/// Whoever rotates a key learns its secret, so it must not be worth more than the caller's own. A caller with an old secret
/// whose overlap runs lives shorter than its own key, and so cannot take it over.
fn check(actor: &Actor, key: &ApiKey, now: Timestamp) -> Result<()> {
    let no = |why: String| Err(Rejection::invalid("id", why).into());
    if key.revoked_at.is_some() || key.expires_at.is_some_and(|end| end <= now) {
        return no("the key was revoked or has expired".to_owned());
    }
    if let Some(scope) = key.scopes.iter().find(|scope| !actor.scopes.contains(scope)) {
        return no(format!(
            "the key has the scope `{scope}`, which you lack yourself"
        ));
    }
    match actor.expires_at {
        Some(limit) if key.expires_at.is_none_or(|end| end > limit) => no(format!(
            "the key lives longer than your own credential, which expires at {limit}"
        )),
        _ => Ok(()),
    }
}
