//! Work rows: what is being tried, how often it failed, and what needs a person.
//!
//! An attempt is counted before it begins, so that work which kills its worker is counted as well. What is noted of runs does not
//! wait for the disk ([`Op::begin_passing`]): should the database's server crash, a run is forgotten that is dead as well. What
//! a person has to see, and the attempts at a customer that lead to it, wait.

use std::{collections::HashMap, time::Duration};

use domain::{
    id::{CustomerId, TenantId},
    time::Timestamp,
};
use serde_json::Value;

use super::{Kind, Sender, names, store};
use crate::{App, error::Result, failpoint::reach, op::Op};

/// A wake-up that has not been taken for this long is taken for lost.
const LOST_AFTER_SECONDS: i64 = 15;
/// A run that began this long ago and has not ended is taken for dead. Runs last a few seconds ([`RUN_BUDGET`]).
const DEAD_AFTER_SECONDS: i64 = 15;
/// How long a run goes on taking more work before it lets others have their turn.
pub(crate) const RUN_BUDGET: Duration = Duration::from_secs(5);
/// Longest pause between two attempts.
const MAX_PAUSE_SECONDS: i64 = 60;
/// A work row speaks of no time further ahead than its longest pause, and what the clocks of processes differ.
const MAX_AHEAD_SECONDS: i64 = MAX_PAUSE_SECONDS + 15;
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
    /// Subscriptions of one customer that cannot go on. The subject is the customer's id.
    pub(crate) const SUBSCRIPTION: &'static str = "subscription.customer";
    /// A wake-up that nobody understands. The subject is what it said.
    pub(crate) const UNKNOWN: &'static str = "unknown";
}

/// A run: the subjects that it has under its hands.
pub(super) struct Run {
    kind: &'static Kind,
    pub(super) subjects: Vec<String>,
    /// The highest number of an attempt among them, from 1 since the work last went well.
    pub(super) attempt: i32,
    since: Timestamp,
}

/// Begins an attempt at each subject. Left out are those that are parked or pausing, or have a run under way, which will look
/// again. `None`: all of them.
pub(super) async fn begin(app: &App, kind: &'static Kind, subjects: &[String]) -> Result<Option<Run>> {
    let op = Op::begin_passing(app).await?;
    let since = op.now();
    let begun = store::begin(&op, kind.name, subjects, None, dead(since)).await?;
    op.commit().await?;
    let attempt = begun.iter().map(|(_, attempt)| *attempt).max();
    Ok(attempt.map(|attempt| Run {
        kind,
        subjects: begun.into_iter().map(|(subject, _)| subject).collect(),
        attempt,
        since,
    }))
}

/// Runs that began before have died.
fn dead(now: Timestamp) -> Timestamp {
    now.plus_seconds(-DEAD_AFTER_SECONDS)
}

/// Counts an attempt at work that a run has under its own hands already. `None`: it is parked.
pub(crate) async fn count(app: &App, kind: &str, subject: &str, tenant: TenantId) -> Result<Option<i32>> {
    let op = Op::begin(app).await?;
    let begun = store::begin(&op, kind, &[subject.to_owned()], Some(tenant), Timestamp::MAX).await?;
    op.commit().await?;
    Ok(begun.first().map(|(_, attempt)| *attempt))
}

impl Run {
    /// The work went well: earlier failures are forgotten. Wakes the subjects again that were woken meanwhile, and all of them, each
    /// by itself, if there is more to do. Answers whether any was.
    pub(super) async fn finish(&self, app: &App, more: bool) -> Result<bool> {
        let mut op = Op::begin_passing(app).await?;
        let ours = store::lock_run(&op, self.kind.name, &self.subjects, self.since).await?;
        let all: Vec<String> = ours.iter().map(|(subject, _)| subject.clone()).collect();
        store::settle(&op, self.kind.name, &all).await?;
        let again = ours.into_iter().filter(|(_, again)| *again || more);
        let again: Vec<String> = again.map(|(subject, _)| subject).collect();
        if !again.is_empty() {
            let together = if more {
                1
            } else {
                (self.kind.together)(app.db().backend())
            };
            send(&mut op, self.kind, &again, together).await?;
            reach("job.again")?;
        }
        op.commit().await?;
        Ok(!again.is_empty())
    }

