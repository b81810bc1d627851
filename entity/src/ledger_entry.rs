//! One line of a customer's ledger. Never changed.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ledger_entry")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub customer_id: Uuid,
    /// Number of the line; on the account, of the last line.
    #[sea_orm(primary_key, auto_increment = false)]
    pub sequence: i64,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// Kind, in capitals or as a dotted name.
    pub kind: String,
    /// Unique per customer: one effect, one entry.
    pub effect_key: String,
    /// The block it touches.
    pub block_id: Option<Uuid>,
    /// Micro-credits.
    pub credits: i64,
    /// Change of the overdraft, in micro-credits.
    pub overdraft_change: i64,
    /// Balance after it, in micro-credits.
    pub balance_after: i64,
    /// Overdraft after it, in micro-credits.
    pub overdraft_after: i64,
    /// A line for people.
    pub description: String,
    /// Which metric.
    pub metric_id: Option<Uuid>,
    /// Which version priced it.
    pub rule_id: Option<Uuid>,
    /// First instant of the cycle, in microseconds.
    pub period_start: Option<i64>,
    /// Count before, in millionths of a unit.
    pub from_units: Option<i64>,
    /// Events before.
    pub from_events: Option<i64>,
    /// Count after, in millionths of a unit.
    pub to_units: Option<i64>,
    /// Events after.
    pub to_events: Option<i64>,
    /// First event of the batch.
    pub first_event: Option<Uuid>,
    /// Last event of the batch.
    pub last_event: Option<Uuid>,
    /// Events of the batch.
    pub event_count: Option<i64>,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
    /// Hash over the line and the hash of the line before, 32 bytes.
    pub hash: Vec<u8>,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
