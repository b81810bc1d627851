//! The SQL of the audit: reading books in one snapshot, and keeping what was found.

use std::collections::{BTreeSet, HashMap, HashSet};

use domain::{
    id::{CustomerId, HoldId, InvoiceId, PaymentId, SubscriptionId, TenantId},
    payment::{Payment, returned::Return},
    time::Timestamp,
};
use entity::{
    account, audit_mark, audit_run, audit_violation, billing_cycle, block, customer, ledger_entry, nouns,
    payment, payment_return, plan_variant, spend_period, subscription, usage_counter, usage_event,
    usage_pending, usage_rating,
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Value,
};
use uuid::Uuid;

use super::{
    Mode, Reached,
    books::Mark,
    checks::{Finding, Severity},
    view::ViolationId,
};
use crate::{
    error::Result,
    op::Op,
    page::{Page, Slice, ordered},
    sql::{Rows, among, statement},
};

/// Runs of the past that are kept, in days.
const RUNS_KEPT_DAYS: i64 = 30;
/// Incremental runs that are kept, in days: there are 1,440 of them a day.
const INCREMENTAL_KEPT_DAYS: i64 = 1;

pub(super) const OPEN: &str = "OPEN";
pub(super) const RELEASED: &str = "RELEASED";
pub(super) const RESOLVED: &str = "RESOLVED";

fn ids(customers: &[Uuid]) -> Rows {
    Rows::default().id("id", customers.iter().copied())
}

/// Customers whose account has changed since it was last found sound. Revisions grow under the lock on the account, so a
/// change that commits late is seen late, but always seen; a watermark of time could miss it.
pub(super) async fn changed(db: &impl ConnectionTrait, reached: Reached, limit: u64) -> Result<Vec<Uuid>> {
    let (condition, values) = reached.condition("a.tenant_id", "a.customer_id");
    let sql = format!(
        "SELECT a.customer_id AS id FROM account a LEFT JOIN audit_mark m ON m.customer_id = a.customer_id
         WHERE (m.customer_id IS NULL OR m.revision <> a.revision) AND {condition} ORDER BY a.customer_id LIMIT {limit}"
    );
    read_ids(db, &sql, values).await
}

/// The next customers in the order of their ids.
pub(super) async fn customers_after(
    db: &impl ConnectionTrait,
    reached: Reached,
    after: Uuid,
    limit: u64,
) -> Result<Vec<Uuid>> {
    let (condition, mut values) = reached.condition("c.tenant_id", "c.id");
    values.push(after.into());
    let sql = format!(
        "SELECT c.id AS id FROM customer c WHERE {condition} AND c.id > ${} ORDER BY c.id LIMIT {limit}",
        values.len()
    );
    read_ids(db, &sql, values).await
}

async fn read_ids(db: &impl ConnectionTrait, sql: &str, values: Vec<Value>) -> Result<Vec<Uuid>> {
    let rows = db.query_all_raw(statement(db, sql, values)).await?;
    rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
}

pub(super) async fn count_customers(db: &impl ConnectionTrait, reached: Reached) -> Result<i64> {
    let (condition, values) = reached.condition("c.tenant_id", "c.id");
    let sql = format!("SELECT COUNT(*) AS n FROM customer c WHERE {condition}");
    let row = db.query_one_raw(statement(db, &sql, values)).await?;
    Ok(row.map(|row| row.try_get("", "n")).transpose()?.unwrap_or(0))
}

pub(super) async fn customers(db: &impl ConnectionTrait, all: &[Uuid]) -> Result<Vec<customer::Model>> {
    Ok(ids(all)
        .select::<customer::Entity>(
            db,
            "SELECT c.* FROM {rows} AS v JOIN customer c ON c.id = v.id ORDER BY c.id",
        )
        .await?)
}

pub(super) async fn accounts(
    db: &impl ConnectionTrait,
    all: &[Uuid],
) -> Result<HashMap<Uuid, account::Model>> {
    let rows = ids(all)
        .select::<account::Entity>(
            db,
            "SELECT a.* FROM {rows} AS v JOIN account a ON a.customer_id = v.id",
        )
        .await?;
    Ok(rows.into_iter().map(|row| (row.customer_id, row)).collect())
}

pub(super) async fn marks(
    db: &impl ConnectionTrait,
    all: &[Uuid],
) -> Result<HashMap<Uuid, audit_mark::Model>> {
    let rows = ids(all)
        .select::<audit_mark::Entity>(
            db,
            "SELECT m.* FROM {rows} AS v JOIN audit_mark m ON m.customer_id = v.id",
        )
        .await?;
    Ok(rows.into_iter().map(|row| (row.customer_id, row)).collect())
}

