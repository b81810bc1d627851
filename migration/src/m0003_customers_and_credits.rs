//! Who is billed, their deposits, and the ledger of everything that moved them.

crate::dialect::step!("m0003_customers_and_credits");

const UP: &[&str] = &[
    "CREATE TABLE customer (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL REFERENCES tenant (id),
        external_id {text} NOT NULL,
        name {text},
        shard {int} NOT NULL,
        at_zero {text} NOT NULL,
        overage_line {big} NOT NULL CHECK (overage_line >= 0),
        settlement {text} NOT NULL,
        billing_email {text},
        invoice_address {text},
        po_number {text},
        metadata {text} NOT NULL,
        created_at {big} NOT NULL,
        updated_at {big} NOT NULL,
        UNIQUE (tenant_id, external_id)
    ) {table}",
    "CREATE INDEX customer_by_tenant ON customer (tenant_id, id)",
    // Apart from the customer: this row is locked and rewritten by every change of credits.
    "CREATE TABLE account (
        customer_id {id} PRIMARY KEY REFERENCES customer (id),
        tenant_id {id} NOT NULL,
        sequence {big} NOT NULL CHECK (sequence >= 0),
        blocks {big} NOT NULL CHECK (blocks >= 0),
        overdraft {big} NOT NULL CHECK (overdraft >= 0),
        revision {big} NOT NULL,
        updated_at {big} NOT NULL
    ) {roomy}",
    "CREATE TABLE block (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL,
        customer_id {id} NOT NULL REFERENCES customer (id),
        source {text} NOT NULL,
        billing {text} NOT NULL,
        priority {int} NOT NULL,
        credits {big} NOT NULL CHECK (credits > 0),
        remaining {big} NOT NULL,
        granted_at {big} NOT NULL,
        expires_at {big},
        metrics {text},
        state {text} NOT NULL,
        description {text},
        CHECK (remaining >= 0 AND remaining <= credits),
        CHECK (state = 'ACTIVE' OR remaining = 0)
    ) {roomy}",
    "CREATE INDEX block_by_customer ON block (customer_id, id)",
    "CREATE INDEX block_by_expiry ON block (expires_at, id) WHERE state = 'ACTIVE' AND expires_at IS NOT NULL",
    "CREATE TABLE ledger_entry (
        customer_id {id} NOT NULL REFERENCES customer (id),
        sequence {big} NOT NULL CHECK (sequence > 0),
        tenant_id {id} NOT NULL,
        kind {text} NOT NULL,
        effect_key {text} NOT NULL,
        block_id {id},
        credits {big} NOT NULL,
        overdraft_change {big} NOT NULL,
        balance_after {big} NOT NULL,
        overdraft_after {big} NOT NULL,
        description {text} NOT NULL,
        metric_id {id},
        rule_id {id},
        period_start {big},
        from_units {big},
        from_events {big},
        to_units {big},
        to_events {big},
        first_event {id},
        last_event {id},
        event_count {big},
        created_at {big} NOT NULL,
        PRIMARY KEY (customer_id, sequence),
        UNIQUE (customer_id, effect_key)
    ) {table}",
];

const DOWN: &[&str] = &[
    "DROP TABLE ledger_entry",
    "DROP TABLE block",
    "DROP TABLE account",
    "DROP TABLE customer",
];
