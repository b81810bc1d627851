//! What is counted and what it costs.

crate::dialect::step!("m0002_catalog");

const UP: &[&str] = &[
    "CREATE TABLE metric (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL REFERENCES tenant (id),
        key {text} NOT NULL,
        name {text} NOT NULL,
        unit {text} NOT NULL,
        created_at {big} NOT NULL,
        archived_at {big},
        UNIQUE (tenant_id, key)
    ) {table}",
    "CREATE TABLE metering_rule (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL REFERENCES tenant (id),
        metric_id {id} NOT NULL REFERENCES metric (id),
        version {int} NOT NULL,
        line_id {id} NOT NULL,
        matches {text} NOT NULL,
        price {text} NOT NULL,
        effective_from {big} NOT NULL,
        effective_to {big},
        created_at {big} NOT NULL,
        UNIQUE (metric_id, version),
        CHECK (effective_to IS NULL OR effective_to > effective_from)
    ) {table}",
    "CREATE INDEX metering_rule_by_tenant ON metering_rule (tenant_id, id)",
];

const DOWN: &[&str] = &["DROP TABLE metering_rule", "DROP TABLE metric"];
