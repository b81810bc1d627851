//! A thing that is counted.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "metric")]
pub struct Model {
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// Chosen by the client.
    pub key: String,
    /// Name for people.
    pub name: String,
    /// Name of one unit.
    pub unit: String,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
    /// When it stopped accepting usage, in microseconds.
    pub archived_at: Option<i64>,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
