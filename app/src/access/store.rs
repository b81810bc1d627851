//! The SQL of tenants, keys and tokens.

use std::collections::HashMap;

use domain::{
    id::{ApiKeyId, CustomerId, TenantId},
    time::Timestamp,
};
use entity::{api_key, customer_token, from_text, retired_secret, tenant, to_text};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryResult, QuerySelect,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

use super::{
    token,
    view::{ApiKey, CustomerToken, FormerSecret, Mode, Tenant, scopes},
};
use crate::{
    actor::{Actor, Credential, Scope},
    db::Backend,
    error::{Error, Result},
    op::Op,
    page::{Page, Slice, ordered},
    sql::{Rows, among, statement},
};

/// How long the row of a token that has ended is kept, in seconds: for whoever asks later who had access.
const TOKENS_KEPT: i64 = 24 * 3_600;
/// Old tokens removed with each new one.
const OLD_TOKENS_AT_ONCE: i64 = 100;

/// Whose credentials these are, as far as they are known and not revoked; they may have expired. A token dies with the key
/// that made it. One statement for any number.
pub(super) async fn actors(
    db: &impl ConnectionTrait,
    credentials: &[Credential],
) -> Result<HashMap<Credential, Actor>> {
    let by_hash: HashMap<String, Credential> = credentials.iter().map(|it| (it.hex(), *it)).collect();
    let rows = Rows::default()
        .text("hash", by_hash.keys().cloned())
        .query(
            db,
            "SELECT v.hash, k.id, k.tenant_id, k.scopes, k.expires_at, s.good_until, t.customer_id,
                t.scopes AS token_scopes, t.expires_at AS token_end
             FROM {rows} AS v
             LEFT JOIN api_key c ON c.hash = v.hash
             LEFT JOIN retired_secret s ON s.hash = v.hash
             LEFT JOIN customer_token t ON t.hash = v.hash
             JOIN api_key k ON k.id = COALESCE(c.id, s.api_key_id, t.api_key_id)
             WHERE k.revoked_at IS NULL",
            Vec::new(),
        )
        .await?;
    rows.iter()
        .map(|row| {
            let hash: String = row.try_get("", "hash")?;
            let credential = by_hash.get(&hash).copied();
            let credential =
                credential.ok_or_else(|| Error::Internal("a hash was not asked for".to_owned()))?;
            Ok((credential, actor(row, credential)?))
        })
        .collect()
}

fn actor(row: &QueryResult, credential: Credential) -> Result<Actor> {
    let customer: Option<Uuid> = row.try_get("", "customer_id")?;
    let of_key = scopes(&row.try_get::<String>("", "scopes")?);
    let of_token: Option<String> = row.try_get("", "token_scopes")?;
    let end = |column| -> Result<Option<i64>> { Ok(row.try_get("", column)?) };
    let ends = [end("expires_at")?, end("good_until")?, end("token_end")?];
    Ok(Actor {
        tenant: TenantId(row.try_get("", "tenant_id")?),
        customer: customer.map(CustomerId),
        key: Some(ApiKeyId(row.try_get("", "id")?)),
        scopes: match of_token {
            Some(names) => token::within(&scopes(&names), &of_key),
            None => of_key,
        },
        expires_at: ends.into_iter().flatten().min().map(Timestamp::from_micros),
        credential: Some(credential),
        confirmed: true,
    })
}

pub(super) async fn insert_tenant(op: &Op, fresh: &Tenant) -> Result<bool> {
    let row = tenant::ActiveModel {
        id: Set(fresh.id.0),
        name: Set(fresh.name.clone()),
        mode: Set(to_text(fresh.mode)),
        catalog_version: Set(0),
        created_at: Set(op.now().micros()),
    };
    let made = tenant::Entity::insert(row)
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(op.tx())
        .await?;
    Ok(made == 1)
}

