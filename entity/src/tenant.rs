//! A vendor in one environment.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tenant")]
pub struct Model {
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Name for people.
    pub name: String,
    /// `LIVE` or `TEST`.
    pub mode: String,
    /// Grows with every change of metrics or rules; tells caches to look again.
    pub catalog_version: i64,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
