//! Customers are told that few credits are left, and that credits will be gone. Webhook messages are sent again by hand so many times only.

crate::dialect::step!("m0023_credit_notices");

const UP: &[&str] = &[
    // The balance at which a customer wants to be told: read with the totals that it is compared with. When it was told last, by its own time.
    "ALTER TABLE account ADD COLUMN low_balance {big} CHECK (low_balance >= 0)",
    "ALTER TABLE account ADD COLUMN low_balance_told_at {big}",
    // When the customer is told next that a block will end. What ends with a cycle is not told.
    "ALTER TABLE block ADD COLUMN notice_at {big}",
    // Of the blocks there are, the first stage that they have: 30, 7 or 1 days before the end. Of those that were missed the last is told.
    "UPDATE block SET notice_at = expires_at - CASE
            WHEN expires_at - granted_at > 2592000000000 THEN 2592000000000
            WHEN expires_at - granted_at > 604800000000 THEN 604800000000
            ELSE 86400000000 END
     WHERE state = 'ACTIVE' AND ends_with_cycle = 0 AND expires_at - granted_at > 86400000000",
    "CREATE INDEX block_by_notice ON block (notice_at, customer_id) WHERE state = 'ACTIVE' AND notice_at IS NOT NULL",
    "ALTER TABLE webhook_delivery ADD COLUMN resends {int} NOT NULL DEFAULT 0",
];

const DOWN: &[&str] = &[
    "ALTER TABLE webhook_delivery DROP COLUMN resends",
    "DROP INDEX block_by_notice",
    "ALTER TABLE block DROP COLUMN notice_at",
    "ALTER TABLE account DROP COLUMN low_balance_told_at",
    "ALTER TABLE account DROP COLUMN low_balance",
];