pub(super) async fn find_tenant(db: &impl ConnectionTrait, name: &str) -> Result<Option<tenant::Model>> {
    Ok(tenant::Entity::find()
        .filter(tenant::Column::Name.eq(name))
        .one(db)
        .await?)
}

pub(super) async fn get_tenant(db: &impl ConnectionTrait, id: TenantId) -> Result<tenant::Model> {
    let row = tenant::Entity::find_by_id(id.0).one(db).await?;
    row.ok_or_else(|| Error::Internal(format!("tenant {id} is gone")))
}

pub(super) async fn mode(op: &Op, id: TenantId) -> Result<Mode> {
    Ok(from_text("tenant", &get_tenant(op.tx(), id).await?.mode)?)
}

/// Writes a key unless its hash exists.
pub(super) async fn insert_key(
    op: &Op,
    tenant: TenantId,
    key: &ApiKey,
    credential: &Credential,
) -> Result<()> {
    let row = api_key::ActiveModel {
        id: Set(key.id.0),
        tenant_id: Set(tenant.0),
        name: Set(key.name.clone()),
        hash: Set(credential.hex()),
        hint: Set(key.hint.clone()),
        scopes: Set(names(&key.scopes)),
        created_at: Set(key.created_at.micros()),
        expires_at: Set(key.expires_at.map(|end| end.micros())),
        revoked_at: Set(None),
        rotated_at: Set(None),
    };
    api_key::Entity::insert(row)
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(op.tx())
        .await?;
    Ok(())
}

/// Whose key has or had a secret, revoked or not.
pub(super) async fn secret_owner(op: &Op, credential: &Credential) -> Result<Option<TenantId>> {
    let present = api_key::Entity::find()
        .filter(api_key::Column::Hash.eq(credential.hex()))
        .one(op.tx())
        .await?;
    if let Some(row) = present {
        return Ok(Some(TenantId(row.tenant_id)));
    }
    let former = retired_secret::Entity::find_by_id(credential.hex())
        .one(op.tx())
        .await?;
    Ok(former.map(|row| TenantId(row.tenant_id)))
}

pub(super) async fn revoke_key(op: &Op, tenant: TenantId, id: ApiKeyId) -> Result<()> {
    api_key::Entity::update_many()
        .col_expr(api_key::Column::RevokedAt, Expr::value(op.now().micros()))
        .filter(api_key::Column::TenantId.eq(tenant.0))
        .filter(api_key::Column::Id.eq(id.0))
        .filter(api_key::Column::RevokedAt.is_null())
        .exec(op.tx())
        .await?;
    Ok(())
}

pub(super) async fn get_key(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    id: ApiKeyId,
) -> Result<Option<api_key::Model>> {
    Ok(api_key::Entity::find_by_id(id.0)
        .filter(api_key::Column::TenantId.eq(tenant.0))
        .one(db)
        .await?)
}

/// Locks a key of the tenant, so that two rotations come one after the other.
pub(super) async fn lock_key(op: &Op, tenant: TenantId, id: ApiKeyId) -> Result<Option<api_key::Model>> {
    Ok(api_key::Entity::find_by_id(id.0)
        .filter(api_key::Column::TenantId.eq(tenant.0))
        .lock_exclusive()
        .one(op.tx())
        .await?)
}

/// Sets a key's present secret aside as the former one, and ends one that was set aside before. Two statements.
pub(super) async fn retire_secret(op: &Op, key: &api_key::Model, former: &FormerSecret) -> Result<()> {
    let now = op.now().micros();
    retired_secret::Entity::update_many()
        .col_expr(retired_secret::Column::GoodUntil, Expr::value(now))
        .filter(retired_secret::Column::ApiKeyId.eq(key.id))
        .filter(retired_secret::Column::GoodUntil.gt(now))
        .exec(op.tx())
        .await?;
    let row = retired_secret::ActiveModel {
        hash: Set(key.hash.clone()),
        tenant_id: Set(key.tenant_id),
        api_key_id: Set(key.id),
        hint: Set(former.hint.clone()),
        retired_at: Set(now),
        good_until: Set(former.expires_at.micros()),
    };
    retired_secret::Entity::insert(row)
        .exec_without_returning(op.tx())
        .await?;
    Ok(())
}

