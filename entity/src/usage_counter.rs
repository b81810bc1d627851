//! How far the count of one cycle has come.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "usage_counter")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub customer_id: Uuid,
    /// Which metric.
    #[sea_orm(primary_key, auto_increment = false)]
    pub metric_id: Uuid,
    /// First version with the same match (all zero: usage without a price).
    #[sea_orm(primary_key, auto_increment = false)]
    pub line_id: Uuid,
    /// First instant of the cycle, in microseconds.
    #[sea_orm(primary_key, auto_increment = false)]
    pub period_start: i64,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// Millionths of a unit.
    pub units: i64,
    /// Events counted.
    pub events: i64,
    /// Micro-credits.
    pub credits: i64,
    /// Where the credits were drawn from.
    pub draws: String,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