/// How many entries ledgers have after some number.
pub(super) async fn entry_counts(
    db: &impl ConnectionTrait,
    after: &[(Uuid, i64)],
) -> Result<HashMap<Uuid, i64>> {
    let rows = Rows::default()
        .id("id", after.iter().map(|(id, _)| *id))
        .int("after", after.iter().map(|(_, sequence)| *sequence))
        .query(
            db,
            "SELECT v.id AS id, (SELECT COUNT(*) FROM ledger_entry e WHERE e.customer_id = v.id AND e.sequence > v.after)
                AS n FROM {rows} AS v",
            Vec::new(),
        )
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("", "id")?, row.try_get("", "n")?)))
        .collect()
}

/// The entries of several short ledgers after some number, in order.
pub(super) async fn entries(
    db: &impl ConnectionTrait,
    after: &[(Uuid, i64)],
) -> Result<Vec<ledger_entry::Model>> {
    Ok(Rows::default()
        .id("id", after.iter().map(|(id, _)| *id))
        .int("after", after.iter().map(|(_, sequence)| *sequence))
        .select::<ledger_entry::Entity>(
            db,
            "SELECT e.* FROM {rows} AS v JOIN ledger_entry e ON e.customer_id = v.id AND e.sequence > v.after
             ORDER BY e.customer_id, e.sequence",
        )
        .await?)
}

/// A page of one ledger, in order.
pub(super) async fn entries_of(
    db: &impl ConnectionTrait,
    customer: Uuid,
    after: i64,
    limit: u64,
) -> Result<Vec<ledger_entry::Model>> {
    Ok(ledger_entry::Entity::find()
        .filter(ledger_entry::Column::CustomerId.eq(customer))
        .filter(ledger_entry::Column::Sequence.gt(after))
        .order_by_asc(ledger_entry::Column::Sequence)
        .limit(limit)
        .all(db)
        .await?)
}

/// The blocks of customers: all of them, or those that hold credits.
pub(super) async fn blocks(
    db: &impl ConnectionTrait,
    all: &[Uuid],
    spent_too: bool,
) -> Result<Vec<block::Model>> {
    let condition = if spent_too { "" } else { "WHERE b.remaining <> 0" };
    let sql = format!("SELECT b.* FROM {{rows}} AS v JOIN block b ON b.customer_id = v.id {condition}");
    Ok(ids(all).select::<block::Entity>(db, &sql).await?)
}

pub(super) async fn blocks_by_id(db: &impl ConnectionTrait, all: &[Uuid]) -> Result<Vec<block::Model>> {
    Ok(ids(all)
        .select::<block::Entity>(db, "SELECT b.* FROM {rows} AS v JOIN block b ON b.id = v.id")
        .await?)
}

pub(super) async fn counters(db: &impl ConnectionTrait, all: &[Uuid]) -> Result<Vec<usage_counter::Model>> {
    Ok(ids(all)
        .select::<usage_counter::Entity>(
            db,
            "SELECT c.* FROM {rows} AS v JOIN usage_counter c ON c.customer_id = v.id",
        )
        .await?)
}

/// Metrics with their tenants.
pub(super) async fn metric_tenants(
    db: &impl ConnectionTrait,
    all: &BTreeSet<Uuid>,
) -> Result<HashMap<Uuid, Uuid>> {
    let rows = Rows::default()
        .id("id", all.iter().copied())
        .query(
            db,
            "SELECT m.id AS id, m.tenant_id AS tenant_id FROM {rows} AS v JOIN metric m ON m.id = v.id",
            Vec::new(),
        )
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("", "id")?, row.try_get("", "tenant_id")?)))
        .collect()
}

/// The ratings of customers for events of some days.
pub(super) async fn ratings_between(
    db: &impl ConnectionTrait,
    all: &[Uuid],
    days: (i64, i64),
) -> Result<Vec<usage_rating::Model>> {
    Ok(ids(all)
        .select_with::<usage_rating::Entity>(
            db,
            "SELECT r.* FROM {rows} AS v JOIN usage_rating r ON r.customer_id = v.id AND r.day >= $1 AND r.day < $2",
            vec![days.0.into(), days.1.into()],
        )
        .await?)
}

