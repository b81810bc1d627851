//! The SQL of auto-recharges.

use domain::{
    amount::{Credits, Overflow},
    id::{CustomerId, PaymentId, TenantId},
    recharge::{Reason, Recharge, rehearsal::Hour},
    time::Timestamp,
};
use entity::{auto_recharge, from_text, recharge_evaluation, to_text};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect,
};

use super::view::Evaluation;
use crate::{
    actor::Reach,
    error::Result,
    op::Op,
    sql::{Rows, customers, first_instant, statement},
};

/// Most ledger entries that a look at the past reads: the latest.
const MOST_ENTRIES: i64 = 200_000;
/// Microseconds of an hour.
const HOUR: i64 = 3_600_000_000;

/// An auto-recharge, and what its account says.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) recharge: Recharge,
    /// Blocks minus overdraft.
    pub(super) balance: Credits,
    pub(super) is_frozen: bool,
    /// What the test clock shows that the customer lives by.
    pub(super) own_time: Option<Timestamp>,
}

/// Those that some customers have. One statement. A row that cannot be read is left out and reported: usage must not wait for it.
pub(super) async fn found(db: &impl ConnectionTrait, customers: &[CustomerId]) -> Result<Vec<Found>> {
    let rows = Rows::of(customers)
        .query(
            db,
            "SELECT r.*, a.blocks - a.overdraft AS balance, a.frozen_at,
                (SELECT t.now_at FROM test_clock t WHERE t.id = a.clock_id) AS clock_now
             FROM {rows} AS v JOIN auto_recharge r ON r.customer_id = v.id JOIN account a ON a.customer_id = v.id
             ORDER BY r.customer_id",
            Vec::new(),
        )
        .await?;
    let mut all = Vec::with_capacity(rows.len());
    for row in &rows {
        let model = auto_recharge::Model::from_query_result(row, "")?;
        match Recharge::try_from(&model) {
            Ok(recharge) => all.push(Found {
                recharge,
                balance: Credits::from_raw(row.try_get("", "balance")?),
                is_frozen: row.try_get::<Option<i64>>("", "frozen_at")?.is_some(),
                own_time: row
                    .try_get::<Option<i64>>("", "clock_now")?
                    .map(Timestamp::from_micros),
            }),
            Err(error) => {
                tracing::error!(customer = %CustomerId(model.customer_id), %error, "an auto-recharge cannot be read");
            }
        }
    }
    Ok(all)
}

pub(super) async fn recharge(
    db: &impl ConnectionTrait,
    reach: Reach,
    customer: CustomerId,
) -> Result<Option<Recharge>> {
    use auto_recharge::Column;
    let row = auto_recharge::Entity::find_by_id(customer.0)
        .filter(reach.condition(Column::TenantId, Column::CustomerId))
        .one(db)
        .await?;
    Ok(row.as_ref().map(Recharge::try_from).transpose()?)
}

