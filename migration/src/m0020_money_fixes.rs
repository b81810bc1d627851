//! What of an invoice's money has gone to the credit balance otherwise than by a credit note, how long credits would have lasted that were
//! taken back, and auto-recharges that are switched off while a charge is under way.

crate::dialect::step!("m0020_money_fixes");

const UP: &[&str] = &[
    // In minor units. `overpaid`: what its payments took beyond what was left to pay. `unused`: what was paid for a renewal that renewed
    // nothing, and is on no credit note.
    "ALTER TABLE invoice ADD COLUMN overpaid {big} NOT NULL DEFAULT 0 CHECK (overpaid >= 0)",
    "ALTER TABLE invoice ADD COLUMN unused {big} NOT NULL DEFAULT 0 CHECK (unused >= 0)",
    // What was overpaid before, as far as it can be told from the rows. What renewals left unused cannot.
    "UPDATE invoice SET overpaid =
            (SELECT SUM(p.amount) FROM payment p WHERE p.invoice_id = invoice.id AND p.state = 'SUCCEEDED')
            - CASE WHEN state = 'VOID' THEN 0 ELSE due END
        WHERE (SELECT SUM(p.amount) FROM payment p WHERE p.invoice_id = invoice.id AND p.state = 'SUCCEEDED')
            > CASE WHEN state = 'VOID' THEN 0 ELSE due END",
    // 1: safe mode has begun, and its provider has not said since how it stands.
    "ALTER TABLE payment ADD COLUMN unasked {int} NOT NULL DEFAULT 0",
    // For how long the credits would have lasted that were taken for it, in seconds; 0: for ever. Without it none were there to be taken.
    "ALTER TABLE payment_return ADD COLUMN life_seconds {big} CHECK (life_seconds >= 0)",
    // One that is switched off because money went back may have a charge under way, which goes on. SQLite changes a condition of a table by
    // making the table anew.
    "CREATE TABLE auto_recharge_new (
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
        CHECK (state NOT IN ('WATCHING', 'WAITING') OR payment_id IS NULL)
    ) {table}",
    COPY,
    "DROP TABLE auto_recharge",
    "ALTER TABLE auto_recharge_new RENAME TO auto_recharge",
    DUE,
    WAITING,
];

const COPY: &str = "INSERT INTO auto_recharge_new (customer_id, tenant_id, rule, state, reason, next_at, failures, payment_id, spent_month,
        spent_in_month, spent_day, spent_on_day, spent_told, updated_at)
    SELECT customer_id, tenant_id, rule, state, reason, next_at, failures, payment_id, spent_month,
        spent_in_month, spent_day, spent_on_day, spent_told, updated_at FROM auto_recharge";
const DUE: &str = "CREATE INDEX auto_recharge_due ON auto_recharge (next_at) WHERE next_at IS NOT NULL";
const WAITING: &str =
    "CREATE INDEX auto_recharge_waiting ON auto_recharge (tenant_id, reason) WHERE next_at IS NOT NULL";

const DOWN: &[&str] = &[
    // Switched off in the way in which a charge may be under way.
    "UPDATE auto_recharge SET state = 'OFF', reason = NULL WHERE state = 'DISABLED' AND payment_id IS NOT NULL",
    "CREATE TABLE auto_recharge_new (
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
    COPY,
    "DROP TABLE auto_recharge",
    "ALTER TABLE auto_recharge_new RENAME TO auto_recharge",
    DUE,
    WAITING,
    "ALTER TABLE payment_return DROP COLUMN life_seconds",
    "ALTER TABLE payment DROP COLUMN unasked",
    "ALTER TABLE invoice DROP COLUMN unused",
    "ALTER TABLE invoice DROP COLUMN overpaid",
];