/// The ratings of customers that were made at or after an instant, at most so many.
pub(super) async fn ratings_since(
    db: &impl ConnectionTrait,
    since: &[(Uuid, i64)],
    limit: u64,
) -> Result<Vec<usage_rating::Model>> {
    let sql = format!(
        "SELECT r.* FROM {{rows}} AS v JOIN usage_rating r ON r.customer_id = v.id AND r.settled_at >= v.since
         LIMIT {limit}"
    );
    Ok(Rows::default()
        .id("id", since.iter().map(|(id, _)| *id))
        .int("since", since.iter().map(|(_, instant)| *instant))
        .select::<usage_rating::Entity>(db, &sql)
        .await?)
}

/// `(customer, metric, line, cycle, version, units, events)`.
pub(super) type RatingSum = (Uuid, Uuid, Uuid, i64, Option<Uuid>, i64, i64);

/// What the ratings of customers sum up to.
pub(super) async fn rating_sums(db: &impl ConnectionTrait, all: &[Uuid]) -> Result<Vec<RatingSum>> {
    let rows = ids(all)
        .query(
            db,
            "SELECT r.customer_id, r.metric_id, r.line_id, r.period_start, r.rule_id,
                CAST(SUM(r.units) AS bigint) AS units, CAST(SUM(r.events) AS bigint) AS events
             FROM {rows} AS v JOIN usage_rating r ON r.customer_id = v.id
             GROUP BY r.customer_id, r.metric_id, r.line_id, r.period_start, r.rule_id",
            Vec::new(),
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok((
                row.try_get("", "customer_id")?,
                row.try_get("", "metric_id")?,
                row.try_get("", "line_id")?,
                row.try_get("", "period_start")?,
                row.try_get("", "rule_id")?,
                row.try_get("", "units")?,
                row.try_get("", "events")?,
            ))
        })
        .collect()
}

/// The events of customers that happened between two instants.
pub(super) async fn events_between(
    db: &impl ConnectionTrait,
    all: &[Uuid],
    days: (i64, i64),
) -> Result<Vec<usage_event::Model>> {
    Ok(ids(all)
        .select_with::<usage_event::Entity>(
            db,
            "SELECT e.* FROM {rows} AS v
             JOIN usage_event e ON e.customer_id = v.id AND e.occurred_at >= $1 AND e.occurred_at < $2",
            vec![days.0.into(), days.1.into()],
        )
        .await?)
}

pub(super) async fn events_by_id(db: &impl ConnectionTrait, all: &[Uuid]) -> Result<Vec<usage_event::Model>> {
    Ok(ids(all)
        .select::<usage_event::Entity>(
            db,
            "SELECT e.* FROM {rows} AS v JOIN usage_event e ON e.id = v.id",
        )
        .await?)
}

pub(super) async fn pending(db: &impl ConnectionTrait, all: &[Uuid]) -> Result<Vec<usage_pending::Model>> {
    Ok(ids(all)
        .select::<usage_pending::Entity>(
            db,
            "SELECT p.* FROM {rows} AS v JOIN usage_pending p ON p.customer_id = v.id",
        )
        .await?)
}

/// First and last day on which events of a customer happened.
pub(super) async fn days_of(db: &impl ConnectionTrait, customer: Uuid) -> Result<Option<(i64, i64)>> {
    let sql =
        "SELECT MIN(occurred_at) AS first, MAX(occurred_at) AS last FROM usage_event WHERE customer_id = $1";
    let row = db
        .query_one_raw(statement(db, sql, vec![customer.into()]))
        .await?;
    let Some(row) = row else { return Ok(None) };
    let (first, last): (Option<i64>, Option<i64>) = (row.try_get("", "first")?, row.try_get("", "last")?);
    Ok(first.zip(last))
}

/// The subscriptions of customers.
pub(super) async fn subscriptions(
    db: &impl ConnectionTrait,
    all: &[Uuid],
) -> Result<Vec<subscription::Model>> {
    Ok(ids(all)
        .select::<subscription::Entity>(
            db,
            "SELECT s.* FROM {rows} AS v JOIN subscription s ON s.customer_id = v.id ORDER BY s.id",
        )
        .await?)
}

/// The cycles of customers, and those of their subscriptions, in the order of their numbers.
pub(super) async fn cycles(db: &impl ConnectionTrait, all: &[Uuid]) -> Result<Vec<billing_cycle::Model>> {
    Ok(ids(all)
        .select::<billing_cycle::Entity>(
            db,
            "SELECT c.* FROM {rows} AS v JOIN billing_cycle c ON c.customer_id = v.id
             ORDER BY c.subscription_id, c.number",
        )
        .await?)
}

