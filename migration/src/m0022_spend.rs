//! Spend management: what customers want to spend in a day and in a month, and what they have spent.

crate::dialect::step!("m0022_spend");

const UP: &[&str] = &[
    // What a customer has agreed with itself. `endpoint_id` names the webhook endpoint of its own; it may be gone. Usage since `since`, the
    // beginning of a month, is counted while it is enabled.
    "CREATE TABLE spend_setting (
        customer_id {id} PRIMARY KEY REFERENCES customer (id),
        tenant_id {id} NOT NULL,
        enabled {int} NOT NULL,
        rule {text} NOT NULL,
        endpoint_id {id},
        since {big} NOT NULL,
        updated_at {big} NOT NULL
    ) {table}",
    // What was spent in a day or a month of UTC, of customers that have it switched on: the sums of `usage_rating`, and what returned beyond or
    // below the own costs of events that were taken back (`corrected`). `told` counts 1 for the threshold and 2 for the budget.
    "CREATE TABLE spend_period (
        customer_id {id} NOT NULL REFERENCES customer (id),
        span {text} NOT NULL CHECK (span IN ('DAY', 'MONTH')),
        start {big} NOT NULL,
        credits {big} NOT NULL,
        corrected {big} NOT NULL,
        told {int} NOT NULL CHECK (told BETWEEN 0 AND 3),
        PRIMARY KEY (customer_id, span, start)
    ) {table}",
    // Read with the totals, so that nobody who has it switched off is asked for it.
    "ALTER TABLE account ADD COLUMN spend_managed {int} NOT NULL DEFAULT 0 CHECK (spend_managed IN (0, 1))",
];

const DOWN: &[&str] = &[
    "ALTER TABLE account DROP COLUMN spend_managed",
    "DROP TABLE spend_period",
    "DROP TABLE spend_setting",
];
