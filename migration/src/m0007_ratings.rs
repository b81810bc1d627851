//! What events came to moves from a mark on every event to one row per batch: events are written once, and a debit writes arrays
//! instead of rows.

use sea_orm_migration::{
    DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait,
    sea_orm::{ConnectionTrait, DbBackend},
};

use crate::dialect::run;

/// The step.
#[derive(Debug)]
pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0007_ratings"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, UP).await?;
        run(manager, &[choose(manager, NAMES_SQLITE, NAMES_POSTGRES)]).await?;
        run(manager, &[choose(manager, GATHER_SQLITE, GATHER_POSTGRES)]).await?;
        run(manager, CUT).await?;
        if is_postgres(manager) {
            run(manager, TUNE_POSTGRES).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, WIDEN).await?;
        run(manager, &[choose(manager, NAMES_SQLITE, NAMES_POSTGRES)]).await?;
        run(manager, &[choose(manager, SPREAD_SQLITE, SPREAD_POSTGRES)]).await?;
        run(manager, DOWN).await
    }
}

fn is_postgres(manager: &SchemaManager<'_>) -> bool {
    manager.get_connection().get_database_backend() == DbBackend::Postgres
}

fn choose<'a>(manager: &SchemaManager<'_>, sqlite: &'a str, postgres: &'a str) -> &'a str {
    if is_postgres(manager) { postgres } else { sqlite }
}

const UP: &[&str] = &[
    "ALTER TABLE usage_event ADD COLUMN voided_at {big}",
    "UPDATE usage_event SET voided_at = COALESCE(settled_at, received_at) WHERE state = 'VOIDED'",
    // In the order in which an event is looked for: its day is known, and the first row that ends at or after it is nearly
    // always its own. `first_event` is part of the key only so that rows need not be read to see that they are not.
    "CREATE TABLE usage_rating (
        customer_id {id} NOT NULL REFERENCES customer (id),
        day {big} NOT NULL,
        metric_id {id} NOT NULL REFERENCES metric (id),
        last_event {id} NOT NULL,
        first_event {id} NOT NULL,
        tenant_id {id} NOT NULL,
        line_id {id} NOT NULL,
        rule_id {id},
        period_start {big} NOT NULL,
        units {big} NOT NULL CHECK (units >= 0),
        events {big} NOT NULL CHECK (events >= 0),
        credits {big} NOT NULL,
        purses {text} NOT NULL,
        detail {text} NOT NULL,
        settled_at {big} NOT NULL,
        PRIMARY KEY (customer_id, day, metric_id, last_event, first_event)
    ) {table}",
];

/// How blocks are called in `draws`, which SQL cannot read otherwise: the 26 letters are groups of five bits.
const NAMES_POSTGRES: &str = "CREATE TABLE block_name AS
    WITH RECURSIVE letter (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM letter WHERE i < 25),
    digits AS (SELECT replace(id::text, '-', '') AS hex FROM block)
    SELECT d.hex AS hex, 'blk_' || string_agg(substr('0123456789abcdefghjkmnpqrstvwxyz', 1 + ((
        (strpos('0123456789abcdef', substr('0' || d.hex, (5 * i + 2) / 4 + 1, 1)) - 1) * 16
        + strpos('0123456789abcdef', substr('0' || d.hex, (5 * i + 2) / 4 + 2, 1)) - 1)
        >> (3 - (5 * i + 2) % 4) & 31), 1), '' ORDER BY i) AS name
    FROM digits d CROSS JOIN letter GROUP BY d.hex";
