//! Ratings: writing those of a batch, and finding those of some events again.

use std::collections::HashMap;

use domain::{
    cycle::late::Timing,
    id::{CustomerId, EventId, MetricId},
    ledger::UsageCause,
    time::{Period, Timestamp},
};
use entity::{to_text, usage_event, usage_rating};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    op::Op,
    sql::{Rows, statement},
    usage::{
        DAY_MICROS,
        rating::{RatingRow, day_of, unpack},
        view::{Rating, UsageEvent},
    },
};

/// The row that has an event `v`. Rows of a day follow each other nearly without overlap, so the first that ends at or after
/// the event is nearly always the one; its text tells.
const ROW_OF: &str = "(SELECT k.last_event FROM usage_rating k
    WHERE k.customer_id = v.customer_id AND k.day = v.day AND k.metric_id = v.metric_id
        AND k.last_event >= v.id AND k.first_event <= v.id AND k.detail LIKE '%' || v.digits || '%'
    ORDER BY k.last_event LIMIT 1)";

/// What an event came to, and when.
pub(super) type Rated = (Rating, Timestamp);

/// Writes rows of ratings. One statement for any number.
pub(in crate::usage) async fn insert_ratings(op: &Op, mut all: Vec<RatingRow>) -> Result<()> {
    let details: Vec<String> = all.iter_mut().map(RatingRow::take_detail).collect();
    Rows::default()
        .id("customer_id", all.iter().map(|it| it.customer.0))
        .int("day", all.iter().map(|it| it.day))
        .id("metric_id", all.iter().map(|it| it.counter.metric.0))
        .id("last_event", all.iter().map(|it| it.last.0))
        .id("first_event", all.iter().map(|it| it.first.0))
        .id("tenant_id", all.iter().map(|it| it.tenant.0))
        .id("line_id", all.iter().map(|it| it.counter.line.map_or(Uuid::nil(), |line| line.0)))
        .opt_id("rule_id", all.iter().map(|it| it.rule.map(|rule| rule.0)))
        .int("period_start", all.iter().map(|it| it.counter.period_start.micros()))
        .int("units", all.iter().map(|it| it.units.raw()))
        .int("events", all.iter().map(|it| it.events))
        .int("credits", all.iter().map(|it| it.credits.raw()))
        .text("purses", all.iter().map(RatingRow::purses))
        .text("detail", details)
        .text("timing", all.iter().map(|it| to_text(it.timing)))
        .execute(
            op.tx(),
            "INSERT INTO usage_rating (customer_id, day, metric_id, last_event, first_event, tenant_id, line_id, rule_id,
                period_start, units, events, credits, purses, detail, timing, settled_at)
             SELECT customer_id, day, metric_id, last_event, first_event, tenant_id, line_id, rule_id, period_start, units,
                events, credits, purses, detail, timing, $1
             FROM {rows} AS v",
            vec![op.now().micros().into()],
        )
        .await?;
    Ok(())
}

/// What events came to, as far as they are debited. One statement.
pub(super) async fn ratings_of(
    db: &impl ConnectionTrait,
    events: &[usage_event::Model],
) -> Result<HashMap<EventId, Rated>> {
    if events.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = format!(
        "SELECT r.* FROM (
            SELECT DISTINCT v.customer_id, v.day, v.metric_id, {ROW_OF} AS last_event FROM {{rows}} AS v) AS found
         JOIN usage_rating r ON r.customer_id = found.customer_id AND r.day = found.day
            AND r.metric_id = found.metric_id AND r.last_event = found.last_event"
    );
    let rows = Rows::default()
        .id("customer_id", events.iter().map(|it| it.customer_id))
        .int(
            "day",
            events
                .iter()
                .map(|it| day_of(Timestamp::from_micros(it.occurred_at))),
        )
        .id("metric_id", events.iter().map(|it| it.metric_id))
        .id("id", events.iter().map(|it| it.id))
        .text("digits", events.iter().map(|it| it.id.simple().to_string()))
        .select::<usage_rating::Entity>(db, &sql)
        .await?;
    all_of(&rows)
}

/// What the events behind a ledger entry came to, the first ones of them in the order of their ids. They have all occurred in one
/// stretch of time, and have one timing. One statement.
pub(super) async fn ratings_behind(
    db: &impl ConnectionTrait,
    customer: CustomerId,
    cause: &UsageCause,
    occurred_in: Period,
    timing: Timing,
) -> Result<HashMap<EventId, Rated>> {
    let rule = match cause.rule {
        Some(_) => "r.rule_id = $6",
        None => "r.rule_id IS NULL AND $6 IS NULL",
    };
    // Day by day, so that only what came after the entry on the same day is passed over.
    let days: Vec<i64> = (day_of(occurred_in.start)..occurred_in.end.micros())
        .step_by(DAY_MICROS as usize)
        .collect();
    // As many rows as there can be events to show, and one more for every day, whose row may have begun before the entry.
    let most = super::event::MAX_EXPLAINED_EVENTS + days.len();
    let sql = format!(
        "SELECT r.* FROM {{rows}} AS v JOIN usage_rating r ON r.customer_id = $1 AND r.day = v.day AND r.metric_id = $2
            AND r.last_event >= $3 AND r.first_event <= $4
         WHERE r.period_start = $5 AND {rule} AND r.timing = $7 ORDER BY r.first_event LIMIT {most}"
    );
    let values = vec![
        customer.0.into(),
        cause.metric.0.into(),
        cause.first_event.0.into(),
        cause.last_event.0.into(),
        cause.period_start.micros().into(),
        cause.rule.map(|rule| rule.0).into(),
        to_text(timing).into(),
    ];
    let rows = Rows::default()
        .int("day", days)
        .select_with::<usage_rating::Entity>(db, &sql, values)
        .await?;
    let mut ratings = all_of(&rows)?;
    ratings.retain(|event, _| (cause.first_event..=cause.last_event).contains(event));
    Ok(ratings)
}

fn all_of(rows: &[usage_rating::Model]) -> Result<HashMap<EventId, Rated>> {
    let mut ratings = HashMap::new();
    for row in rows {
        let at = Timestamp::from_micros(row.settled_at);
        ratings.extend(
            unpack(row)?
                .into_iter()
                .map(|(event, rating)| (event, (rating, at))),
        );
    }
    Ok(ratings)
}

/// Takes an event out of the sums of its row.
pub(in crate::usage) async fn take_back(op: &Op, event: &UsageEvent, rating: &Rating) -> Result<()> {
    let sql = format!(
        "UPDATE usage_rating SET units = units - $6, events = events - 1, credits = credits - $7
         WHERE customer_id = $1 AND day = $2 AND metric_id = $3 AND last_event = (
            SELECT {ROW_OF} FROM (SELECT $1 AS customer_id, $2 AS day, $3 AS metric_id, $4 AS id, $5 AS digits) AS v)"
    );
    let MetricId(metric) = event.metric;
    let values = vec![
        event.customer.0.into(),
        day_of(event.occurred_at).into(),
        metric.into(),
        event.id.0.into(),
        event.id.0.simple().to_string().into(),
        event.units.raw().into(),
        rating.credits.raw().into(),
    ];
    let done = op.tx().execute_raw(statement(op.tx(), &sql, values)).await?;
    if done.rows_affected() != 1 {
        return Err(Error::Internal(format!("{} has no rating", event.id)));
    }
    Ok(())
}
