//! Since when things are as they are: what follows the running cycle of a subscription, and what grants within a cycle.

crate::dialect::step!("m0012_agreements");

const UP: &[&str] = &[
    "ALTER TABLE subscription RENAME COLUMN agreed_at TO contract_agreed_at",
    "ALTER TABLE subscription ADD COLUMN agreed_at {big} NOT NULL DEFAULT 0",
    "UPDATE subscription SET agreed_at = COALESCE(contract_agreed_at, created_at)",
    "ALTER TABLE billing_cycle ADD COLUMN granted_from {big} NOT NULL DEFAULT 0",
    "UPDATE billing_cycle SET granted_from = granted_through WHERE state <> 'CLOSED'",
];

const DOWN: &[&str] = &[
    "ALTER TABLE billing_cycle DROP COLUMN granted_from",
    "ALTER TABLE subscription DROP COLUMN agreed_at",
    "ALTER TABLE subscription RENAME COLUMN contract_agreed_at TO agreed_at",
];
