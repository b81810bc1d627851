//! The SQL of subscriptions.

use std::collections::HashMap;

use domain::{
    id::{CustomerId, SubscriptionId, TenantId, VariantId},
    rejection::{Rejection, RejectionCode},
    subscription::admission::Admission,
    time::Timestamp,
};
use entity::{billing_cycle, subscription, to_text};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, SqlErr};
use uuid::Uuid;

use super::write::Charge;
use crate::{
    actor::Reach,
    error::Result,
    op::Op,
    page::{Page, Slice, ordered},
    sql::{Rows, for_update, is_storable, statement},
};

/// Customers with subscriptions that are due, and since when: of one shard, without those set aside and without those that live
/// by a clock of their own. One statement.
pub(super) async fn due(
    db: &impl ConnectionTrait,
    shard: i32,
    before: Timestamp,
    aside: &[CustomerId],
    limit: usize,
) -> Result<Vec<(CustomerId, TenantId, Timestamp)>> {
    let sql = format!(
        "SELECT s.customer_id, s.tenant_id, MIN(s.due_at) AS due_at FROM subscription s
         WHERE s.shard = $1 AND s.due_at IS NOT NULL AND s.clock_id IS NULL AND s.due_at <= $2
            AND s.customer_id NOT IN (SELECT v.id FROM {{rows}} AS v)
         GROUP BY s.customer_id, s.tenant_id ORDER BY MIN(s.due_at), s.customer_id LIMIT {limit}"
    );
    let rows = Rows::of(aside)
        .query(db, &sql, vec![shard.into(), before.micros().into()])
        .await?;
    rows.iter()
        .map(|row| {
            Ok((
                CustomerId(row.try_get("", "customer_id")?),
                TenantId(row.try_get("", "tenant_id")?),
                Timestamp::from_micros(row.try_get("", "due_at")?),
            ))
        })
        .collect()
}

/// Shards with subscriptions that are due, but for those of customers set aside. One look into the index per shard, and at each that is
/// due while somebody is set aside.
pub(super) async fn due_shards(
    db: &impl ConnectionTrait,
    shards: i32,
    before: Timestamp,
    aside: &[CustomerId],
) -> Result<Vec<i32>> {
    let before = vec![before.micros().into()];
    let rows = if aside.is_empty() {
        let sql = "SELECT v.shard AS shard FROM {rows} AS v
             WHERE EXISTS (SELECT 1 FROM subscription s
                WHERE s.shard = v.shard AND s.due_at IS NOT NULL AND s.clock_id IS NULL AND s.due_at <= $1)";
        let all = Rows::default().int("shard", (0..shards).map(i64::from));
        all.query(db, sql, before).await?
    } else {
        let sql = "SELECT DISTINCT CAST(s.shard AS bigint) AS shard FROM subscription s
             WHERE s.due_at IS NOT NULL AND s.clock_id IS NULL AND s.due_at <= $1
                AND s.customer_id NOT IN (SELECT v.id FROM {rows} AS v)";
        let aside = Rows::of(aside);
        aside.query(db, sql, before).await?
    };
    rows.iter()
        .map(|row| Ok(i32::try_from(row.try_get::<i64>("", "shard")?).unwrap_or_default()))
        .collect()
}

/// When the first subscription of each of some customers is due. One statement.
pub(super) async fn due_of(
    db: &impl ConnectionTrait,
    customers: &[CustomerId],
) -> Result<HashMap<CustomerId, Timestamp>> {
    let rows = Rows::of(customers)
        .query(
            db,
            "SELECT s.customer_id, MIN(s.due_at) AS due_at FROM {rows} AS v
             JOIN subscription s ON s.customer_id = v.id WHERE s.due_at IS NOT NULL GROUP BY s.customer_id",
            Vec::new(),
        )
        .await?;
    rows.iter()
        .map(|row| {
            let due = Timestamp::from_micros(row.try_get("", "due_at")?);
            Ok((CustomerId(row.try_get("", "customer_id")?), due))
        })
        .collect()
}

/// The subscriptions of customers that are not over, or have something due.
const LIVING: &str = "SELECT s.* FROM {rows} AS v JOIN subscription s ON s.customer_id = v.id
    WHERE s.ended_at IS NULL OR s.due_at IS NOT NULL ORDER BY s.id";