/// Writes a key's new secret.
pub(super) async fn replace_secret(op: &Op, key: &ApiKey, credential: &Credential) -> Result<()> {
    api_key::Entity::update_many()
        .col_expr(api_key::Column::Hash, Expr::value(credential.hex()))
        .col_expr(api_key::Column::Hint, Expr::value(key.hint.clone()))
        .col_expr(
            api_key::Column::RotatedAt,
            Expr::value(key.rotated_at.map(Timestamp::micros)),
        )
        .filter(api_key::Column::Id.eq(key.id.0))
        .exec(op.tx())
        .await?;
    Ok(())
}

/// Keys together with the former secrets that are still good. One statement for any number.
pub(super) async fn with_former_secrets(
    db: &impl ConnectionTrait,
    rows: Vec<api_key::Model>,
    now: Timestamp,
) -> Result<Vec<ApiKey>> {
    let good = retired_secret::Entity::find()
        .filter(among(
            db,
            retired_secret::Column::ApiKeyId,
            rows.iter().map(|row| row.id),
        ))
        .filter(retired_secret::Column::GoodUntil.gt(now.micros()))
        .all(db)
        .await?;
    let mut former: HashMap<Uuid, FormerSecret> = good
        .into_iter()
        .map(|row| {
            let expires_at = Timestamp::from_micros(row.good_until);
            let hint = row.hint;
            (row.api_key_id, FormerSecret { hint, expires_at })
        })
        .collect();
    let named = |row: api_key::Model| {
        let former_secret = former.remove(&row.id).filter(|_| row.revoked_at.is_none());
        ApiKey {
            former_secret,
            ..ApiKey::from(row)
        }
    };
    Ok(rows.into_iter().map(named).collect())
}

/// Writes a token.
pub(super) async fn insert_token(
    op: &Op,
    tenant: TenantId,
    maker: ApiKeyId,
    token: &CustomerToken,
    credential: &Credential,
) -> Result<()> {
    let row = customer_token::ActiveModel {
        id: Set(token.id.0),
        tenant_id: Set(tenant.0),
        customer_id: Set(token.customer.0),
        api_key_id: Set(maker.0),
        hash: Set(credential.hex()),
        scopes: Set(names(&token.scopes)),
        created_at: Set(token.created_at.micros()),
        expires_at: Set(token.expires_at.micros()),
    };
    customer_token::Entity::insert(row)
        .exec_without_returning(op.tx())
        .await?;
    Ok(())
}

/// Removes some tokens that ended long ago. More than the one that was just made, so the table does not grow for ever.
pub(super) async fn drop_old_tokens(op: &Op) -> Result<()> {
    // Rows that another such request is removing are left to it.
    let skip = match Backend::of(op.tx()) {
        Backend::Postgres => "FOR UPDATE SKIP LOCKED",
        Backend::Sqlite => "",
    };
    let sql = format!(
        "DELETE FROM customer_token WHERE id IN (
            SELECT id FROM customer_token WHERE expires_at < $1 ORDER BY expires_at LIMIT $2 {skip})"
    );
    let before = op.now().plus_seconds(-TOKENS_KEPT).micros();
    let values = vec![before.into(), OLD_TOKENS_AT_ONCE.into()];
    op.tx().execute_raw(statement(op.tx(), &sql, values)).await?;
    Ok(())
}

fn names(scopes: &[Scope]) -> String {
    let names: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
    names.join(" ")
}

pub(super) async fn list_keys(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    page: Page<ApiKeyId>,
) -> Result<Slice<api_key::Model>> {
    let all = api_key::Entity::find().filter(api_key::Column::TenantId.eq(tenant.0));
    page.map(|id| id.0)
        .read(ordered(all, api_key::Column::Id), db)
        .await
}
