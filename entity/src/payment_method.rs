//! A way to pay that a customer has left with us. What is secret about it stays with the provider.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment_method")]
pub struct Model {
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// Of which customer.
    pub customer_id: Uuid,
    /// Key of the payment provider.
    pub provider: String,
    /// The provider's own name for it.
    pub reference: String,
    /// What the customer knows it by, as JSON.
    pub face: String,
    /// 1 for the one that is used when none is named.
    pub is_default: i32,
    /// Last month in which it is good, counted from the year 0; none: it does not expire.
    pub expires_month: Option<i64>,
    /// When somebody was told that it expires, in microseconds.
    pub expiry_told_at: Option<i64>,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
    /// Since when it is no longer used, in microseconds.
    pub removed_at: Option<i64>,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