/// Writes auto-recharges, and at which balance their accounts watch. Two statements.
pub(super) async fn put(op: &Op, all: &[&Recharge]) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    let rules: std::result::Result<Vec<String>, _> =
        all.iter().map(|it| serde_json::to_string(&it.rule)).collect();
    Rows::default()
        .id("customer_id", all.iter().map(|it| it.customer.0))
        .id("tenant_id", all.iter().map(|it| it.tenant.0))
        .text("rule", rules?)
        .text("state", all.iter().map(|it| to_text(it.state)))
        .opt_text("reason", all.iter().map(|it| it.reason.map(to_text)))
        .opt_int("next_at", all.iter().map(|it| it.next_at.map(Timestamp::micros)))
        .int("failures", all.iter().map(|it| i64::from(it.failures)))
        .opt_id("payment_id", all.iter().map(|it| it.payment.map(|id| id.0)))
        .int("spent_month", all.iter().map(|it| it.spent.month.micros()))
        .int("spent_in_month", all.iter().map(|it| it.spent.in_month))
        .int("spent_day", all.iter().map(|it| it.spent.day.micros()))
        .int("spent_on_day", all.iter().map(|it| i64::from(it.spent.on_day)))
        .int("spent_told", all.iter().map(|it| it.spent.told))
        .execute(
            op.tx(),
            // SQLite takes an ON CONFLICT after a SELECT only where that has a condition.
            "INSERT INTO auto_recharge (customer_id, tenant_id, rule, state, reason, next_at, failures, payment_id,
                spent_month, spent_in_month, spent_day, spent_on_day, spent_told, updated_at)
             SELECT customer_id, tenant_id, rule, state, reason, next_at, failures, payment_id,
                spent_month, spent_in_month, spent_day, spent_on_day, spent_told, $1 FROM {rows} AS v WHERE true
             ON CONFLICT (customer_id) DO UPDATE SET rule = excluded.rule, state = excluded.state,
                reason = excluded.reason, next_at = excluded.next_at, failures = excluded.failures,
                payment_id = excluded.payment_id, spent_month = excluded.spent_month,
                spent_in_month = excluded.spent_in_month, spent_day = excluded.spent_day,
                spent_on_day = excluded.spent_on_day, spent_told = excluded.spent_told,
                updated_at = excluded.updated_at",
            vec![op.now().micros().into()],
        )
        .await?;
    Rows::default()
        .id("customer_id", all.iter().map(|it| it.customer.0))
        .opt_int(
            "watched_balance",
            all.iter().map(|it| it.watches().map(Credits::raw)),
        )
        .execute(
            op.tx(),
            "UPDATE account SET watched_balance = v.watched_balance FROM {rows} AS v
             WHERE account.customer_id = v.customer_id",
            Vec::new(),
        )
        .await?;
    Ok(())
}

/// What an evaluation came to that found the balance low.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) tenant: TenantId,
    pub(super) customer: CustomerId,
    /// Why nothing is charged.
    pub(super) reason: Option<Reason>,
    pub(super) balance: Credits,
    pub(super) threshold: Credits,
    /// What is charged.
    pub(super) payment: Option<PaymentId>,
    /// In the customer's time.
    pub(super) at: Timestamp,
}

/// Notes evaluations, each with the reason that the one before had: the same again is counted there. One statement for what is new and one
/// for what is not.
pub(super) async fn note(op: &Op, all: &[(Outcome, Option<Reason>)]) -> Result<()> {
    let (again, new): (Vec<_>, Vec<_>) = all
        .iter()
        .partition(|(outcome, before)| outcome.reason.is_some() && outcome.reason == *before);
    let again: Vec<&Outcome> = again.into_iter().map(|(outcome, _)| outcome).collect();
    let mut new: Vec<&Outcome> = new.into_iter().map(|(outcome, _)| outcome).collect();
    let counted = count_again(op, &again).await?;
    // The reason may come from a charge that was stopped, and not from an evaluation.
    new.extend(again.into_iter().filter(|it| !counted.contains(&it.customer)));
    insert(op, &new).await
}

/// Counts evaluations where the one before came to the same; answers of whom.
async fn count_again(op: &Op, all: &[&Outcome]) -> Result<Vec<CustomerId>> {
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let rows = Rows::default()
        .id("customer_id", all.iter().map(|it| it.customer.0))
        .opt_text("reason", all.iter().map(|it| it.reason.map(to_text)))
        .int("balance", all.iter().map(|it| it.balance.raw()))
        .int("last_at", all.iter().map(|it| it.at.micros()))
        .query(
            op.tx(),
            "UPDATE recharge_evaluation SET times = times + 1, balance = v.balance, last_at = v.last_at
             FROM {rows} AS v WHERE recharge_evaluation.reason = v.reason
                AND recharge_evaluation.id = (SELECT e.id FROM recharge_evaluation e
                    WHERE e.customer_id = v.customer_id ORDER BY e.id DESC LIMIT 1)
             RETURNING recharge_evaluation.customer_id",
            Vec::new(),
        )
        .await?;
    Ok(customers(&rows)?)
}