/// The subscriptions of customers that are not over, or have something due. One statement.
pub(super) async fn living(
    db: &impl ConnectionTrait,
    customers: &[CustomerId],
) -> Result<Vec<subscription::Model>> {
    Ok(Rows::of(customers)
        .select::<subscription::Entity>(db, LIVING)
        .await?)
}

/// The same, locked in the order of their ids: a template that is added meanwhile waits to have them looked at again ([`look_again`]), and
/// one that was added before is read with what they have agreed to. One statement.
pub(super) async fn lock_living(op: &Op, customers: &[CustomerId]) -> Result<Vec<subscription::Model>> {
    let lock = for_update(op.tx(), "s");
    Ok(Rows::of(customers)
        .select::<subscription::Entity>(op.tx(), &format!("{LIVING}{lock}"))
        .await?)
}

/// The cycles of subscriptions that have not closed, in the order of their numbers. One statement.
pub(super) async fn open_cycles(
    db: &impl ConnectionTrait,
    of: &[subscription::Model],
) -> Result<Vec<billing_cycle::Model>> {
    Ok(Rows::default()
        .id("id", of.iter().map(|row| row.id))
        .select::<billing_cycle::Entity>(
            db,
            "SELECT c.* FROM {rows} AS v JOIN billing_cycle c ON c.subscription_id = v.id
             WHERE c.state <> 'CLOSED' ORDER BY c.subscription_id, c.number",
        )
        .await?)
}

/// Writes subscriptions, new ones as well. One statement for any number.
///
/// # Errors
/// The vendor's own name of a new one is taken, perhaps by one that was made at this very moment.
pub(super) async fn put(op: &Op, all: &[&subscription::Model]) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    let written = Rows::default()
        .id("id", all.iter().map(|it| it.id))
        .id("tenant_id", all.iter().map(|it| it.tenant_id))
        .id("customer_id", all.iter().map(|it| it.customer_id))
        .int("shard", all.iter().map(|it| i64::from(it.shard)))
        .opt_text("external_id", all.iter().map(|it| it.external_id.clone()))
        .text("metadata", all.iter().map(|it| it.metadata.clone()))
        .id("variant_id", all.iter().map(|it| it.variant_id))
        .opt_id("next_variant_id", all.iter().map(|it| it.next_variant_id))
        .int("revision", all.iter().map(|it| it.revision))
        .text("state", all.iter().map(|it| it.state.clone()))
        .text("interval_unit", all.iter().map(|it| it.interval_unit.clone()))
        .int("interval_count", all.iter().map(|it| i64::from(it.interval_count)))
        .text("zone", all.iter().map(|it| it.zone.clone()))
        .int("origin", all.iter().map(|it| it.origin))
        .int("day", all.iter().map(|it| i64::from(it.day)))
        .int("start_at", all.iter().map(|it| it.start_at))
        .int("first_number", all.iter().map(|it| it.first_number))
        .int("last_number", all.iter().map(|it| it.last_number))
        .int("paid_through", all.iter().map(|it| it.paid_through))
        .int("renewal_told", all.iter().map(|it| it.renewal_told))
        .opt_int("overdue_since", all.iter().map(|it| it.overdue_since))
        .int("activated", all.iter().map(|it| i64::from(it.activated)))
        .int("cancel_at_end", all.iter().map(|it| i64::from(it.cancel_at_end)))
        .opt_int("contract_start", all.iter().map(|it| it.contract_start))
        .opt_int("contract_end", all.iter().map(|it| it.contract_end))
        .opt_int("notice_days", all.iter().map(|it| it.notice_days.map(i64::from)))
        .opt_int("told_for", all.iter().map(|it| it.told_for))
        .opt_int("contract_agreed_at", all.iter().map(|it| it.contract_agreed_at))
        .int("agreed_at", all.iter().map(|it| it.agreed_at))
        .opt_int("due_at", all.iter().map(|it| it.due_at))
        .opt_int("barrier_at", all.iter().map(|it| it.barrier_at))
        .int("created_at", all.iter().map(|it| it.created_at))
        .opt_int("ended_at", all.iter().map(|it| it.ended_at))
        .opt_id("clock_id", all.iter().map(|it| it.clock_id))
        .execute(
            op.tx(),
            "INSERT INTO subscription (id, tenant_id, customer_id, shard, external_id, metadata, variant_id,
                next_variant_id, revision, state, interval_unit, interval_count, zone, origin, day, start_at,
                first_number, last_number, paid_through, renewal_told, overdue_since, activated, cancel_at_end,
                contract_start, contract_end, notice_days, told_for, contract_agreed_at, agreed_at, due_at, barrier_at,
                created_at, ended_at, clock_id, updated_at)
             SELECT id, tenant_id, customer_id, shard, external_id, metadata, variant_id, next_variant_id,
                 revision, state, interval_unit, interval_count, zone, origin, day, start_at, first_number,
                 last_number, paid_through, renewal_told, overdue_since, activated, cancel_at_end, contract_start,
                 contract_end, notice_days, told_for, contract_agreed_at, agreed_at, due_at, barrier_at, created_at,
                 ended_at, clock_id, $1 FROM {rows} AS v WHERE true
             ON CONFLICT (id) DO UPDATE SET
                metadata = excluded.metadata, variant_id = excluded.variant_id, next_variant_id =
                excluded.next_variant_id, revision = excluded.revision, state = excluded.state, interval_unit =
                excluded.interval_unit, interval_count = excluded.interval_count, zone = excluded.zone, origin =
                excluded.origin, day = excluded.day, start_at = excluded.start_at, first_number =
                excluded.first_number, last_number = excluded.last_number, paid_through = excluded.paid_through,
                renewal_told = excluded.renewal_told, overdue_since = excluded.overdue_since, activated =
                excluded.activated, cancel_at_end = excluded.cancel_at_end, contract_start =
                excluded.contract_start, contract_end = excluded.contract_end, notice_days = excluded.notice_days,
                told_for = excluded.told_for, contract_agreed_at =
                excluded.contract_agreed_at, agreed_at = excluded.agreed_at, due_at = excluded.due_at, barrier_at
                = excluded.barrier_at, ended_at = excluded.ended_at,
                updated_at = excluded.updated_at",
            vec![op.now().micros().into()],
        )
        .await;
    match written {
        Ok(_) => Ok(()),
        // Subscriptions have no other name that could be taken.
        Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => {
            Err(taken().into())
        }
        Err(error) => Err(error.into()),
    }
}

