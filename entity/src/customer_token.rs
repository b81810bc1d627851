//! A short-lived credential of one customer, made by a key. Only a hash of it is kept.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "customer_token")]
pub struct Model {
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose customer.
    pub tenant_id: Uuid,
    /// Whose account it opens.
    pub customer_id: Uuid,
    /// The key that made it, with which it dies.
    pub api_key_id: Uuid,
    /// SHA-256 of the token, in hex.
    pub hash: String,
    /// What it may do, separated by spaces; a subset of what the key may do.
    pub scopes: String,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
    /// First instant at which it is no longer good, in microseconds.
    pub expires_at: i64,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
