//! Auto-recharge: rules, where they stand, and why they did or did not charge.

crate::dialect::step!("m0014_auto_recharge");

const UP: &[&str] = &[
    // `rule` is what the customer has agreed to, as JSON. What was spent is counted by calendar of UTC.
    "CREATE TABLE auto_recharge (
        customer_id {id} PRIMARY KEY REFERENCES customer (id),
        tenant_id {id} NOT NULL,
        rule {text} NOT NULL,
        state {text} NOT NULL,
        reason {text},
        next_at {big},
        failures {int} NOT NULL CHECK (failures >= 0),
        payment_id {id} REFERENCES payment (id),
        spent_month {big} NOT NULL,
        spent_in_month {big} NOT NULL CHECK (spent_in_month >= 0),
        spent_day {big} NOT NULL,
        spent_on_day {int} NOT NULL CHECK (spent_on_day >= 0),
        spent_told {int} NOT NULL,
        updated_at {big} NOT NULL,
        CHECK ((next_at IS NOT NULL) = (state = 'WAITING')),
        CHECK (state NOT IN ('CHARGING', 'PAUSED') OR payment_id IS NOT NULL),
        CHECK (state NOT IN ('WATCHING', 'WAITING', 'DISABLED') OR payment_id IS NULL)
    ) {table}",
    "CREATE INDEX auto_recharge_due ON auto_recharge (next_at) WHERE next_at IS NOT NULL",
    "CREATE INDEX auto_recharge_waiting ON auto_recharge (tenant_id, reason) WHERE next_at IS NOT NULL",
    // An evaluation that comes to the same as the one before is counted there.
    "CREATE TABLE recharge_evaluation (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL,
        customer_id {id} NOT NULL REFERENCES customer (id),
        reason {text},
        balance {big} NOT NULL,
        threshold {big} NOT NULL,
        payment_id {id} REFERENCES payment (id),
        times {int} NOT NULL CHECK (times > 0),
        first_at {big} NOT NULL,
        last_at {big} NOT NULL,
        CHECK ((reason IS NULL) = (payment_id IS NOT NULL))
    ) {table}",
    "CREATE INDEX recharge_evaluation_by_customer ON recharge_evaluation (customer_id, id)",
    // The balance at which a change decides a recharge: read with the totals that it changes.
    "ALTER TABLE account ADD COLUMN watched_balance {big}",
    "ALTER TABLE payment_setting ADD COLUMN recharge_stopped_at {big}",
    "CREATE UNIQUE INDEX payment_recharge_open ON payment (customer_id)
        WHERE purpose = 'RECHARGE' AND ended_at IS NULL",
];

const DOWN: &[&str] = &[
    "DROP INDEX payment_recharge_open",
    "ALTER TABLE payment_setting DROP COLUMN recharge_stopped_at",
    "ALTER TABLE account DROP COLUMN watched_balance",
    "DROP TABLE recharge_evaluation",
    "DROP TABLE auto_recharge",
];
