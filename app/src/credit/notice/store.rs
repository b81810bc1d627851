//! The SQL of what customers are told about their credits.

use std::collections::BTreeMap;

use domain::{
    amount::Credits,
    credit::expiring::Expiring,
    id::{BlockId, CustomerId, TenantId},
    time::Timestamp,
};
use sea_orm::ConnectionTrait;

use crate::{
    error::Result,
    op::Op,
    sql::{Rows, customers, first_instant, statement},
};

// Few credits are left.

/// What is to be known to tell a customer that few credits are left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// When it was told last.
    pub(super) told_at: Option<Timestamp>,
    /// How far below zero checks allow; `None`: there is no limit.
    pub(super) overage_line: Option<Credits>,
    /// What the test clock shows that it lives by.
    pub(super) own_time: Option<Timestamp>,
}

/// What is to be known of some customers. One statement; nothing in it can be beyond reading, because usage must not wait for a letter.
pub(super) async fn found(
    db: &impl ConnectionTrait,
    of: &[CustomerId],
) -> Result<BTreeMap<CustomerId, Found>> {
    let rows = Rows::of(of)
        .query(
            db,
            "SELECT a.customer_id, a.low_balance_told_at,
                CASE WHEN c.at_zero <> 'ALLOW' THEN c.overage_line END AS overage_line,
                (SELECT t.now_at FROM test_clock t WHERE t.id = a.clock_id) AS clock_now
             FROM {rows} AS v JOIN account a ON a.customer_id = v.id JOIN customer c ON c.id = v.id",
            Vec::new(),
        )
        .await?;
    rows.iter()
        .map(|row| {
            let number = |column| row.try_get::<Option<i64>>("", column);
            let found = Found {
                told_at: number("low_balance_told_at")?.map(Timestamp::from_micros),
                overage_line: number("overage_line")?.map(Credits::from_raw),
                own_time: number("clock_now")?.map(Timestamp::from_micros),
            };
            Ok((CustomerId(row.try_get("", "customer_id")?), found))
        })
        .collect()
}

/// Notes when customers were told. One statement for any number.
pub(super) async fn mark_told(op: &Op, all: &BTreeMap<CustomerId, Timestamp>) -> Result<()> {
    Rows::default()
        .id("id", all.keys().map(|customer| customer.0))
        .int("told_at", all.values().map(|at| at.micros()))
        .execute(
            op.tx(),
            "UPDATE account SET low_balance_told_at = v.told_at FROM {rows} AS v WHERE account.customer_id = v.id",
            Vec::new(),
        )
        .await?;
    Ok(())
}

/// Sets at which balance a customer wants to be told. One statement.
pub(super) async fn watch(op: &Op, customer: CustomerId, threshold: Option<Credits>) -> Result<()> {
    let sql = "UPDATE account SET low_balance = $2 WHERE customer_id = $1";
    let values = vec![customer.0.into(), threshold.map(Credits::raw).into()];
    op.tx().execute_raw(statement(op.tx(), sql, values)).await?;
    Ok(())
}

// Credits will be gone.

/// Customers by the wall's clock with blocks that have come to a stage. One statement.
pub(super) async fn due(db: &impl ConnectionTrait, now: Timestamp, most: u64) -> Result<Vec<CustomerId>> {
    let sql = "SELECT DISTINCT b.customer_id FROM block b JOIN account a ON a.customer_id = b.customer_id
         WHERE b.state = 'ACTIVE' AND b.notice_at <= $1 AND a.clock_id IS NULL ORDER BY b.customer_id LIMIT $2";
    let values = vec![now.micros().into(), most.into()];
    let rows = db.query_all_raw(statement(db, sql, values)).await?;
    Ok(customers(&rows)?)
}

/// Those of some customers with blocks that have come to a stage at an instant. One statement.
pub(super) async fn due_of(
    db: &impl ConnectionTrait,
    among: &[CustomerId],
    until: Timestamp,
) -> Result<Vec<CustomerId>> {
    let rows = Rows::of(among)
        .query(
            db,
            "SELECT DISTINCT b.customer_id FROM {rows} AS v JOIN block b ON b.customer_id = v.id
             WHERE b.state = 'ACTIVE' AND b.notice_at <= $1 ORDER BY b.customer_id",
            vec![until.micros().into()],
        )
        .await?;
    Ok(customers(&rows)?)
}

/// When the first block of some customers comes to a stage after an instant. One statement.
pub(super) async fn next_notice(
    db: &impl ConnectionTrait,
    among: &[CustomerId],
    after: Timestamp,
) -> Result<Option<Timestamp>> {
    let rows = Rows::of(among)
        .query(
            db,
            "SELECT MIN(b.notice_at) AS notice_at FROM {rows} AS v JOIN block b ON b.customer_id = v.id
             WHERE b.state = 'ACTIVE' AND b.notice_at > $1",
            vec![after.micros().into()],
        )
        .await?;
    Ok(first_instant(&rows, "notice_at")?)
}

/// The blocks of customers that come to a stage by an instant. One statement; nothing in it can be beyond reading, so that nobody keeps others
/// from being told.
pub(super) async fn blocks(
    db: &impl ConnectionTrait,
    of: &[CustomerId],
    by: Timestamp,
) -> Result<BTreeMap<(TenantId, CustomerId), Vec<Expiring>>> {
    let rows = Rows::of(of)
        .query(
            db,
            "SELECT b.id, b.tenant_id, b.customer_id, b.remaining, b.expires_at, b.notice_at
             FROM {rows} AS v JOIN block b ON b.customer_id = v.id
             WHERE b.state = 'ACTIVE' AND b.notice_at <= $1 AND b.expires_at IS NOT NULL ORDER BY b.id",
            vec![by.micros().into()],
        )
        .await?;
    let mut found: BTreeMap<_, Vec<Expiring>> = BTreeMap::new();
    for row in &rows {
        let whose = (
            TenantId(row.try_get("", "tenant_id")?),
            CustomerId(row.try_get("", "customer_id")?),
        );
        found.entry(whose).or_default().push(Expiring {
            expires_at: Timestamp::from_micros(row.try_get("", "expires_at")?),
            block: BlockId(row.try_get("", "id")?),
            remaining: Credits::from_raw(row.try_get("", "remaining")?),
            notice_at: Timestamp::from_micros(row.try_get("", "notice_at")?),
        });
    }
    Ok(found)
}

/// Writes when blocks come to their next stage. One statement for any number.
pub(super) async fn put_notices(op: &Op, all: &[(BlockId, Option<Timestamp>)]) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    Rows::default()
        .id("id", all.iter().map(|(block, _)| block.0))
        .opt_int("notice_at", all.iter().map(|(_, at)| at.map(Timestamp::micros)))
        .execute(
            op.tx(),
            "UPDATE block SET notice_at = v.notice_at FROM {rows} AS v WHERE block.id = v.id",
            Vec::new(),
        )
        .await?;
    Ok(())
}
