//! Accepted usage, the part of it that is still to be debited, and the counts of the cycles.

crate::dialect::step!("m0004_usage");

const UP: &[&str] = &[
    // Written once when accepted and marked once when rated. No index covers a column that the mark changes, so that
    // PostgreSQL can keep the second version on the same page without touching an index.
    "CREATE TABLE usage_event (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL,
        customer_id {id} NOT NULL,
        metric_id {id} NOT NULL,
        key {text} NOT NULL,
        fingerprint {id} NOT NULL,
        units {big} NOT NULL CHECK (units >= 0),
        occurred_at {big} NOT NULL,
        received_at {big} NOT NULL,
        properties {text},
        state {text} NOT NULL,
        rule_id {id},
        line_id {id},
        period_start {big},
        from_units {big},
        from_events {big},
        credits {big},
        draws {text},
        settled_at {big},
        UNIQUE (tenant_id, key)
    ) {roomy}",
    "CREATE INDEX usage_event_by_customer ON usage_event (customer_id, occurred_at, id)",
    // A queue: a row is here from acceptance to debit, and carries all that the debit needs.
    "CREATE TABLE usage_pending (
        shard {int} NOT NULL,
        id {id} NOT NULL,
        customer_id {id} NOT NULL,
        metric_id {id} NOT NULL,
        units {big} NOT NULL,
        occurred_at {big} NOT NULL,
        received_at {big} NOT NULL,
        properties {text},
        PRIMARY KEY (shard, id)
    ) {table}",
    "CREATE INDEX usage_pending_by_customer ON usage_pending (customer_id, id)",
    "CREATE TABLE usage_counter (
        customer_id {id} NOT NULL REFERENCES customer (id),
        metric_id {id} NOT NULL REFERENCES metric (id),
        line_id {id} NOT NULL,
        period_start {big} NOT NULL,
        tenant_id {id} NOT NULL,
        units {big} NOT NULL CHECK (units >= 0),
        events {big} NOT NULL CHECK (events >= 0),
        credits {big} NOT NULL,
        draws {text} NOT NULL,
        PRIMARY KEY (customer_id, metric_id, line_id, period_start)
    ) {roomy}",
];

const DOWN: &[&str] = &[
    "DROP TABLE usage_counter",
    "DROP TABLE usage_pending",
    "DROP TABLE usage_event",
];
