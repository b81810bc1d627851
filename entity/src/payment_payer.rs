//! The name that a provider has for a customer.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment_payer")]
pub struct Model {
    /// Which customer.
    #[sea_orm(primary_key, auto_increment = false)]
    pub customer_id: Uuid,
    /// Key of the payment provider.
    #[sea_orm(primary_key, auto_increment = false)]
    pub provider: String,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// The provider's own name for it.
    pub reference: String,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
