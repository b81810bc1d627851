//! How far an import has come: a bar on a terminal, a line now and then otherwise. All of it on standard error.

use std::{
    io::{self, IsTerminal},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use super::report::Tally;
use crate::print;

/// Pause between two lines where there is no terminal.
const LINE: Duration = Duration::from_secs(5);
/// What the bar shows.
const TEMPLATE: &str = "{wide_bar} {percent}%  {msg}  {eta} left";

/// The place where progress and remarks appear. Clones share it.
#[derive(Clone)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    said: Arc<Mutex<Said>>,
}

struct Said {
    line: Instant,
    trouble: Option<Instant>,
}

impl Progress {
    /// For a file of so many bytes.
    pub(super) fn new(size: u64) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(size).with_style(style)
        });
        let said = Said {
            line: Instant::now(),
            trouble: None,
        };
        Self {
            bar,
            said: Arc::new(Mutex::new(said)),
        }
    }

    /// So many bytes are read.
    pub(super) fn read(&self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(bytes);
        }
    }

    /// So much is settled.
    pub(super) fn counted(&self, tally: &Tally) {
        let text = format!(
            "{} rows, {} accepted, {} duplicates, {} rejected",
            HumanCount(tally.rows),
            HumanCount(tally.accepted),
            HumanCount(tally.duplicates),
            HumanCount(tally.rejected)
        );
        if let Some(bar) = &self.bar {
            bar.set_message(text);
            return;
        }
        let mut said = self.lock();
        if said.line.elapsed() >= LINE {
            said.line = Instant::now();
            print::note(text);
        }
    }

    /// A remark.
    pub(super) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| print::note(text)),
            None => print::note(text),
        }
    }

    /// The database fails and is tried again. Said now and then, not by every batch.
    pub(super) fn trouble(&self, problem: &str) {
        let mut said = self.lock();
        if said.trouble.is_none_or(|last| last.elapsed() >= LINE) {
            said.trouble = Some(Instant::now());
            self.note(&format!(
                "the database does not take events and is tried again: {problem}"
            ));
        }
    }

    /// There is nothing more to show.
    pub(super) fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
