//! Books that can be proven: ledger entries that are final, a chain of hashes per customer, and what the audit keeps.
//!
//! What a database can refuse by itself it refuses: changes of ledger entries, rows that name a customer of another tenant, and
//! entries on a block of somebody else. Tools that must change an entry all the same have to say so, by switching the trigger
//! off (`ALTER TABLE ledger_entry DISABLE TRIGGER …` on PostgreSQL, `DROP TRIGGER …` on SQLite); the audit tells of it.

mod seal;

use sea_orm_migration::{
    DbErr, MigrationName, MigrationTrait, SchemaManager,
    async_trait::async_trait,
    sea_orm::{ConnectionTrait, DbBackend},
};

use crate::dialect::run;

/// The step.
#[derive(Debug)]
pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0008_books"
    }
}

#[async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, UP).await?;
        // Sealed before the guards: they refuse even this.
        seal::existing_entries(manager.get_connection()).await?;
        run(
            manager,
            if is_postgres(manager) {
                UP_POSTGRES
            } else {
                UP_SQLITE
            },
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(
            manager,
            if is_postgres(manager) {
                DOWN_POSTGRES
            } else {
                DOWN_SQLITE
            },
        )
        .await?;
        run(manager, DOWN).await
    }
}

fn is_postgres(manager: &SchemaManager<'_>) -> bool {
    manager.get_connection().get_database_backend() == DbBackend::Postgres
}

const UP: &[&str] = &[
    // The last hash, so that posting needs no further read.
    "ALTER TABLE account ADD COLUMN head {bytes} NOT NULL DEFAULT {zero_hash} CHECK (length(head) = 32)",
    // Set by the audit: grants, corrections and revocations wait for an operator.
    "ALTER TABLE account ADD COLUMN frozen_at {big}",
    // Also what an entry can say about itself. SQLite takes further checks only together with a column.
    "ALTER TABLE ledger_entry ADD COLUMN hash {bytes} NOT NULL DEFAULT {zero_hash}
        CONSTRAINT ledger_entry_hash CHECK (length(hash) = 32)
        CONSTRAINT ledger_entry_overdraft CHECK (overdraft_after >= 0)
        CONSTRAINT ledger_entry_purse CHECK (block_id IS NOT NULL OR credits = -overdraft_change)",
    // How far the audit of a customer has come: where it goes on, and what must have been there.
    "CREATE TABLE audit_mark (
        customer_id {id} PRIMARY KEY REFERENCES customer (id),
        revision {big} NOT NULL,
        sequence {big} NOT NULL,
        state {text} NOT NULL,
        audited_at {big} NOT NULL
    ) {roomy}",
    "CREATE TABLE audit_run (
        id {id} PRIMARY KEY,
        tenant_id {id},
        mode {text} NOT NULL CHECK (mode IN ('INCREMENTAL', 'FULL')),
        customers {big} NOT NULL,
        entries {big} NOT NULL,
        events {big} NOT NULL,
        violations {big} NOT NULL,
        remaining {big} NOT NULL,
        started_at {big} NOT NULL,
        finished_at {big}
    ) {table}",
    "CREATE INDEX audit_run_by_start ON audit_run (mode, started_at)",
    "CREATE TABLE audit_violation (
        id {id} PRIMARY KEY,
        tenant_id {id},
        customer_id {id},
        check_id {text} NOT NULL,
        subject {text} NOT NULL,
        severity {text} NOT NULL CHECK (severity IN ('S1', 'S2')),
        message {text} NOT NULL,
        state {text} NOT NULL CHECK (state IN ('OPEN', 'RELEASED', 'RESOLVED')),
        deep {int} NOT NULL,
        first_seen_at {big} NOT NULL,
        last_seen_at {big} NOT NULL,
        resolved_at {big},
        UNIQUE (check_id, subject)
    ) {table}",
    "CREATE INDEX audit_violation_by_tenant ON audit_violation (tenant_id, id)",
    "CREATE INDEX audit_violation_by_customer ON audit_violation (customer_id) WHERE state <> 'RESOLVED'",
];

const DOWN: &[&str] = &[
    "DROP TABLE audit_violation",
    "DROP TABLE audit_run",
    "DROP TABLE audit_mark",
    "ALTER TABLE ledger_entry DROP COLUMN hash",
    "ALTER TABLE account DROP COLUMN frozen_at",
    "ALTER TABLE account DROP COLUMN head",
];

