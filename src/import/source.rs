//! Rows of the file, with their line numbers.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read},
    path::Path,
};

use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder, StringRecord};

use crate::failure::{Failure, Outcome};

/// A CSV file that is being read.
pub(super) struct Source {
    name: String,
    reader: Reader<Lines>,
    header: StringRecord,
    size: u64,
}

/// One row.
pub(super) struct Row {
    /// Line on which it begins.
    pub(super) line: u64,
    /// Its fields, byte by byte as in the file.
    pub(super) raw: ByteRecord,
}

impl Source {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// It cannot be read, or has no header in UTF-8.
    pub(super) fn open(path: &Path) -> Outcome<Self> {
        let name = path.display().to_string();
        let trouble = |error: csv::Error| unreadable(&name, &error);
        let file = File::open(path).map_err(|error| unreadable(&name, &error.into()))?;
        let size = file.metadata().map_or(0, |about| about.len());
        // Flexible: a row with a field too many is a bad row, not the end of the file.
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(Lines::new(file));
        let header: StringRecord = reader
            .headers()
            .map_err(trouble)?
            .iter()
            .map(|column| column.trim_start_matches('\u{feff}').trim())
            .collect();
        if header.iter().all(str::is_empty) {
            return Err(Failure::new(format!("{name} has no header row")));
        }
        Ok(Self {
            name,
            reader,
            header,
            size,
        })
    }

    /// The names of the columns.
    pub(super) fn header(&self) -> &StringRecord {
        &self.header
    }

    /// Bytes of the file.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that have been read.
    pub(super) fn position(&self) -> u64 {
        self.reader.position().byte()
    }

    /// The next row; `None` after the last.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn next(&mut self) -> Outcome<Option<Row>> {
        let mut raw = ByteRecord::new();
        match self.reader.read_byte_record(&mut raw) {
            Ok(true) => {
                // The reader stands behind the first byte of the row's end.
                let end = self.reader.position().byte().saturating_sub(1);
                let inside = raw.iter().flatten().filter(|byte| **byte == b'\n').count() as u64;
                let line = self.reader.get_mut().line_at(end).saturating_sub(inside);
                Ok(Some(Row { line, raw }))
            }
            Ok(false) => Ok(None),
            Err(error) => Err(unreadable(&self.name, &error)),
        }
    }
}

/// The file, with a count of its lines: the CSV reader's own count takes a line end of two characters for the beginning of
/// the next row.
struct Lines {
    file: File,
    read: u64,
    /// Line ends before those that are still kept.
    passed: u64,
    ends: VecDeque<u64>,
}

impl Lines {
    fn new(file: File) -> Self {
        Self {
            file,
            read: 0,
            passed: 0,
            ends: VecDeque::new(),
        }
    }

    /// The line of a byte that has been read. Asked in ascending order.
    fn line_at(&mut self, byte: u64) -> u64 {
        while self.ends.front().is_some_and(|end| *end < byte) {
            self.ends.pop_front();
            self.passed += 1;
        }
        self.passed + 1
    }
}

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        let read = self.read;
        let bytes = (read..).zip(&buffer[..count]);
        self.ends
            .extend(bytes.filter(|(_, byte)| **byte == b'\n').map(|(place, _)| place));
        self.read += count as u64;
        Ok(count)
    }
}

fn unreadable(name: &str, error: &csv::Error) -> Failure {
    match error.kind() {
        ErrorKind::Utf8 { .. } => Failure::new(format!("the header of {name} is not in UTF-8")),
        _ => Failure::of(format_args!("{name} cannot be read"), error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_ends_and_lines() {
        let path = std::env::temp_dir().join(format!("tallygate-source-{}.csv", std::process::id()));
        for end in ["\r\n", "\n"] {
            let text = "\u{feff}a,b\n1,\"x\ny\"\n\n2,z\n3\n4,last".replace('\n', end);
            for tail in ["", end] {
                std::fs::write(&path, format!("{text}{tail}")).unwrap();
                let mut source = Source::open(&path).unwrap();
                assert_eq!(source.header(), &StringRecord::from(vec!["a", "b"]));
                let mut seen = Vec::new();
                while let Some(row) = source.next().unwrap() {
                    seen.push((row.line, row.raw.len(), row.raw[0][0]));
                }
                assert_eq!(
                    seen,
                    [(2, 2, b'1'), (5, 2, b'2'), (6, 1, b'3'), (7, 2, b'4')],
                    "{end:?} {tail:?}"
                );
            }
        }
        std::fs::remove_file(path).unwrap();
    }
}
