//! Credentials that are derived or replaced: tokens of one customer, and secrets of keys that have a newer one.

crate::dialect::step!("m0006_tokens_and_rotation");

const UP: &[&str] = &[
    "ALTER TABLE api_key ADD COLUMN rotated_at {big}",
    // Unique together with the tenant, so that a reference to another tenant's row cannot be written.
    "DROP INDEX api_key_by_tenant",
    "CREATE UNIQUE INDEX api_key_by_tenant ON api_key (tenant_id, id)",
    "DROP INDEX customer_by_tenant",
    "CREATE UNIQUE INDEX customer_by_tenant ON customer (tenant_id, id)",
    // Kept for ever: a configured first key that was rotated away must not come back as a new one.
    "CREATE TABLE retired_secret (
        hash {text} PRIMARY KEY,
        tenant_id {id} NOT NULL,
        api_key_id {id} NOT NULL,
        hint {text} NOT NULL,
        retired_at {big} NOT NULL,
        good_until {big} NOT NULL CHECK (good_until >= retired_at),
        FOREIGN KEY (tenant_id, api_key_id) REFERENCES api_key (tenant_id, id)
    ) {table}",
    "CREATE INDEX retired_secret_by_key ON retired_secret (api_key_id, good_until)",
    "CREATE TABLE customer_token (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL,
        customer_id {id} NOT NULL,
        api_key_id {id} NOT NULL,
        hash {text} NOT NULL UNIQUE,
        scopes {text} NOT NULL,
        created_at {big} NOT NULL,
        expires_at {big} NOT NULL CHECK (expires_at > created_at),
        FOREIGN KEY (tenant_id, api_key_id) REFERENCES api_key (tenant_id, id),
        FOREIGN KEY (tenant_id, customer_id) REFERENCES customer (tenant_id, id)
    ) {table}",
    "CREATE INDEX customer_token_by_expiry ON customer_token (expires_at)",
];

const DOWN: &[&str] = &[
    "DROP TABLE customer_token",
    "DROP TABLE retired_secret",
    "DROP INDEX customer_by_tenant",
    "CREATE INDEX customer_by_tenant ON customer (tenant_id, id)",
    "DROP INDEX api_key_by_tenant",
    "CREATE INDEX api_key_by_tenant ON api_key (tenant_id, id)",
    "ALTER TABLE api_key DROP COLUMN rotated_at",
];
