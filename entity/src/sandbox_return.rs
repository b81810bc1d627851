//! What has gone back of the sandbox's charges.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sandbox_return")]
pub struct Model {
    /// The sandbox's own name for it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub reference: String,
    /// Of which payment.
    pub payment_id: Uuid,
    /// Our name for it, if we have asked for it.
    pub return_id: Option<Uuid>,
    /// Who wants it.
    pub kind: String,
    /// How much, in minor units.
    pub amount: i64,
    /// ISO 4217 code.
    pub currency: String,
    /// How far it has come.
    pub state: String,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
