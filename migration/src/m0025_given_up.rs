//! Messages that were given up are found without a walk over all that were delivered.

crate::dialect::step!("m0025_given_up");

const UP: &[&str] = &[
    // Few messages are given up, and those that are delivered are not in it.
    "CREATE INDEX webhook_delivery_failed ON webhook_delivery (endpoint_id, id) WHERE state = 'FAILED'",
];

const DOWN: &[&str] = &["DROP INDEX webhook_delivery_failed"];
