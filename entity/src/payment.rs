//! Money asked from a customer.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment")]
pub struct Model {
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// Of which customer.
    pub customer_id: Uuid,
    /// What for.
    pub purpose: String,
    /// Key of the payment provider.
    pub provider: String,
    /// With what; none: on a page of the provider's.
    pub method_id: Option<Uuid>,
    /// What that page offers, as JSON.
    pub checkout: Option<String>,
    /// How much, in minor units; more than zero.
    pub amount: i64,
    /// ISO 4217 code.
    pub currency: String,
    /// Micro-credits that it becomes; more than zero.
    pub credits: i64,
    /// How long they last, in seconds from the grant; none: for ever.
    pub lasts_seconds: Option<i64>,
    /// The invoice that it pays.
    pub invoice_id: Option<Uuid>,
    /// Where it stands.
    pub state: String,
    /// When it was first sent to the provider, in microseconds.
    pub submitted_at: Option<i64>,
    /// When somebody has to send it or to ask about it next, in microseconds; none: nothing is due.
    pub due_at: Option<i64>,
    /// How often it was looked at in vain.
    pub looks: i32,
    /// The provider's own name for it.
    pub reference: Option<String>,
    /// Why no money was taken.
    pub decline: Option<String>,
    /// Where the customer can confirm it.
    pub action_url: Option<String>,
    /// The credits that it became.
    pub block_id: Option<Uuid>,
    /// 1: safe mode has begun, and the provider has not said since how it stands.
    pub unasked: i32,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
    /// When it came to an end, in microseconds.
    pub ended_at: Option<i64>,
    /// When it last changed, in microseconds.
    pub updated_at: i64,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
