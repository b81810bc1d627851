//! Keys that are the same at the next import.
//!
//! A row without a key of its own is known by its content, by how many rows with that content came before it in the
//! file, and by whose it is if the row does not say so itself. Changing the mapping of a metric therefore makes a
//! conflict, which is reported, and no second debit.

use std::collections::HashMap;

use csv::StringRecord;
use sha2::{Digest, Sha256};

/// Part of every hash, so that keys never meet those of another way of deriving them.
const VERSION: &[u8] = b"tallygate import usage 1";
/// Bytes of the hash in a key.
const LENGTH: usize = 20;

/// Derives the keys of one import.
pub(super) struct Keys {
    scope: String,
    /// How often each content has come. Eight bytes of its hash will do: two contents that share them are still told apart
    /// by their keys, and share a count in this import as in the next.
    seen: HashMap<u64, u32>,
}

/// What the keys of a row's events have in common.
pub(super) struct RowKey(Sha256);

impl Keys {
    /// Keys of rows whose owner is `scope`; empty when each row names its own.
    pub(super) fn new(scope: String) -> Self {
        Self {
            scope,
            seen: HashMap::new(),
        }
    }

    /// The key of the next row of the file.
    pub(super) fn next(&mut self, row: &StringRecord) -> RowKey {
        let mut hash = Sha256::new();
        hash.update(VERSION);
        for part in [self.scope.as_str()].into_iter().chain(row) {
            add(&mut hash, part);
        }
        let mut first = [0; 8];
        first.copy_from_slice(&hash.clone().finalize()[..8]);
        let before = self.seen.entry(u64::from_be_bytes(first)).or_insert(0);
        hash.update(before.to_be_bytes());
        *before += 1;
        RowKey(hash)
    }
}

impl RowKey {
    /// The key of the row's event of a metric.
    pub(super) fn of(&self, metric: &str) -> String {
        let mut hash = self.0.clone();
        add(&mut hash, metric);
        format!("import-{}", hex::encode(&hash.finalize()[..LENGTH]))
    }
}

/// With its length, so that `a,b` and `ab` differ.
fn add(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Keys of two metrics for every row.
    fn keys(scope: &str, rows: &[&[&str]]) -> Vec<String> {
        let mut keys = Keys::new(scope.to_owned());
        rows.iter()
            .flat_map(|row| {
                let row = keys.next(&StringRecord::from(row.to_vec()));
                [row.of("input"), row.of("output")]
            })
            .collect()
    }

    #[test]
    fn the_same_file_has_the_same_keys() {
        let rows: &[&[&str]] = &[&["1", "2"], &["1", "2"], &["12", ""], &["", "12"]];
        assert_eq!(keys("acme", rows), keys("acme", rows));
    }

    #[test]
    fn no_two_events_share_a_key() {
        let rows: &[&[&str]] = &[
            &["1", "2"],
            &["1", "2"],
            &["12", ""],
            &["", "12"],
            &["1", "2"],
            &["1,2"],
        ];
        let all: HashSet<_> = keys("acme", rows)
            .into_iter()
            .chain(keys("other", rows))
            .collect();
        assert_eq!(all.len(), rows.len() * 4);
        assert!(all.iter().all(|key| domain::usage::event::is_key(key)));
    }

    #[test]
    fn keys_never_change() {
        // Whoever changes this makes every import that is run again debit a second time.
        assert_eq!(
            keys("acme", &[&["1", "2"]])[0],
            "import-d2a3516fdb51088bd8ae4bacc4811c9c296e82d0"
        );
    }

    #[test]
    fn a_file_that_grows_keeps_its_keys() {
        let short = keys("", &[&["1"], &["1"]]);
        let long = keys("", &[&["1"], &["1"], &["1"], &["2"]]);
        assert_eq!(short, long[..short.len()]);
    }
}
