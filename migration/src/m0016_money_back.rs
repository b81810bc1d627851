//! Money that goes back, what providers tell, and what was asked of them.

crate::dialect::step!("m0016_money_back");

const UP: &[&str] = &[
    // Refunds and disputes. `credits` is what was taken for it and not given again. A row is written before the provider is asked.
    "CREATE TABLE payment_return (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL,
        customer_id {id} NOT NULL REFERENCES customer (id),
        payment_id {id} NOT NULL REFERENCES payment (id),
        provider {text} NOT NULL,
        kind {text} NOT NULL,
        amount {big} NOT NULL CHECK (amount > 0),
        currency {text} NOT NULL,
        reason {text},
        credits {big} NOT NULL,
        state {text} NOT NULL,
        reference {text},
        created_at {big} NOT NULL,
        ended_at {big},
        updated_at {big} NOT NULL,
        UNIQUE (tenant_id, provider, reference),
        CHECK ((ended_at IS NULL) = (state NOT IN ('RETURNED', 'UNDONE')))
    ) {table}",
    "CREATE INDEX payment_return_by_payment ON payment_return (payment_id, id)",
    // A notice is kept once, however often it is sent, and without its content. `subjects` are the provider's own names for what it is
    // about, as JSON. UNKNOWN: no payment of ours.
    "CREATE TABLE payment_notice (
        id {id} PRIMARY KEY,
        provider {text} NOT NULL,
        reference {text} NOT NULL,
        kind {text} NOT NULL,
        payment_id {id},
        subjects {text} NOT NULL,
        state {text} NOT NULL CHECK (state IN ('NEW', 'DONE', 'UNKNOWN')),
        occurred_at {big} NOT NULL,
        received_at {big} NOT NULL,
        UNIQUE (provider, reference)
    ) {table}",
    "CREATE INDEX payment_notice_new ON payment_notice (provider, id) WHERE state = 'NEW'",
    // The audit asks for those that have our name and are not here every minute.
    "CREATE INDEX payment_notice_strangers ON payment_notice (provider, payment_id)
        WHERE state = 'UNKNOWN' AND payment_id IS NOT NULL",
    // Providers name charges, and know nothing of tenants.
    "CREATE INDEX payment_by_reference ON payment (provider, reference) WHERE reference IS NOT NULL",
    "CREATE INDEX payment_notice_old ON payment_notice (received_at) WHERE state <> 'NEW'",
    // What was asked of providers. `heard_until`: nothing that happened before was missed. While `safe_since` says something, nothing is
    // charged: what happened since then may be missing here.
    "CREATE TABLE payment_watch (
        provider {text} PRIMARY KEY,
        heard_until {big} NOT NULL,
        asked_at {big} NOT NULL,
        safe_since {big}
    ) {table}",
    "CREATE INDEX payment_return_by_customer ON payment_return (customer_id)",
    "CREATE INDEX ledger_entry_reversals ON ledger_entry (customer_id) WHERE kind = 'REVERSAL'",
    // One credit note for one refund.
    "ALTER TABLE credit_note ADD COLUMN return_id {id}",
    "CREATE UNIQUE INDEX credit_note_of_return ON credit_note (return_id) WHERE return_id IS NOT NULL",
    "CREATE TABLE sandbox_return (
        reference {text} PRIMARY KEY,
        payment_id {id} NOT NULL,
        return_id {id},
        kind {text} NOT NULL,
        amount {big} NOT NULL,
        currency {text} NOT NULL,
        state {text} NOT NULL
    ) {table}",
    "CREATE INDEX sandbox_return_by_payment ON sandbox_return (payment_id)",
];

const DOWN: &[&str] = &[
    "DROP TABLE sandbox_return",
    "DROP INDEX credit_note_of_return",
    "ALTER TABLE credit_note DROP COLUMN return_id",
    "DROP TABLE payment_watch",
    "DROP INDEX payment_by_reference",
    "DROP TABLE payment_notice",
    "DROP INDEX ledger_entry_reversals",
    "DROP TABLE payment_return",
];
