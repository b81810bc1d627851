//! The columns of numbers in the table.

use super::{Row, words};

/// A column of numbers.
pub(super) struct Number {
    /// What stands above it.
    pub(super) label: &'static str,
    /// What a row has in it.
    pub(super) of: fn(&Row) -> &str,
}

/// All of them, from left to right.
pub(super) const NUMBERS: [Number; 3] = [
    Number {
        label: words::QUANTITY,
        of: |row| &row.quantity,
    },
    Number {
        label: words::UNIT_PRICE,
        of: |row| &row.unit_price,
    },
    Number {
        label: words::AMOUNT,
        of: |row| &row.amount,
    },
];

impl Number {
    /// Whether some row has something in it. A column in which there is nothing is not shown.
    pub(super) fn is_used(&self, rows: &[Row]) -> bool {
        rows.iter().any(|row| !(self.of)(row).is_empty())
    }
}
