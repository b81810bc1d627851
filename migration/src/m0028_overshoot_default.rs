//! What a vendor promises about overshoot to customers of whom nothing else was said, and who those are.

crate::dialect::step!("m0028_overshoot_default");

const UP: &[&str] = &[
    "CREATE TABLE overshoot_setting (
        tenant_id {id} PRIMARY KEY,
        overshoot_limit {big} CHECK (overshoot_limit >= 0),
        beyond_overshoot {text} NOT NULL CHECK (beyond_overshoot IN ('BILL', 'WRITE_OFF')),
        updated_at {big} NOT NULL,
        CHECK (overshoot_limit IS NOT NULL OR beyond_overshoot = 'BILL')
    ) {table}",
    // 1: nothing was said of this customer, so its terms are those of the vendor. 2: the same as long as it has no limit; a limit beside it was said,
    // by a process that does not know of this column. What such a process inserts was said.
    "ALTER TABLE customer ADD COLUMN overshoot_follows {int} NOT NULL DEFAULT 0 CHECK (overshoot_follows IN (0, 1, 2))",
    "UPDATE customer SET overshoot_follows = 2 WHERE overshoot_limit IS NULL",
    // Followers whose terms are not those of the vendor.
    "CREATE INDEX customer_following ON customer (tenant_id, beyond_overshoot, COALESCE(overshoot_limit, -1))
        WHERE overshoot_follows > 0 AND at_zero <> 'ALLOW'",
];

const DOWN: &[&str] = &[
    "DROP INDEX customer_following",
    "ALTER TABLE customer DROP COLUMN overshoot_follows",
    "DROP TABLE overshoot_setting",
];
