//! Ways to pay, and payments.

crate::dialect::step!("m0013_payments");

const UP: &[&str] = &[
    // How a vendor sells credits. `terms` is what was decided, as JSON.
    "CREATE TABLE payment_setting (
        tenant_id {id} PRIMARY KEY REFERENCES tenant (id),
        provider {text} NOT NULL,
        terms {text} NOT NULL,
        updated_at {big} NOT NULL
    ) {table}",
    // The names that providers have for customers.
    "CREATE TABLE payment_payer (
        customer_id {id} NOT NULL REFERENCES customer (id),
        provider {text} NOT NULL,
        tenant_id {id} NOT NULL,
        reference {text} NOT NULL,
        PRIMARY KEY (customer_id, provider)
    ) {table}",
    // `face` is what the customer knows it by, as JSON; what is secret stays with the provider.
    "CREATE TABLE payment_method (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL,
        customer_id {id} NOT NULL REFERENCES customer (id),
        provider {text} NOT NULL,
        reference {text} NOT NULL,
        face {text} NOT NULL,
        is_default {int} NOT NULL CHECK (is_default IN (0, 1)),
        expires_month {big},
        expiry_told_at {big},
        created_at {big} NOT NULL,
        removed_at {big},
        UNIQUE (tenant_id, provider, reference),
        CHECK (is_default = 0 OR removed_at IS NULL)
    ) {table}",
    "CREATE INDEX payment_method_by_customer ON payment_method (customer_id, id)",
    "CREATE UNIQUE INDEX payment_method_default ON payment_method (customer_id) WHERE is_default = 1",
    // Months are counted from the year 0. Whoever is told once is not told again.
    "CREATE INDEX payment_method_expiring ON payment_method (expires_month)
        WHERE expires_month IS NOT NULL AND expiry_told_at IS NULL AND removed_at IS NULL",
    // A page of the provider's on which a customer leaves a way to pay.
    "CREATE TABLE payment_setup (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL,
        customer_id {id} NOT NULL REFERENCES customer (id),
        provider {text} NOT NULL,
        reference {text} NOT NULL,
        url {text},
        method_id {id} REFERENCES payment_method (id),
        created_at {big} NOT NULL,
        UNIQUE (tenant_id, provider, reference)
    ) {table}",
    // `due_at` is when somebody has to send it or to ask about it next; one that has ended is asked about when something may have gone back
    // of it. `checkout` is what the page offers on which it is made, as JSON. The provider's own name for it and the credits that it became
    // belong to one payment.
    "CREATE TABLE payment (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL,
        customer_id {id} NOT NULL REFERENCES customer (id),
        purpose {text} NOT NULL,
        provider {text} NOT NULL,
        method_id {id} REFERENCES payment_method (id),
        checkout {text},
        amount {big} NOT NULL CHECK (amount > 0),
        currency {text} NOT NULL,
        credits {big} NOT NULL,
        lasts_seconds {big},
        invoice_id {id},
        state {text} NOT NULL,
        submitted_at {big},
        due_at {big},
        looks {int} NOT NULL,
        reference {text},
        decline {text},
        action_url {text},
        block_id {id} UNIQUE REFERENCES block (id),
        created_at {big} NOT NULL,
        ended_at {big},
        updated_at {big} NOT NULL,
        UNIQUE (tenant_id, provider, reference),
        CHECK ((invoice_id IS NOT NULL) = (purpose = 'INVOICE')),
        CHECK (CASE purpose WHEN 'INVOICE' THEN credits = 0 ELSE credits > 0 END),
        CHECK ((block_id IS NULL) = (state <> 'SUCCEEDED' OR purpose = 'INVOICE')),
        CHECK ((ended_at IS NULL) = (state NOT IN ('SUCCEEDED', 'FAILED', 'QUARANTINED'))),
        CHECK (due_at IS NOT NULL OR ended_at IS NOT NULL),
        CHECK ((method_id IS NULL) = (checkout IS NOT NULL))
    ) {roomy}",
    "CREATE INDEX payment_by_customer ON payment (customer_id, id)",
    // The audit asks for them every minute.
    "CREATE INDEX payment_quarantined ON payment (id) WHERE state = 'QUARANTINED'",
    "CREATE INDEX payment_by_invoice ON payment (invoice_id, id) WHERE invoice_id IS NOT NULL",
    "CREATE UNIQUE INDEX payment_invoice_open ON payment (invoice_id) WHERE invoice_id IS NOT NULL AND ended_at IS NULL",
    "CREATE INDEX payment_due ON payment (due_at) WHERE due_at IS NOT NULL",
    // What the sandbox knows, apart from our own books like those of a real provider.
    "CREATE TABLE sandbox_setup (
        reference {text} PRIMARY KEY,
        key {text} NOT NULL UNIQUE,
        card_reference {text} UNIQUE,
        card {text},
        CHECK ((card IS NULL) = (card_reference IS NULL))
    ) {table}",
    "CREATE TABLE sandbox_charge (
        key {text} PRIMARY KEY,
        reference {text} NOT NULL UNIQUE,
        payment_id {id} NOT NULL,
        card {text},
        on_page {int} NOT NULL,
        amount {big} NOT NULL,
        currency {text} NOT NULL,
        asked_at {big} NOT NULL,
        asked {big} NOT NULL,
        confirmed {int} NOT NULL
    ) {table}",
    "CREATE INDEX sandbox_charge_by_payment ON sandbox_charge (payment_id)",
];

const DOWN: &[&str] = &[
    "DROP TABLE sandbox_charge",
    "DROP TABLE sandbox_setup",
    "DROP TABLE payment",
    "DROP TABLE payment_setup",
    "DROP TABLE payment_method",
    "DROP TABLE payment_payer",
    "DROP TABLE payment_setting",
];
