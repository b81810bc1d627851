//! What takes back a part of an invoice.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credit_note")]
pub struct Model {
    /// Its name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Who sells.
    pub tenant_id: Uuid,
    /// Who was billed.
    pub customer_id: Uuid,
    /// Of which invoice.
    pub invoice_id: Uuid,
    /// Its place in the vendor's sequence.
    pub ordinal: i64,
    /// Its number for people.
    pub number: String,
    /// All amounts are in it.
    pub currency: String,
    /// With taxes, in minor units.
    pub total: i64,
    /// All that it says, as JSON.
    pub content: String,
    /// What its address ends with, which nobody can guess.
    pub link: String,
    /// When it was made, in microseconds.
    pub created_at: i64,
    /// The money that went back of a payment, for which it was written.
    pub return_id: Option<Uuid>,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
