//! What a batch of a customer's events came to: one row per metric, price version, cycle and UTC day, because a row per event
//! would cost as much as all the rest of a debit.

use sea_orm::entity::prelude::*;

/// A row. Its sums are those of the events that are not taken back; `detail` keeps every event.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "usage_rating")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub customer_id: Uuid,
    /// First instant of the UTC day on which all its events happened, in microseconds.
    #[sea_orm(primary_key, auto_increment = false)]
    pub day: i64,
    /// Which metric.
    #[sea_orm(primary_key, auto_increment = false)]
    pub metric_id: Uuid,
    /// Its last event; names the row, since no other has it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub last_event: Uuid,
    /// Its first event.
    #[sea_orm(primary_key, auto_increment = false)]
    pub first_event: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// First version with the same match (all zero: usage without a price).
    pub line_id: Uuid,
    /// Which version priced them.
    pub rule_id: Option<Uuid>,
    /// First instant of the cycle, in microseconds.
    pub period_start: i64,
    /// Millionths of a unit, without what was taken back.
    pub units: i64,
    /// Events, without what was taken back.
    pub events: i64,
    /// Micro-credits, without what was taken back.
    pub credits: i64,
    /// The purses that `detail` speaks of, as JSON: `["<block id, 32 hexadecimal digits>","overdraft"]`.
    pub purses: String,
    /// The events in the order of their ids, as JSON: `[["<event id, 32 hexadecimal digits>",from_units,from_events,credits,
    /// [[purse,credits],…]],…]`. A purse is a place in `purses`, from 0; the amounts are those of the columns.
    pub detail: String,
    /// When they were debited, in microseconds.
    pub settled_at: i64,
    /// Whether they came in time, and what became of them if not.
    pub timing: String,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
