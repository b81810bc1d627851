//! Sums of debited usage.

use domain::{
    amount::{Credits, Quantity},
    id::{CustomerId, TenantId},
    spend::recent::Recent,
    time::Timestamp,
};
use sea_orm::{ConnectionTrait, QueryResult, Value};

use crate::{
    db::Backend,
    error::Result,
    sql::statement,
    usage::{GroupBy, SummaryRequest, rating::day_of, view::SummaryLine},
};

/// Lines of a summary: a year of days for a few metrics.
const MAX_SUMMARY_LINES: i64 = 5_000;
/// Stands for "no day is cut": no day begins there.
const NO_DAY: i64 = -1;

/// Sums over the counts of all cycles: a few rows per metric, whatever the number of events.
pub(in crate::usage) async fn summary_of_counters(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    customer: CustomerId,
    group_by: GroupBy,
) -> Result<Vec<SummaryLine>> {
    let stretch = match group_by {
        GroupBy::Month => "c.period_start",
        GroupBy::Metric | GroupBy::Day => "CAST(0 AS bigint)",
    };
    let sql = format!(
        "SELECT m.key AS key, {stretch} AS stretch, CAST(SUM(c.units) AS bigint) AS units,
            CAST(SUM(c.events) AS bigint) AS events, CAST(SUM(c.credits) AS bigint) AS credits
         FROM usage_counter c JOIN metric m ON m.id = c.metric_id
         WHERE c.tenant_id = $1 AND c.customer_id = $2 GROUP BY m.key, {stretch} ORDER BY 2, m.key LIMIT $3"
    );
    let values = vec![tenant.0.into(), customer.0.into(), MAX_SUMMARY_LINES.into()];
    let rows = db.query_all_raw(statement(db, &sql, values)).await?;
    rows.iter().map(|row| summary_line(row, group_by)).collect()
}

/// Sums over the ratings of a stretch of time: whole days by the sums of their rows, the days in which it begins or ends
/// inside by their events.
pub(in crate::usage) async fn summary_of_ratings(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    customer: CustomerId,
    request: SummaryRequest,
) -> Result<Vec<SummaryLine>> {
    let stretch = match request.group_by {
        GroupBy::Metric => "CAST(0 AS bigint)",
        GroupBy::Day => "u.day",
        // The first instant of the month is what the drain has counted the event under.
        GroupBy::Month => "u.period_start",
    };
    let (events, id, credits) = match Backend::of(db) {
        Backend::Postgres => (
            "CROSS JOIN LATERAL json_array_elements(r.detail::json) AS d (value)",
            "(d.value ->> 0)::uuid",
            "(d.value ->> 3)::bigint",
        ),
        Backend::Sqlite => (
            "JOIN json_each(r.detail) AS d",
            "unhex(d.value ->> 0)",
            "d.value ->> 3",
        ),
    };
    let sql = format!(
        "SELECT m.key AS key, {stretch} AS stretch, CAST(SUM(u.units) AS bigint) AS units,
            CAST(SUM(u.events) AS bigint) AS events, CAST(SUM(u.credits) AS bigint) AS credits
         FROM (
            SELECT r.metric_id, r.day, r.period_start, r.units, r.events, r.credits FROM usage_rating r
            WHERE r.tenant_id = $1 AND r.customer_id = $2 AND r.day >= $3 AND r.day < $4 AND r.day <> $5 AND r.day <> $6
            UNION ALL
            SELECT r.metric_id, r.day, r.period_start, e.units, 1 AS events, {credits} AS credits
            FROM usage_rating r {events} JOIN usage_event e ON e.id = {id}
            WHERE r.tenant_id = $1 AND r.customer_id = $2 AND (r.day = $5 OR r.day = $6)
                AND e.occurred_at >= $3 AND e.occurred_at < $4 AND e.voided_at IS NULL) AS u
         JOIN metric m ON m.id = u.metric_id
         GROUP BY m.key, {stretch} HAVING SUM(u.events) > 0 ORDER BY 2, m.key LIMIT $7"
    );
    let from = request.from.unwrap_or(Timestamp::MIN);
    let cut = |bound: Option<Timestamp>| {
        let cut = bound.filter(|at| day_of(*at) != at.micros());
        cut.map_or(NO_DAY, day_of)
    };
    let values: Vec<Value> = vec![
        tenant.0.into(),
        customer.0.into(),
        from.micros().into(),
        request.to.map_or(i64::MAX, Timestamp::micros).into(),
        cut(request.from).into(),
        cut(request.to).into(),
        MAX_SUMMARY_LINES.into(),
    ];
    let rows = db.query_all_raw(statement(db, &sql, values)).await?;
    rows.iter()
        .map(|row| summary_line(row, request.group_by))
        .collect()
}

/// What usage came to on each day since midnight of one, without what was taken back. One statement.
pub(crate) async fn spent_by_day(
    db: &impl ConnectionTrait,
    customer: CustomerId,
    since: Timestamp,
) -> Result<Vec<(Timestamp, Credits)>> {
    let sql = "SELECT r.day AS day, CAST(SUM(r.credits) AS bigint) AS credits FROM usage_rating r
         WHERE r.customer_id = $1 AND r.day >= $2 GROUP BY r.day ORDER BY r.day";
    let values = vec![customer.0.into(), since.micros().into()];
    let rows = db.query_all_raw(statement(db, sql, values)).await?;
    rows.iter()
        .map(|row| {
            let day = Timestamp::from_micros(row.try_get("", "day")?);
            Ok((day, Credits::from_raw(row.try_get("", "credits")?)))
        })
        .collect()
}

/// What usage came to lately: on each day since midnight of one, from the newest back, as far as so many rows of ratings say. One statement, by
/// the primary key.
pub(crate) async fn spent_lately(
    db: &impl ConnectionTrait,
    customer: CustomerId,
    since: Timestamp,
    most: i64,
) -> Result<Recent> {
    let sql = "SELECT r.day AS day, CAST(SUM(r.credits) AS bigint) AS credits, COUNT(*) AS ratings FROM (
            SELECT day, credits FROM usage_rating WHERE customer_id = $1 AND day >= $2
            ORDER BY customer_id DESC, day DESC LIMIT $3) AS r
         GROUP BY r.day";
    let values = vec![customer.0.into(), since.micros().into(), most.into()];
    let rows = db.query_all_raw(statement(db, sql, values)).await?;
    let (mut days, mut ratings) = (Vec::with_capacity(rows.len()), 0);
    for row in &rows {
        let day = Timestamp::from_micros(row.try_get("", "day")?);
        days.push((day, Credits::from_raw(row.try_get("", "credits")?)));
        ratings += row.try_get::<i64>("", "ratings")?;
    }
    Ok(Recent {
        days,
        is_all: ratings < most,
    })
}

fn summary_line(row: &QueryResult, group_by: GroupBy) -> Result<SummaryLine> {
    Ok(SummaryLine {
        metric_key: row.try_get("", "key")?,
        period_start: match group_by {
            GroupBy::Metric => None,
            GroupBy::Day | GroupBy::Month => Some(Timestamp::from_micros(row.try_get("", "stretch")?)),
        },
        units: Quantity::from_raw(row.try_get("", "units")?),
        events: row.try_get("", "events")?,
        credits: Credits::from_raw(row.try_get("", "credits")?),
    })
}
