//! Jobs: wake-ups that find their work again in rows.
//!
//! A job carries ids only. Losing, doubling, reordering or poisoning any of them changes nothing but the time, because
//! [`sweep`] asks the rows themselves what is due and wakes it again.
//!
//! To add a kind: one file beside this one, one line in [`KINDS`].

mod audit;
mod cards;
pub(crate) mod clocks;
pub(crate) mod cycles;
pub(crate) mod drain;
pub(crate) mod events;
mod expire;
mod expiring;
mod holds;
pub(crate) mod invoices;
mod listen;
pub(crate) mod mail;
pub(crate) mod notices;
pub(crate) mod overshoot;
pub(crate) mod payments;
pub(crate) mod recharges;
mod status;
mod store;
pub(crate) mod webhooks;
pub(crate) mod work;

use std::time::Instant;

use domain::id::CustomerId;
use futures::future::BoxFuture;
use metrics::{counter, histogram};
use sea_orm::{DatabaseTransaction, DbErr};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::Instrument;

pub use self::status::{
    LaneStatus, Overview, ParkedWork, Status, overview, parked, parked_anywhere, parked_by_id, retry,
    retry_anywhere, status,
};
use crate::{
    App,
    db::Backend,
    error::{Error, Result},
    failpoint::reach,
    telemetry,
};

/// A class of jobs with its own workers, so that one class cannot starve another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Draining accepted usage into debits.
    Usage,
    /// What time makes due of subscriptions: turns and closes of cycles, renewals, contracts. Test clocks.
    Cycles,
    /// Charging customers, which waits for somebody else's servers.
    Payments,
    /// Publishing what has happened.
    Events,
    /// Webhooks to receivers that answer.
    Webhooks,
    /// Letters, and webhooks to receivers that fail, so that they keep nobody else waiting.
    Retries,
    /// Work that time makes due besides: expiry and notices of it, deadlines of holds.
    Upkeep,
}

impl Lane {
    /// Every lane, in the order in which they are listed to people.
    pub const ALL: [Self; 7] = [
        Self::Usage,
        Self::Cycles,
        Self::Payments,
        Self::Events,
        Self::Webhooks,
        Self::Retries,
        Self::Upkeep,
    ];

    /// The name used on the command line, in the queue and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Cycles => "cycles",
            Self::Payments => "payments",
            Self::Events => "events",
            Self::Webhooks => "webhooks",
            Self::Retries => "retries",
            Self::Upkeep => "upkeep",
        }
    }

    /// Jobs at once in one worker process unless it is told otherwise. Cycles of thousands of customers often end at one moment, in large
    /// transactions: more of them at once close hardly more cycles, and take from requests what these need to be answered in time.
    #[must_use]
    pub fn usual_concurrency(self) -> u16 {
        match self {
            Self::Usage | Self::Upkeep => 4,
            Self::Cycles | Self::Events => 2,
            Self::Payments => 8,
            // They wait for others, and hold no connection to the database meanwhile.
            Self::Webhooks | Self::Retries => 32,
        }
    }
}

/// What the queue carries: a kind and its arguments, readable by every version of the program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// Name of the job kind, such as `usage.drain`.
    pub kind: String,
    /// Ids the kind needs to find its work.
    pub args: Value,
}

/// A job on its way to a lane.
#[derive(Debug, Clone, PartialEq)]
pub struct Wakeup {
    /// Where it runs.
    pub lane: Lane,
    /// What runs.
    pub envelope: Envelope,
}

/// The shared queue as the use-cases see it. The one real implementation lives in the `queue` crate.
#[async_trait::async_trait]
pub trait Queue: Send + Sync + 'static {
    /// Adds wake-ups inside an open transaction: they exist if and only if it commits. One statement for any number.
    ///
    /// # Errors
    /// Whatever the database answers.
    async fn push(&self, tx: &DatabaseTransaction, wakeups: &[Wakeup]) -> std::result::Result<(), DbErr>;
}

/// A kind of job, defined once: where it runs, what it does, and how its due work is found in rows.
pub(crate) struct Kind {
    /// Name in the queue and in work rows. Never changed.
    pub(crate) name: &'static str,
    /// Where it runs.
    pub(crate) lane: Lane,
    /// Most subjects of one wake-up, so that little work of many costs one run.
    pub(crate) together: fn(Backend) -> usize,
    /// Does the work of subjects. The number is that of the attempt, from 1 since it last went well. Answers whether some
    /// is left.
    pub(crate) run: for<'a> fn(&'a App, &'a [String], i32) -> BoxFuture<'a, Result<bool>>,
    /// Subjects with due work, found in rows.
    pub(crate) due: for<'a> fn(&'a App) -> BoxFuture<'a, Result<Vec<String>>>,
}

/// Every kind.
pub(crate) static KINDS: &[Kind] = &[
    drain::KIND,
    cycles::KIND,
    clocks::KIND,
    payments::KIND,
    notices::KIND,
    listen::KIND,
    cards::KIND,
    recharges::KIND,
    invoices::KIND,
    events::KIND,
    events::FORGET,
    webhooks::FIRST,
    webhooks::AGAIN,
    mail::KIND,
    expire::KIND,
    expiring::KIND,
    holds::KIND,
    overshoot::KIND,
    audit::KIND,
];

