//! What a payment provider has told, without its content.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment_notice")]
pub struct Model {
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Key of the payment provider.
    pub provider: String,
    /// The provider's own name for it.
    pub reference: String,
    /// What has happened, in the provider's words.
    pub kind: String,
    /// Of which payment, as the provider has kept it.
    pub payment_id: Option<Uuid>,
    /// The provider's own names for what it is about, as JSON.
    pub subjects: String,
    /// NEW, DONE, or UNKNOWN: no payment of ours.
    pub state: String,
    /// When it happened, in microseconds since 1970.
    pub occurred_at: i64,
    /// When it came, in microseconds.
    pub received_at: i64,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
