//! The SQL of jobs.

use domain::{
    id::{TenantId, WorkId},
    time::Timestamp,
};
use entity::work;
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, Select};

use super::Sender;
use crate::{
    customer::SHARDS,
    db::Backend,
    error::Result,
    op::Op,
    page::{Page, Slice, ordered},
    sql::{Rows, among_texts, statement},
};

/// Backlogs are counted up to here; more is "a lot".
const MAX_COUNT: i64 = 1_000_000;
/// Parked customers that a drain leaves out. With more than this many, somebody has to look anyway.
const MAX_PARKED: u64 = 10_000;

pub(super) const PARKED: &str = "PARKED";

/// Holds that wait to be freed.
const LAPSED: &str = "state = 'OPEN' AND expires_at <= $1 AND NOT EXISTS (SELECT 1 FROM account a
    WHERE a.customer_id = hold.customer_id AND a.clock_id IS NOT NULL)";

/// Blocks that are to be ended by `$1`. Others are ended by a step of a subscription, or when a test clock says so.
const ENDING: &str = "state = 'ACTIVE' AND expires_at <= $1 AND NOT EXISTS (SELECT 1 FROM account a
        WHERE a.customer_id = block.customer_id AND (a.clock_id IS NOT NULL OR a.barrier_at <= block.expires_at))";
/// Usage `p` that waits for a test clock: nobody can say for how long, and no worker is behind.
const WAITS_FOR_CLOCK: &str = "EXISTS (SELECT 1 FROM account a
    WHERE a.customer_id = p.customer_id AND a.clock_id IS NOT NULL AND a.barrier_at <= p.received_at)";

/// Counts an attempt at each subject, and answers with its number. Left out are those that are parked or pausing, and those with a
/// run under way that began after `dead`: that run is told to look again. One statement.
pub(super) async fn begin(
    op: &Op,
    kind: &str,
    subjects: &[String],
    tenant: Option<TenantId>,
    dead: Timestamp,
) -> Result<Vec<(String, i32)>> {
    let rows = work_rows(op, subjects)
        .opt_id("tenant_id", subjects.iter().map(|_| tenant.map(|tenant| tenant.0)))
        .query(
            op.tx(),
            "INSERT INTO work (id, tenant_id, kind, subject, state, attempts, due_at, woken_at, running_since, again,
                created_at, updated_at)
             SELECT id, tenant_id, $1, subject, 'DUE', 1, 0, 0, $2, 0, $2, $2 FROM {rows} AS v WHERE true
             ON CONFLICT (kind, subject) DO UPDATE SET
                again = CASE WHEN work.running_since > $3 THEN 1 ELSE 0 END,
                attempts = work.attempts + CASE WHEN work.running_since > $3 THEN 0 ELSE 1 END,
                running_since = CASE WHEN work.running_since > $3 THEN work.running_since ELSE $2 END,
                woken_at = 0, updated_at = $2
             WHERE work.state = 'DUE' AND work.due_at <= $2
             RETURNING subject, attempts, again",
            vec![kind.into(), op.now().micros().into(), dead.micros().into()],
        )
        .await?;
    let mut begun = Vec::with_capacity(rows.len());
    for row in rows {
        if row.try_get::<i32>("", "again")? == 0 {
            begun.push((row.try_get("", "subject")?, row.try_get("", "attempts")?));
        }
    }
    Ok(begun)
}

/// New work rows, in one order everywhere, so that two processes that touch the same ones do not wait for each other in a circle.
fn work_rows(op: &Op, subjects: &[String]) -> Rows {
    let mut subjects = subjects.to_vec();
    subjects.sort_unstable();
    Rows::default()
        .id("id", subjects.iter().map(|_| op.new_id()))
        .text("subject", subjects)
}

/// Locks the rows of a run that began at an instant, in the order in which all others lock them, and answers with its subjects and
/// whether each was woken meanwhile. A run that was taken for dead has lost its rows to the next one. One statement.
pub(super) async fn lock_run(
    op: &Op,
    kind: &str,
    subjects: &[String],
    since: Timestamp,
) -> Result<Vec<(String, bool)>> {
    let lock = match Backend::of(op.tx()) {
        Backend::Postgres => "FOR UPDATE OF w",
        Backend::Sqlite => "",
    };
    let sql = format!(
        "SELECT w.subject, w.again FROM {{rows}} AS v JOIN work w ON w.kind = $1 AND w.subject = v.subject
         WHERE w.running_since = $2 ORDER BY w.subject {lock}"
    );
    let rows = Rows::default().text("subject", subjects.iter().cloned());
    let rows = rows
        .query(op.tx(), &sql, vec![kind.into(), since.micros().into()])
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("", "subject")?, row.try_get::<i32>("", "again")? != 0)))
        .collect()
}