const UP_POSTGRES: &[&str] = &[
    // Who writes an entry without a hash has forgotten it.
    "ALTER TABLE ledger_entry ALTER COLUMN hash DROP DEFAULT",
    "CREATE FUNCTION ledger_entry_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
     BEGIN
        RAISE EXCEPTION 'ledger entries are final: % is refused', TG_OP
            USING ERRCODE = 'restrict_violation', HINT = 'Put credits right with adjustCredits.';
     END $$",
    "CREATE TRIGGER ledger_entry_final BEFORE UPDATE OR DELETE ON ledger_entry
        FOR EACH ROW EXECUTE FUNCTION ledger_entry_is_final()",
    "CREATE TRIGGER ledger_entry_kept BEFORE TRUNCATE ON ledger_entry
        FOR EACH STATEMENT EXECUTE FUNCTION ledger_entry_is_final()",
    // Once per statement and not per row: a foreign key would lock each block once more.
    "CREATE FUNCTION ledger_entry_has_its_block() RETURNS trigger LANGUAGE plpgsql AS $$
     BEGIN
        IF EXISTS (SELECT 1 FROM added a LEFT JOIN block b ON b.id = a.block_id
                   WHERE a.block_id IS NOT NULL AND b.customer_id IS DISTINCT FROM a.customer_id) THEN
            RAISE EXCEPTION 'a ledger entry touches a block of somebody else'
                USING ERRCODE = 'foreign_key_violation';
        END IF;
        RETURN NULL;
     END $$",
    "CREATE TRIGGER ledger_entry_block AFTER INSERT ON ledger_entry REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION ledger_entry_has_its_block()",
    // A reference to the customer together with its tenant instead of to the customer alone: the same work per row.
    "ALTER TABLE account DROP CONSTRAINT account_customer_id_fkey,
        ADD CONSTRAINT account_of_tenant FOREIGN KEY (tenant_id, customer_id) REFERENCES customer (tenant_id, id)",
    "ALTER TABLE block DROP CONSTRAINT block_customer_id_fkey,
        ADD CONSTRAINT block_of_tenant FOREIGN KEY (tenant_id, customer_id) REFERENCES customer (tenant_id, id)",
    "ALTER TABLE ledger_entry DROP CONSTRAINT ledger_entry_customer_id_fkey,
        ADD CONSTRAINT ledger_entry_of_tenant FOREIGN KEY (tenant_id, customer_id)
            REFERENCES customer (tenant_id, id)",
];

const DOWN_POSTGRES: &[&str] = &[
    "ALTER TABLE ledger_entry DROP CONSTRAINT ledger_entry_of_tenant,
        ADD CONSTRAINT ledger_entry_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customer (id)",
    "ALTER TABLE block DROP CONSTRAINT block_of_tenant,
        ADD CONSTRAINT block_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customer (id)",
    "ALTER TABLE account DROP CONSTRAINT account_of_tenant,
        ADD CONSTRAINT account_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customer (id)",
    "DROP TRIGGER ledger_entry_block ON ledger_entry",
    "DROP FUNCTION ledger_entry_has_its_block",
    "DROP TRIGGER ledger_entry_kept ON ledger_entry",
    "DROP TRIGGER ledger_entry_final ON ledger_entry",
    "DROP FUNCTION ledger_entry_is_final",
    "ALTER TABLE ledger_entry DROP CONSTRAINT ledger_entry_purse, DROP CONSTRAINT ledger_entry_overdraft",
];

const UP_SQLITE: &[&str] = &[
    "CREATE TRIGGER ledger_entry_final BEFORE UPDATE ON ledger_entry
     BEGIN SELECT RAISE(ABORT, 'ledger entries are final: UPDATE is refused'); END",
    "CREATE TRIGGER ledger_entry_kept BEFORE DELETE ON ledger_entry
     BEGIN SELECT RAISE(ABORT, 'ledger entries are final: DELETE is refused'); END",
    "CREATE TRIGGER ledger_entry_block BEFORE INSERT ON ledger_entry
     WHEN NEW.block_id IS NOT NULL AND NOT EXISTS
        (SELECT 1 FROM block WHERE id = NEW.block_id AND customer_id = NEW.customer_id)
     BEGIN SELECT RAISE(ABORT, 'a ledger entry touches a block of somebody else'); END",
    // SQLite cannot add a reference to a table that exists.
    "CREATE TRIGGER account_of_tenant BEFORE INSERT ON account
     WHEN NOT EXISTS (SELECT 1 FROM customer WHERE id = NEW.customer_id AND tenant_id = NEW.tenant_id)
     BEGIN SELECT RAISE(ABORT, 'an account belongs to the tenant of its customer'); END",
    "CREATE TRIGGER block_of_tenant BEFORE INSERT ON block
     WHEN NOT EXISTS (SELECT 1 FROM customer WHERE id = NEW.customer_id AND tenant_id = NEW.tenant_id)
     BEGIN SELECT RAISE(ABORT, 'a block belongs to the tenant of its customer'); END",
    "CREATE TRIGGER ledger_entry_of_tenant BEFORE INSERT ON ledger_entry
     WHEN NOT EXISTS (SELECT 1 FROM customer WHERE id = NEW.customer_id AND tenant_id = NEW.tenant_id)
     BEGIN SELECT RAISE(ABORT, 'a ledger entry belongs to the tenant of its customer'); END",
];

const DOWN_SQLITE: &[&str] = &[
    "DROP TRIGGER ledger_entry_of_tenant",
    "DROP TRIGGER block_of_tenant",
    "DROP TRIGGER account_of_tenant",
    "DROP TRIGGER ledger_entry_block",
    "DROP TRIGGER ledger_entry_kept",
    "DROP TRIGGER ledger_entry_final",
];
