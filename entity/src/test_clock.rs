//! A clock of a test tenant that is set by hand.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "test_clock")]
pub struct Model {
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// Name for people.
    pub name: String,
    /// What it shows, in microseconds.
    pub now_at: i64,
    /// Where it is on its way to, in microseconds; the same when it stands.
    pub target_at: i64,
    /// Whether it is there and everything that was due has been done (1) or not (0).
    pub ready: i32,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
    /// When it last changed, in microseconds.
    pub updated_at: i64,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