/// The refusal of a name that another subscription has.
pub(super) fn taken() -> Rejection {
    let message = "a subscription with this external id exists";
    Rejection::new(RejectionCode::AlreadyExists, "externalId", message)
}

/// Writes cycles, in the order given: a cycle ends before the next one begins. One statement for any number.
pub(super) async fn put_cycles(op: &Op, all: &[billing_cycle::Model]) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    Rows::default()
        .id("subscription_id", all.iter().map(|it| it.subscription_id))
        .int("number", all.iter().map(|it| it.number))
        .id("tenant_id", all.iter().map(|it| it.tenant_id))
        .id("customer_id", all.iter().map(|it| it.customer_id))
        .id("variant_id", all.iter().map(|it| it.variant_id))
        .text("state", all.iter().map(|it| it.state.clone()))
        .int("since", all.iter().map(|it| it.since))
        .text("late", all.iter().map(|it| it.late.clone()))
        .int("period_start", all.iter().map(|it| it.period_start))
        .int("period_end", all.iter().map(|it| it.period_end))
        .int("natural_end", all.iter().map(|it| it.natural_end))
        .int("basis_seconds", all.iter().map(|it| it.basis_seconds))
        .int("trial", all.iter().map(|it| i64::from(it.trial)))
        .int("paid", all.iter().map(|it| i64::from(it.paid)))
        .int("closes_at", all.iter().map(|it| it.closes_at))
        .int("granted", all.iter().map(|it| it.granted))
        .int("ahead", all.iter().map(|it| it.ahead))
        .int("granted_from", all.iter().map(|it| it.granted_from))
        .int("granted_through", all.iter().map(|it| it.granted_through))
        .int("balance_at_start", all.iter().map(|it| it.balance_at_start))
        .int("balance_at_end", all.iter().map(|it| it.balance_at_end))
        .opt_text("summary", all.iter().map(|it| it.summary.clone()))
        .opt_int("closed_at", all.iter().map(|it| it.closed_at))
        .opt_text("bill", all.iter().map(|it| it.bill.clone()))
        .execute(
            op.tx(),
            "INSERT INTO billing_cycle (subscription_id, number, tenant_id, customer_id, variant_id, state, since,
                late, period_start, period_end, natural_end, basis_seconds, trial, paid, closes_at, granted, ahead,
                granted_from, granted_through, balance_at_start, balance_at_end, summary, closed_at, bill)
             SELECT subscription_id, number, tenant_id, customer_id, variant_id, state, since, late, period_start,
                 period_end, natural_end, basis_seconds, trial, paid, closes_at, granted, ahead, granted_from,
                 granted_through, balance_at_start, balance_at_end, summary, closed_at, bill FROM {rows} AS v WHERE true
             ON CONFLICT (subscription_id, number) DO UPDATE SET
                variant_id = excluded.variant_id, state = excluded.state, period_end = excluded.period_end,
                natural_end = excluded.natural_end, basis_seconds = excluded.basis_seconds, trial =
                excluded.trial, paid = excluded.paid, closes_at = excluded.closes_at, granted = excluded.granted,
                ahead = excluded.ahead, granted_from = excluded.granted_from, granted_through =
                excluded.granted_through, balance_at_start = excluded.balance_at_start, balance_at_end =
                excluded.balance_at_end, summary = excluded.summary, closed_at = excluded.closed_at, bill = excluded.bill
             WHERE billing_cycle.state <> 'CLOSED'",
            Vec::new(),
        )
        .await?;
    Ok(())
}

