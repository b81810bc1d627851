//! Letters to customers.

crate::dialect::step!("m0021_mail");

const UP: &[&str] = &[
    // Whether a vendor writes to its customers at all, by what name, and what it leaves out.
    "CREATE TABLE mail_setting (
        tenant_id {id} PRIMARY KEY,
        enabled {int} NOT NULL,
        sender {text},
        muted {text} NOT NULL,
        updated_at {big} NOT NULL
    ) {table}",
    // Where one customer is written to; none: to the billing address. And what it does not want to hear of.
    "CREATE TABLE customer_mail (
        customer_id {id} PRIMARY KEY REFERENCES customer (id),
        tenant_id {id} NOT NULL,
        addresses {text},
        muted {text} NOT NULL,
        updated_at {big} NOT NULL
    ) {table}",
    // One letter about one event to one address. KEPT: there is no server to send it by, so it is only read here.
    "CREATE TABLE mail (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL,
        customer_id {id} NOT NULL,
        event_id {id} NOT NULL REFERENCES billing_event (id),
        address {text} NOT NULL,
        state {text} NOT NULL CHECK (state IN ('QUEUED', 'SENT', 'KEPT', 'SKIPPED', 'FAILED')),
        attempts {int} NOT NULL,
        next_at {big} NOT NULL,
        subject {text},
        body_text {text},
        body_html {text},
        problem {text},
        created_at {big} NOT NULL,
        ended_at {big},
        UNIQUE (event_id, address),
        CHECK ((ended_at IS NULL) = (state = 'QUEUED'))
    ) {table}",
    "CREATE INDEX mail_due ON mail (next_at, id) WHERE state = 'QUEUED'",
    "CREATE INDEX mail_of_tenant ON mail (tenant_id, id)",
];

const DOWN: &[&str] = &[
    "DROP TABLE mail",
    "DROP TABLE customer_mail",
    "DROP TABLE mail_setting",
];
