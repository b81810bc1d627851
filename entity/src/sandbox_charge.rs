//! What the sandbox has charged.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sandbox_charge")]
pub struct Model {
    /// Under which key it was asked for.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    /// The sandbox's own name for it.
    pub reference: String,
    /// For which payment.
    pub payment_id: Uuid,
    /// The card; none: it is to be chosen on a page, and was not yet.
    pub card: Option<String>,
    /// 1 if it is made on a page.
    pub on_page: i32,
    /// How much, in minor units.
    pub amount: i64,
    /// ISO 4217 code.
    pub currency: String,
    /// When it was first asked for, in microseconds.
    pub asked_at: i64,
    /// How often.
    pub asked: i64,
    /// 0 while it waits for its owner, 1 when it was confirmed, 2 when it was given up before.
    pub confirmed: i32,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
