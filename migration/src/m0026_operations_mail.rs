//! Letters to the vendor's own people: where, about what, and which of the letters those are.

crate::dialect::step!("m0026_operations_mail");

const UP: &[&str] = &[
    // First of all, because it locks the table: what becomes of a letter after it was copied would be lost, and the letter sent again.
    "ALTER TABLE mail RENAME TO mail_before",
    // Where, and what is left out, as JSON lists. Nowhere unless somebody says so.
    "ALTER TABLE mail_setting ADD COLUMN operations {text} NOT NULL DEFAULT '[]'",
    "ALTER TABLE mail_setting ADD COLUMN operations_muted {text} NOT NULL DEFAULT '[]'",
    // A letter to the vendor may be about no customer. A process that does not know of such letters yet writes those to customers. SQLite changes a condition of a column by making the table anew.
    "CREATE TABLE mail (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL,
        audience {text} NOT NULL DEFAULT 'CUSTOMER' CHECK (audience IN ('CUSTOMER', 'OPERATIONS')),
        customer_id {id},
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
        CHECK ((ended_at IS NULL) = (state = 'QUEUED')),
        CHECK (customer_id IS NOT NULL OR audience = 'OPERATIONS')
    ) {table}",
    "INSERT INTO mail (id, tenant_id, audience, customer_id, event_id, address, state, attempts, next_at, subject, body_text,
        body_html, problem, created_at, ended_at)
     SELECT id, tenant_id, 'CUSTOMER', customer_id, event_id, address, state, attempts, next_at, subject, body_text,
        body_html, problem, created_at, ended_at FROM mail_before",
    "DROP TABLE mail_before",
    DUE,
    OF_TENANT,
    // What the vendor has been written about a customer on a day.
    "CREATE INDEX mail_to_operations ON mail (tenant_id, customer_id, created_at) WHERE audience = 'OPERATIONS'",
];

const DUE: &str = "CREATE INDEX mail_due ON mail (next_at, id) WHERE state = 'QUEUED'";
const OF_TENANT: &str = "CREATE INDEX mail_of_tenant ON mail (tenant_id, id)";

const DOWN: &[&str] = &[
    "ALTER TABLE mail RENAME TO mail_before",
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
    // Whoever reads these rows would take letters to the vendor for letters to its customers.
    "INSERT INTO mail (id, tenant_id, customer_id, event_id, address, state, attempts, next_at, subject, body_text, body_html,
        problem, created_at, ended_at)
     SELECT id, tenant_id, customer_id, event_id, address, state, attempts, next_at, subject, body_text, body_html,
        problem, created_at, ended_at FROM mail_before WHERE audience = 'CUSTOMER'",
    "DROP TABLE mail_before",
    DUE,
    OF_TENANT,
    "ALTER TABLE mail_setting DROP COLUMN operations_muted",
    "ALTER TABLE mail_setting DROP COLUMN operations",
];
