//! An accepted event and, once it is debited, what it came to.

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
    /// State, in capitals.
    pub state: String,
    /// Which version priced it.
    pub rule_id: Option<Uuid>,
    /// First version with the same match (all zero: usage without a price).
    pub line_id: Option<Uuid>,
    /// First instant of the cycle, in microseconds.
    pub period_start: Option<i64>,
    /// Count before, in millionths of a unit.
    pub from_units: Option<i64>,
    /// Events before.
    pub from_events: Option<i64>,
    /// Micro-credits.
    pub credits: Option<i64>,
    /// Where the credits were drawn from.
    pub draws: Option<String>,
    /// When it was debited or taken back, in microseconds.
    pub settled_at: Option<i64>,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
