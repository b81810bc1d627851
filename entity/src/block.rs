//! A deposit of credits.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "block")]
pub struct Model {
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// Whose.
    pub customer_id: Uuid,
    /// Where the credits come from.
    pub source: String,
    /// How their use is billed.
    pub billing: String,
    /// Higher burns first.
    pub priority: i32,
    /// Micro-credits.
    pub credits: i64,
    /// Micro-credits left.
    pub remaining: i64,
    /// First instant at which it may pay, in microseconds.
    pub granted_at: i64,
    /// First instant at which it is no longer good, in microseconds.
    pub expires_at: Option<i64>,
    /// Ids of the metrics it may pay for, as JSON; none: all.
    pub metrics: Option<String>,
    /// State, in capitals.
    pub state: String,
    /// A line for people.
    pub description: Option<String>,
    /// The subscription that granted it.
    pub subscription_id: Option<Uuid>,
    /// The template behind it.
    pub template_id: Option<Uuid>,
    /// The cycle that it was granted in.
    pub cycle_number: Option<i64>,
    /// Whether it is ended by the turn of that cycle (1) or by its expiry (0).
    pub ends_with_cycle: i32,
    /// When the customer is told next that it will end, in microseconds; none: there is no stage ahead.
    pub notice_at: Option<i64>,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
