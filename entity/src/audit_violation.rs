//! Something in the books that does not add up.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_violation")]
pub struct Model {
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is; none: nobody's in particular.
    pub tenant_id: Option<Uuid>,
    /// Whose books; none: no customer's.
    pub customer_id: Option<Uuid>,
    /// Which check.
    pub check_id: String,
    /// What it is about.
    pub subject: String,
    /// `S1`: money. `S2`: something is late.
    pub severity: String,
    /// What was found.
    pub message: String,
    /// State, in capitals.
    pub state: String,
    /// Whether only a full run can see it (1) or an incremental one as well (0).
    pub deep: i32,
    /// When it was first seen, in microseconds.
    pub first_seen_at: i64,
    /// When it was last seen, in microseconds.
    pub last_seen_at: i64,
    /// When it was gone, in microseconds.
    pub resolved_at: Option<i64>,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
