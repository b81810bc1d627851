//! A request that must not happen twice: the same key and input answer with the first result again.
//!
//! The key lives in the same transaction as the effect, and its row is written first: of two requests at the same moment the
//! second waits for the first to commit, and then finds its result. Cost: two statements for a new key, two for a known one.

use domain::{
    id::TenantId,
    rejection::{Rejection, RejectionCode},
    usage::event::is_key,
};
use entity::idempotency as row;
use sea_orm::{ActiveValue::Set, EntityTrait, sea_query::OnConflict};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::{
    error::{Error, Result},
    op::Op,
};

/// A result, and whether an earlier request produced it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once<T> {
    /// The result.
    pub value: T,
    /// Whether an earlier request with the same key produced it.
    pub replay: bool,
}

/// Whether a request is new.
pub(crate) enum Claim<T> {
    /// It is: do the work, then [`Fresh::settle`].
    Fresh(Fresh),
    /// It is not: this was the result.
    Replay(Once<T>),
}

/// A new request, still without a result.
pub(crate) struct Fresh {
    tenant: TenantId,
    mutation: &'static str,
    key: String,
    fingerprint: String,
}

/// Claims a key for a mutation inside the open operation.
///
/// # Errors
/// A key of another form, or one that was used with other input.
pub(crate) async fn claim<T: DeserializeOwned>(
    op: &Op,
    tenant: TenantId,
    mutation: &'static str,
    key: &str,
    input: &impl Serialize,
) -> Result<Claim<T>> {
    if !is_key(key) {
        return Err(Rejection::invalid("idempotencyKey", "1 to 255 visible ASCII characters").into());
    }
    let fingerprint = hex::encode(Sha256::digest(serde_json::to_vec(input)?));
    let fresh = Fresh {
        tenant,
        mutation,
        key: key.to_owned(),
        fingerprint,
    };
    let written = row::Entity::insert(fresh.row(String::new(), op))
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(op.tx())
        .await?;
    if written == 1 {
        return Ok(Claim::Fresh(fresh));
    }
    let known = row::Entity::find_by_id((tenant.0, mutation.to_owned(), fresh.key.clone()))
        .one(op.tx())
        .await?
        .ok_or_else(|| Error::Unavailable("a request with the same key is under way".to_owned()))?;
    if known.fingerprint != fresh.fingerprint {
        return Err(Rejection::new(
            RejectionCode::IdempotencyConflict,
            "idempotencyKey",
            "the key was used before with other input",
        )
        .into());
    }
    Ok(Claim::Replay(Once {
        value: serde_json::from_str(&known.result)?,
        replay: true,
    }))
}

impl Fresh {
    /// Stores the result and hands it on.
    pub(crate) async fn settle<T: Serialize>(self, op: &Op, value: T) -> Result<Once<T>> {
        let result = serde_json::to_string(&value)?;
        row::Entity::update(self.row(result, op)).exec(op.tx()).await?;
        Ok(Once { value, replay: false })
    }

    fn row(&self, result: String, op: &Op) -> row::ActiveModel {
        row::ActiveModel {
            tenant_id: Set(self.tenant.0),
            mutation: Set(self.mutation.to_owned()),
            key: Set(self.key.clone()),
            fingerprint: Set(self.fingerprint.clone()),
            result: Set(result),
            created_at: Set(op.now().micros()),
        }
    }
}
