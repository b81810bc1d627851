//! Who the vendor bills.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "customer")]
pub struct Model {
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// The vendor's own name for the customer.
    pub external_id: String,
    /// Name for people.
    pub name: Option<String>,
    /// Which partition of the work the customer belongs to.
    pub shard: i32,
    /// What happens when credits are used up.
    pub at_zero: String,
    /// How far below zero checks allow, in micro-credits.
    pub overage_line: i64,
    /// Who pays back an overdraft.
    pub settlement: String,
    /// Where bills go.
    pub billing_email: Option<String>,
    /// Postal address, as JSON.
    pub invoice_address: Option<String>,
    /// Purchase order number.
    pub po_number: Option<String>,
    /// The vendor's own notes, as a JSON object.
    pub metadata: String,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
    /// When it last changed, in microseconds.
    pub updated_at: i64,
    /// The test clock that it lives by; none: the clock on the wall.
    pub clock_id: Option<Uuid>,
    /// How far usage may go beyond where checks refuse, in micro-credits; none: nothing is promised.
    pub overshoot_limit: Option<i64>,
    /// What becomes of usage beyond that.
    pub beyond_overshoot: String,
    /// Number of the last ledger entry when the present bound of the overdraft was agreed. Entries after it keep to it.
    pub bounded_from: i64,
    /// 1: nothing was said of this customer's overshoot, so it has what its vendor promises; 2: the same, as long as it has no limit.
    pub overshoot_follows: i32,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
