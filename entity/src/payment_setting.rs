//! How a vendor sells credits.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment_setting")]
pub struct Model {
    /// Which vendor.
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    /// Key of the payment provider.
    pub provider: String,
    /// Price, limits and life of credits, as JSON.
    pub terms: String,
    /// When it last changed, in microseconds.
    pub updated_at: i64,
    /// Since when no auto-recharge charges, in microseconds; none: they do.
    pub recharge_stopped_at: Option<i64>,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
