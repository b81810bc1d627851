//! A customer's agreement to a variant. Cycles that have not closed are part of it, see [`billing_cycle`](crate::billing_cycle).

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "subscription")]
pub struct Model {
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// Whose.
    pub customer_id: Uuid,
    /// Which partition of the work the customer belongs to.
    pub shard: i32,
    /// The vendor's own name for it, unique per tenant.
    pub external_id: Option<String>,
    /// The vendor's own notes, as a JSON object.
    pub metadata: String,
    /// To what.
    pub variant_id: Uuid,
    /// What the next cycle is to have, where that is something else.
    pub next_variant_id: Option<Uuid>,
    /// Grows with every decision.
    pub revision: i64,
    /// State, in capitals.
    pub state: String,
    /// What the interval is counted in.
    pub interval_unit: String,
    /// How many of it.
    pub interval_count: i32,
    /// Name of the time zone.
    pub zone: String,
    /// A boundary of the grid, in microseconds.
    pub origin: i64,
    /// The billing day, 1 to 31.
    pub day: i32,
    /// When the first cycle of the grid begins, in microseconds.
    pub start_at: i64,
    /// Number of that cycle.
    pub first_number: i64,
    /// Number of the last cycle that began.
    pub last_number: i64,
    /// Prepaid: the last cycle that is paid.
    pub paid_through: i64,
    /// Prepaid: the last cycle whose renewal was said to be due.
    pub renewal_told: i64,
    /// Prepaid: since when it is overdue, in microseconds.
    pub overdue_since: Option<i64>,
    /// Whether what is granted once has been granted (1) or not (0).
    pub activated: i32,
    /// Whether it is to end with its cycle (1) or not (0).
    pub cancel_at_end: i32,
    /// First instant of the contract, in microseconds.
    pub contract_start: Option<i64>,
    /// First instant after it, in microseconds.
    pub contract_end: Option<i64>,
    /// Days before its end at which that is told.
    pub notice_days: Option<i32>,
    /// The end for which it was told, in microseconds.
    pub told_for: Option<i64>,
    /// When that end was agreed, in microseconds.
    pub contract_agreed_at: Option<i64>,
    /// Since when it is agreed what follows the running cycle, in microseconds.
    pub agreed_at: i64,
    /// When time makes something due next, in microseconds.
    pub due_at: Option<i64>,
    /// The first instant from which usage has to wait for it, in microseconds.
    pub barrier_at: Option<i64>,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
    /// When it ended, in microseconds.
    pub ended_at: Option<i64>,
    /// When it last changed, in microseconds.
    pub updated_at: i64,
    /// The test clock that its customer lives by.
    pub clock_id: Option<Uuid>,
    /// Up to which cycle its renewals have an invoice.
    pub renewal_billed: i64,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