/// The variants of the customers' subscriptions that are overdue.
pub(super) async fn variants_overdue(
    db: &impl ConnectionTrait,
    all: &[Uuid],
) -> Result<Vec<plan_variant::Model>> {
    Ok(ids(all)
        .select::<plan_variant::Entity>(
            db,
            "SELECT p.* FROM plan_variant p WHERE p.id IN (SELECT s.variant_id FROM {rows} AS v
                JOIN subscription s ON s.customer_id = v.id WHERE s.state = 'OVERDUE')",
        )
        .await?)
}

/// Events and charges about customers' subscriptions that belong to somebody else: customer and subject.
pub(super) async fn misplaced(db: &impl ConnectionTrait, all: &[Uuid]) -> Result<Vec<(Uuid, String)>> {
    let mut found = Vec::new();
    for (table, sql) in [
        (
            "billing_event",
            "SELECT v.id AS customer_id, e.subscription_id FROM {rows} AS v
             JOIN customer c ON c.id = v.id JOIN billing_event e ON e.customer_id = v.id
             LEFT JOIN subscription s ON s.id = e.subscription_id
             WHERE e.tenant_id <> c.tenant_id
                OR (e.subscription_id IS NOT NULL AND (s.customer_id IS NULL OR s.customer_id <> v.id))",
        ),
        (
            "subscription_charge",
            "SELECT v.id AS customer_id, x.subscription_id FROM {rows} AS v
             JOIN subscription s ON s.customer_id = v.id JOIN subscription_charge x ON x.subscription_id = s.id
             WHERE x.tenant_id <> s.tenant_id OR x.customer_id <> s.customer_id",
        ),
    ] {
        for row in ids(all).query(db, sql, Vec::new()).await? {
            let of: Option<Uuid> = row.try_get("", "subscription_id")?;
            let of = of.map_or_else(String::new, |id| SubscriptionId(id).to_string());
            found.push((row.try_get("", "customer_id")?, format!("{table}:{of}")));
        }
    }
    Ok(found)
}

/// Payments of customers that became something else than was paid for, or are not the customer's: customer and payment.
pub(super) async fn wrongly_paid(db: &impl ConnectionTrait, all: &[Uuid]) -> Result<Vec<(Uuid, PaymentId)>> {
    let sql = "SELECT p.customer_id, p.id FROM {rows} AS v
        JOIN customer c ON c.id = v.id JOIN payment p ON p.customer_id = v.id LEFT JOIN block b ON b.id = p.block_id
        WHERE p.tenant_id <> c.tenant_id OR (p.state = 'SUCCEEDED' AND p.purpose <> 'INVOICE') <> (b.id IS NOT NULL)
            OR b.customer_id <> p.customer_id OR b.credits <> p.credits OR b.source <> 'PURCHASE'";
    let rows = ids(all).query(db, sql, Vec::new()).await?;
    let found = rows.iter().map(|row| {
        let id: Uuid = row.try_get("", "id")?;
        Ok((row.try_get("", "customer_id")?, PaymentId(id)))
    });
    found.collect()
}

/// Money of customers that goes back.
pub(super) async fn returns(db: &impl ConnectionTrait, all: &[Uuid]) -> Result<Vec<Return>> {
    let sql = "SELECT r.* FROM {rows} AS v JOIN payment p ON p.customer_id = v.id
         JOIN payment_return r ON r.payment_id = p.id";
    let rows = ids(all).select::<payment_return::Entity>(db, sql).await?;
    Ok(nouns(rows)?)
}

/// Payments by their ids; none are asked for without any.
pub(super) async fn payments(db: &impl ConnectionTrait, all: &[PaymentId]) -> Result<Vec<Payment>> {
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let rows = payment::Entity::find()
        .filter(among(db, payment::Column::Id, all.iter().map(|id| id.0)))
        .all(db)
        .await?;
    Ok(nouns(rows)?)
}

/// Customers whose ledger does not add up to what was taken for money that went back.
pub(super) async fn unbooked_returns(
    db: &impl ConnectionTrait,
    all: &[Uuid],
) -> Result<Vec<(Uuid, CustomerId)>> {
    let sql = "SELECT v.id FROM {rows} AS v
         WHERE COALESCE((SELECT SUM(r.credits) FROM payment_return r WHERE r.customer_id = v.id), 0)
            + COALESCE((SELECT SUM(e.credits) FROM ledger_entry e WHERE e.customer_id = v.id
                AND e.kind = 'REVERSAL'), 0) <> 0";
    let rows = ids(all).query(db, sql, Vec::new()).await?;
    let found = rows.iter().map(|row| {
        let id: Uuid = row.try_get("", "id")?;
        Ok((id, CustomerId(id)))
    });
    found.collect()
}