const NAMES_SQLITE: &str = "CREATE TABLE block_name AS
    WITH RECURSIVE letter (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM letter WHERE i < 25),
    digits AS (SELECT lower(hex(id)) AS hex FROM block)
    SELECT hex, 'blk_' || (SELECT group_concat(substr('0123456789abcdefghjkmnpqrstvwxyz', 1 + ((
        (instr('0123456789abcdef', substr('0' || hex, (5 * i + 2) / 4 + 1, 1)) - 1) * 16
        + instr('0123456789abcdef', substr('0' || hex, (5 * i + 2) / 4 + 2, 1)) - 1)
        >> (3 - (5 * i + 2) % 4) & 31), 1), '') FROM letter) AS name
    FROM digits";

/// One row per event: correct, if not as small as the rows that are written from now on.
const GATHER_POSTGRES: &str = "INSERT INTO usage_rating (customer_id, day, metric_id, last_event, first_event, tenant_id,
        line_id, rule_id, period_start, units, events, credits, purses, detail, settled_at)
    SELECT e.customer_id, e.occurred_at / 86400000000 * 86400000000, e.metric_id, e.id, e.id, e.tenant_id,
        COALESCE(e.line_id, '00000000-0000-0000-0000-000000000000'), e.rule_id, e.period_start,
        CASE e.state WHEN 'RATED' THEN e.units ELSE 0 END, CASE e.state WHEN 'RATED' THEN 1 ELSE 0 END,
        CASE e.state WHEN 'RATED' THEN e.credits ELSE 0 END,
        '[' || COALESCE(d.purses, '') || ']',
        '[[\"' || replace(e.id::text, '-', '') || '\",' || e.from_units || ',' || e.from_events || ',' || e.credits
            || ',[' || COALESCE(d.draws, '') || ']]]',
        COALESCE(e.settled_at, e.received_at)
    FROM usage_event e CROSS JOIN LATERAL (
        SELECT string_agg('\"' || COALESCE(b.hex, 'overdraft') || '\"', ',' ORDER BY n) AS purses,
            string_agg('[' || n - 1 || ',' || split_part(part, ':', 2) || ']', ',' ORDER BY n) AS draws
        FROM unnest(string_to_array(e.draws, ',')) WITH ORDINALITY AS parts (part, n)
        LEFT JOIN block_name b ON b.name = split_part(part, ':', 1)) AS d
    WHERE e.period_start IS NOT NULL AND e.credits IS NOT NULL";
const GATHER_SQLITE: &str = "INSERT INTO usage_rating (customer_id, day, metric_id, last_event, first_event, tenant_id,
        line_id, rule_id, period_start, units, events, credits, purses, detail, settled_at)
    SELECT e.customer_id, e.occurred_at / 86400000000 * 86400000000, e.metric_id, e.id, e.id, e.tenant_id,
        COALESCE(e.line_id, zeroblob(16)), e.rule_id, e.period_start,
        CASE e.state WHEN 'RATED' THEN e.units ELSE 0 END, CASE e.state WHEN 'RATED' THEN 1 ELSE 0 END,
        CASE e.state WHEN 'RATED' THEN e.credits ELSE 0 END,
        CASE e.draws WHEN '' THEN '[]' ELSE (
            SELECT json_group_array(COALESCE(b.hex, 'overdraft'))
            FROM json_each('[\"' || replace(e.draws, ',', '\",\"') || '\"]') d
            LEFT JOIN block_name b ON b.name = substr(d.value, 1, instr(d.value, ':') - 1)) END,
        '[[\"' || lower(hex(e.id)) || '\",' || e.from_units || ',' || e.from_events || ',' || e.credits || ',['
            || CASE e.draws WHEN '' THEN '' ELSE (
            SELECT group_concat('[' || d.key || ',' || substr(d.value, instr(d.value, ':') + 1) || ']', ',')
            FROM json_each('[\"' || replace(e.draws, ',', '\",\"') || '\"]') d) END || ']]]',
        COALESCE(e.settled_at, e.received_at)
    FROM usage_event e WHERE e.period_start IS NOT NULL AND e.credits IS NOT NULL";

