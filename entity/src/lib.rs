//! Rows: one SeaORM model per table, and its conversion to the noun in `domain`. No queries.

pub mod account;
pub mod api_key;
pub mod audit_mark;
pub mod audit_run;
pub mod audit_violation;
pub mod billing_cycle;
pub mod billing_event;
pub mod block;
mod convert;
pub mod customer;
pub mod customer_token;
pub mod grant_template;
pub mod idempotency;
pub mod ledger_entry;
pub mod metering_rule;
pub mod metric;
pub mod payment;
pub mod payment_method;
pub mod payment_payer;
pub mod payment_setting;
pub mod payment_setup;
pub mod plan;
pub mod plan_variant;
pub mod retired_secret;
pub mod sandbox_charge;
pub mod sandbox_setup;
pub mod subscription;
pub mod subscription_charge;
pub mod tenant;
pub mod test_clock;
pub mod usage_counter;
pub mod usage_event;
pub mod usage_pending;
pub mod usage_rating;
pub mod work;

pub use convert::{Corrupt, blank as blank_subscription, from_text, to_text};