    /// The work failed: it is tried again after 1, 2, 4, … seconds. Of several subjects any may have been the cause, so each is tried
    /// by itself, at once.
    pub(super) async fn postpone(&self, app: &App, problem: &str) -> Result<()> {
        let mut op = Op::begin_passing(app).await?;
        let pause = match self.subjects.len() {
            1 => pause_after(self.attempt),
            _ => 0,
        };
        let due = op.now().plus_seconds(pause);
        let ours = store::lock_run(&op, self.kind.name, &self.subjects, self.since).await?;
        let ours: Vec<String> = ours.into_iter().map(|(subject, _)| subject).collect();
        store::postpone(&op, self.kind.name, &ours, due, cut(problem, MAX_ERROR)).await?;
        if pause == 0 {
            send(&mut op, self.kind, &ours, 1).await?;
        }
        op.commit().await
    }
}

/// Seconds until the next attempt.
fn pause_after(attempt: i32) -> i64 {
    let pause = 1_i64
        .checked_shl(attempt.clamp(1, 30).unsigned_abs() - 1)
        .unwrap_or(i64::MAX);
    pause.min(MAX_PAUSE_SECONDS)
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
    Ok(customers_of(&subjects))
}

/// Which of some customers have work of a kind that is parked.
pub(crate) async fn set_aside_among(
    app: &App,
    kind: &str,
    customers: &[CustomerId],
) -> Result<Vec<CustomerId>> {
    let parked = store::parked_among(app.db().reader(), kind, &names(customers)).await?;
    Ok(customers_of(&parked))
}

/// Those of some customers that have work of a kind that was begun and has not gone well since, and until when it pauses. One statement.
pub(crate) async fn failed_among(
    app: &App,
    kind: &str,
    customers: &[CustomerId],
) -> Result<HashMap<CustomerId, Timestamp>> {
    let failed = store::failed_among(app.db().reader(), kind, &names(customers)).await?;
    let one = |(subject, due): (String, i64)| Some((subject.parse().ok()?, Timestamp::from_micros(due)));
    Ok(failed.into_iter().filter_map(one).collect())
}

fn customers_of(subjects: &[String]) -> Vec<CustomerId> {
    subjects
        .iter()
        .filter_map(|subject| subject.parse().ok())
        .collect()
}

/// Whether one subject's work of a kind is parked.
pub(crate) async fn is_set_aside(app: &App, kind: &str, subject: &str) -> Result<bool> {
    let parked = store::parked_among(app.db().reader(), kind, &[subject.to_owned()]).await?;
    Ok(!parked.is_empty())
}

/// Which subjects have no wake-up on its way and are not pausing.
pub(super) async fn asleep(
    app: &App,
    kind: &str,
    subjects: &[String],
    sender: Sender,
) -> Result<Vec<String>> {
    let now = app.now();
    let db = app.db().reader();
    let awake = store::awake(db, kind, subjects, sender, now, lost(now), dead(now)).await?;
    Ok(subjects
        .iter()
        .filter(|subject| !awake.contains(subject))
        .cloned()
        .collect())
}

/// Sends wake-ups, each to so many subjects, to those that have none on its way and no run either: a run is told to look again.
/// What has failed before gets one of its own, so that it holds nobody else back.
pub(super) async fn send(op: &mut Op, kind: &Kind, subjects: &[String], together: usize) -> Result<()> {
    let now = op.now();
    let asleep = store::mark_woken(op, kind.name, subjects, lost(now), dead(now)).await?;
    let (well, failed): (Vec<_>, Vec<_>) = asleep.into_iter().partition(|(_, attempts)| *attempts == 0);
    let names = |all: Vec<(String, i32)>| all.into_iter().map(|(subject, _)| subject).collect::<Vec<_>>();
    for subjects in names(well).chunks(together).chain(names(failed).chunks(1)) {
        op.wake(kind.wakeup(subjects));
    }
    Ok(())
}

/// Forgets what work rows say of a time that is too far ahead to be true: a clock has been set back since, and nothing would be
/// taken for lost, dead or due before it has caught up. One statement, three when there is any.
pub(super) async fn disbelieve_the_future(app: &App) -> Result<()> {
    let latest = app.now().plus_seconds(MAX_AHEAD_SECONDS);
    if !store::any_after(app.db().reader(), latest).await? {
        return Ok(());
    }
    let op = Op::begin(app).await?;
    store::forget_after(&op, latest).await?;
    op.commit().await
}

/// Wake-ups that were sent before are lost.
fn lost(now: Timestamp) -> Timestamp {
    now.plus_seconds(-LOST_AFTER_SECONDS)
}

/// The beginning of a text, at most so many bytes.
fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len()))
        .rev()
        .find(|&end| text.is_char_boundary(end))
        .unwrap_or(0);
    &text[..end]
}
