//! Schema steps for SQLite and PostgreSQL.
//!
//! One file per step, forward and back. Steps are written as SQL with a few words that differ between the databases (see
//! [`dialect`]), because constraints, partial indexes and storage settings are what protects money here, and no builder
//! writes all of them.
//!
//! Conventions: ids are 16 bytes; instants are microseconds since 1970; amounts are integers in the smallest unit; enumerations
//! are text; every table that a tenant owns has `tenant_id`.

pub mod dialect;
mod m0001_tenants_and_keys;
mod m0002_catalog;
mod m0003_customers_and_credits;
mod m0004_usage;
mod m0005_work;
mod m0006_tokens_and_rotation;
mod m0007_ratings;
mod m0008_books;
mod m0009_plans;
mod m0010_subscriptions;
mod m0011_test_clocks;
mod m0012_agreements;
mod m0013_payments;
mod m0014_auto_recharge;
mod m0015_invoices;
mod m0016_money_back;
mod m0017_trust_and_changes;
mod m0018_events_and_webhooks;
mod m0019_holds;
mod m0020_money_fixes;
mod m0021_mail;
mod m0022_spend;
mod m0023_credit_notices;
mod m0024_overshoot;
mod m0025_given_up;
mod m0026_operations_mail;
mod m0027_spend_kept;
mod m0028_overshoot_default;

use sea_orm_migration::MigrationTrait;
pub use sea_orm_migration::{
    DbErr, MigratorTrait,
    sea_orm::{self, DatabaseConnection},
};

/// Every step, oldest first.
#[derive(Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_tenants_and_keys::Migration),
            Box::new(m0002_catalog::Migration),
            Box::new(m0003_customers_and_credits::Migration),
            Box::new(m0004_usage::Migration),
            Box::new(m0005_work::Migration),
            Box::new(m0006_tokens_and_rotation::Migration),
            Box::new(m0007_ratings::Migration),
            Box::new(m0008_books::Migration),
            Box::new(m0009_plans::Migration),
            Box::new(m0010_subscriptions::Migration),
            Box::new(m0011_test_clocks::Migration),
            Box::new(m0012_agreements::Migration),
            Box::new(m0013_payments::Migration),
            Box::new(m0014_auto_recharge::Migration),
            Box::new(m0015_invoices::Migration),
            Box::new(m0016_money_back::Migration),
            Box::new(m0017_trust_and_changes::Migration),
            Box::new(m0018_events_and_webhooks::Migration),
            Box::new(m0019_holds::Migration),
            Box::new(m0020_money_fixes::Migration),
            Box::new(m0021_mail::Migration),
            Box::new(m0022_spend::Migration),
            Box::new(m0023_credit_notices::Migration),
            Box::new(m0024_overshoot::Migration),
            Box::new(m0025_given_up::Migration),
            Box::new(m0026_operations_mail::Migration),
            Box::new(m0027_spend_kept::Migration),
            Box::new(m0028_overshoot_default::Migration),
        ]
    }
}