/// Invoices of customers that are not as their payments say: customer and invoice. What credit notes have taken back since does not count.
pub(super) async fn wrongly_billed(
    db: &impl ConnectionTrait,
    all: &[Uuid],
) -> Result<Vec<(Uuid, InvoiceId)>> {
    let sql = "SELECT p.customer_id, p.invoice_id FROM {rows} AS v
        JOIN payment p ON p.customer_id = v.id AND p.invoice_id IS NOT NULL
        LEFT JOIN invoice i ON i.id = p.invoice_id
        WHERE i.id IS NULL OR i.customer_id <> p.customer_id OR i.tenant_id <> p.tenant_id
            OR i.currency <> p.currency OR p.amount > i.due
            OR (p.state = 'SUCCEEDED' AND i.state NOT IN ('PAID', 'VOID'))";
    let rows = ids(all).query(db, sql, Vec::new()).await?;
    let found = rows.iter().map(|row| {
        let id: Uuid = row.try_get("", "invoice_id")?;
        Ok((row.try_get("", "customer_id")?, InvoiceId(id)))
    });
    found.collect()
}

/// Customers whose account does not watch the balance as their auto-recharge says, or whose charge under way is none of theirs.
pub(super) async fn wrongly_watched(db: &impl ConnectionTrait, all: &[Uuid]) -> Result<Vec<Uuid>> {
    let sql = "SELECT a.customer_id FROM {rows} AS v
        JOIN account a ON a.customer_id = v.id LEFT JOIN auto_recharge r ON r.customer_id = v.id
        LEFT JOIN payment p ON p.id = r.payment_id
        WHERE (a.watched_balance IS NOT NULL) <> (COALESCE(r.state, 'OFF') = 'WATCHING')
            OR r.tenant_id <> a.tenant_id
            OR p.customer_id <> r.customer_id OR p.purpose <> 'RECHARGE' OR p.ended_at IS NOT NULL";
    let rows = ids(all).query(db, sql, Vec::new()).await?;
    let found = rows.iter().map(|row| Ok(row.try_get("", "customer_id")?));
    found.collect()
}

/// Customers whose account does not know whether what they spend is counted.
pub(super) async fn wrongly_managed(db: &impl ConnectionTrait, all: &[Uuid]) -> Result<Vec<Uuid>> {
    let sql = "SELECT a.customer_id FROM {rows} AS v
        JOIN account a ON a.customer_id = v.id LEFT JOIN spend_setting s ON s.customer_id = v.id
        WHERE a.spend_managed <> COALESCE(s.enabled, 0) OR s.tenant_id <> a.tenant_id";
    let rows = ids(all).query(db, sql, Vec::new()).await?;
    let found = rows.iter().map(|row| Ok(row.try_get("", "customer_id")?));
    found.collect()
}

fn since_days(since: &[(Uuid, Timestamp)]) -> Rows {
    Rows::default()
        .id("id", since.iter().map(|(id, _)| *id))
        .int("since", since.iter().map(|(_, since)| since.day().micros()))
        .int(
            "month",
            since.iter().map(|(_, since)| since.month().start.micros()),
        )
}

/// Customers of whom something else counts on a day since an instant than what its usage cost.
pub(super) async fn wrongly_spent(
    db: &impl ConnectionTrait,
    since: &[(Uuid, Timestamp)],
) -> Result<Vec<Uuid>> {
    let sql = "SELECT DISTINCT customer_id FROM (
            SELECT customer_id, day FROM (
                SELECT r.customer_id, r.day, r.credits FROM {rows} AS v
                JOIN spend_setting s ON s.customer_id = v.id JOIN usage_rating r ON r.customer_id = v.id
                WHERE r.day >= s.since AND r.day >= v.since
                UNION ALL
                SELECT p.customer_id, p.start, p.corrected - p.credits FROM {rows} AS v
                JOIN spend_setting s ON s.customer_id = v.id JOIN spend_period p ON p.customer_id = v.id
                WHERE p.span = 'DAY' AND p.start >= s.since AND p.start >= v.since) AS booked
            GROUP BY customer_id, day HAVING SUM(credits) <> 0) AS wrong";
    let rows = since_days(since).query(db, sql, Vec::new()).await?;
    let found = rows.iter().map(|row| Ok(row.try_get("", "customer_id")?));
    found.collect()
}