/// Ends a run that went well.
pub(super) async fn settle(op: &Op, kind: &str, subjects: &[String]) -> Result<()> {
    let set = "attempts = 0, due_at = 0, running_since = 0, again = 0, error = NULL, updated_at = $2";
    update(op, kind, subjects, set, vec![op.now().micros().into()]).await
}

/// Ends a run that failed. The next one is due at an instant.
pub(super) async fn postpone(
    op: &Op,
    kind: &str,
    subjects: &[String],
    due: Timestamp,
    problem: &str,
) -> Result<()> {
    let set = "due_at = $2, running_since = 0, again = 0, error = $3, updated_at = $4";
    let values = vec![due.micros().into(), problem.into(), op.now().micros().into()];
    update(op, kind, subjects, set, values).await
}

/// Changes rows that are locked; `$1` is the kind. One statement.
async fn update(
    op: &Op,
    kind: &str,
    subjects: &[String],
    set: &str,
    more: Vec<sea_orm::Value>,
) -> Result<()> {
    let mut values = vec![kind.into()];
    values.extend(more);
    let sql =
        format!("UPDATE work SET {set} FROM {{rows}} AS v WHERE work.kind = $1 AND work.subject = v.subject");
    let rows = Rows::default().text("subject", subjects.iter().cloned());
    rows.execute(op.tx(), &sql, values).await?;
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
                SET state = 'PARKED', running_since = 0, error = excluded.error, updated_at = excluded.updated_at",
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

/// The rows of some subjects of a kind, of which the subject is read.
fn of_subjects(db: &impl ConnectionTrait, kind: &str, subjects: &[String]) -> Select<work::Entity> {
    work::Entity::find()
        .select_only()
        .column(work::Column::Subject)
        .filter(work::Column::Kind.eq(kind))
        .filter(among_texts(db, work::Column::Subject, subjects))
}

/// Which of some subjects are parked. One statement.
pub(super) async fn parked_among(
    db: &impl ConnectionTrait,
    kind: &str,
    subjects: &[String],
) -> Result<Vec<String>> {
    Ok(of_subjects(db, kind, subjects)
        .filter(work::Column::State.eq(PARKED))
        .into_tuple()
        .all(db)
        .await?)
}

/// Which of some subjects have attempts that have not gone well, and when the next is due. One statement.
pub(super) async fn failed_among(
    db: &impl ConnectionTrait,
    kind: &str,
    subjects: &[String],
) -> Result<Vec<(String, i64)>> {
    Ok(of_subjects(db, kind, subjects)
        .column(work::Column::DueAt)
        .filter(work::Column::Attempts.gt(0))
        .into_tuple()
        .all(db)
        .await?)
}

/// The subjects that need no wake-up: one is on its way, they are parked or pausing, or a run that began after `dead` is under
/// way; for new work only if that run knows already that it has to look again.
pub(super) async fn awake(
    db: &impl ConnectionTrait,
    kind: &str,
    subjects: &[String],
    sender: Sender,
    now: Timestamp,
    lost: Timestamp,
    dead: Timestamp,
) -> Result<Vec<String>> {
    let told = match sender {
        Sender::Work => Some(work::Column::Again.ne(0)),
        Sender::Sweep => None,
    };
    let running = Condition::all()
        .add(work::Column::RunningSince.gt(dead.micros()))
        .add_option(told);
    let awake = Condition::any()
        .add(work::Column::State.eq(PARKED))
        .add(work::Column::WokenAt.gt(lost.micros()))
        .add(work::Column::DueAt.gt(now.micros()))
        .add(running);
    Ok(of_subjects(db, kind, subjects)
        .filter(awake)
        .into_tuple()
        .all(db)
        .await?)
}

/// Notes wake-ups; answers with the subjects to which one must be sent, and their attempts: that had none since `lost`, are not pausing (the sweep
/// comes when the pause is over; a wake-up would be passed by, and taken for one on its way), and have no run since `dead`, which is told to look
/// again instead.
pub(super) async fn mark_woken(
    op: &Op,
    kind: &str,
    subjects: &[String],
    lost: Timestamp,
    dead: Timestamp,
) -> Result<Vec<(String, i32)>> {
    let rows = work_rows(op, subjects)
        .query(
            op.tx(),
            "INSERT INTO work (id, kind, subject, state, attempts, due_at, woken_at, created_at, updated_at)
             SELECT id, $1, subject, 'DUE', 0, 0, $2, $2, 0 FROM {rows} AS v WHERE true
             ON CONFLICT (kind, subject) DO UPDATE SET
                again = CASE WHEN work.running_since > $4 THEN 1 ELSE work.again END,
                woken_at = CASE WHEN work.running_since > $4 THEN work.woken_at ELSE excluded.woken_at END
             WHERE work.woken_at <= $3 AND work.due_at <= $2
             RETURNING subject, attempts, running_since",
            vec![
                kind.into(),
                op.now().micros().into(),
                lost.micros().into(),
                dead.micros().into(),
            ],
        )
        .await?;
    let mut asleep = Vec::with_capacity(rows.len());
    for row in rows {
        if row.try_get::<i64>("", "running_since")? <= dead.micros() {
            asleep.push((row.try_get("", "subject")?, row.try_get("", "attempts")?));
        }
    }
    Ok(asleep)
}

/// Whether a work row speaks of a later time.
pub(super) async fn any_after(db: &impl ConnectionTrait, latest: Timestamp) -> Result<bool> {
    let ahead = Condition::any()
        .add(work::Column::WokenAt.gt(latest.micros()))
        .add(work::Column::RunningSince.gt(latest.micros()))
        .add(work::Column::DueAt.gt(latest.micros()));
    Ok(work::Entity::find().filter(ahead).one(db).await?.is_some())
}

/// Makes work rows forget later times.
pub(super) async fn forget_after(op: &Op, latest: Timestamp) -> Result<()> {
    op.tx()
        .execute_raw(statement(
            op.tx(),
            "UPDATE work SET woken_at = CASE WHEN woken_at > $1 THEN 0 ELSE woken_at END,
                running_since = CASE WHEN running_since > $1 THEN 0 ELSE running_since END,
                due_at = CASE WHEN due_at > $1 THEN 0 ELSE due_at END
             WHERE woken_at > $1 OR running_since > $1 OR due_at > $1",
            vec![latest.micros().into()],
        ))
        .await?;
    Ok(())
}

/// The shards with pending usage. One index look-up per shard, whatever the backlog.
pub(super) async fn shards_with_usage(db: &impl ConnectionTrait) -> Result<Vec<i32>> {
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
        .map(|row| Ok(i32::try_from(row.try_get::<i64>("", "shard")?).unwrap_or(i32::MAX)))
        .collect()
}

/// How many events wait, but for a test clock, counted up to [`MAX_COUNT`], and since when the oldest does. Ids follow time, so the
/// first of each shard is its oldest.
pub(super) async fn usage_backlog(db: &impl ConnectionTrait) -> Result<(i64, Option<Timestamp>)> {
    let sql = format!(
        "SELECT MIN(first) AS oldest FROM (
            SELECT (SELECT p.received_at FROM usage_pending p WHERE p.shard = v.shard AND NOT {WAITS_FOR_CLOCK}
                ORDER BY p.id LIMIT 1) AS first
            FROM {{rows}} AS v) AS firsts"
    );
    let first = Rows::default()
        .int("shard", (0..SHARDS).map(i64::from))
        .query(db, &sql, Vec::new())
        .await?;
    let oldest: Option<i64> = match first.first() {
        Some(row) => row.try_get("", "oldest")?,
        None => None,
    };
    let waiting = count(db, "usage_pending", "shard >= $1", 0).await?;
    let for_clocks = count(
        db,
        "account a JOIN usage_pending p ON p.customer_id = a.customer_id",
        "a.clock_id IS NOT NULL AND a.barrier_at <= p.received_at AND p.shard >= $1",
        0,
    )
    .await?;
    Ok(((waiting - for_clocks).max(0), oldest.map(Timestamp::from_micros)))
}

