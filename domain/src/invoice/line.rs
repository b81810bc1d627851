//! One line of an invoice.

use serde::{Deserialize, Serialize};

use super::{fee::Fee, purchase::Purchase, usage::Usage};
use crate::{money::Money, time::Period};

/// One line of an invoice. It says all that it was made of, so that it reads the same when the catalogue has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What for, in words.
    pub description: String,
    /// The time that it is about; `None`: a moment.
    pub period: Option<Period>,
    /// How much is billed; negative: it goes back.
    pub amount: Money,
    /// What it was made of.
    pub detail: Detail,
    /// What else has to be known, such as the original date of usage that came late; `None`: nothing.
    pub note: Option<String>,
}

/// What a line was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Detail {
    /// Usage of a metric.
    Usage(Usage),
    /// A fee, or a part of one that is due or goes back because the plan changed.
    Fee(Fee),
    /// Credits that were bought.
    Purchase(Purchase),
}

impl Line {
    /// The same line with a note.
    #[must_use]
    pub fn noted(self, note: impl Into<String>) -> Self {
        Self {
            note: Some(note.into()),
            ..self
        }
    }
}