/// What counts in whole months since an instant.
pub(super) async fn spent(
    db: &impl ConnectionTrait,
    since: &[(Uuid, Timestamp)],
) -> Result<Vec<spend_period::Model>> {
    let sql = "SELECT p.* FROM {rows} AS v
        JOIN spend_setting s ON s.customer_id = v.id JOIN spend_period p ON p.customer_id = v.id
        WHERE p.start >= s.since AND p.start >= v.month";
    Ok(since_days(since).select::<spend_period::Entity>(db, sql).await?)
}

/// Customers whose account does not say what their open holds have set aside, or how many there are.
pub(super) async fn wrongly_held(db: &impl ConnectionTrait, all: &[Uuid]) -> Result<Vec<Uuid>> {
    let sql = "SELECT a.customer_id FROM {rows} AS v JOIN account a ON a.customer_id = v.id
        LEFT JOIN hold h ON h.customer_id = v.id AND h.state = 'OPEN'
        GROUP BY a.customer_id, a.held, a.holds
        HAVING a.held <> COALESCE(SUM(h.credits), 0) OR a.holds <> COUNT(h.id)";
    let rows = ids(all).query(db, sql, Vec::new()).await?;
    let found = rows.iter().map(|row| Ok(row.try_get("", "customer_id")?));
    found.collect()
}

/// Customers whose events have gaps beyond what is no longer kept, or whose account does not say the last number. Whatever lies after the
/// last event that its tenant has forgotten must be there; where none was forgotten, everything.
pub(super) async fn wrongly_numbered(db: &impl ConnectionTrait, all: &[Uuid]) -> Result<Vec<Uuid>> {
    let sql = "SELECT a.customer_id FROM {rows} AS v JOIN account a ON a.customer_id = v.id
        LEFT JOIN event_feed f ON f.tenant_id = a.tenant_id
        LEFT JOIN billing_event e ON e.customer_id = v.id
            AND (e.position IS NULL OR e.position > COALESCE(f.forgotten, 0))
        GROUP BY a.customer_id, a.event_sequence, f.forgotten
        HAVING MAX(e.sequence) > a.event_sequence
            OR COUNT(e.id) <> a.event_sequence - CASE WHEN COALESCE(f.forgotten, 0) = 0 THEN 0
                ELSE COALESCE(MIN(e.sequence) - 1, a.event_sequence) END";
    let rows = ids(all).query(db, sql, Vec::new()).await?;
    let found = rows.iter().map(|row| Ok(row.try_get("", "customer_id")?));
    found.collect()
}

/// Holds of customers that ended at or after an instant of each, and belong to another tenant or were captured and did not become the
/// usage that they say: customer and hold. Of customers with test clocks all are looked at, whose ends have no place in time.
pub(super) async fn wrongly_captured(
    db: &impl ConnectionTrait,
    since: &[(Uuid, i64)],
) -> Result<Vec<(Uuid, HoldId)>> {
    let sql = "SELECT h.customer_id, h.id FROM {rows} AS v JOIN account a ON a.customer_id = v.id
        JOIN hold h ON h.customer_id = v.id
            AND h.ended_at >= CASE WHEN a.clock_id IS NULL THEN v.since ELSE CAST(-9223372036854775807 AS bigint) END
        LEFT JOIN usage_event e ON e.id = h.event_id
        WHERE h.tenant_id <> a.tenant_id OR (h.event_id IS NOT NULL AND (e.id IS NULL
            OR e.tenant_id <> h.tenant_id OR e.customer_id <> h.customer_id OR e.metric_id <> h.metric_id
            OR e.units <> h.captured_units OR e.key NOT LIKE 'hold:hld~_%' ESCAPE '~'))";
    let rows = Rows::default()
        .id("id", since.iter().map(|(id, _)| *id))
        .int("since", since.iter().map(|(_, since)| *since));
    let rows = rows.query(db, sql, Vec::new()).await?;
    let found = rows.iter().map(|row| {
        let id: Uuid = row.try_get("", "id")?;
        Ok((row.try_get("", "customer_id")?, HoldId(id)))
    });
    found.collect()
}

// What was found.

pub(super) async fn begin_run(op: &Op, mode: Mode, tenant: Option<TenantId>) -> Result<Uuid> {
    let id = op.new_id();
    let row = audit_run::ActiveModel {
        id: Set(id),
        tenant_id: Set(tenant.map(|tenant| tenant.0)),
        mode: Set(mode.as_str().to_owned()),
        customers: Set(0),
        entries: Set(0),
        events: Set(0),
        violations: Set(0),
        remaining: Set(0),
        started_at: Set(op.now().micros()),
        finished_at: Set(None),
    };
    audit_run::Entity::insert(row)
        .exec_without_returning(op.tx())
        .await?;
    Ok(id)
}

