//! Where one customer is written to, and about what it is not.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "customer_mail")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub customer_id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// Where to, as a JSON list; none: the billing address.
    pub addresses: Option<String>,
    /// Types of events that it is not written about, as a JSON list.
    pub muted: String,
    /// When it last changed, in microseconds.
    pub updated_at: i64,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
