//! Numbers of invoices and credit notes.
//!
//! A tenant counts each sequence from 1. The count is raised in the transaction that finalises a document, so no number is missing and
//! none is given twice: a draft has none, and a void invoice keeps its own.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::text::serde_by_text;

/// Longest prefix.
pub const MAX_PREFIX: usize = 12;
/// Fewest digits of a number; small ones begin with zeros.
pub const MIN_DIGITS: usize = 6;
/// What stands between prefix and number of a credit note.
const CREDIT_NOTE: &str = "CN";

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Sequence {
    /// Invoices and receipts: `INV-000001`.
    Invoice,
    /// Credit notes: `INV-CN-000001`.
    CreditNote,
}

/// What a tenant's numbers begin with: 1 to 12 capital letters, digits and dashes. A dash neither begins nor ends it, and it does not end in
/// `-CN`, so that no invoice looks like a credit note.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Prefix(String);

/// A text that cannot be a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it must be 1 to 12 capital letters, digits and dashes, with no dash at either end, and not end in \"-CN\""
)]
pub struct NotAPrefix;

/// A count below one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("documents are counted from 1")]
pub struct NotACount;

impl Prefix {
    /// The number of a tenant's `count`th document, counted from 1.
    ///
    /// # Errors
    /// A count below one.
    pub fn number(&self, sequence: Sequence, count: i64) -> Result<String, NotACount> {
        if count < 1 {
            return Err(NotACount);
        }
        let Self(prefix) = self;
        Ok(match sequence {
            Sequence::Invoice => format!("{prefix}-{count:0MIN_DIGITS$}"),
            Sequence::CreditNote => format!("{prefix}-{CREDIT_NOTE}-{count:0MIN_DIGITS$}"),
        })
    }
}

impl Default for Prefix {
    /// `INV`.
    fn default() -> Self {
        Self("INV".to_owned())
    }
}

impl FromStr for Prefix {
    type Err = NotAPrefix;

    fn from_str(text: &str) -> Result<Self, NotAPrefix> {
        let is_known = |sign: u8| sign.is_ascii_uppercase() || sign.is_ascii_digit() || sign == b'-';
        let is_one = (1..=MAX_PREFIX).contains(&text.len())
            && text.bytes().all(is_known)
            && !text.starts_with('-')
            && !text.ends_with('-')
            && !text.ends_with("-CN");
        is_one.then(|| Self(text.to_owned())).ok_or(NotAPrefix)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_by_text!(Prefix);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers() {
        for (prefix, sequence, count, number) in [
            ("INV", Sequence::Invoice, 1, "INV-000001"),
            ("INV", Sequence::CreditNote, 1, "INV-CN-000001"),
            ("ACME-2026", Sequence::Invoice, 999_999, "ACME-2026-999999"),
            ("7", Sequence::Invoice, 1_000_000, "7-1000000"),
        ] {
            let prefix: Prefix = prefix.parse().unwrap();
            assert_eq!(prefix.number(sequence, count).as_deref(), Ok(number));
        }
        for count in [0, -1, i64::MIN] {
            assert_eq!(Prefix::default().number(Sequence::Invoice, count), Err(NotACount));
        }
    }

    #[test]
    fn what_is_not_a_prefix() {
        for bad in [
            "",
            "inv",
            "INV ",
            "-INV",
            "INV-",
            "-",
            "A-CN",
            "INV/26",
            "ÄB",
            "ABCDEFGHIJKLM",
        ] {
            assert_eq!(bad.parse::<Prefix>(), Err(NotAPrefix), "{bad}");
        }
        assert!("CN".parse::<Prefix>().is_ok());
    }

    proptest! {
        /// No two documents of a tenant have one number, also when it changes its prefix.
        #[test]
        fn numbers_are_unique(
            one in "[A-C1-]{1,6}|A-CN|CN", other in "[A-C1-]{1,6}|A-CN|CN",
            counts in (1..3_000_000_i64, 1..3_000_000_i64), credit in any::<(bool, bool)>(),
        ) {
            let (Ok(first), Ok(second)) = (one.parse::<Prefix>(), other.parse::<Prefix>()) else { return Ok(()) };
            let sequence = |credit| if credit { Sequence::CreditNote } else { Sequence::Invoice };
            let same = (&first, sequence(credit.0), counts.0) == (&second, sequence(credit.1), counts.1);
            let numbers = (first.number(sequence(credit.0), counts.0), second.number(sequence(credit.1), counts.1));
            prop_assert_eq!(numbers.0 == numbers.1, same);
        }
    }
}