/// Ends a run and forgets old ones.
pub(super) async fn end_run(op: &Op, run: audit_run::ActiveModel) -> Result<()> {
    audit_run::Entity::update(run).exec(op.tx()).await?;
    for (mode, days) in [
        (Mode::Incremental, INCREMENTAL_KEPT_DAYS),
        (Mode::Full, RUNS_KEPT_DAYS),
    ] {
        audit_run::Entity::delete_many()
            .filter(audit_run::Column::Mode.eq(mode.as_str()))
            .filter(audit_run::Column::StartedAt.lt(op.now().plus_seconds(-days * 86_400).micros()))
            .exec(op.tx())
            .await?;
    }
    Ok(())
}

/// The last run of a kind that has ended, and that looked at a tenant.
pub(super) async fn last_run(
    db: &impl ConnectionTrait,
    mode: Mode,
    tenant: Option<TenantId>,
) -> Result<Option<audit_run::Model>> {
    let whose = sea_orm::Condition::any()
        .add(audit_run::Column::TenantId.is_null())
        .add_option(tenant.map(|tenant| audit_run::Column::TenantId.eq(tenant.0)));
    Ok(audit_run::Entity::find()
        .filter(audit_run::Column::Mode.eq(mode.as_str()))
        .filter(audit_run::Column::FinishedAt.is_not_null())
        .filter(whose)
        .order_by_desc(audit_run::Column::StartedAt)
        .limit(1)
        .one(db)
        .await?)
}

/// Writes how far customers were found sound. One statement for any number.
pub(super) async fn put_marks(op: &Op, all: &[Mark]) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    let states: Vec<String> = all
        .iter()
        .map(|mark| serde_json::to_string(&mark.place))
        .collect::<std::result::Result<_, _>>()?;
    Rows::default()
        .id("customer_id", all.iter().map(|mark| mark.customer))
        .int("revision", all.iter().map(|mark| mark.revision))
        .int("sequence", all.iter().map(|mark| mark.place.sequence))
        .text("state", states)
        .execute(
            op.tx(),
            "INSERT INTO audit_mark (customer_id, revision, sequence, state, audited_at)
             SELECT customer_id, revision, sequence, state, $1 FROM {rows} AS v WHERE true ORDER BY customer_id
             ON CONFLICT (customer_id) DO UPDATE SET revision = excluded.revision, sequence = excluded.sequence,
                state = excluded.state, audited_at = excluded.audited_at
             WHERE excluded.revision >= audit_mark.revision",
            vec![op.now().micros().into()],
        )
        .await?;
    Ok(())
}

/// Keeps findings. What was released stays so while it is seen; what had been resolved is open again. One statement.
pub(super) async fn put_findings(op: &Op, all: &[Finding], mode: Mode) -> Result<()> {
    // PostgreSQL refuses a statement that would write a row twice.
    let mut named = HashSet::new();
    let all: Vec<&Finding> = all
        .iter()
        .filter(|it| named.insert((it.check, it.subject.as_str())))
        .collect();
    if all.is_empty() {
        return Ok(());
    }
    Rows::default()
        .id("id", all.iter().map(|_| op.new_id()))
        .opt_id("tenant_id", all.iter().map(|it| it.tenant))
        .opt_id("customer_id", all.iter().map(|it| it.customer))
        .text("check_id", all.iter().map(|it| it.check.id().to_owned()))
        .text("subject", all.iter().map(|it| it.subject.clone()))
        .text("severity", all.iter().map(|it| it.check.severity().as_str().to_owned()))
        .text("message", all.iter().map(|it| it.message.clone()))
        .execute(
            op.tx(),
            "INSERT INTO audit_violation (id, tenant_id, customer_id, check_id, subject, severity, message, state, deep,
                first_seen_at, last_seen_at)
             SELECT id, tenant_id, customer_id, check_id, subject, severity, message, 'OPEN', $1, $2, $2
             FROM {rows} AS v WHERE true ORDER BY check_id, subject
             ON CONFLICT (check_id, subject) DO UPDATE SET message = excluded.message, last_seen_at = excluded.last_seen_at,
                deep = CASE WHEN audit_violation.state = 'RESOLVED' OR excluded.deep < audit_violation.deep
                    THEN excluded.deep ELSE audit_violation.deep END,
                first_seen_at = CASE audit_violation.state WHEN 'RESOLVED' THEN excluded.first_seen_at
                    ELSE audit_violation.first_seen_at END,
                state = CASE audit_violation.state WHEN 'RELEASED' THEN 'RELEASED' ELSE 'OPEN' END, resolved_at = NULL",
            vec![i32::from(mode == Mode::Full).into(), op.now().micros().into()],
        )
        .await?;
    Ok(())
}