/// How many events of a tenant wait, counted up to [`MAX_COUNT`], and since when the oldest of those does. Events that wait
/// do not name their tenant, so those of others are passed over: a busy neighbour makes this slower, never wrong.
pub(super) async fn usage_backlog_of(
    db: &impl ConnectionTrait,
    tenant: TenantId,
) -> Result<(i64, Option<Timestamp>)> {
    let sql = format!(
        "SELECT COUNT(*) AS n, MIN(received_at) AS oldest FROM (
            SELECT p.received_at FROM usage_pending p JOIN customer c ON c.id = p.customer_id
            WHERE c.tenant_id = $1 AND NOT {WAITS_FOR_CLOCK} LIMIT {MAX_COUNT}) AS waiting"
    );
    counted(db, &sql, vec![tenant.0.into()]).await
}

/// How many blocks of a tenant wait to be ended, and since when the oldest of those does.
pub(super) async fn expiry_backlog_of(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    now: Timestamp,
) -> Result<(i64, Option<Timestamp>)> {
    let sql = format!(
        "SELECT COUNT(*) AS n, MIN(expires_at) AS oldest FROM (
            SELECT expires_at FROM block WHERE {ENDING} AND tenant_id = $2
            UNION ALL SELECT expires_at FROM hold WHERE {LAPSED} AND tenant_id = $2 LIMIT {MAX_COUNT}) AS waiting"
    );
    counted(db, &sql, vec![now.micros().into(), tenant.0.into()]).await
}

