//! The tier of trust that somebody has chosen for a customer.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "customer_trust")]
pub struct Model {
    /// Whose tier it is.
    #[sea_orm(primary_key, auto_increment = false)]
    pub customer_id: Uuid,
    /// Whose customer.
    pub tenant_id: Uuid,
    /// The vendor's name for the tier.
    pub tier: String,
    /// When it was chosen, in microseconds.
    pub chosen_at: i64,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