/// Resolves what was not seen again since `seen` about these customers. An incremental run resolves only what one can see.
pub(super) async fn resolve_customers(op: &Op, all: &[Uuid], mode: Mode, seen: Timestamp) -> Result<()> {
    let depth = if mode == Mode::Full { 1 } else { 0 };
    ids(all)
        .execute(
            op.tx(),
            "UPDATE audit_violation SET state = 'RESOLVED', resolved_at = $1 FROM {rows} AS v
             WHERE audit_violation.customer_id = v.id AND state <> 'RESOLVED' AND last_seen_at < $2 AND deep <= $3
                AND check_id NOT IN ('block.swept', 'subscription.due', 'usage.waiting', 'access.scopes')",
            vec![op.now().micros().into(), seen.micros().into(), depth.into()],
        )
        .await?;
    Ok(())
}

/// Resolves what was not seen again since `seen` and belongs to no single customer, or is found for all of them at once.
pub(super) async fn resolve_house(op: &Op, seen: Timestamp) -> Result<()> {
    op.tx()
        .execute_raw(statement(
            op.tx(),
            "UPDATE audit_violation SET state = 'RESOLVED', resolved_at = $1
             WHERE state <> 'RESOLVED' AND last_seen_at < $2
                AND (customer_id IS NULL OR check_id IN ('block.swept', 'subscription.due', 'usage.waiting', 'access.scopes'))",
            vec![op.now().micros().into(), seen.micros().into()],
        ))
        .await?;
    Ok(())
}

/// Freezes accounts with open violations about money, and lets go of the others. Answers who was frozen now.
pub(super) async fn freeze(op: &Op, all: &[Uuid]) -> Result<Vec<Uuid>> {
    let open = "EXISTS (SELECT 1 FROM audit_violation x
        WHERE x.customer_id = account.customer_id AND x.state = 'OPEN' AND x.severity = 'S1')";
    let freeze = format!(
        "UPDATE account SET frozen_at = $1 FROM {{rows}} AS v
         WHERE account.customer_id = v.id AND frozen_at IS NULL AND {open} RETURNING account.customer_id AS id"
    );
    let frozen = ids(all)
        .query(op.tx(), &freeze, vec![op.now().micros().into()])
        .await?;
    let thaw = format!(
        "UPDATE account SET frozen_at = NULL FROM {{rows}} AS v
         WHERE account.customer_id = v.id AND frozen_at IS NOT NULL AND NOT {open}"
    );
    ids(all).execute(op.tx(), &thaw, Vec::new()).await?;
    frozen.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
}

/// Marks the open violations of a customer as looked at.
pub(super) async fn release(op: &Op, tenant: TenantId, customer: CustomerId) -> Result<u64> {
    let done = op
        .tx()
        .execute_raw(statement(
            op.tx(),
            "UPDATE audit_violation SET state = 'RELEASED' WHERE customer_id = $1 AND tenant_id = $2 AND state = 'OPEN'",
            vec![customer.0.into(), tenant.0.into()],
        ))
        .await?;
    Ok(done.rows_affected())
}

/// Open violations per check, everywhere.
pub(super) async fn open_counts(db: &impl ConnectionTrait) -> Result<HashMap<String, i64>> {
    let sql =
        "SELECT check_id, COUNT(*) AS n FROM audit_violation WHERE state <> 'RESOLVED' GROUP BY check_id";
    let rows = db.query_all_raw(statement(db, sql, Vec::new())).await?;
    rows.iter()
        .map(|row| Ok((row.try_get("", "check_id")?, row.try_get("", "n")?)))
        .collect()
}

/// The violations that a tenant may see, oldest first.
pub(super) async fn violations(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    resolved_too: bool,
    page: Page<ViolationId>,
) -> Result<Slice<audit_violation::Model>> {
    let mut all = audit_violation::Entity::find().filter(
        sea_orm::Condition::any()
            .add(audit_violation::Column::TenantId.eq(tenant.0))
            .add(audit_violation::Column::TenantId.is_null()),
    );
    if !resolved_too {
        all = all.filter(audit_violation::Column::State.ne(RESOLVED));
    }
    page.map(|id| id.0)
        .read(ordered(all, audit_violation::Column::Id), db)
        .await
}

/// Whether a severity freezes; kept beside the SQL that says so.
pub(super) fn freezes(finding: &Finding) -> Option<Uuid> {
    finding
        .customer
        .filter(|_| finding.check.severity() == Severity::S1)
}
