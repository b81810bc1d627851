//! One cycle of a subscription.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "billing_cycle")]
pub struct Model {
    /// Of which subscription.
    #[sea_orm(primary_key, auto_increment = false)]
    pub subscription_id: Uuid,
    /// Its number: 0 for a trial, else from 1 without gaps.
    #[sea_orm(primary_key, auto_increment = false)]
    pub number: i64,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// Whose.
    pub customer_id: Uuid,
    /// What the subscription had at its beginning.
    pub variant_id: Uuid,
    /// `RUNNING`, `CLOSING` (it has ended and waits for late usage) or `CLOSED`.
    pub state: String,
    /// When the subscription was made, in microseconds: of several, the oldest counts usage.
    pub since: i64,
    /// What happens to late usage.
    pub late: String,
    /// First instant, in microseconds.
    pub period_start: i64,
    /// First instant after, in microseconds.
    pub period_end: i64,
    /// Where it ends by the calendar, in microseconds.
    pub natural_end: i64,
    /// Seconds for which the full amounts of the variant stand.
    pub basis_seconds: i64,
    /// Whether it is a trial (1) or not (0).
    pub trial: i32,
    /// Whether its grants were made (1) or not (0).
    pub paid: i32,
    /// First instant at which usage of this cycle is late, in microseconds.
    pub closes_at: i64,
    /// Its grants and bonuses so far, in micro-credits.
    pub granted: i64,
    /// Micro-credits used ahead of time that no grant has made up for.
    pub ahead: i64,
    /// Since when the present plan grants in it, in microseconds.
    pub granted_from: i64,
    /// Beginning of the last period for which templates with an interval of their own have granted, in microseconds.
    pub granted_through: i64,
    /// The customer's balance once the grants were made, in micro-credits.
    pub balance_at_start: i64,
    /// The customer's balance when it ended, in micro-credits.
    pub balance_at_end: i64,
    /// What it came to, as JSON; there once it has closed.
    pub summary: Option<String>,
    /// When it closed, in microseconds.
    pub closed_at: Option<i64>,
    /// Whether it waits for its invoice.
    pub bill: Option<String>,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
