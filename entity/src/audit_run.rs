//! One run of the audit.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_run")]
pub struct Model {
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose books; none: everybody's.
    pub tenant_id: Option<Uuid>,
    /// What was looked at, in capitals.
    pub mode: String,
    /// Customers looked at.
    pub customers: i64,
    /// Ledger entries looked at.
    pub entries: i64,
    /// Rated events looked at.
    pub events: i64,
    /// Violations found.
    pub violations: i64,
    /// Customers left for the next run.
    pub remaining: i64,
    /// When it began, in microseconds.
    pub started_at: i64,
    /// When it ended, in microseconds; none: it is under way, or was cut off.
    pub finished_at: Option<i64>,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
