//! A customer's auto-recharge.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "auto_recharge")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub customer_id: Uuid,
    /// Of which vendor.
    pub tenant_id: Uuid,
    /// What the customer has agreed to, as JSON.
    pub rule: String,
    /// Where it stands.
    pub state: String,
    /// Why it does not charge.
    pub reason: Option<String>,
    /// When it is looked at again, in microseconds of the customer's time.
    pub next_at: Option<i64>,
    /// Charges in a row that the bank declined.
    pub failures: i32,
    /// The charge that is under way.
    pub payment_id: Option<Uuid>,
    /// First instant of the month in which something was charged, in microseconds.
    pub spent_month: i64,
    /// What was charged in it, in minor units.
    pub spent_in_month: i64,
    /// First instant of the day on which something was charged, in microseconds.
    pub spent_day: i64,
    /// How often.
    pub spent_on_day: i32,
    /// The share of the month's cap that was told, in percent.
    pub spent_told: i32,
    /// When it last changed, in microseconds.
    pub updated_at: i64,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
