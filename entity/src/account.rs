//! The totals of a customer's credits; the row that is locked while they change.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "account")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub customer_id: Uuid,
    /// Whose it is.
    pub tenant_id: Uuid,
    /// Number of the line; on the account, of the last line.
    pub sequence: i64,
    /// Sum of all blocks, in micro-credits.
    pub blocks: i64,
    /// What no block could cover, in micro-credits.
    pub overdraft: i64,
    /// Grows with every change, also of terms; wakes watchers.
    pub revision: i64,
    /// When it last changed, in microseconds.
    pub updated_at: i64,
    /// Hash of the last ledger entry, 32 bytes; all zeros before the first.
    pub head: Vec<u8>,
    /// Since when the audit keeps grants, corrections and revocations back, in microseconds.
    pub frozen_at: Option<i64>,
    /// The first instant from which usage has to wait for a subscription, in microseconds; none: there never was one.
    pub barrier_at: Option<i64>,
    /// What the subscriptions have to say about checks.
    pub admission: String,
    /// The test clock that the customer lives by; none: the clock on the wall.
    pub clock_id: Option<Uuid>,
    /// The balance at which a change decides an auto-recharge, in micro-credits; none: nobody watches it.
    pub watched_balance: Option<i64>,
    /// Number of the customer's last event.
    pub event_sequence: i64,
    /// What the open holds have set aside, in micro-credits.
    pub held: i64,
    /// How many holds are open.
    pub holds: i32,
    /// 1 while what it spends is counted against limits of the customer's own.
    pub spend_managed: i32,
    /// The balance that the customer wants to be told of when it comes down to it, in micro-credits; none: it does not.
    pub low_balance: Option<i64>,
    /// When it was last told of it, by the customer's own time, in microseconds.
    pub low_balance_told_at: Option<i64>,
}

/// None: reads are joined by hand, in batches.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
