//! How far a customer's usage may overshoot, what becomes of the rest, and what has been written off.

crate::dialect::step!("m0024_overshoot");

const UP: &[&str] = &[
    // None: nothing is promised.
    "ALTER TABLE customer ADD COLUMN overshoot_limit {big} CHECK (overshoot_limit >= 0)",
    "ALTER TABLE customer ADD COLUMN beyond_overshoot {text} NOT NULL DEFAULT 'BILL' CHECK (beyond_overshoot IN ('BILL', 'WRITE_OFF'))",
    // Number of the last ledger entry when the present bound was agreed.
    "ALTER TABLE customer ADD COLUMN bounded_from {big} NOT NULL DEFAULT 0",
    // The report of a vendor in a stretch of time, and the sum of a customer.
    "CREATE INDEX ledger_entry_write_offs ON ledger_entry (tenant_id, created_at, customer_id, sequence)
        WHERE kind = 'WRITE_OFF'",
    "CREATE INDEX ledger_entry_written_off ON ledger_entry (customer_id) WHERE kind = 'WRITE_OFF'",
    // What blocks have repaid that came after usage which is still to be debited.
    "CREATE INDEX ledger_entry_repayments ON ledger_entry (customer_id, block_id) WHERE kind = 'REPAYMENT'",
];

const DOWN: &[&str] = &[
    "DROP INDEX ledger_entry_repayments",
    "DROP INDEX ledger_entry_written_off",
    "DROP INDEX ledger_entry_write_offs",
    "ALTER TABLE customer DROP COLUMN bounded_from",
    "ALTER TABLE customer DROP COLUMN beyond_overshoot",
    "ALTER TABLE customer DROP COLUMN overshoot_limit",
];
