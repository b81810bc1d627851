//! Holds: credits set aside for work that is still running.

crate::dialect::step!("m0019_holds");

const UP: &[&str] = &[
    // `credits` is what was set aside when it was made. A captured hold names the usage event that it became; `late` is 1 where nothing
    // was set aside any more when it did.
    "CREATE TABLE hold (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL,
        customer_id {id} NOT NULL REFERENCES customer (id),
        metric_id {id} NOT NULL REFERENCES metric (id),
        key {text} NOT NULL,
        fingerprint {id} NOT NULL,
        units {big} NOT NULL CHECK (units > 0),
        credits {big} NOT NULL CHECK (credits >= 0),
        properties {text},
        state {text} NOT NULL,
        made_at {big} NOT NULL,
        expires_at {big} NOT NULL,
        ended_at {big},
        event_id {id},
        captured_units {big},
        late {int} NOT NULL,
        UNIQUE (tenant_id, key),
        CHECK (expires_at > made_at),
        CHECK ((state = 'OPEN') = (ended_at IS NULL)),
        CHECK ((state = 'CAPTURED') = (event_id IS NOT NULL)),
        CHECK ((event_id IS NULL) = (captured_units IS NULL))
    ) {table}",
    "CREATE INDEX hold_by_customer ON hold (customer_id, id)",
    "CREATE INDEX hold_ended ON hold (customer_id, ended_at)",
    "CREATE INDEX hold_open ON hold (customer_id, id) WHERE state = 'OPEN'",
    "CREATE INDEX hold_due ON hold (expires_at) WHERE state = 'OPEN'",
    "CREATE UNIQUE INDEX hold_event ON hold (event_id) WHERE event_id IS NOT NULL",
    // The open ones of a customer: read with the totals, so that nobody without holds is asked for them.
    "ALTER TABLE account ADD COLUMN held {big} NOT NULL DEFAULT 0 CHECK (held >= 0)",
    "ALTER TABLE account ADD COLUMN holds {int} NOT NULL DEFAULT 0 CHECK (holds >= 0)",
];

const DOWN: &[&str] = &[
    "ALTER TABLE account DROP COLUMN holds",
    "ALTER TABLE account DROP COLUMN held",
    "DROP TABLE hold",
];
