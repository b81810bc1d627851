//! A credential of a tenant. Only a hash of it is kept.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_key")]
pub struct Model {
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// Name for people.
    pub name: String,
    /// SHA-256 of the key, in hex.
    pub hash: String,
    /// First and last characters, to recognise the key by.
    pub hint: String,
    /// What it may do, separated by spaces.
    pub scopes: String,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
    /// First instant at which it is no longer good, in microseconds.
    pub expires_at: Option<i64>,
    /// When it was revoked, in microseconds.
    pub revoked_at: Option<i64>,
    /// When its secret was last replaced, in microseconds.
    pub rotated_at: Option<i64>,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
