//! An address that events are sent to.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook_endpoint")]
pub struct Model {
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// Only events about this customer; none: about all.
    pub customer_id: Option<Uuid>,
    /// Where to.
    pub url: String,
    /// Which types of events, as a JSON list; none: all.
    pub types: Option<String>,
    /// What the vendor calls it.
    pub description: Option<String>,
    /// ENABLED, DISABLED or DELETED.
    pub state: String,
    /// Makes its secrets different from all others, 16 bytes.
    pub salt: Vec<u8>,
    /// How often the secret was replaced, from 1.
    pub generation: i32,
    /// Until when the secret of the generation before signs as well, in microseconds.
    pub former_until: Option<i64>,
    /// Most messages on their way at once, 1 to 64.
    pub at_once: i32,
    /// Failed attempts since the last that went well.
    pub failures: i32,
    /// When the first of them was, in microseconds.
    pub failing_since: Option<i64>,
    /// Nothing is sent before, in microseconds; 0: it does not rest.
    pub resting_until: i64,
    /// Somebody sends to it until then, in microseconds; 0: nobody does.
    pub leased_until: i64,
    /// Why the last attempt failed.
    pub last_problem: Option<String>,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
    /// When it last changed, in microseconds.
    pub updated_at: i64,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
