//! What a customer is asked to pay.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "invoice")]
pub struct Model {
    /// Its name.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Who sells.
    pub tenant_id: Uuid,
    /// Who pays.
    pub customer_id: Uuid,
    /// Of which subscription.
    pub subscription_id: Option<Uuid>,
    /// What it was made of.
    pub source: String,
    /// What it is for.
    pub kind: String,
    /// Where it stands.
    pub state: String,
    /// Its place in the vendor's sequence.
    pub ordinal: Option<i64>,
    /// Its number for people.
    pub number: Option<String>,
    /// All amounts are in it.
    pub currency: String,
    /// With taxes, in minor units.
    pub total: i64,
    /// What is to be paid, in minor units.
    pub due: i64,
    /// What credit notes have taken back, in minor units.
    pub credited: i64,
    /// What its payments took beyond what was left to pay, in minor units.
    pub overpaid: i64,
    /// What was paid for a renewal that renewed nothing, and is on no credit note, in minor units.
    pub unused: i64,
    /// All that it says, as JSON.
    pub content: String,
    /// What its address ends with, which nobody can guess.
    pub link: String,
    /// When it got its number, in microseconds.
    pub issued_at: Option<i64>,
    /// When it is to be paid, in microseconds.
    pub due_at: Option<i64>,
    /// When it was paid, in microseconds.
    pub paid_at: Option<i64>,
    /// When something has to be done about it, in microseconds of the customer's time.
    pub next_at: Option<i64>,
    /// When it was drafted, in microseconds.
    pub created_at: i64,
    /// When it last changed, in microseconds.
    pub updated_at: i64,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
