//! An accepted event, written once; only taking it back marks it. What it came to is in a row of `usage_rating`. It is pending as
//! long as `usage_pending` has it.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "usage_event")]
pub struct Model {
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// Whose.
    pub customer_id: Uuid,
    /// Which metric.
    pub metric_id: Uuid,
    /// Chosen by the client.
    pub key: String,
    /// Hash of what the client sent.
    pub fingerprint: Uuid,
    /// Millionths of a unit.
    pub units: i64,
    /// When it happened, in microseconds.
    pub occurred_at: i64,
    /// When it was accepted, in microseconds.
    pub received_at: i64,
    /// Facts a rule may match on, as JSON.
    pub properties: Option<String>,
    /// When it was taken back, in microseconds.
    pub voided_at: Option<i64>,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
