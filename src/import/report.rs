//! What became of the rows: none is lost silently.

use std::{fs::File, path::Path};

use app::usage::Outcome as Fate;
use csv::{ByteRecord, StringRecord, Writer};
use indicatif::HumanCount;

use super::{progress::Progress, source::Row};
use crate::failure::{Failure, Outcome};

/// Bad rows that are listed on standard error.
const LISTED: u64 = 50;

/// What became of one row.
pub(super) struct Settled {
    row: Row,
    accepted: u64,
    duplicates: u64,
    /// Why events of the row were not recorded.
    reasons: Vec<String>,
}

impl Settled {
    /// A row that was not even sent.
    pub(super) fn bad(row: Row, reason: String) -> Self {
        Self {
            row,
            accepted: 0,
            duplicates: 0,
            reasons: vec![reason],
        }
    }

    /// A row with so many good events.
    pub(super) fn fine(row: Row, events: usize) -> Self {
        Self {
            row,
            accepted: events as u64,
            duplicates: 0,
            reasons: Vec::new(),
        }
    }

    /// A row whose events had these fates.
    pub(super) fn of_fates(row: Row, fates: impl Iterator<Item = Fate>) -> Self {
        let mut settled = Self::fine(row, 0);
        for fate in fates {
            let reason = match fate {
                Fate::Accepted(_) => {
                    settled.accepted += 1;
                    continue;
                }
                Fate::Duplicate(_) => {
                    settled.duplicates += 1;
                    continue;
                }
                Fate::Conflict => {
                    "its key was used before with other content, so it was not recorded again".to_owned()
                }
                Fate::Rejected(refusal) => refusal.to_string(),
            };
            if !settled.reasons.contains(&reason) {
                settled.reasons.push(reason);
            }
        }
        settled
    }
}

/// What became of all rows, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) rows: u64,
    pub(super) accepted: u64,
    pub(super) duplicates: u64,
    pub(super) rejected: u64,
    pub(super) bad_rows: u64,
}

impl Tally {
    /// The numbers in a sentence.
    pub(super) fn summary(&self, dry_run: bool) -> String {
        let [rows, accepted, duplicates, rejected, bad] = [
            self.rows,
            self.accepted,
            self.duplicates,
            self.rejected,
            self.bad_rows,
        ]
        .map(HumanCount);
        if dry_run {
            format!(
                "{rows} rows: {accepted} events are good, {rejected} bad (in {bad} rows); nothing was recorded"
            )
        } else {
            format!(
                "{rows} rows: {accepted} events accepted, {duplicates} duplicates, {rejected} rejected (in {bad} rows)"
            )
        }
    }
}

/// Counts rows and lists the bad ones.
pub(super) struct Report {
    tally: Tally,
    rejects: Option<Writer<File>>,
    /// Why the file of bad rows could not be written.
    trouble: Option<csv::Error>,
}

impl Report {
    /// A report that writes bad rows to a file if one is given.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn new(rejects: Option<&Path>, header: &StringRecord) -> Outcome<Self> {
        let open = |path: &Path| {
            let mut writer = csv::WriterBuilder::new().flexible(true).from_path(path)?;
            writer.write_record(["line", "reason"].into_iter().chain(header))?;
            writer.flush()?;
            Ok(writer)
        };
        Ok(Self {
            tally: Tally::default(),
            rejects: rejects
                .map(open)
                .transpose()
                .map_err(|error| unwritable(&error))?,
            trouble: None,
        })
    }

    /// Adds rows in the order of the file, each of `per_row` events.
    pub(super) fn add(&mut self, rows: Vec<Settled>, per_row: usize, progress: &Progress) {
        for settled in rows {
            self.tally.rows += 1;
            self.tally.accepted += settled.accepted;
            self.tally.duplicates += settled.duplicates;
            if settled.reasons.is_empty() {
                continue;
            }
            self.tally.bad_rows += 1;
            self.tally.rejected += per_row as u64 - settled.accepted - settled.duplicates;
            self.list(&settled, progress);
        }
        progress.counted(&self.tally);
    }

    fn list(&mut self, settled: &Settled, progress: &Progress) {
        let (line, reason) = (settled.row.line, settled.reasons.join("; "));
        if self.tally.bad_rows <= LISTED {
            progress.note(&format!("line {line}: {reason}"));
        } else if self.tally.bad_rows == LISTED + 1 {
            progress.note("more bad rows follow; --rejects FILE lists all of them");
        }
        if let Some(writer) = &mut self.rejects {
            let mut record = ByteRecord::from(vec![line.to_string(), reason]);
            record.extend(&settled.row.raw);
            if let Err(error) = writer.write_byte_record(&record) {
                self.trouble.get_or_insert(error);
            }
        }
    }

    /// Completes the file of bad rows and answers the numbers.
    ///
    /// # Errors
    /// The file could not be written.
    pub(super) fn close(self) -> Outcome<Tally> {
        let flushed = self.rejects.map_or(Ok(()), |mut writer| writer.flush());
        if let Some(error) = self.trouble.or(flushed.err().map(csv::Error::from)) {
            return Err(unwritable(&error));
        }
        Ok(self.tally)
    }
}

fn unwritable(error: &csv::Error) -> Failure {
    Failure::of("the file of bad rows cannot be written", error)
}

#[cfg(test)]
mod tests {
    use app::usage::Outcome as Fate;
    use domain::{id::EventId, usage::event::Refusal};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn every_event_is_counted_once() {
        let row = || Row {
            line: 7,
            raw: ByteRecord::from(vec!["a"]),
        };
        let id = EventId(Uuid::nil());
        let rows = vec![
            Settled::of_fates(row(), [Fate::Accepted(id), Fate::Duplicate(id)].into_iter()),
            Settled::of_fates(row(), [Fate::Accepted(id), Fate::Conflict].into_iter()),
            Settled::of_fates(row(), [Fate::Rejected(Refusal::UnknownCustomer); 2].into_iter()),
            Settled::bad(row(), "why".to_owned()),
        ];
        assert_eq!(rows[2].reasons.len(), 1);
        let mut report = Report::new(None, &StringRecord::new()).unwrap();
        report.add(rows, 2, &Progress::new(0));
        let tally = report.close().unwrap();
        let expected = Tally {
            rows: 4,
            accepted: 2,
            duplicates: 1,
            rejected: 5,
            bad_rows: 3,
        };
        assert_eq!(tally, expected);
    }
}
