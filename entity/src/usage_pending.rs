//! An accepted event that is still to be debited.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "usage_pending")]
pub struct Model {
    /// Which partition of the work the customer belongs to.
    #[sea_orm(primary_key, auto_increment = false)]
    pub shard: i32,
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose.
    pub customer_id: Uuid,
    /// Which metric.
    pub metric_id: Uuid,
    /// Millionths of a unit.
    pub units: i64,
    /// When it happened, in microseconds.
    pub occurred_at: i64,
    /// When it was accepted, in microseconds.
    pub received_at: i64,
    /// Facts a rule may match on, as JSON.
    pub properties: Option<String>,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
