//! Duties: what is being tried, how often it failed, and what needs a person.

crate::dialect::step!("m0005_work");

const UP: &[&str] = &["CREATE TABLE work (
        id {id} PRIMARY KEY,
        tenant_id {id},
        kind {text} NOT NULL,
        subject {text} NOT NULL,
        state {text} NOT NULL CHECK (state IN ('DUE', 'PARKED')),
        attempts {int} NOT NULL,
        due_at {big} NOT NULL,
        woken_at {big} NOT NULL,
        running_since {big} NOT NULL DEFAULT 0,
        again {int} NOT NULL DEFAULT 0,
        error {text},
        created_at {big} NOT NULL,
        updated_at {big} NOT NULL,
        UNIQUE (kind, subject)
    ) {roomy}"];

const DOWN: &[&str] = &["DROP TABLE work"];
