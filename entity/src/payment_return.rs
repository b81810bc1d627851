//! Money of a payment that goes back.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment_return")]
pub struct Model {
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// Who gets it.
    pub customer_id: Uuid,
    /// Of which payment.
    pub payment_id: Uuid,
    /// Key of the payment provider.
    pub provider: String,
    /// Who wants it.
    pub kind: String,
    /// How much, in minor units; more than zero.
    pub amount: i64,
    /// ISO 4217 code.
    pub currency: String,
    /// Why.
    pub reason: Option<String>,
    /// Micro-credits that were taken for it, and not given again.
    pub credits: i64,
    /// For how long they would have lasted, in seconds; 0: for ever.
    pub life_seconds: Option<i64>,
    /// How far it has come.
    pub state: String,
    /// The provider's own name for it.
    pub reference: Option<String>,
    /// When we first knew of it, in microseconds since 1970.
    pub created_at: i64,
    /// When it ended, in microseconds.
    pub ended_at: Option<i64>,
    /// When it last changed, in microseconds.
    pub updated_at: i64,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
