//! The SQL of tenants and keys.

use domain::id::{ApiKeyId, TenantId};
use entity::{api_key, from_text, tenant, to_text};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter,
    sea_query::{Expr, OnConflict},
};

use super::view::{ApiKey, Mode, Tenant};
use crate::{
    error::{Error, Result},
    op::Op,
    page::{Page, Slice, ordered},
};

/// The key of a hash, unless it was revoked.
pub(super) async fn find_key(db: &impl ConnectionTrait, hash: &str) -> Result<Option<api_key::Model>> {
    Ok(api_key::Entity::find()
        .filter(api_key::Column::Hash.eq(hash))
        .filter(api_key::Column::RevokedAt.is_null())
        .one(db)
        .await?)
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
pub(super) async fn insert_key(op: &Op, tenant: TenantId, key: &ApiKey, hash: &str) -> Result<()> {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let row = api_key::ActiveModel {
        id: Set(key.id.0),
        tenant_id: Set(tenant.0),
        name: Set(key.name.clone()),
        hash: Set(hash.to_owned()),
        hint: Set(key.hint.clone()),
        scopes: Set(scopes.join(" ")),
        created_at: Set(key.created_at.micros()),
        expires_at: Set(key.expires_at.map(|end| end.micros())),
        revoked_at: Set(None),
    };
    api_key::Entity::insert(row)
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .exec_without_returning(op.tx())
        .await?;
    Ok(())
}

/// Whose the key of a hash is, revoked or not.
pub(super) async fn key_owner(op: &Op, hash: &str) -> Result<Option<TenantId>> {
    let row = api_key::Entity::find()
        .filter(api_key::Column::Hash.eq(hash))
        .one(op.tx())
        .await?;
    Ok(row.map(|row| TenantId(row.tenant_id)))
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
