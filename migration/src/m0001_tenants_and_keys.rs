//! Vendors, their credentials, and the results of requests that must not happen twice.

crate::dialect::step!("m0001_tenants_and_keys");

const UP: &[&str] = &[
    "CREATE TABLE tenant (
        id {id} PRIMARY KEY,
        name {text} NOT NULL UNIQUE,
        mode {text} NOT NULL CHECK (mode IN ('LIVE', 'TEST')),
        catalog_version {big} NOT NULL DEFAULT 0,
        created_at {big} NOT NULL
    ) {table}",
    "CREATE TABLE api_key (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL REFERENCES tenant (id),
        name {text} NOT NULL,
        hash {text} NOT NULL UNIQUE,
        hint {text} NOT NULL,
        scopes {text} NOT NULL,
        created_at {big} NOT NULL,
        expires_at {big},
        revoked_at {big}
    ) {table}",
    "CREATE INDEX api_key_by_tenant ON api_key (tenant_id, id)",
    "CREATE TABLE idempotency (
        tenant_id {id} NOT NULL REFERENCES tenant (id),
        mutation {text} NOT NULL,
        key {text} NOT NULL,
        fingerprint {text} NOT NULL,
        result {text} NOT NULL,
        created_at {big} NOT NULL,
        PRIMARY KEY (tenant_id, mutation, key)
    ) {table}",
];

const DOWN: &[&str] = &[
    "DROP TABLE idempotency",
    "DROP TABLE api_key",
    "DROP TABLE tenant",
];
