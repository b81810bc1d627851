//! A duty that is being tried or needs a person.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "work")]
pub struct Model {
    /// Name of the row; time-ordered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is.
    pub tenant_id: Option<Uuid>,
    /// Kind, in capitals or as a dotted name.
    pub kind: String,
    /// What the duty is about.
    pub subject: String,
    /// State, in capitals.
    pub state: String,
    /// Tries since it last went well.
    pub attempts: i32,
    /// Not before this instant, in microseconds.
    pub due_at: i64,
    /// When a wake-up was sent that has not been taken, in microseconds; zero: none.
    pub woken_at: i64,
    /// When the run that is under way began, in microseconds; zero: none is.
    pub running_since: i64,
    /// Whether a wake-up came during that run (1) or not (0).
    pub again: i32,
    /// What went wrong last.
    pub error: Option<String>,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
    /// When it last changed, in microseconds.
    pub updated_at: i64,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