impl Kind {
    pub(crate) fn of(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name)
    }

    fn wakeup(&self, subjects: &[String]) -> Wakeup {
        let envelope = Envelope {
            kind: self.name.to_owned(),
            args: match subjects {
                [only] => Value::from(only.as_str()),
                many => Value::from(many),
            },
        };
        Wakeup {
            lane: self.lane,
            envelope,
        }
    }
}

/// Runs what a wake-up asks for. Never fails: an error is kept in the work row and tried again after a pause; a wake-up that
/// makes no sense is parked where people see it.
pub async fn run(app: &App, payload: Value) {
    let known = serde_json::from_value::<Envelope>(payload.clone())
        .ok()
        .and_then(|envelope| Some((Kind::of(&envelope.kind)?, subjects(envelope.args)?)));
    let kind = known.as_ref().map_or("unknown", |(kind, _)| kind.name);
    let mut watch = Watch::begin(kind);
    let running = async {
        match known {
            Some((kind, subjects)) => attempt(app, kind, &subjects).await,
            None => work::park_unknown(app, &payload).await.map(|()| "unknown"),
        }
    };
    let span =
        tracing::debug_span!(target: telemetry::TRACE, "job", otel.name = kind, otel.kind = "consumer");
    match running.instrument(span).await {
        Ok(outcome) => watch.outcome = outcome,
        Err(error) => {
            watch.outcome = "failed";
            tracing::warn!(%error, "a job could not be noted; the sweep will find its work");
        }
    }
}

/// Measures a run to its end, also when that is a panic or being dropped.
struct Watch {
    kind: &'static str,
    begun: Instant,
    outcome: &'static str,
}

impl Watch {
    fn begin(kind: &'static str) -> Self {
        Self {
            kind,
            begun: Instant::now(),
            outcome: "died",
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        counter!(telemetry::JOB_RUNS, "kind" => self.kind, "outcome" => self.outcome).increment(1);
        histogram!(telemetry::JOB_SECONDS, "kind" => self.kind).record(self.begun.elapsed().as_secs_f64());
    }
}

/// The subjects of a wake-up: one text, or a list of them.
fn subjects(args: Value) -> Option<Vec<String>> {
    let mut subjects: Vec<String> = match args {
        Value::String(only) => vec![only],
        many => serde_json::from_value(many).ok()?,
    };
    subjects.sort_unstable();
    subjects.dedup();
    Some(subjects)
}

/// The customers that subjects name.
fn customers(subjects: &[String]) -> Result<Vec<CustomerId>> {
    let one = |subject: &String| {
        let no = |_| Error::Internal(format!("`{subject}` is no customer"));
        subject.parse().map_err(no)
    };
    subjects.iter().map(one).collect()
}

/// The one subject of jobs that look at everything, if there is something to do.
fn all_if(due: bool) -> Vec<String> {
    due.then(|| "all".to_owned()).into_iter().collect()
}

/// Customers as subjects.
fn names(customers: &[CustomerId]) -> Vec<String> {
    customers.iter().map(CustomerId::to_string).collect()
}

/// Makes an attempt at what nobody else is working on, and answers how it went, in one word.
async fn attempt(app: &App, kind: &'static Kind, subjects: &[String]) -> Result<&'static str> {
    let Some(run) = work::begin(app, kind, subjects).await? else {
        return Ok("idle");
    };
    reach("job.begun")?;
    match (kind.run)(app, &run.subjects, run.attempt).await {
        Ok(more) => {
            reach("job.ran")?;
            let again = run.finish(app, more).await?;
            reach("job.finished")?;
            Ok(if again { "more" } else { "done" })
        }
        Err(error) => {
            let (subjects, attempt) = (&run.subjects, run.attempt);
            tracing::warn!(kind = kind.name, ?subjects, attempt, %error, "a job failed and will be tried again");
            run.postpone(app, &error.to_string()).await?;
            Ok("failed")
        }
    }
}

/// Who sends a wake-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    /// New work.
    Work,
    /// The sweep, which leaves alone what is being worked on.
    Sweep,
}

/// Wakes subjects that are neither awake nor being worked on. One statement when all are, three otherwise.
pub(crate) async fn wake(app: &App, kind: &str, subjects: &[String], sender: Sender) -> Result<()> {
    let Some(kind) = Kind::of(kind) else {
        return Ok(());
    };
    let asleep = work::asleep(app, kind.name, subjects, sender).await?;
    if asleep.is_empty() {
        return Ok(());
    }
    let mut op = crate::op::Op::begin_passing(app).await?;
    work::send(&mut op, kind, &asleep, (kind.together)(app.db().backend())).await?;
    reach("wake.marked")?;
    op.commit().await
}

/// Wakes everything that is due, as rows tell: the second line behind wake-ups that were lost.
///
/// # Errors
/// The database is out of reach; the next sweep tries again.
pub async fn sweep(app: &App) -> Result<()> {
    work::disbelieve_the_future(app).await?;
    for kind in KINDS {
        let due = (kind.due)(app).await?;
        if !due.is_empty() {
            wake(app, kind.name, &due, Sender::Sweep).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn kinds_have_different_names() {
        let names: HashSet<_> = KINDS.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), KINDS.len());
    }
}
