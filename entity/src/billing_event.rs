//! Something that vendors are told about, once.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "billing_event")]
pub struct Model {
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// About whom; none: about the vendor itself.
    pub customer_id: Option<Uuid>,
    /// About which subscription.
    pub subscription_id: Option<Uuid>,
    /// Name of the kind, such as `subscription.renewed`.
    pub kind: String,
    /// Version of the fields of `data`.
    pub version: i32,
    /// Unique per tenant.
    pub key: String,
    /// When it was due, which may be before it was noticed, in microseconds.
    pub occurred_at: i64,
    /// What it says, as a JSON object.
    pub data: String,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
    /// Number among the events of the customer, without gaps.
    pub sequence: Option<i64>,
    /// Number among the events of the tenant, without gaps; none: it is not published yet.
    pub position: Option<i64>,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
