//! How far vendors trust customers, and changes of plan that wait for an invoice.

crate::dialect::step!("m0017_trust_and_changes");

const UP: &[&str] = &[
    // The tier that somebody has chosen for a customer. Without a row it is the one that the customer has reached.
    "CREATE TABLE customer_trust (
        customer_id {id} PRIMARY KEY REFERENCES customer (id),
        tenant_id {id} NOT NULL,
        tier {text} NOT NULL,
        chosen_at {big} NOT NULL
    ) {table}",
    // 1: its cycle was paid ahead, so that nobody bills it when it closes; it has an invoice of its own.
    "ALTER TABLE subscription_charge ADD COLUMN at_once {int} NOT NULL DEFAULT 0",
    "CREATE INDEX subscription_charge_at_once ON subscription_charge (tenant_id, customer_id)
        WHERE invoice_id IS NULL AND at_once = 1",
    // LATE: it has its invoice, and usage has been debited since that counts in it.
    "CREATE INDEX billing_cycle_late ON billing_cycle (tenant_id, customer_id) WHERE bill = 'LATE'",
];

const DOWN: &[&str] = &[
    "DROP INDEX billing_cycle_late",
    "DROP INDEX subscription_charge_at_once",
    "ALTER TABLE subscription_charge DROP COLUMN at_once",
    "DROP TABLE customer_trust",
];
