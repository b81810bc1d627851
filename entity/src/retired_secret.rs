//! A former secret of a key, good for a while after its successor was made. Only a hash of it is kept, but for ever.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "retired_secret")]
pub struct Model {
    /// SHA-256 of the secret, in hex.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hash: String,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// Of which key.
    pub api_key_id: Uuid,
    /// First and last characters, to recognise it by.
    pub hint: String,
    /// When its successor was made, in microseconds since 1970.
    pub retired_at: i64,
    /// First instant at which it is no longer good, in microseconds.
    pub good_until: i64,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