/// How many payments (of a tenant) wait to be sent or asked about, and since when the oldest of those does.
pub(super) async fn payments_backlog(
    db: &impl ConnectionTrait,
    now: Timestamp,
    tenant: Option<TenantId>,
) -> Result<(i64, Option<Timestamp>)> {
    let whose = tenant.map_or("", |_| "AND tenant_id = $2");
    let sql = format!(
        "SELECT COUNT(*) AS n, MIN(due_at) AS oldest FROM (
            SELECT due_at FROM payment WHERE due_at <= $1 {whose} LIMIT {MAX_COUNT}) AS waiting"
    );
    let values = [Some(now.micros().into()), tenant.map(|tenant| tenant.0.into())];
    counted(db, &sql, values.into_iter().flatten().collect()).await
}

/// How many events (of a tenant) wait to be published, and since when the oldest does.
pub(super) async fn events_backlog(
    db: &impl ConnectionTrait,
    tenant: Option<TenantId>,
) -> Result<(i64, Option<Timestamp>)> {
    let whose = tenant.map_or("", |_| "AND tenant_id = $1");
    let sql = format!(
        "SELECT COUNT(*) AS n, MIN(created_at) AS oldest FROM (
            SELECT created_at FROM billing_event WHERE position IS NULL {whose} LIMIT {MAX_COUNT}) AS waiting"
    );
    let values = tenant.map(|tenant| tenant.0.into());
    counted(db, &sql, values.into_iter().collect()).await
}

/// How many webhooks (of a tenant) are due to endpoints that have failed, or to those that have not, and since when the oldest is. What
/// waits for an endpoint that rests or is switched off is not due.
pub(super) async fn webhooks_backlog(
    db: &impl ConnectionTrait,
    now: Timestamp,
    tenant: Option<TenantId>,
    failing: bool,
) -> Result<(i64, Option<Timestamp>)> {
    let whose = tenant.map_or("", |_| "AND e.tenant_id = $2");
    let failures = if failing { "> 0" } else { "= 0" };
    let sql = format!(
        "SELECT COUNT(*) AS n, MIN(next_at) AS oldest FROM (
            SELECT d.next_at FROM webhook_endpoint e JOIN webhook_delivery d ON d.endpoint_id = e.id
            WHERE e.state = 'ENABLED' AND e.failures {failures} AND e.resting_until <= $1
                AND d.state = 'PENDING' AND d.next_at <= $1 {whose} LIMIT {MAX_COUNT}) AS waiting"
    );
    let values = [Some(now.micros().into()), tenant.map(|tenant| tenant.0.into())];
    counted(db, &sql, values.into_iter().flatten().collect()).await
}

/// Subscriptions that wait to be moved on.
const CYCLES_DUE: &str = "due_at IS NOT NULL AND clock_id IS NULL AND due_at <= $1";

/// How many subscriptions of a tenant wait to be moved on, and since when the oldest of those does.
pub(super) async fn cycles_backlog_of(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    now: Timestamp,
) -> Result<(i64, Option<Timestamp>)> {
    let sql = format!(
        "SELECT COUNT(*) AS n, MIN(due_at) AS oldest FROM (
            SELECT due_at FROM subscription WHERE {CYCLES_DUE} AND tenant_id = $2 LIMIT {MAX_COUNT}) AS waiting"
    );
    counted(db, &sql, vec![now.micros().into(), tenant.0.into()]).await
}