/// Writes money that becomes due. One statement for any number.
pub(super) async fn insert_charges(op: &Op, all: &[Charge]) -> Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    Rows::default()
        .id("subscription_id", all.iter().map(|it| it.subscription.0))
        .int("revision", all.iter().map(|it| it.revision))
        .int("position", all.iter().map(|it| it.position))
        .id("tenant_id", all.iter().map(|it| it.tenant.0))
        .id("customer_id", all.iter().map(|it| it.customer.0))
        .id("variant_id", all.iter().map(|it| it.line.variant.0))
        .int("period_start", all.iter().map(|it| it.line.period.start.micros()))
        .int("period_end", all.iter().map(|it| it.line.period.end.micros()))
        .int("amount", all.iter().map(|it| it.line.amount.minor))
        .text("currency", all.iter().map(|it| it.line.amount.currency.to_string()))
        .int("at_once", all.iter().map(|it| i64::from(it.at_once)))
        .execute(
            op.tx(),
            "INSERT INTO subscription_charge (subscription_id, revision, position, tenant_id, customer_id, variant_id,
                period_start, period_end, amount, currency, at_once, created_at)
             SELECT subscription_id, revision, position, tenant_id, customer_id, variant_id,
                period_start, period_end, amount, currency, at_once, $1 FROM {rows} AS v",
            vec![op.now().micros().into()],
        )
        .await?;
    Ok(())
}

/// Writes what accounts have to know of subscriptions, and tells watchers by their revision. One statement for any number.
pub(super) async fn put_barriers(op: &Op, all: &[(CustomerId, Timestamp, Admission)]) -> Result<()> {
    Rows::default()
        .id("id", all.iter().map(|(customer, ..)| customer.0))
        .int("barrier_at", all.iter().map(|(_, barrier, _)| barrier.micros()))
        .text("admission", all.iter().map(|(.., admission)| to_text(*admission)))
        .execute(
            op.tx(),
            "UPDATE account SET barrier_at = v.barrier_at, admission = v.admission, revision = account.revision + 1
             FROM {rows} AS v WHERE account.customer_id = v.id",
            Vec::new(),
        )
        .await?;
    Ok(())
}

fn within(reach: Reach) -> sea_orm::Select<subscription::Entity> {
    let columns = (subscription::Column::TenantId, subscription::Column::CustomerId);
    subscription::Entity::find().filter(reach.condition(columns.0, columns.1))
}

/// One subscription within reach.
pub(super) async fn find(
    db: &impl ConnectionTrait,
    reach: Reach,
    id: SubscriptionId,
) -> Result<Option<subscription::Model>> {
    let found = within(reach).filter(subscription::Column::Id.eq(id.0));
    Ok(found.one(db).await?)
}

/// One subscription of a customer.
pub(super) async fn find_of(
    db: &impl ConnectionTrait,
    customer: CustomerId,
    id: SubscriptionId,
) -> Result<Option<subscription::Model>> {
    let found = subscription::Entity::find_by_id(id.0);
    let found = found.filter(subscription::Column::CustomerId.eq(customer.0));
    Ok(found.one(db).await?)
}

/// One subscription within reach by the vendor's own name.
pub(super) async fn find_external(
    db: &impl ConnectionTrait,
    reach: Reach,
    external_id: &str,
) -> Result<Option<subscription::Model>> {
    if !is_storable(external_id) {
        return Ok(None);
    }
    let found = within(reach).filter(subscription::Column::ExternalId.eq(external_id));
    Ok(found.one(db).await?)
}

