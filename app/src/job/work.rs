//! Work rows: what is being tried, how often it failed, and what needs a person.
//!
//! An attempt is counted before it begins, so that work which kills its worker is counted as well.

use std::time::Duration;

use domain::{
    id::{CustomerId, TenantId},
    time::Timestamp,
};
use serde_json::Value;

use super::{Sender, store};
use crate::{App, error::Result, op::Op};

/// A wake-up that has not been taken for this long is taken for lost.
const LOST_AFTER_SECONDS: i64 = 15;
/// A run that began this long ago and has not ended is taken for dead. Runs last a few seconds ([`RUN_BUDGET`]).
const DEAD_AFTER_SECONDS: i64 = 15;
/// How long a run goes on taking more work before it lets others have their turn.
pub(crate) const RUN_BUDGET: Duration = Duration::from_secs(5);
/// Longest pause between two attempts.
const MAX_PAUSE_SECONDS: i64 = 60;
/// Longest error text that is kept, in bytes.
const MAX_ERROR: usize = 1_000;
/// Longest payload that is kept when nobody understands it, in bytes. It is part of a key, of which PostgreSQL's index keeps at
/// most 2,704 bytes.
const MAX_PAYLOAD: usize = 2_000;

/// Kinds of work rows beside those of jobs.
pub(crate) struct Duty;

impl Duty {
    /// Usage of one customer that needs attention. The subject is the customer's id.
    pub(crate) const CUSTOMER: &'static str = "usage.customer";
    /// Blocks of one customer that cannot be ended. The subject is the customer's id.
    pub(crate) const EXPIRY: &'static str = "expiry.customer";
    /// A wake-up that nobody understands. The subject is what it said.
    pub(crate) const UNKNOWN: &'static str = "unknown";
}

/// Begins an attempt and answers its number, from 1 since the work last went well. `None`: it is parked or pausing, or a run
/// is under way and will look again.
pub(crate) async fn begin(app: &App, kind: &str, subject: &str) -> Result<Option<i32>> {
    let op = Op::begin(app).await?;
    let dead = op.now().plus_seconds(-DEAD_AFTER_SECONDS);
    let attempt = store::begin(&op, kind, subject, None, dead).await?;
    op.commit().await?;
    Ok(attempt)
}

/// Counts an attempt at work that a run has under its own hands already. `None`: it is parked.
pub(crate) async fn count(app: &App, kind: &str, subject: &str, tenant: TenantId) -> Result<Option<i32>> {
    let op = Op::begin(app).await?;
    let attempt = store::begin(&op, kind, subject, Some(tenant), Timestamp::MAX).await?;
    op.commit().await?;
    Ok(attempt)
}

/// The work went well: earlier failures are forgotten. Answers whether a wake-up came meanwhile.
pub(crate) async fn finish(app: &App, kind: &str, subject: &str) -> Result<bool> {
    let op = Op::begin(app).await?;
    let again = store::finish(&op, kind, subject).await?;
    op.commit().await?;
    Ok(again)
}

/// The work failed: it is tried again after 1, 2, 4, … seconds.
pub(crate) async fn postpone(
    app: &App,
    kind: &str,
    subject: &str,
    attempt: i32,
    problem: &str,
) -> Result<()> {
    let op = Op::begin(app).await?;
    let pause = 1_i64
        .checked_shl(attempt.clamp(1, 30).unsigned_abs() - 1)
        .unwrap_or(i64::MAX);
    let due = op.now().plus_seconds(pause.min(MAX_PAUSE_SECONDS));
    store::postpone(&op, kind, subject, due, cut(problem, MAX_ERROR)).await?;
    op.commit().await
}

/// Sets work aside until a person looks at it.
pub(crate) async fn park(
    app: &App,
    kind: &str,
    subject: &str,
    tenant: Option<TenantId>,
    problem: &str,
) -> Result<()> {
    let op = Op::begin(app).await?;
    store::park(&op, kind, subject, tenant, cut(problem, MAX_ERROR)).await?;
    op.commit().await
}

/// Sets aside a wake-up that nobody understands, such as one of a newer version after a rollback.
pub(crate) async fn park_unknown(app: &App, payload: &Value) -> Result<()> {
    let text = payload.to_string();
    tracing::error!(
        payload = cut(&text, MAX_PAYLOAD),
        "a job of an unknown kind is parked"
    );
    park(
        app,
        Duty::UNKNOWN,
        cut(&text, MAX_PAYLOAD),
        None,
        "this version does not know such a job",
    )
    .await
}

/// Forgets a work row.
pub(crate) async fn clear(app: &App, kind: &str, subject: &str) -> Result<()> {
    let op = Op::begin(app).await?;
    store::delete(&op, kind, subject).await?;
    op.commit().await
}

/// The customers whose work of a kind is parked.
pub(crate) async fn set_aside(app: &App, kind: &str) -> Result<Vec<CustomerId>> {
    let subjects = store::parked_subjects(app.db().reader(), kind).await?;
    Ok(subjects
        .iter()
        .filter_map(|subject| subject.parse().ok())
        .collect())
}

/// Whether one subject's work of a kind is parked.
pub(crate) async fn is_set_aside(app: &App, kind: &str, subject: &str) -> Result<bool> {
    store::is_parked(app.db().reader(), kind, subject).await
}

/// Which subjects have no wake-up on its way and are not pausing.
pub(super) async fn asleep(
    app: &App,
    kind: &str,
    subjects: &[String],
    sender: Sender,
) -> Result<Vec<String>> {
    let now = app.now();
    let busy_since = match sender {
        Sender::Work => Timestamp::MAX,
        Sender::Sweep => now.plus_seconds(-DEAD_AFTER_SECONDS),
    };
    let lost = now.plus_seconds(-LOST_AFTER_SECONDS);
    let awake = store::awake(app.db().reader(), kind, subjects, now, lost, busy_since).await?;
    Ok(subjects
        .iter()
        .filter(|subject| !awake.contains(subject))
        .cloned()
        .collect())
}

/// Notes that wake-ups are on their way; answers for which subjects none was.
pub(super) async fn mark_woken(op: &Op, kind: &str, subjects: &[String]) -> Result<Vec<String>> {
    store::mark_woken(op, kind, subjects, op.now().plus_seconds(-LOST_AFTER_SECONDS)).await
}

/// The beginning of a text, at most so many bytes.
fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len()))
        .rev()
        .find(|&end| text.is_char_boundary(end))
        .unwrap_or(0);
    &text[..end]
}