/// How many subscriptions wait to be moved on, and since when the oldest does.
pub(super) async fn cycles_backlog(
    db: &impl ConnectionTrait,
    now: Timestamp,
) -> Result<(i64, Option<Timestamp>)> {
    let sql = format!(
        "SELECT COUNT(*) AS n, MIN(due_at) AS oldest FROM (
            SELECT due_at FROM subscription WHERE {CYCLES_DUE} LIMIT {MAX_COUNT}) AS waiting"
    );
    counted(db, &sql, vec![now.micros().into()]).await
}

async fn counted(
    db: &impl ConnectionTrait,
    sql: &str,
    values: Vec<sea_orm::Value>,
) -> Result<(i64, Option<Timestamp>)> {
    let Some(row) = db.query_one_raw(statement(db, sql, values)).await? else {
        return Ok((0, None));
    };
    let oldest: Option<i64> = row.try_get("", "oldest")?;
    Ok((row.try_get("", "n")?, oldest.map(Timestamp::from_micros)))
}

/// How many blocks wait to be ended and holds to be freed, and since when the oldest does.
pub(super) async fn expiry_backlog(
    db: &impl ConnectionTrait,
    now: Timestamp,
) -> Result<(i64, Option<Timestamp>)> {
    let (mut waiting, mut oldest) = (0, None);
    for (table, condition) in [("block", ENDING), ("hold", LAPSED)] {
        let sql = format!("SELECT expires_at FROM {table} WHERE {condition} ORDER BY expires_at LIMIT 1");
        let first = db
            .query_one_raw(statement(db, &sql, vec![now.micros().into()]))
            .await?;
        let first: Option<i64> = first.map(|row| row.try_get("", "expires_at")).transpose()?;
        let first = first.map(Timestamp::from_micros);
        oldest = oldest.into_iter().chain(first).min();
        waiting += count(db, table, condition, now.micros()).await?;
    }
    Ok((waiting, oldest))
}

async fn count(db: &impl ConnectionTrait, table: &str, condition: &str, value: i64) -> Result<i64> {
    let sql = format!(
        "SELECT COUNT(*) AS n FROM (SELECT 1 FROM {table} WHERE {condition} LIMIT {MAX_COUNT}) AS waiting"
    );
    let row = db.query_one_raw(statement(db, &sql, vec![value.into()])).await?;
    Ok(row.map(|row| row.try_get("", "n")).transpose()?.unwrap_or(0))
}

/// How much work of each kind is parked, of all tenants.
pub(super) async fn count_parked(db: &impl ConnectionTrait) -> Result<Vec<(String, i64)>> {
    Ok(work::Entity::find()
        .select_only()
        .column(work::Column::Kind)
        .column_as(work::Column::Id.count(), "rows")
        .filter(work::Column::State.eq(PARKED))
        .group_by(work::Column::Kind)
        .into_tuple()
        .all(db)
        .await?)
}

/// Whose work somebody may see.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reach {
    /// That of one tenant.
    Tenant(TenantId),
    /// All of it, also what belongs to nobody.
    Everything,
}

impl Reach {
    fn rows(self) -> Condition {
        match self {
            Self::Tenant(tenant) => Condition::all().add(work::Column::TenantId.eq(tenant.0)),
            Self::Everything => Condition::all(),
        }
    }
}

/// Parked work within reach.
pub(super) async fn list_parked(
    db: &impl ConnectionTrait,
    reach: Reach,
    page: Page<WorkId>,
) -> Result<Slice<work::Model>> {
    let all = work::Entity::find()
        .filter(reach.rows())
        .filter(work::Column::State.eq(PARKED));
    page.map(|id| id.0).read(ordered(all, work::Column::Id), db).await
}

pub(super) async fn get_parked(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    id: WorkId,
) -> Result<Option<work::Model>> {
    let parked = work::Entity::find_by_id(id.0)
        .filter(Reach::Tenant(tenant).rows())
        .filter(work::Column::State.eq(PARKED));
    Ok(parked.one(db).await?)
}

pub(super) async fn lock(op: &Op, reach: Reach, id: WorkId) -> Result<Option<work::Model>> {
    Ok(work::Entity::find_by_id(id.0)
        .filter(reach.rows())
        .lock_exclusive()
        .one(op.tx())
        .await?)
}

/// Forgets a work row by id: whoever takes up the work begins afresh.
pub(super) async fn forget(op: &Op, id: WorkId) -> Result<()> {
    work::Entity::delete_by_id(id.0).exec(op.tx()).await?;
    Ok(())
}
