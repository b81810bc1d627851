//! How far the audit of a customer has come.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_mark")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub customer_id: Uuid,
    /// Revision of the account that was found sound.
    pub revision: i64,
    /// Number of the last line that was found sound.
    pub sequence: i64,
    /// What the books came to there, as JSON.
    pub state: String,
    /// When, in microseconds.
    pub audited_at: i64,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
