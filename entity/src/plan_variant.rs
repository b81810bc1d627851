//! One way to buy a plan. Written once.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "plan_variant")]
pub struct Model {
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// Of which plan.
    pub plan_id: Uuid,
    /// Name for people.
    pub name: String,
    /// All that was agreed, as JSON.
    pub terms: String,
    /// What happens to late usage; also part of the terms.
    pub late: String,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
    /// Since when it is no longer offered, in microseconds.
    pub archived_at: Option<i64>,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