/// A customer's subscriptions, oldest first.
pub(super) async fn list(
    db: &impl ConnectionTrait,
    reach: Reach,
    customer: CustomerId,
    page: Page<SubscriptionId>,
) -> Result<Slice<subscription::Model>> {
    let all = within(reach).filter(subscription::Column::CustomerId.eq(customer.0));
    page.map(|id| id.0)
        .read(ordered(all, subscription::Column::Id), db)
        .await
}

/// The cycles of a subscription, newest first.
pub(super) async fn cycles(
    db: &impl ConnectionTrait,
    reach: Reach,
    id: SubscriptionId,
    page: Page<i64>,
) -> Result<Slice<billing_cycle::Model>> {
    let columns = (billing_cycle::Column::TenantId, billing_cycle::Column::CustomerId);
    let all = billing_cycle::Entity::find()
        .filter(reach.condition(columns.0, columns.1))
        .filter(billing_cycle::Column::SubscriptionId.eq(id.0));
    let mut newest_first = ordered(all, billing_cycle::Column::Number);
    newest_first.desc();
    page.read(newest_first, db).await
}

/// The place of a cycle in the list of a customer's.
pub(super) type CyclePlace = (i64, Uuid, i64);

/// The cycles of a customer's subscriptions, latest first.
pub(super) async fn cycles_of(
    db: &impl ConnectionTrait,
    reach: Reach,
    customer: CustomerId,
    page: Page<CyclePlace>,
) -> Result<Slice<billing_cycle::Model>> {
    let columns = (billing_cycle::Column::TenantId, billing_cycle::Column::CustomerId);
    let all = billing_cycle::Entity::find()
        .filter(reach.condition(columns.0, columns.1))
        .filter(billing_cycle::Column::CustomerId.eq(customer.0));
    let mut latest_first = ordered(
        all,
        (
            billing_cycle::Column::PeriodStart,
            billing_cycle::Column::SubscriptionId,
            billing_cycle::Column::Number,
        ),
    );
    latest_first.desc();
    page.read(latest_first, db).await
}

/// How many subscriptions of a customer are not over.
pub(super) async fn living_count(op: &Op, customer: CustomerId) -> Result<i64> {
    let sql = "SELECT COUNT(*) AS n FROM subscription WHERE customer_id = $1 AND ended_at IS NULL";
    let row = op
        .tx()
        .query_one_raw(statement(op.tx(), sql, vec![customer.0.into()]))
        .await?;
    Ok(row.map(|row| row.try_get("", "n")).transpose()?.unwrap_or(0))
}

/// The last cycle of a subscription that has closed.
pub(super) async fn last_closed(
    db: &impl ConnectionTrait,
    id: SubscriptionId,
) -> Result<Option<billing_cycle::Model>> {
    Ok(billing_cycle::Entity::find()
        .filter(billing_cycle::Column::SubscriptionId.eq(id.0))
        .filter(billing_cycle::Column::State.eq("CLOSED"))
        .order_by_desc(billing_cycle::Column::Number)
        .one(db)
        .await?)
}

/// Has the subscriptions of a variant looked at again, each by its own time: what time makes due of them may have changed. They are
/// locked first, in the order of their ids as by a step ([`lock_living`]), so that what a step under way has written is seen. Two
/// statements.
pub(super) async fn look_again(op: &Op, variant: VariantId, at: Timestamp) -> Result<()> {
    let lock = for_update(op.tx(), "s");
    let sql = format!(
        "SELECT COUNT(*) FROM (SELECT s.id FROM subscription s
            WHERE s.variant_id = $1 AND s.ended_at IS NULL ORDER BY s.id{lock}) AS locked"
    );
    let locked = statement(op.tx(), &sql, vec![variant.0.into()]);
    op.tx().query_one_raw(locked).await?;
    let own = "COALESCE((SELECT c.now_at FROM test_clock c WHERE c.id = subscription.clock_id), $1)";
    let sql = format!(
        "UPDATE subscription SET due_at = {own}
         WHERE variant_id = $2 AND ended_at IS NULL AND (due_at IS NULL OR due_at > {own})"
    );
    let values = vec![at.micros().into(), variant.0.into()];
    op.tx().execute_raw(statement(op.tx(), &sql, values)).await?;
    Ok(())
}
