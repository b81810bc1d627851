//! What of an invoice's money has gone to the credit balance otherwise than by a credit note.

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
];

const DOWN: &[&str] = &[
    "ALTER TABLE invoice DROP COLUMN unused",
    "ALTER TABLE invoice DROP COLUMN overpaid",
];
