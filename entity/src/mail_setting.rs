//! Whether a vendor writes to its customers, by what name, and where its own people are written to.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mail_setting")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: Uuid,
    /// 1: it does.
    pub enabled: i32,
    /// The name that letters come from; none: that of the tenant.
    pub sender: Option<String>,
    /// Types of events that nobody is written about, as a JSON list.
    pub muted: String,
    /// Where the vendor's own people are written to, as a JSON list.
    pub operations: String,
    /// Types of events that they are not written about, as a JSON list.
    pub operations_muted: String,
    /// When it last changed, in microseconds.
    pub updated_at: i64,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
