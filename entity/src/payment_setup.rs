//! A page of a provider's on which a customer leaves a way to pay.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment_setup")]
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
    /// Where it is.
    pub url: Option<String>,
    /// What was left there.
    pub method_id: Option<Uuid>,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
