//! Clocks of test tenants that are set by hand, and the customers that live by them.

crate::dialect::step!("m0011_test_clocks");

const UP: &[&str] = &[
    // `now_at` moves from one thing that is due to the next until it has reached `target_at`; once everything that is due by then has been
    // done, it is `ready`.
    "CREATE TABLE test_clock (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL REFERENCES tenant (id),
        name {text} NOT NULL,
        now_at {big} NOT NULL,
        target_at {big} NOT NULL,
        ready {int} NOT NULL,
        created_at {big} NOT NULL,
        updated_at {big} NOT NULL,
        CHECK (now_at <= target_at AND (ready = 0 OR now_at = target_at))
    ) {table}",
    "CREATE INDEX test_clock_by_tenant ON test_clock (tenant_id, id)",
    "CREATE INDEX test_clock_advancing ON test_clock (id) WHERE ready = 0",
    // None: the customer lives by the clock on the wall.
    "ALTER TABLE customer ADD COLUMN clock_id {id}",
    "ALTER TABLE account ADD COLUMN clock_id {id}",
    "ALTER TABLE subscription ADD COLUMN clock_id {id}",
    "CREATE INDEX account_by_clock ON account (clock_id, customer_id) WHERE clock_id IS NOT NULL",
    "CREATE INDEX account_by_barrier ON account (barrier_at) WHERE barrier_at IS NOT NULL AND clock_id IS NULL",
    "CREATE INDEX subscription_by_due ON subscription (shard, due_at) WHERE due_at IS NOT NULL AND clock_id IS NULL",
];

const DOWN: &[&str] = &[
    "DROP INDEX subscription_by_due",
    "DROP INDEX account_by_barrier",
    "DROP INDEX account_by_clock",
    "ALTER TABLE subscription DROP COLUMN clock_id",
    "ALTER TABLE account DROP COLUMN clock_id",
    "ALTER TABLE customer DROP COLUMN clock_id",
    "DROP TABLE test_clock",
];
