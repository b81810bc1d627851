//! The SQL of spend management.

use std::collections::HashMap;

use domain::{
    amount::Credits,
    id::{CustomerId, TenantId, WebhookEndpointId},
    spend::{
        Rule, Span,
        tally::{Tally, Told},
    },
    time::Timestamp,
};
use entity::{Corrupt, from_json, from_text, spend_period, spend_setting, to_text};
use sea_orm::{ConnectionTrait, EntityTrait, FromQueryResult, QueryResult};

use crate::{
    error::Result,
    op::Op,
    sql::{Rows, statement},
};

/// A day or a month of a customer, by its first instant.
pub(super) type Place = (CustomerId, Span, Timestamp);

/// What a customer has agreed with itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) customer: CustomerId,
    pub(super) tenant: TenantId,
    pub(super) enabled: bool,
    pub(super) rule: Rule,
    /// The webhook endpoint that hears of it; it may be gone.
    pub(super) endpoint: Option<WebhookEndpointId>,
    /// First instant of the first month that is counted: what happened before may have been debited while nobody counted.
    pub(super) since: Timestamp,
}

/// The same, and what its account says.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) setting: Setting,
    /// What the test clock shows that the customer lives by.
    pub(super) own_time: Option<Timestamp>,
}

impl TryFrom<spend_setting::Model> for Setting {
    type Error = Corrupt;

    fn try_from(row: spend_setting::Model) -> std::result::Result<Self, Corrupt> {
        Ok(Self {
            customer: CustomerId(row.customer_id),
            tenant: TenantId(row.tenant_id),
            enabled: row.enabled != 0,
            rule: from_json("spend_setting", &row.rule)?,
            endpoint: row.endpoint_id.map(WebhookEndpointId),
            since: Timestamp::from_micros(row.since),
        })
    }
}

/// What a customer has agreed with itself. One statement.
///
/// # Errors
/// A row that cannot be read: whoever changes or shows it must not take it for none.
pub(super) async fn setting(db: &impl ConnectionTrait, customer: CustomerId) -> Result<Option<Setting>> {
    let row = spend_setting::Entity::find_by_id(customer.0).one(db).await?;
    Ok(row.map(Setting::try_from).transpose()?)
}

/// Whether a webhook endpoint is the one behind a customer's own URL. One statement.
pub(crate) async fn is_own_in(
    db: &impl ConnectionTrait,
    customer: CustomerId,
    endpoint: WebhookEndpointId,
) -> Result<bool> {
    // The rest of the row is nobody's business here, whether or not it can be read.
    let own = statement(
        db,
        "SELECT 1 FROM spend_setting WHERE customer_id = $1 AND endpoint_id = $2",
        vec![customer.0.into(), endpoint.0.into()],
    );
    Ok(db.query_one_raw(own).await?.is_some())
}

/// What some customers have agreed with themselves. One statement. A row that cannot be read is left out and reported:
/// usage must not wait for it, and whoever decides about more usage refuses.
pub(super) async fn found(
    db: &impl ConnectionTrait,
    customers: &[CustomerId],
) -> Result<HashMap<CustomerId, Found>> {
    let rows = Rows::of(customers)
        .query(
            db,
            "SELECT s.*, (SELECT t.now_at FROM test_clock t WHERE t.id = a.clock_id) AS clock_now
             FROM {rows} AS v JOIN spend_setting s ON s.customer_id = v.id JOIN account a ON a.customer_id = v.id",
            Vec::new(),
        )
        .await?;
    let mut all = HashMap::with_capacity(rows.len());
    for row in &rows {
        let model = spend_setting::Model::from_query_result(row, "")?;
        let customer = CustomerId(model.customer_id);
        match Setting::try_from(model) {
            Ok(setting) => {
                let own_time = row.try_get::<Option<i64>>("", "clock_now")?;
                let own_time = own_time.map(Timestamp::from_micros);
                all.insert(customer, Found { setting, own_time });
            }
            Err(error) => tracing::error!(%customer, %error, "spend limits cannot be read"),
        }
    }
    Ok(all)
}

/// Writes a setting, whether its account is counted, and that the account has changed. Two statements.
pub(super) async fn put_setting(op: &Op, it: &Setting) -> Result<()> {
    let values = vec![
        it.customer.0.into(),
        it.tenant.0.into(),
        i32::from(it.enabled).into(),
        serde_json::to_string(&it.rule)?.into(),
        it.endpoint.map(|id| id.0).into(),
        it.since.micros().into(),
        op.now().micros().into(),
    ];
    let sql =
        "INSERT INTO spend_setting (customer_id, tenant_id, enabled, rule, endpoint_id, since, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (customer_id) DO UPDATE SET enabled = excluded.enabled, rule = excluded.rule,
            endpoint_id = excluded.endpoint_id, since = excluded.since, updated_at = excluded.updated_at";
    op.tx().execute_raw(statement(op.tx(), sql, values)).await?;
    let sql = "UPDATE account SET spend_managed = $2, revision = revision + 1 WHERE customer_id = $1";
    let values = vec![it.customer.0.into(), i32::from(it.enabled).into()];
    op.tx().execute_raw(statement(op.tx(), sql, values)).await?;
    Ok(())
}

