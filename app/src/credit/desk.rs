//! Reads for many watchers at once.
//!
//! A change wakes everybody who watches its customer, and a drain changes hundreds of customers. If each watcher read for
//! itself, thousands would queue for the few connections. So they ask here: one task takes all questions that have gathered
//! while the last read ran, reads every customer once, and hands each watcher the same reading. Nothing lingers: a lone
//! question is read at once. A question is answered by a read that begins after it was asked, so nobody is told less than
//! there was when asking.
//!
//! Cost: one statement per [`CUSTOMERS`] changed customers, two more where any has limits of its own, and one per [`LINES`] new ledger lines, however many watch.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use domain::{
    amount::Credits,
    id::{CustomerId, TenantId},
    ledger::Account,
};
use tokio::sync::{mpsc, oneshot};

use super::{live::CATCH_UP, store, view::Bounds};
use crate::{
    App, Inner,
    error::{Error, Result},
};

/// Questions that are answered together. More wait for the next round; there are no more than live subscriptions.
const GATHERED: usize = 10_000;
/// Customers in one statement; below SQLite's limit of parameters.
const CUSTOMERS: usize = 1_000;
/// Ledger lines in one statement: some two megabytes.
const LINES: u64 = 20_000;

/// Whose balance.
pub(super) type Whose = (TenantId, CustomerId);

/// How a customer stands, and how it came there.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) account: Account,
    pub(super) bounds: Bounds,
    /// Number of the account's latest change, of credits or of terms.
    pub(super) revision: i64,
    /// The latest lines, without a gap, up to the account's last; as many as any of those who asked together lacks.
    lines: Vec<Line>,
}

/// The balance after one ledger entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) sequence: i64,
    pub(super) balance: Credits,
    pub(super) overdraft: Credits,
}

impl Reading {
    /// The lines after a number, oldest first.
    pub(super) fn after(&self, sequence: i64) -> &[Line] {
        let from = self.lines.partition_point(|line| line.sequence <= sequence);
        &self.lines[from..]
    }
}

/// The way to the reading task.
pub(crate) struct Desk(mpsc::UnboundedSender<Question>);

/// What one watcher wants to know.
pub(crate) struct Question {
    whose: Whose,
    /// Number of the last line it has.
    sent: Option<i64>,
    reply: oneshot::Sender<Result<Arc<Reading>>>,
}

impl Desk {
    /// The way in, and the end that [`run`] reads.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Question>) {
        let (questions, receiver) = mpsc::unbounded_channel();
        (Self(questions), receiver)
    }

    /// How a customer stands now, with the lines after a number unless they are too many.
    ///
    /// # Errors
    /// The database is out of reach, or there is no such account.
    pub(super) async fn read(&self, whose: Whose, sent: Option<i64>) -> Result<Arc<Reading>> {
        let (reply, reading) = oneshot::channel();
        let stopped = || Error::Unavailable("the reading was interrupted".to_owned());
        self.0
            .send(Question { whose, sent, reply })
            .map_err(|_| stopped())?;
        reading.await.map_err(|_| stopped())?
    }
}

/// Answers watchers until the application is dropped.
pub(crate) async fn run(app: Weak<Inner>, mut questions: mpsc::UnboundedReceiver<Question>) {
    let mut gathered = Vec::new();
    while questions.recv_many(&mut gathered, GATHERED).await > 0 {
        let Some(app) = app.upgrade().map(App) else { return };
        let all = std::mem::take(&mut gathered);
        // In a task of its own: should it panic, those who asked are told and the next are answered all the same.
        let _ = tokio::spawn(async move { answer(&app, all).await }).await;
    }
}

async fn answer(app: &App, questions: Vec<Question>) {
    let mut by_customer: HashMap<Whose, Vec<Question>> = HashMap::new();
    for question in questions {
        // One that has gone away needs no read.
        if !question.reply.is_closed() {
            by_customer.entry(question.whose).or_default().push(question);
        }
    }
    let mut all: Vec<(Whose, Vec<Question>)> = by_customer.into_iter().collect();
    while !all.is_empty() {
        let batch = all.split_off(all.len().saturating_sub(CUSTOMERS));
        let read = read(app, &batch).await;
        for (whose, questions) in batch {
            for Question { reply, .. } in questions {
                let told = match &read {
                    Ok(readings) => readings
                        .get(&whose)
                        .cloned()
                        .ok_or_else(|| Error::Internal(format!("{} has no account", whose.1))),
                    Err(Error::Unavailable(problem)) => Err(Error::Unavailable(problem.clone())),
                    Err(error) => Err(Error::Internal(error.to_string())),
                };
                reply.send(told).ok();
            }
        }
    }
}

/// Reads customers for those who ask. Accounts first and lines up to them after, so that both fit together.
async fn read(app: &App, batch: &[(Whose, Vec<Question>)]) -> Result<HashMap<Whose, Arc<Reading>>> {
    let db = app.db().reader();
    let customers: Vec<Whose> = batch.iter().map(|(whose, _)| *whose).collect();
    let mut readings: HashMap<Whose, Reading> = store::presents(db, &customers, app.now())
        .await?
        .into_iter()
        .map(|(whose, (account, bounds, revision))| {
            let lines = Vec::new();
            (
                whose,
                Reading {
                    account,
                    bounds,
                    revision,
                    lines,
                },
            )
        })
        .collect();
    let mut wanted: Vec<(Whose, i64, i64)> = Vec::new();
    for (whose, questions) in batch {
        let Some(reading) = readings.get(whose) else {
            continue;
        };
        let last = reading.account.sequence;
        let lacking = questions.iter().filter_map(|question| question.sent);
        let first = lacking.filter(|sent| can_catch_up(*sent, last)).min();
        wanted.extend(first.filter(|sent| *sent < last).map(|sent| (*whose, sent, last)));
    }
    while !wanted.is_empty() {
        let mut lines = 0;
        let fits = wanted.iter().take_while(|(_, sent, last)| {
            lines += last.abs_diff(*sent);
            lines <= LINES
        });
        let some: Vec<_> = wanted.drain(..fits.count().max(1)).collect();
        for (whose, line) in store::lines_between(db, &some).await? {
            if let Some(reading) = readings.get_mut(&whose) {
                reading.lines.push(line);
            }
        }
    }
    Ok(readings
        .into_iter()
        .map(|(whose, reading)| (whose, Arc::new(reading)))
        .collect())
}

/// Whether a reader that has a number is told every line up to the last. A number that the ledger never gave belongs to
/// another database.
pub(super) fn can_catch_up(sent: i64, last: i64) -> bool {
    (0..=last).contains(&sent) && last.abs_diff(sent) <= CATCH_UP
}