const CUT: &[&str] = &[
    "DROP TABLE block_name",
    "ALTER TABLE usage_event DROP COLUMN state",
    "ALTER TABLE usage_event DROP COLUMN rule_id",
    "ALTER TABLE usage_event DROP COLUMN line_id",
    "ALTER TABLE usage_event DROP COLUMN period_start",
    "ALTER TABLE usage_event DROP COLUMN from_units",
    "ALTER TABLE usage_event DROP COLUMN from_events",
    "ALTER TABLE usage_event DROP COLUMN credits",
    "ALTER TABLE usage_event DROP COLUMN draws",
    "ALTER TABLE usage_event DROP COLUMN settled_at",
];

const TUNE_POSTGRES: &[&str] = &[
    // Events have no second version any more that needs room on their page.
    "ALTER TABLE usage_event RESET (fillfactor)",
    // The older method of compression costs more than all the rest of writing a row. Servers may be built without the other.
    "DO $$ BEGIN
        ALTER TABLE usage_rating ALTER COLUMN detail SET COMPRESSION lz4;
    EXCEPTION WHEN feature_not_supported THEN NULL;
    END $$",
];

const WIDEN: &[&str] = &[
    "ALTER TABLE usage_event ADD COLUMN state {text} NOT NULL DEFAULT 'PENDING'",
    "ALTER TABLE usage_event ADD COLUMN rule_id {id}",
    "ALTER TABLE usage_event ADD COLUMN line_id {id}",
    "ALTER TABLE usage_event ADD COLUMN period_start {big}",
    "ALTER TABLE usage_event ADD COLUMN from_units {big}",
    "ALTER TABLE usage_event ADD COLUMN from_events {big}",
    "ALTER TABLE usage_event ADD COLUMN credits {big}",
    "ALTER TABLE usage_event ADD COLUMN draws {text}",
    "ALTER TABLE usage_event ADD COLUMN settled_at {big}",
];

const SPREAD_POSTGRES: &str = "UPDATE usage_event SET state = 'RATED', rule_id = r.rule_id,
        line_id = NULLIF(r.line_id, '00000000-0000-0000-0000-000000000000'), period_start = r.period_start,
        from_units = (d ->> 1)::bigint, from_events = (d ->> 2)::bigint, credits = (d ->> 3)::bigint,
        draws = COALESCE((SELECT string_agg(COALESCE(b.name, 'overdraft') || ':' || (w ->> 1), ',' ORDER BY n)
            FROM json_array_elements(d -> 4) WITH ORDINALITY AS draws (w, n)
            LEFT JOIN block_name b ON b.hex = r.purses::json ->> (w ->> 0)::int), ''),
        settled_at = r.settled_at
    FROM usage_rating r CROSS JOIN LATERAL json_array_elements(r.detail::json) AS details (d)
    WHERE usage_event.id = (d ->> 0)::uuid";
const SPREAD_SQLITE: &str = "UPDATE usage_event SET state = 'RATED', rule_id = r.rule_id,
        line_id = NULLIF(r.line_id, zeroblob(16)), period_start = r.period_start,
        from_units = d.value ->> 1, from_events = d.value ->> 2, credits = d.value ->> 3,
        draws = COALESCE((SELECT group_concat(COALESCE(b.name, 'overdraft') || ':' || (w.value ->> 1), ',')
            FROM json_each(d.value -> 4) w
            LEFT JOIN block_name b ON b.hex = json_extract(r.purses, '$[' || (w.value ->> 0) || ']')), ''),
        settled_at = r.settled_at
    FROM usage_rating r, json_each(r.detail) d WHERE usage_event.id = unhex(d.value ->> 0)";

const DOWN: &[&str] = &[
    "UPDATE usage_event SET state = 'VOIDED', settled_at = voided_at WHERE voided_at IS NOT NULL",
    "DROP TABLE block_name",
    "DROP TABLE usage_rating",
    "ALTER TABLE usage_event DROP COLUMN voided_at",
];