/// What was spent in some days and months, as far as there is anything. One statement, none for no places.
pub(super) async fn tallies(db: &impl ConnectionTrait, places: &[Place]) -> Result<HashMap<Place, Tally>> {
    if places.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = Rows::default()
        .id("customer_id", places.iter().map(|(customer, ..)| customer.0))
        .text("span", places.iter().map(|(_, span, _)| to_text(*span)))
        .int("start", places.iter().map(|(.., start)| start.micros()))
        .select::<spend_period::Entity>(
            db,
            "SELECT p.* FROM {rows} AS v JOIN spend_period p
             ON p.customer_id = v.customer_id AND p.span = v.span AND p.start = v.start",
        )
        .await?;
    let mut all = HashMap::with_capacity(rows.len());
    for row in rows {
        let tally = Tally {
            span: from_text("spend_period", &row.span)?,
            start: Timestamp::from_micros(row.start),
            credits: Credits::from_raw(row.credits),
            corrected: Credits::from_raw(row.corrected),
            told: Told::from_bits(row.told),
        };
        all.insert((CustomerId(row.customer_id), tally.span, tally.start), tally);
    }
    Ok(all)
}

/// Customers with a month that began longer ago than so many seconds by their own time, which is that of their test clock or this instant, each
/// with its time; of the oldest months, at most so many. One statement.
pub(super) async fn old(
    db: &impl ConnectionTrait,
    now: Timestamp,
    age_seconds: i64,
    most: u64,
) -> Result<Vec<(CustomerId, Timestamp)>> {
    // Most customers live by this instant: the index knows theirs, and those of clocks that are ahead are few.
    let sql = "SELECT customer_id, MIN(now_at) AS now_at FROM (
         SELECT p.customer_id, COALESCE(t.now_at, $1) AS now_at FROM spend_period p
            JOIN account a ON a.customer_id = p.customer_id LEFT JOIN test_clock t ON t.id = a.clock_id
         WHERE p.span = 'MONTH' AND p.start < $2 AND p.start < COALESCE(t.now_at, $1) - $3
         ORDER BY p.start, p.customer_id LIMIT $4) AS month GROUP BY customer_id";
    let before = now.plus_seconds(-age_seconds);
    let values = vec![
        now.micros().into(),
        before.micros().into(),
        age_seconds.saturating_mul(1_000_000).into(),
        most.into(),
    ];
    let rows = db.query_all_raw(statement(db, sql, values)).await?;
    let one = |row: &QueryResult| {
        Ok((
            CustomerId(row.try_get("", "customer_id")?),
            Timestamp::from_micros(row.try_get("", "now_at")?),
        ))
    };
    rows.iter().map(one).collect()
}

/// Forgets what customers have spent before an instant each, the beginning of a month, from which on it is counted. Two statements.
pub(super) async fn forget_before(op: &Op, kept: &[(CustomerId, Timestamp)]) -> Result<()> {
    let rows = || {
        Rows::default()
            .id("id", kept.iter().map(|(customer, _)| customer.0))
            .int("since", kept.iter().map(|(_, since)| since.micros()))
    };
    let sql = "UPDATE spend_setting SET since = v.since FROM {rows} AS v
         WHERE spend_setting.customer_id = v.id AND spend_setting.since < v.since";
    rows().execute(op.tx(), sql, Vec::new()).await?;
    // By the customers, whose periods have an index: not all periods, each compared with all of them.
    let sql = "DELETE FROM spend_period WHERE (customer_id, span, start) IN (
         SELECT p.customer_id, p.span, p.start FROM {rows} AS v CROSS JOIN spend_period p WHERE p.customer_id = v.id AND p.start < v.since)";
    rows().execute(op.tx(), sql, Vec::new()).await?;
    Ok(())
}

/// Writes what was spent. One statement, none for nothing.
pub(super) async fn put_tallies(op: &Op, all: &[(CustomerId, Tally)]) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    Rows::default()
        .id("customer_id", all.iter().map(|(customer, _)| customer.0))
        .text("span", all.iter().map(|(_, it)| to_text(it.span)))
        .int("start", all.iter().map(|(_, it)| it.start.micros()))
        .int("credits", all.iter().map(|(_, it)| it.credits.raw()))
        .int("corrected", all.iter().map(|(_, it)| it.corrected.raw()))
        .int("told", all.iter().map(|(_, it)| i64::from(it.told.bits())))
        .execute(
            op.tx(),
            // SQLite takes an ON CONFLICT after a SELECT only where that has a condition.
            "INSERT INTO spend_period (customer_id, span, start, credits, corrected, told)
             SELECT customer_id, span, start, credits, corrected, told FROM {rows} AS v WHERE true
             ON CONFLICT (customer_id, span, start) DO UPDATE SET credits = excluded.credits,
                corrected = excluded.corrected, told = excluded.told",
            Vec::new(),
        )
        .await?;
    Ok(())
}
