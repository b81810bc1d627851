//! The SQL of jobs.

use domain::{
    id::{TenantId, WorkId},
    time::Timestamp,
};
use entity::{block, usage_pending, work};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use crate::{
    customer::SHARDS,
    error::Result,
    op::Op,
    page::{Page, Slice, ordered},
    sql::{Rows, statement},
};

/// Backlogs are counted up to here; more is "a lot".
const MAX_COUNT: i64 = 1_000_000;
/// Parked customers that a drain leaves out. With more than this many, somebody has to look anyway.
const MAX_PARKED: u64 = 10_000;

pub(super) const DUE: &str = "DUE";
pub(super) const PARKED: &str = "PARKED";

/// Counts an attempt; `None` when the work is parked or pausing.
pub(super) async fn begin(
    op: &Op,
    kind: &str,
    subject: &str,
    tenant: Option<TenantId>,
) -> Result<Option<i32>> {
    let row = op
        .tx()
        .query_one_raw(statement(
            op.tx(),
            "INSERT INTO work (id, tenant_id, kind, subject, state, attempts, due_at, woken_at, created_at, updated_at)
             VALUES ($1, $2, $3, $4, 'DUE', 1, 0, 0, $5, $5)
             ON CONFLICT (kind, subject) DO UPDATE
                SET attempts = work.attempts + 1, woken_at = 0, updated_at = excluded.updated_at
                WHERE work.state = 'DUE' AND work.due_at <= excluded.updated_at
             RETURNING attempts",
            vec![
                op.new_id().into(),
                tenant.map(|tenant| tenant.0).into(),
                kind.into(),
                subject.into(),
                op.now().micros().into(),
            ],
        ))
        .await?;
    Ok(row.map(|row| row.try_get("", "attempts")).transpose()?)
}

/// Writes how work stands.
pub(super) async fn put(
    op: &Op,
    kind: &str,
    subject: &str,
    attempts: i32,
    due: Timestamp,
    problem: Option<&str>,
) -> Result<()> {
    op.tx()
        .execute_raw(statement(
            op.tx(),
            "UPDATE work SET attempts = $3, due_at = $4, error = $5, updated_at = $6 WHERE kind = $1 AND subject = $2",
            vec![
                kind.into(),
                subject.into(),
                attempts.into(),
                due.micros().into(),
                problem.map(str::to_owned).into(),
                op.now().micros().into(),
            ],
        ))
        .await?;
    Ok(())
}

pub(super) async fn park(
    op: &Op,
    kind: &str,
    subject: &str,
    tenant: Option<TenantId>,
    problem: &str,
) -> Result<()> {
    op.tx()
        .execute_raw(statement(
            op.tx(),
            "INSERT INTO work (id, tenant_id, kind, subject, state, attempts, due_at, woken_at, error, created_at,
                updated_at)
             VALUES ($1, $2, $3, $4, 'PARKED', 1, 0, 0, $5, $6, $6)
             ON CONFLICT (kind, subject) DO UPDATE
                SET state = 'PARKED', error = excluded.error, updated_at = excluded.updated_at",
            vec![
                op.new_id().into(),
                tenant.map(|tenant| tenant.0).into(),
                kind.into(),
                subject.into(),
                problem.into(),
                op.now().micros().into(),
            ],
        ))
        .await?;
    Ok(())
}

pub(super) async fn delete(op: &Op, kind: &str, subject: &str) -> Result<()> {
    work::Entity::delete_many()
        .filter(work::Column::Kind.eq(kind))
        .filter(work::Column::Subject.eq(subject))
        .exec(op.tx())
        .await?;
    Ok(())
}

pub(super) async fn parked_subjects(db: &impl ConnectionTrait, kind: &str) -> Result<Vec<String>> {
    Ok(work::Entity::find()
        .select_only()
        .column(work::Column::Subject)
        .filter(work::Column::Kind.eq(kind))
        .filter(work::Column::State.eq(PARKED))
        .limit(MAX_PARKED)
        .into_tuple()
        .all(db)
        .await?)
}

pub(super) async fn is_parked(db: &impl ConnectionTrait, kind: &str, subject: &str) -> Result<bool> {
    let row = work::Entity::find()
        .filter(work::Column::Kind.eq(kind))
        .filter(work::Column::Subject.eq(subject))
        .filter(work::Column::State.eq(PARKED))
        .one(db)
        .await?;
    Ok(row.is_some())
}

/// The subjects that need no wake-up: one is on its way, they are parked or pausing, or they began after `busy_since`.
pub(super) async fn awake(
    db: &impl ConnectionTrait,
    kind: &str,
    subjects: &[String],
    now: Timestamp,
    lost: Timestamp,
    busy_since: Timestamp,
) -> Result<Vec<String>> {
    let busy = Condition::all()
        .add(work::Column::Attempts.gt(0))
        .add(work::Column::UpdatedAt.gt(busy_since.micros()));
    let awake = Condition::any()
        .add(work::Column::State.eq(PARKED))
        .add(work::Column::WokenAt.gt(lost.micros()))
        .add(work::Column::DueAt.gt(now.micros()))
        .add(busy);
    Ok(work::Entity::find()
        .select_only()
        .column(work::Column::Subject)
        .filter(work::Column::Kind.eq(kind))
        .filter(work::Column::Subject.is_in(subjects))
        .filter(awake)
        .into_tuple()
        .all(db)
        .await?)
}

