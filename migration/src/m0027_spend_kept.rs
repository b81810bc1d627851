//! What was spent in months that are long over is found, to be forgotten.

crate::dialect::step!("m0027_spend_kept");

const UP: &[&str] =
    &["CREATE INDEX spend_period_by_month ON spend_period (start, customer_id) WHERE span = 'MONTH'"];

const DOWN: &[&str] = &["DROP INDEX spend_period_by_month"];
