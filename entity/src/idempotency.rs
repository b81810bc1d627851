//! The result of a request that must not happen twice.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "idempotency")]
pub struct Model {
    /// Whose it is.
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    /// Name of the mutation.
    #[sea_orm(primary_key, auto_increment = false)]
    pub mutation: String,
    /// Chosen by the client.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    /// Hash of what the client sent.
    pub fingerprint: String,
    /// The first result, as JSON.
    pub result: String,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