async fn insert(op: &Op, all: &[&Outcome]) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    Rows::default()
        .id("id", all.iter().map(|_| op.new_id()))
        .id("tenant_id", all.iter().map(|it| it.tenant.0))
        .id("customer_id", all.iter().map(|it| it.customer.0))
        .opt_text("reason", all.iter().map(|it| it.reason.map(to_text)))
        .int("balance", all.iter().map(|it| it.balance.raw()))
        .int("threshold", all.iter().map(|it| it.threshold.raw()))
        .opt_id("payment_id", all.iter().map(|it| it.payment.map(|id| id.0)))
        .int("at", all.iter().map(|it| it.at.micros()))
        .execute(
            op.tx(),
            "INSERT INTO recharge_evaluation (id, tenant_id, customer_id, reason, balance, threshold, payment_id,
                times, first_at, last_at)
             SELECT id, tenant_id, customer_id, reason, balance, threshold, payment_id, 1, at, at FROM {rows} AS v",
            Vec::new(),
        )
        .await?;
    Ok(())
}

pub(super) async fn evaluations(
    db: &impl ConnectionTrait,
    reach: Reach,
    customer: CustomerId,
    most: u64,
) -> Result<Vec<Evaluation>> {
    use recharge_evaluation::Column;
    let rows = recharge_evaluation::Entity::find()
        .filter(reach.condition(Column::TenantId, Column::CustomerId))
        .filter(Column::CustomerId.eq(customer.0))
        .order_by_desc(Column::Id)
        .limit(most)
        .all(db)
        .await?;
    rows.into_iter()
        .map(|row| {
            let reason = row.reason.as_deref();
            Ok(Evaluation {
                reason: reason
                    .map(|text| from_text("recharge_evaluation", text))
                    .transpose()?,
                balance: Credits::from_raw(row.balance),
                threshold: Credits::from_raw(row.threshold),
                payment: row.payment_id.map(PaymentId),
                times: row.times,
                first_at: Timestamp::from_micros(row.first_at),
                last_at: Timestamp::from_micros(row.last_at),
            })
        })
        .collect()
}

// What is due.

/// Those by the wall's clock that are due, the longest due first. One statement.
pub(super) async fn due(db: &impl ConnectionTrait, now: Timestamp, limit: u64) -> Result<Vec<CustomerId>> {
    let sql = format!(
        "SELECT r.customer_id FROM auto_recharge r JOIN account a ON a.customer_id = r.customer_id
         WHERE r.next_at <= $1 AND a.clock_id IS NULL ORDER BY r.next_at, r.customer_id LIMIT {limit}"
    );
    let rows = db
        .query_all_raw(statement(db, &sql, vec![now.micros().into()]))
        .await?;
    Ok(customers(&rows)?)
}

/// Those of some customers that are due at an instant. One statement.
pub(super) async fn due_of(
    db: &impl ConnectionTrait,
    among: &[CustomerId],
    until: Timestamp,
) -> Result<Vec<CustomerId>> {
    let rows = Rows::of(among)
        .query(
            db,
            "SELECT r.customer_id FROM {rows} AS v JOIN auto_recharge r ON r.customer_id = v.id
             WHERE r.next_at <= $1 ORDER BY r.next_at, r.customer_id",
            vec![until.micros().into()],
        )
        .await?;
    Ok(customers(&rows)?)
}

/// Those of some customers of whom a charge is under way. One statement.
pub(super) async fn charging_of(db: &impl ConnectionTrait, among: &[CustomerId]) -> Result<Vec<CustomerId>> {
    let rows = Rows::of(among)
        .query(
            db,
            "SELECT r.customer_id FROM {rows} AS v JOIN auto_recharge r ON r.customer_id = v.id
             WHERE r.state = 'CHARGING' ORDER BY r.customer_id",
            Vec::new(),
        )
        .await?;
    Ok(customers(&rows)?)
}

/// When the first of some customers is due after an instant. One statement.
pub(super) async fn next_due(
    db: &impl ConnectionTrait,
    among: &[CustomerId],
    after: Timestamp,
) -> Result<Option<Timestamp>> {
    let rows = Rows::of(among)
        .query(
            db,
            "SELECT MIN(r.next_at) AS next_at FROM {rows} AS v JOIN auto_recharge r ON r.customer_id = v.id
             WHERE r.next_at > $1",
            vec![after.micros().into()],
        )
        .await?;
    Ok(first_instant(&rows, "next_at")?)
}