/// Notes wake-ups; answers with the subjects that had none since `lost`.
pub(super) async fn mark_woken(
    op: &Op,
    kind: &str,
    subjects: &[String],
    lost: Timestamp,
) -> Result<Vec<String>> {
    // In one order everywhere, so that two processes that wake the same shards do not wait for each other in a circle.
    let mut subjects = subjects.to_vec();
    subjects.sort_unstable();
    let rows = Rows::default()
        .id("id", subjects.iter().map(|_| op.new_id()))
        .text("subject", subjects.iter().cloned())
        .query(
            op.tx(),
            "INSERT INTO work (id, kind, subject, state, attempts, due_at, woken_at, created_at, updated_at)
             SELECT id, $1, subject, 'DUE', 0, 0, $2, $2, 0 FROM {rows} AS v WHERE true
             ON CONFLICT (kind, subject) DO UPDATE SET woken_at = excluded.woken_at WHERE work.woken_at <= $3
             RETURNING subject",
            vec![kind.into(), op.now().micros().into(), lost.micros().into()],
        )
        .await?;
    rows.iter().map(|row| Ok(row.try_get("", "subject")?)).collect()
}

/// The shards with pending usage. One index look-up per shard, whatever the backlog.
pub(super) async fn shards_with_usage(db: &impl ConnectionTrait) -> Result<Vec<String>> {
    let rows = Rows::default()
        .int("shard", (0..SHARDS).map(i64::from))
        .query(
            db,
            "SELECT v.shard AS shard FROM {rows} AS v
             WHERE EXISTS (SELECT 1 FROM usage_pending p WHERE p.shard = v.shard)",
            Vec::new(),
        )
        .await?;
    rows.iter()
        .map(|row| Ok(row.try_get::<i64>("", "shard")?.to_string()))
        .collect()
}

/// How many events wait, counted up to [`MAX_COUNT`], and since when the oldest does.
pub(super) async fn usage_backlog(db: &impl ConnectionTrait) -> Result<(i64, Option<Timestamp>)> {
    let oldest: Option<i64> = usage_pending::Entity::find()
        .select_only()
        .column_as(usage_pending::Column::ReceivedAt.min(), "oldest")
        .into_tuple()
        .one(db)
        .await?
        .flatten();
    Ok((
        count(db, "usage_pending", "shard >= $1", 0).await?,
        oldest.map(Timestamp::from_micros),
    ))
}

/// How many blocks wait to be ended, and since when the oldest does.
pub(super) async fn expiry_backlog(
    db: &impl ConnectionTrait,
    now: Timestamp,
) -> Result<(i64, Option<Timestamp>)> {
    let oldest: Option<Option<i64>> = block::Entity::find()
        .select_only()
        .column(block::Column::ExpiresAt)
        .filter(block::Column::State.eq("ACTIVE"))
        .filter(block::Column::ExpiresAt.lte(now.micros()))
        .order_by_asc(block::Column::ExpiresAt)
        .limit(1)
        .into_tuple()
        .one(db)
        .await?;
    let waiting = count(db, "block", "state = 'ACTIVE' AND expires_at <= $1", now.micros()).await?;
    Ok((waiting, oldest.flatten().map(Timestamp::from_micros)))
}

async fn count(db: &impl ConnectionTrait, table: &str, condition: &str, value: i64) -> Result<i64> {
    let sql = format!(
        "SELECT COUNT(*) AS n FROM (SELECT 1 FROM {table} WHERE {condition} LIMIT {MAX_COUNT}) AS waiting"
    );
    let row = db.query_one_raw(statement(db, &sql, vec![value.into()])).await?;
    Ok(row.map(|row| row.try_get("", "n")).transpose()?.unwrap_or(0))
}

/// Parked work that a tenant may see: its own, and what belongs to nobody.
pub(super) async fn list_parked(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    page: Page<WorkId>,
) -> Result<Slice<work::Model>> {
    let all = work::Entity::find()
        .filter(visible(tenant))
        .filter(work::Column::State.eq(PARKED));
    page.map(|id| id.0).read(ordered(all, work::Column::Id), db).await
}

pub(super) async fn get_parked(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    id: WorkId,
) -> Result<Option<work::Model>> {
    let parked = work::Entity::find_by_id(id.0).filter(visible(tenant)).filter(work::Column::State.eq(PARKED));
    Ok(parked.one(db).await?)
}

pub(super) async fn lock(op: &Op, tenant: TenantId, id: WorkId) -> Result<Option<work::Model>> {
    Ok(work::Entity::find_by_id(id.0)
        .filter(visible(tenant))
        .lock_exclusive()
        .one(op.tx())
        .await?)
}

fn visible(tenant: TenantId) -> Condition {
    Condition::any()
        .add(work::Column::TenantId.eq(tenant.0))
        .add(work::Column::TenantId.is_null())
}

/// Makes parked work due again.
pub(super) async fn unpark(op: &Op, id: WorkId) -> Result<()> {
    let row = work::ActiveModel {
        id: Set(id.0),
        state: Set(DUE.to_owned()),
        attempts: Set(0),
        due_at: Set(0),
        woken_at: Set(0),
        updated_at: Set(op.now().micros()),
        ..Default::default()
    };
    work::Entity::update(row).exec(op.tx()).await?;
    Ok(())
}
