//! Events in an order that everybody can rely on, and webhooks.

crate::dialect::step!("m0018_events_and_webhooks");

const UP: &[&str] = &[
    // An event may be about no customer, and has two numbers: `sequence` is the customer's, without gaps; `position` is the tenant's, given
    // when it is published, so that whoever has read up to one has missed nothing. What was told before is published already.
    "CREATE TABLE billing_event_new (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL,
        customer_id {id},
        subscription_id {id},
        kind {text} NOT NULL,
        version {int} NOT NULL,
        key {text} NOT NULL,
        occurred_at {big} NOT NULL,
        data {text} NOT NULL,
        created_at {big} NOT NULL,
        sequence {big},
        position {big},
        UNIQUE (tenant_id, key),
        UNIQUE (tenant_id, position),
        UNIQUE (customer_id, sequence),
        CHECK ((customer_id IS NULL) = (sequence IS NULL))
    ) {table}",
    "INSERT INTO billing_event_new
     SELECT id, tenant_id, customer_id, subscription_id, kind, 1, key, occurred_at, data, created_at,
        row_number() OVER (PARTITION BY customer_id ORDER BY id), row_number() OVER (PARTITION BY tenant_id ORDER BY id)
     FROM billing_event",
    "DROP TABLE billing_event",
    "ALTER TABLE billing_event_new RENAME TO billing_event",
    "CREATE INDEX billing_event_by_customer ON billing_event (customer_id, id)",
    "CREATE INDEX billing_event_by_subscription ON billing_event (subscription_id, id)",
    "CREATE INDEX billing_event_unpublished ON billing_event (tenant_id, id) WHERE position IS NULL",
    "CREATE INDEX billing_event_waiting ON billing_event (customer_id, sequence) WHERE position IS NULL",
    "CREATE INDEX billing_event_by_age ON billing_event (created_at)",
    // How far a tenant's events are published, and up to where old ones have been forgotten.
    "CREATE TABLE event_feed (
        tenant_id {id} PRIMARY KEY,
        position {big} NOT NULL,
        forgotten {big} NOT NULL
    ) {table}",
    "INSERT INTO event_feed SELECT tenant_id, COUNT(*), 0 FROM billing_event GROUP BY tenant_id",
    // Number of the customer's last event.
    "ALTER TABLE account ADD COLUMN event_sequence {big} NOT NULL DEFAULT 0",
    "UPDATE account SET event_sequence = (SELECT COUNT(*) FROM billing_event e WHERE e.customer_id = account.customer_id)",
    // What the secrets of all endpoints are derived from, where the operator has not set it.
    "CREATE TABLE webhook_root (
        id {int} PRIMARY KEY CHECK (id = 1),
        root {bytes} NOT NULL
    ) {table}",
    // `types`: a JSON list; none: all. With a customer: only its events. Its secret is derived from salt and generation; the one of the
    // generation before signs as well until `former_until`.
    "CREATE TABLE webhook_endpoint (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL,
        customer_id {id} REFERENCES customer (id),
        url {text} NOT NULL,
        types {text},
        description {text},
        state {text} NOT NULL CHECK (state IN ('ENABLED', 'DISABLED', 'DELETED')),
        salt {bytes} NOT NULL,
        generation {int} NOT NULL,
        former_until {big},
        at_once {int} NOT NULL CHECK (at_once BETWEEN 1 AND 64),
        failures {int} NOT NULL DEFAULT 0,
        failing_since {big},
        resting_until {big} NOT NULL DEFAULT 0,
        leased_until {big} NOT NULL DEFAULT 0,
        last_problem {text},
        created_at {big} NOT NULL,
        updated_at {big} NOT NULL
    ) {table}",
    "CREATE INDEX webhook_endpoint_of_tenant ON webhook_endpoint (tenant_id, customer_id) WHERE state = 'ENABLED'",
    // One event on its way to one endpoint. `log`: what became of each attempt, as JSON.
    "CREATE TABLE webhook_delivery (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL,
        endpoint_id {id} NOT NULL REFERENCES webhook_endpoint (id),
        event_id {id} NOT NULL REFERENCES billing_event (id),
        state {text} NOT NULL CHECK (state IN ('PENDING', 'DELIVERED', 'FAILED')),
        attempts {int} NOT NULL,
        next_at {big} NOT NULL,
        log {text} NOT NULL,
        created_at {big} NOT NULL,
        ended_at {big},
        UNIQUE (endpoint_id, event_id),
        CHECK ((ended_at IS NULL) = (state = 'PENDING'))
    ) {roomy}",
    "CREATE INDEX webhook_delivery_by_endpoint ON webhook_delivery (endpoint_id, id)",
    "CREATE INDEX webhook_delivery_by_event ON webhook_delivery (event_id)",
    "CREATE INDEX webhook_delivery_due ON webhook_delivery (endpoint_id, next_at, id) WHERE state = 'PENDING'",
];

const DOWN: &[&str] = &[
    "DROP TABLE webhook_delivery",
    "DROP TABLE webhook_endpoint",
    "DROP TABLE webhook_root",
    "ALTER TABLE account DROP COLUMN event_sequence",
    "DROP TABLE event_feed",
    "CREATE TABLE billing_event_old (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL,
        customer_id {id} NOT NULL,
        subscription_id {id},
        kind {text} NOT NULL,
        key {text} NOT NULL,
        occurred_at {big} NOT NULL,
        data {text} NOT NULL,
        created_at {big} NOT NULL,
        UNIQUE (tenant_id, key)
    ) {table}",
    "INSERT INTO billing_event_old
     SELECT id, tenant_id, customer_id, subscription_id, kind, key, occurred_at, data, created_at
     FROM billing_event WHERE customer_id IS NOT NULL",
    "DROP TABLE billing_event",
    "ALTER TABLE billing_event_old RENAME TO billing_event",
    "CREATE INDEX billing_event_by_customer ON billing_event (customer_id, id)",
    "CREATE INDEX billing_event_by_subscription ON billing_event (subscription_id, id)",
];
