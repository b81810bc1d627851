//! A page of the sandbox.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sandbox_setup")]
pub struct Model {
    /// The sandbox's own name for it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub reference: String,
    /// Under which key it was opened.
    pub key: String,
    /// Name of the card that was left there.
    pub card_reference: Option<String>,
    /// That card.
    pub card: Option<String>,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
