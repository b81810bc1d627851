//! What an auto-recharge came to when the balance was low.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "recharge_evaluation")]
pub struct Model {
    /// Its name, which tells the order.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Of which vendor.
    pub tenant_id: Uuid,
    /// Whose.
    pub customer_id: Uuid,
    /// Why nothing was charged; none: something was.
    pub reason: Option<String>,
    /// The balance that it looked at, in micro-credits.
    pub balance: i64,
    /// The threshold of the rule, in micro-credits.
    pub threshold: i64,
    /// What was charged.
    pub payment_id: Option<Uuid>,
    /// How often in a row it came to the same.
    pub times: i32,
    /// When first, in microseconds of the customer's time.
    pub first_at: i64,
    /// When last, in microseconds of the customer's time.
    pub last_at: i64,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
