//! One event on its way to one endpoint.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook_delivery")]
pub struct Model {
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// Where to.
    pub endpoint_id: Uuid,
    /// What.
    pub event_id: Uuid,
    /// PENDING, DELIVERED or FAILED (given up).
    pub state: String,
    /// Attempts so far.
    pub attempts: i32,
    /// When the next attempt is due, in microseconds.
    pub next_at: i64,
    /// What became of each attempt, as a JSON list.
    pub log: String,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
    /// When nothing more was to be done, in microseconds.
    pub ended_at: Option<i64>,
    /// How often it was sent again by hand.
    pub resends: i32,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
