//! Batches on their way into the database: several at once, settled in the order of the file.
//!
//! A batch that fails for a passing reason is sent again. The keys make that safe, also when the first attempt was committed
//! and only its answer was lost.

use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};

use app::{
    Error,
    customer::CustomerRef,
    usage::{self, NewEvent, Outcome as Fate},
};
use domain::usage::event::{MAX_EVENTS, Refusal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    progress::Progress,
    report::{Report, Settled},
    row::Reader,
    source::{Row, Source},
    target::{Asked, Target},
};
use crate::failure::{Failure, Outcome};

/// Batches under way at once: enough that one commit takes several of them while the next are read.
const IN_FLIGHT: usize = 10;
/// First pause before a batch is sent again.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause before a batch is sent again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A row with its events, or with the reason why it has none.
struct Loaded {
    row: Row,
    events: Result<Vec<NewEvent>, String>,
}

/// A batch under way.
type Flying = JoinHandle<Outcome<Vec<Settled>>>;

/// How an import ended.
pub(super) enum End {
    /// The whole file was read.
    Complete,
    /// A signal came first.
    Stopped,
    /// It could not go on.
    Broken(Failure),
}

/// What an import leaves.
pub(super) struct Imported {
    pub(super) report: Report,
    /// Whose events were recorded, if the caller wants to know.
    pub(super) customers: HashSet<String>,
    pub(super) ended: End,
}

/// Reads the file to its end and records its events.
pub(super) async fn import(
    mut source: Source,
    mut reader: Reader,
    target: &Target,
    mut report: Report,
    progress: &Progress,
    stop: &CancellationToken,
) -> Imported {
    let mut customers = HashSet::new();
    let mut flying: VecDeque<Flying> = VecDeque::new();
    let mut asked = Asked::default();
    let per_row = reader.events_per_row();
    let mut ended = loop {
        if stop.is_cancelled() {
            break End::Stopped;
        }
        let batch = match load(&mut source, &mut reader, MAX_EVENTS / per_row.max(1)) {
            Ok(batch) if batch.is_empty() => break End::Complete,
            Ok(batch) => batch,
            Err(failure) => break End::Broken(failure),
        };
        progress.read(source.position());
        if target.wait {
            customers.extend(batch.iter().filter_map(Loaded::customer));
        }
        if target.dry_run {
            match check(target, &mut asked, batch).await {
                Ok(settled) => report.add(settled, per_row, progress),
                Err(error) => break End::Broken(error.into()),
            }
            continue;
        }
        if flying.len() >= IN_FLIGHT
            && let Some(first) = flying.pop_front()
            && let Err(failure) = settle(first, &mut report, per_row, progress).await
        {
            break End::Broken(failure);
        }
        flying.push_back(tokio::spawn(send(target.clone(), progress.clone(), batch)));
    };
    // Whatever is still under way may be committed, so it belongs into the report even after a failure.
    for batch in flying {
        if let Err(failure) = settle(batch, &mut report, per_row, progress).await
            && !matches!(ended, End::Broken(_))
        {
            ended = End::Broken(failure);
        }
    }
    progress.done();
    Imported {
        report,
        customers,
        ended,
    }
}

impl Loaded {
    /// Whose the row is, as text.
    fn customer(&self) -> Option<String> {
        match self.events.as_ref().ok()?.first()?.customer.as_ref()? {
            CustomerRef::Id(id) => Some(id.to_string()),
            CustomerRef::External(id) => Some(id.clone()),
        }
    }
}

fn load(source: &mut Source, reader: &mut Reader, rows: usize) -> Outcome<Vec<Loaded>> {
    let mut batch = Vec::new();
    while batch.len() < rows
        && let Some(row) = source.next()?
    {
        let events = reader.read(&row.raw);
        batch.push(Loaded { row, events });
    }
    Ok(batch)
}

async fn settle(batch: Flying, report: &mut Report, per_row: usize, progress: &Progress) -> Outcome<()> {
    let broke = |error| Failure::of("a part of the import broke", error);
    report.add(batch.await.map_err(broke)??, per_row, progress);
    Ok(())
}

async fn send(target: Target, progress: Progress, batch: Vec<Loaded>) -> Outcome<Vec<Settled>> {
    let good = batch.iter().filter_map(|loaded| loaded.events.as_ref().ok());
    let events: Vec<NewEvent> = good.flatten().cloned().collect();
    let fates = if events.is_empty() {
        Vec::new()
    } else {
        record(&target, &progress, events).await?
    };
    let mut fates = fates.into_iter();
    let settled = batch.into_iter().map(|Loaded { row, events }| match events {
        Ok(events) => Settled::of_fates(row, fates.by_ref().take(events.len())),
        Err(reason) => Settled::bad(row, reason),
    });
    Ok(settled.collect())
}

/// Records events, as often as it takes.
async fn record(target: &Target, progress: &Progress, events: Vec<NewEvent>) -> Outcome<Vec<Fate>> {
    let begun = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match usage::record(&target.app, &target.actor, events.clone(), target.age).await {
            Ok(fates) => return Ok(fates),
            Err(Error::Unavailable(problem)) if begun.elapsed() + pause <= target.patience => {
                progress.trouble(&problem);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Err(error) => {
                let advice = "what was recorded stays; run the same command again to go on";
                let tried = begun.elapsed().as_secs();
                return Err(Failure::new(format!(
                    "events could not be recorded after {tried} seconds of trying: {error}; {advice}"
                )));
            }
        }
    }
}

/// What recording would find, without doing so.
async fn check(target: &Target, asked: &mut Asked, batch: Vec<Loaded>) -> Result<Vec<Settled>, Error> {
    let mut settled = Vec::with_capacity(batch.len());
    for Loaded { row, events } in batch {
        let who = events
            .as_ref()
            .ok()
            .and_then(|events| events.first()?.customer.as_ref());
        let known = match who {
            Some(who) => asked.exists(target, who).await?,
            None => true,
        };
        settled.push(match events {
            Ok(_) if !known => Settled::bad(row, Refusal::UnknownCustomer.to_string()),
            Ok(events) => Settled::fine(row, events.len()),
            Err(reason) => Settled::bad(row, reason),
        });
    }
    Ok(settled)
}
