//! What a customer wants to spend.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "spend_setting")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub customer_id: Uuid,
    /// Of which vendor.
    pub tenant_id: Uuid,
    /// 1 while it is switched on.
    pub enabled: i32,
    /// The limits, and what becomes of usage beyond them, as JSON.
    pub rule: String,
    /// The webhook endpoint that hears of them; it may be gone.
    pub endpoint_id: Option<Uuid>,
    /// First instant of the first month that is counted, in microseconds.
    pub since: i64,
    /// When it last changed, in microseconds.
    pub updated_at: i64,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
