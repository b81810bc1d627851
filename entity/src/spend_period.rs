//! What a customer has spent in a day or a month.

use sea_orm::entity::prelude::*;

/// A row, of a customer that has spend management switched on.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "spend_period")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub customer_id: Uuid,
    /// `DAY` or `MONTH`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub span: String,
    /// Its first instant, in microseconds.
    #[sea_orm(primary_key, auto_increment = false)]
    pub start: i64,
    /// What its usage cost, in micro-credits.
    pub credits: i64,
    /// What of that comes from usage that was taken back at another price than its own, in micro-credits.
    pub corrected: i64,
    /// What was told of it: 1 the threshold, 2 the budget.
    pub told: i32,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
