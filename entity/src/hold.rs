//! Credits set aside for work that is still running.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "hold")]
pub struct Model {
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// For whose work.
    pub customer_id: Uuid,
    /// What is going to be used.
    pub metric_id: Uuid,
    /// The holder's idempotency key, unique per tenant.
    pub key: String,
    /// What tells two requests with one key apart.
    pub fingerprint: Uuid,
    /// How much it was made for, in millionths of a unit.
    pub units: i64,
    /// What was set aside when it was made, in micro-credits.
    pub credits: i64,
    /// Facts a rule may match on, as JSON.
    pub properties: Option<String>,
    /// What has become of it.
    pub state: String,
    /// When it was made, in microseconds by the customer's clock.
    pub made_at: i64,
    /// First instant at which it holds nothing any more, in microseconds.
    pub expires_at: i64,
    /// When it was captured, released or found expired, in microseconds; none while it is open.
    pub ended_at: Option<i64>,
    /// The usage event that it became.
    pub event_id: Option<Uuid>,
    /// What was used, in millionths of a unit.
    pub captured_units: Option<i64>,
    /// 1: it was over when it was captured.
    pub late: i32,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
