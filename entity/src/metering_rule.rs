//! One immutable version of a metric's price.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "metering_rule")]
pub struct Model {
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// Which metric.
    pub metric_id: Uuid,
    /// Number of the version, from 1.
    pub version: i32,
    /// First version with the same match (all zero: usage without a price).
    pub line_id: Uuid,
    /// Properties an event must have, as JSON.
    pub matches: String,
    /// The price, as JSON.
    pub price: String,
    /// First instant of validity, in microseconds.
    pub effective_from: i64,
    /// First instant after, in microseconds.
    pub effective_to: Option<i64>,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
