//! What a vendor promises about overshoot to customers of whom nothing else was said.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "overshoot_setting")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    /// How far usage may go beyond where checks refuse, in micro-credits; none: nothing is promised.
    pub overshoot_limit: Option<i64>,
    /// What becomes of usage beyond that.
    pub beyond_overshoot: String,
    /// When it last changed, in microseconds.
    pub updated_at: i64,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
