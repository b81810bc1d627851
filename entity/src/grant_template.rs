//! Credits that a variant brings. Written once.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "grant_template")]
pub struct Model {
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// Whose.
    pub variant_id: Uuid,
    /// All that was agreed, as JSON.
    pub terms: String,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
    /// Since when it is no longer granted, in microseconds.
    pub archived_at: Option<i64>,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