/// Has one that waits for somebody looked at again now. A cap, a limit and a pause after a charge or a decline are not waited for.
pub(super) async fn hasten(op: &Op, customer: CustomerId) -> Result<bool> {
    let sql = "UPDATE auto_recharge SET next_at = 0
         WHERE customer_id = $1 AND reason IN ('NO_PAYMENT_METHOD', 'NOT_SOLD') AND next_at IS NOT NULL";
    let done = op
        .tx()
        .execute_raw(statement(op.tx(), sql, vec![customer.0.into()]));
    Ok(done.await?.rows_affected() > 0)
}

/// Has those looked at again now that the vendor had stopped.
pub(super) async fn hasten_stopped(op: &Op, tenant: TenantId) -> Result<()> {
    let sql = "UPDATE auto_recharge SET next_at = 0
         WHERE tenant_id = $1 AND reason = 'STOPPED' AND next_at IS NOT NULL";
    op.tx()
        .execute_raw(statement(op.tx(), sql, vec![tenant.0.into()]))
        .await?;
    Ok(())
}

// What has been.

/// What moved a balance in an hour.
#[derive(Debug, Clone, Copy)]
pub(super) struct PastHour {
    pub(super) ends_at: Timestamp,
    /// Usage debited, net of what was taken back.
    pub(super) used: Credits,
    /// All of it.
    pub(super) change: Credits,
    /// The part that auto-recharges brought.
    pub(super) recharged: Credits,
}

/// How a balance came to where it is.
#[derive(Debug, Clone)]
pub(super) struct Past {
    /// Where it is.
    pub(super) balance: Credits,
    /// Oldest first; hours in which nothing happened are left out.
    pub(super) hours: Vec<PastHour>,
}

impl Past {
    /// Where it began.
    pub(super) fn opening(&self) -> std::result::Result<Credits, Overflow> {
        self.balance
            .minus(Credits::total(self.hours.iter().map(|hour| hour.change))?)
    }

    /// What would have happened without auto-recharges.
    pub(super) fn without_recharges(&self) -> Vec<Hour> {
        let hours = self.hours.iter();
        hours
            .map(|hour| Hour {
                ends_at: hour.ends_at,
                // A part is never more than the whole of its kind, so that the difference fits.
                change: Credits::from_raw(hour.change.raw().saturating_sub(hour.recharged.raw())),
            })
            .collect()
    }
}

/// How a customer's balance came to where it is since an instant, by hours of the clock on the wall. Two statements.
pub(super) async fn past(db: &impl ConnectionTrait, customer: CustomerId, since: Timestamp) -> Result<Past> {
    let account = "SELECT blocks - overdraft AS balance, sequence FROM account WHERE customer_id = $1";
    let account = db
        .query_one_raw(statement(db, account, vec![customer.0.into()]))
        .await?;
    let (balance, last): (i64, i64) = match account {
        Some(row) => (row.try_get("", "balance")?, row.try_get("", "sequence")?),
        None => (0, 0),
    };
    let sql = format!(
        "SELECT created_at / {HOUR} AS hour, CAST(SUM(credits) AS bigint) AS change,
            CAST(SUM(CASE WHEN kind IN ('DEBIT', 'VOID') THEN -credits ELSE 0 END) AS bigint) AS used,
            CAST(SUM(CASE WHEN kind = 'GRANT' AND block_id IN (SELECT p.block_id FROM payment p
                WHERE p.customer_id = $1 AND p.purpose = 'RECHARGE') THEN credits ELSE 0 END) AS bigint) AS recharged
         FROM ledger_entry WHERE customer_id = $1 AND sequence > $2 AND created_at >= $3
         GROUP BY created_at / {HOUR} ORDER BY created_at / {HOUR}"
    );
    let values = vec![
        customer.0.into(),
        last.saturating_sub(MOST_ENTRIES).into(),
        since.micros().into(),
    ];
    let rows = db.query_all_raw(statement(db, &sql, values)).await?;
    let hours = rows.iter().map(|row| {
        let credits = |column| -> Result<Credits> { Ok(Credits::from_raw(row.try_get("", column)?)) };
        let hour: i64 = row.try_get("", "hour")?;
        Ok(PastHour {
            ends_at: Timestamp::from_micros((hour + 1).saturating_mul(HOUR) - 1),
            used: credits("used")?,
            change: credits("change")?,
            recharged: credits("recharged")?,
        })
    });
    Ok(Past {
        balance: Credits::from_raw(balance),
        hours: hours.collect::<Result<_>>()?,
    })
}
