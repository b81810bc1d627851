//! Money that becomes due, or goes back, by something other than the end of a cycle.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "subscription_charge")]
pub struct Model {
    /// Of which subscription.
    #[sea_orm(primary_key, auto_increment = false)]
    pub subscription_id: Uuid,
    /// The revision of the subscription that brought it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub revision: i64,
    /// Its place among the lines of that revision.
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i32,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// Whose.
    pub customer_id: Uuid,
    /// What for.
    pub variant_id: Uuid,
    /// First instant that it stands for, in microseconds.
    pub period_start: i64,
    /// First instant after, in microseconds.
    pub period_end: i64,
    /// Minor units; negative: it goes back.
    pub amount: i64,
    /// ISO 4217 code.
    pub currency: String,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
    /// The invoice that bills it.
    pub invoice_id: Option<Uuid>,
    /// 1: its cycle was paid ahead, so that nobody bills it when it closes.
    pub at_once: i32,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
