//! Invoices, credit notes, tax numbers of customers, and what vendors say about all of them.

crate::dialect::step!("m0015_invoices");

const UP: &[&str] = &[
    // How a vendor bills: `terms` is what was decided, as JSON.
    "CREATE TABLE invoice_setting (
        tenant_id {id} PRIMARY KEY REFERENCES tenant (id),
        terms {text} NOT NULL,
        updated_at {big} NOT NULL
    ) {table}",
    // How far a sequence of numbers has come. Its row is locked by whoever takes the next one, so that none is left out.
    "CREATE TABLE invoice_count (
        tenant_id {id} NOT NULL REFERENCES tenant (id),
        sequence {text} NOT NULL,
        last {big} NOT NULL CHECK (last > 0),
        PRIMARY KEY (tenant_id, sequence)
    ) {table}",
    // `content` is all that the invoice says, as JSON; the columns beside it are what is looked for. `source` is what it was made of: nothing
    // is billed twice. `next_at` is when somebody has to issue it, to charge it, or to call it past due.
    "CREATE TABLE invoice (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL,
        customer_id {id} NOT NULL REFERENCES customer (id),
        subscription_id {id},
        source {text} NOT NULL,
        kind {text} NOT NULL,
        state {text} NOT NULL,
        ordinal {big} CHECK (ordinal > 0),
        number {text},
        currency {text} NOT NULL,
        total {big} NOT NULL,
        due {big} NOT NULL CHECK (due >= 0),
        credited {big} NOT NULL CHECK (credited >= 0),
        content {text} NOT NULL,
        link {text} NOT NULL UNIQUE,
        issued_at {big},
        due_at {big},
        paid_at {big},
        next_at {big},
        created_at {big} NOT NULL,
        updated_at {big} NOT NULL,
        UNIQUE (tenant_id, source),
        UNIQUE (tenant_id, ordinal),
        UNIQUE (tenant_id, number),
        CHECK ((number IS NULL) = (ordinal IS NULL)),
        CHECK (number IS NOT NULL OR state IN ('DRAFT', 'VOID')),
        CHECK ((paid_at IS NOT NULL) = (state = 'PAID')),
        CHECK (next_at IS NULL OR state IN ('DRAFT', 'OPEN', 'PAST_DUE') OR (state = 'PAID' AND kind = 'FEE'))
    ) {table}",
    "CREATE INDEX invoice_by_customer ON invoice (customer_id, id)",
    "CREATE INDEX invoice_next ON invoice (next_at) WHERE next_at IS NOT NULL",
    "CREATE TABLE credit_note (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL,
        customer_id {id} NOT NULL REFERENCES customer (id),
        invoice_id {id} NOT NULL REFERENCES invoice (id),
        ordinal {big} NOT NULL CHECK (ordinal > 0),
        number {text} NOT NULL,
        currency {text} NOT NULL,
        total {big} NOT NULL CHECK (total > 0),
        content {text} NOT NULL,
        link {text} NOT NULL UNIQUE,
        created_at {big} NOT NULL,
        UNIQUE (tenant_id, ordinal),
        UNIQUE (tenant_id, number)
    ) {table}",
    "CREATE INDEX credit_note_by_invoice ON credit_note (invoice_id, id)",
    // What invoices below zero and credit notes have left to the customer, in money.
    "CREATE TABLE money_balance (
        customer_id {id} NOT NULL REFERENCES customer (id),
        currency {text} NOT NULL,
        tenant_id {id} NOT NULL,
        minor {big} NOT NULL CHECK (minor >= 0),
        PRIMARY KEY (customer_id, currency)
    ) {table}",
    "CREATE TABLE tax_registration (
        id {id} PRIMARY KEY,
        tenant_id {id} NOT NULL,
        customer_id {id} NOT NULL REFERENCES customer (id),
        content {text} NOT NULL,
        created_at {big} NOT NULL
    ) {table}",
    "CREATE INDEX tax_registration_by_customer ON tax_registration (customer_id, id)",
    // None: not to be billed. DUE: it has closed and waits for its invoice. BILLED: it has one, or there was nothing to bill.
    "ALTER TABLE billing_cycle ADD COLUMN bill {text}",
    "CREATE INDEX billing_cycle_due_bill ON billing_cycle (tenant_id, customer_id) WHERE bill = 'DUE'",
    "ALTER TABLE subscription_charge ADD COLUMN invoice_id {id}",
    // Up to which cycle the renewals of a prepaid subscription have an invoice.
    "ALTER TABLE subscription ADD COLUMN renewal_billed {big} NOT NULL DEFAULT 0",
    "CREATE INDEX subscription_to_renew ON subscription (tenant_id, customer_id)
        WHERE renewal_told > renewal_billed AND renewal_told > paid_through AND cancel_at_end = 0
            AND state IN ('TRIALING', 'ACTIVE', 'OVERDUE')",
];

const DOWN: &[&str] = &[
    "DROP INDEX subscription_to_renew",
    "ALTER TABLE subscription DROP COLUMN renewal_billed",
    "ALTER TABLE subscription_charge DROP COLUMN invoice_id",
    "DROP INDEX billing_cycle_due_bill",
    "ALTER TABLE billing_cycle DROP COLUMN bill",
    "DROP TABLE tax_registration",
    "DROP TABLE money_balance",
    "DROP TABLE credit_note",
    "DROP TABLE invoice",
    "DROP TABLE invoice_count",
    "DROP TABLE invoice_setting",
];
