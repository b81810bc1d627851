//! One letter about one event to one address.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mail")]
pub struct Model {
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// CUSTOMER, or OPERATIONS: to the vendor's own people.
    pub audience: String,
    /// To which customer, or about which; none: the vendor is told of something that is no customer's.
    pub customer_id: Option<Uuid>,
    /// About what.
    pub event_id: Uuid,
    /// Where to.
    pub address: String,
    /// QUEUED, SENT, KEPT (there is no server to send it by), SKIPPED (there is nothing to say) or FAILED (given up).
    pub state: String,
    /// Attempts so far.
    pub attempts: i32,
    /// When the next attempt is due, in microseconds.
    pub next_at: i64,
    /// Its subject, once it was written.
    pub subject: Option<String>,
    /// What it says, as plain text.
    pub body_text: Option<String>,
    /// What it says, as HTML.
    pub body_html: Option<String>,
    /// Why the last attempt failed.
    pub problem: Option<String>,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
    /// When nothing more was to be done, in microseconds.
    pub ended_at: Option<i64>,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
