//! What was asked of a payment provider.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment_watch")]
pub struct Model {
    /// Its key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub provider: String,
    /// Nothing that happened before was missed, in microseconds since 1970.
    pub heard_until: i64,
    /// When it was last asked, in microseconds.
    pub asked_at: i64,
    /// Nothing is charged, since what happened from then on may be missing here; in microseconds.
    pub safe_since: Option<i64>,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
