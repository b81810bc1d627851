//! The drain, written by hand: as much as possible in the database, as little as possible over the wire.
//!
//! It does what the product's drain does to the rows: takes events out of the queue, counts and prices each (at a price per
//! unit, the only one it knows), keeps what it came to in rows of up to 250, moves counters, blocks and
//! accounts, and writes one ledger entry per customer and batch. It leaves out what makes the product general: other prices, several blocks, several metrics,
//! terms, failures.

use app::customer::SHARDS;
use domain::time::Timestamp;
use sqlx::{AssertSqlSafe, PgPool, Row, SqlitePool};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::Hand;
use crate::{
    Outcome,
    world::{EVENT_COSTS, World, now},
};

/// Events in one transaction.
const BATCH: i64 = 10_000;
/// Workers on PostgreSQL, each with shards of its own, so that none waits for another.
const WORKERS: i32 = 2;

// $1 shard, $2 last id done, $3 events, $4 rule, $5 first instant of the cycle, $6 now, $7 micro-credits per unit.
const POSTGRES: &str = "WITH taken AS (
        DELETE FROM usage_pending WHERE shard = $1 AND id > $2 AND id <= (
            SELECT id FROM (SELECT id FROM usage_pending WHERE shard = $1 AND id > $2 ORDER BY id LIMIT $3) AS first
            ORDER BY id DESC LIMIT 1)
        RETURNING id, customer_id, metric_id, units, occurred_at
    ), placed AS (
        SELECT t.id, t.customer_id, t.metric_id, t.units, t.units * $7 / 1000000 AS credits,
            COALESCE(c.units, 0) + (SUM(t.units) OVER w)::bigint - t.units AS from_units,
            COALESCE(c.events, 0) + ROW_NUMBER() OVER w - 1 AS from_events,
            t.occurred_at / 86400000000 * 86400000000 AS day, (ROW_NUMBER() OVER w - 1) / 250 AS part
        FROM taken t LEFT JOIN usage_counter c ON c.customer_id = t.customer_id AND c.metric_id = t.metric_id
            AND c.line_id = $4 AND c.period_start = $5
        WINDOW w AS (PARTITION BY t.customer_id ORDER BY t.id)
    ), sums AS (
        SELECT customer_id, metric_id, SUM(units)::bigint AS units, COUNT(*) AS events, SUM(credits)::bigint AS credits,
            MIN(from_units) AS from_units, MIN(from_events) AS from_events,
            (ARRAY_AGG(id ORDER BY id))[1] AS first, (ARRAY_AGG(id ORDER BY id DESC))[1] AS last
        FROM placed GROUP BY customer_id, metric_id
    ), paid AS (
        UPDATE block b SET remaining = b.remaining - s.credits FROM sums s
        WHERE b.customer_id = s.customer_id AND b.remaining >= s.credits
        RETURNING b.id, b.customer_id, 'blk_' || REPLACE(b.id::text, '-', '') || ':' AS purse
    ), kept AS (
        INSERT INTO usage_rating (customer_id, day, metric_id, last_event, first_event, tenant_id, line_id,
            rule_id, period_start, units, events, credits, purses, detail, settled_at)
        SELECT p.customer_id, p.day, p.metric_id, (ARRAY_AGG(p.id ORDER BY p.id DESC))[1],
            (ARRAY_AGG(p.id ORDER BY p.id))[1], a.tenant_id, $4, $4, $5, SUM(p.units)::bigint, COUNT(*), SUM(p.credits)::bigint,
            '[\"' || REPLACE(b.id::text, '-', '') || '\"]',
            '[' || STRING_AGG('[\"' || REPLACE(p.id::text, '-', '') || '\",' || p.from_units || ',' || p.from_events || ','
                || p.credits || ',[[0,' || p.credits || ']]]', ',' ORDER BY p.id) || ']', $6
        FROM placed p JOIN paid b ON b.customer_id = p.customer_id JOIN account a ON a.customer_id = p.customer_id
        GROUP BY p.customer_id, p.day, p.metric_id, p.part, a.tenant_id, b.id
    ), counted AS (
        INSERT INTO usage_counter (customer_id, metric_id, line_id, period_start, tenant_id, units, events, credits, draws)
        SELECT s.customer_id, s.metric_id, $4, $5, a.tenant_id, s.units, s.events, s.credits, b.purse || s.credits
        FROM sums s JOIN paid b ON b.customer_id = s.customer_id JOIN account a ON a.customer_id = s.customer_id
        ON CONFLICT (customer_id, metric_id, line_id, period_start) DO UPDATE SET
            units = usage_counter.units + excluded.units, events = usage_counter.events + excluded.events,
            credits = usage_counter.credits + excluded.credits,
            draws = SPLIT_PART(excluded.draws, ':', 1) || ':' || (usage_counter.credits + excluded.credits)
    ), moved AS (
        UPDATE account a SET sequence = a.sequence + 1, blocks = a.blocks - s.credits, revision = a.revision + 1,
            updated_at = $6
        FROM sums s WHERE a.customer_id = s.customer_id
        RETURNING a.customer_id, a.tenant_id, a.sequence, a.blocks - a.overdraft AS balance, a.overdraft
    ), entered AS (
        INSERT INTO ledger_entry (customer_id, sequence, tenant_id, kind, effect_key, block_id, credits, overdraft_change,
            balance_after, overdraft_after, description, metric_id, rule_id, period_start, from_units, from_events, to_units,
            to_events, first_event, last_event, event_count, created_at, hash)
        SELECT m.customer_id, m.sequence, m.tenant_id, 'DEBIT', 'debit:' || s.first || ':' || b.id, b.id, -s.credits, 0,
            m.balance, m.overdraft, 'API call: ' || s.units / 1000000 || ' unit in ' || s.events || ' events', s.metric_id, $4,
            $5, s.from_units, s.from_events, s.from_units + s.units, s.from_events + s.events, s.first, s.last, s.events, $6,
            sha256(uuid_send(s.first))
        FROM sums s JOIN moved m ON m.customer_id = s.customer_id JOIN paid b ON b.customer_id = s.customer_id
    )
    SELECT id AS last FROM taken ORDER BY id DESC LIMIT 1";

/// The same in steps, because SQLite changes one table per statement. Each step reads what the first has gathered.
const SQLITE_GATHER: &str = "INSERT INTO temp.placed
    SELECT p.id, p.customer_id, p.metric_id, p.units, p.units * ?6 / 1000000,
        COALESCE(c.units, 0) + SUM(p.units) OVER w - p.units, COALESCE(c.events, 0) + ROW_NUMBER() OVER w - 1,
        p.occurred_at / 86400000000 * 86400000000, (ROW_NUMBER() OVER w - 1) / 250
    FROM (SELECT * FROM usage_pending WHERE shard = ?1 AND id > ?2 ORDER BY id LIMIT ?3) AS p
    LEFT JOIN usage_counter c ON c.customer_id = p.customer_id AND c.metric_id = p.metric_id AND c.line_id = ?4
        AND c.period_start = ?5
    WINDOW w AS (PARTITION BY p.customer_id ORDER BY p.id)";
const SQLITE_SUMS: &str = "INSERT INTO temp.sums
    SELECT p.customer_id, p.metric_id, SUM(p.units), COUNT(*), SUM(p.credits), MIN(p.from_units), MIN(p.from_events), MIN(p.id),
        MAX(p.id), b.id, 'blk_' || LOWER(HEX(b.id)) || ':'
    FROM temp.placed p JOIN block b ON b.customer_id = p.customer_id AND b.remaining > 0 GROUP BY p.customer_id, p.metric_id";
// All of them take the same four values: shard, rule, first instant of the cycle, now.
const SQLITE_STEPS: [&str; 6] = [
    "INSERT INTO usage_rating (customer_id, day, metric_id, last_event, first_event, tenant_id, line_id,
        rule_id, period_start, units, events, credits, purses, detail, settled_at)
     SELECT p.customer_id, p.day, p.metric_id, MAX(p.id), MIN(p.id), a.tenant_id, ?2, ?2, ?3, SUM(p.units), COUNT(*),
        SUM(p.credits), '[\"' || LOWER(HEX(s.block_id)) || '\"]',
        '[' || GROUP_CONCAT('[\"' || LOWER(HEX(p.id)) || '\",' || p.from_units || ',' || p.from_events || ',' || p.credits
            || ',[[0,' || p.credits || ']]]', ',' ORDER BY p.id) || ']', ?4
     FROM temp.placed p JOIN temp.sums s ON s.customer_id = p.customer_id JOIN account a ON a.customer_id = p.customer_id
     WHERE ?1 >= 0 GROUP BY p.customer_id, p.day, p.metric_id, p.part",
    "DELETE FROM usage_pending WHERE shard = ?1 AND id IN (SELECT id FROM temp.placed)
        AND ?2 IS NOT NULL AND ?3 >= 0 AND ?4 >= 0",
    "INSERT INTO usage_counter (customer_id, metric_id, line_id, period_start, tenant_id, units, events, credits, draws)
     SELECT s.customer_id, s.metric_id, ?2, ?3, a.tenant_id, s.units, s.events, s.credits, s.purse || s.credits
     FROM temp.sums s JOIN account a ON a.customer_id = s.customer_id WHERE ?1 >= 0 AND ?4 >= 0
     ON CONFLICT (customer_id, metric_id, line_id, period_start) DO UPDATE SET
        units = units + excluded.units, events = events + excluded.events, credits = credits + excluded.credits,
        draws = SUBSTR(excluded.draws, 1, 37) || (credits + excluded.credits)",
    "UPDATE block SET remaining = remaining - s.credits FROM temp.sums s
     WHERE block.id = s.block_id AND ?1 >= 0 AND ?2 IS NOT NULL AND ?3 >= 0 AND ?4 >= 0",
    "UPDATE account SET sequence = sequence + 1, blocks = blocks - s.credits, revision = revision + 1, updated_at = ?4
     FROM temp.sums s WHERE account.customer_id = s.customer_id AND ?1 >= 0 AND ?2 IS NOT NULL AND ?3 >= 0",
    "INSERT INTO ledger_entry (customer_id, sequence, tenant_id, kind, effect_key, block_id, credits, overdraft_change,
        balance_after, overdraft_after, description, metric_id, rule_id, period_start, from_units, from_events, to_units,
        to_events, first_event, last_event, event_count, created_at, hash)
     SELECT a.customer_id, a.sequence, a.tenant_id, 'DEBIT', 'debit:' || HEX(s.first) || ':' || HEX(s.block_id), s.block_id,
        -s.credits, 0, a.blocks - a.overdraft, a.overdraft,
        'API call: ' || s.units / 1000000 || ' unit in ' || s.events || ' events', s.metric_id, ?2, ?3, s.from_units,
        s.from_events, s.from_units + s.units, s.from_events + s.events, s.first, s.last, s.events, ?4, zeroblob(32)
     FROM temp.sums s JOIN account a ON a.customer_id = s.customer_id WHERE ?1 >= 0",
];
const SQLITE_TABLES: &str = "CREATE TEMP TABLE IF NOT EXISTS placed (id BLOB PRIMARY KEY, customer_id BLOB, metric_id BLOB,
        units INTEGER, credits INTEGER, from_units INTEGER, from_events INTEGER, day INTEGER, part INTEGER) WITHOUT ROWID;
    CREATE TEMP TABLE IF NOT EXISTS sums (customer_id BLOB PRIMARY KEY, metric_id BLOB, units INTEGER, events INTEGER,
        credits INTEGER, from_units INTEGER, from_events INTEGER, first BLOB, last BLOB, block_id BLOB, purse TEXT)
        WITHOUT ROWID";

impl Hand {
    /// Debits everything that waits.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn drain(&self, world: &World) -> Outcome<()> {
        let cycle = Cycle::present(world);
        match self {
            Self::Postgres(pool) => {
                let mut workers = JoinSet::new();
                for first in 0..WORKERS {
                    let pool = pool.clone();
                    workers.spawn(async move {
                        for shard in (first..SHARDS).step_by(WORKERS as usize) {
                            let mut done = Some(Uuid::nil());
                            while let Some(last) = done {
                                done = postgres(&pool, cycle, Shards::From(shard), last).await?;
                            }
                        }
                        Outcome::Ok(())
                    });
                }
                while let Some(ended) = workers.join_next().await {
                    ended??;
                }
                Ok(())
            }
            Self::Sqlite(pool) => {
                sqlx::raw_sql(SQLITE_TABLES).execute(pool).await?;
                for shard in 0..SHARDS {
                    let mut done = Some(Uuid::nil());
                    while let Some(last) = done {
                        done = sqlite(pool, cycle, Shards::From(shard), last).await?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Debits the first batch of what waits in any shard.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn drain_once(&self, world: &World) -> Outcome<()> {
        let cycle = Cycle::present(world);
        match self {
            Self::Postgres(pool) => postgres(pool, cycle, Shards::All, Uuid::nil()).await.map(drop),
            Self::Sqlite(pool) => {
                sqlx::raw_sql(SQLITE_TABLES).execute(pool).await?;
                sqlite(pool, cycle, Shards::All, Uuid::nil()).await.map(drop)
            }
        }
    }
}

/// Which shards a batch is taken from.
#[derive(Debug, Clone, Copy)]
enum Shards {
    /// One.
    From(i32),
    /// Whatever waits.
    All,
}

impl Shards {
    /// The first of them.
    fn first(self) -> i32 {
        match self {
            Self::From(shard) => shard,
            Self::All => 0,
        }
    }

    /// A statement about one shard, about these.
    fn of(self, sql: &'static str) -> String {
        match self {
            Self::From(_) => sql.to_owned(),
            Self::All => sql.replace("shard = ", "shard >= "),
        }
    }
}

/// What all events of a run have in common.
#[derive(Debug, Clone, Copy)]
struct Cycle {
    rule: Uuid,
    start: i64,
}

impl Cycle {
    fn present(world: &World) -> Self {
        Self {
            rule: world.rule,
            start: Timestamp::from_micros(now()).month().start.micros(),
        }
    }
}

/// From where the last batch ended, so that rows that are deleted but not yet vacuumed are not walked over again.
async fn postgres(pool: &PgPool, cycle: Cycle, shards: Shards, last: Uuid) -> Outcome<Option<Uuid>> {
    let row = sqlx::query(AssertSqlSafe(shards.of(POSTGRES)))
        .bind(shards.first())
        .bind(last)
        .bind(BATCH)
        .bind(cycle.rule)
        .bind(cycle.start)
        .bind(now())
        .bind(EVENT_COSTS)
        .fetch_optional(pool)
        .await?;
    Ok(row.map(|row| row.try_get("last")).transpose()?)
}

async fn sqlite(pool: &SqlitePool, cycle: Cycle, shards: Shards, last: Uuid) -> Outcome<Option<Uuid>> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("DELETE FROM temp.placed").execute(&mut *tx).await?;
    sqlx::query("DELETE FROM temp.sums").execute(&mut *tx).await?;
    sqlx::query(AssertSqlSafe(shards.of(SQLITE_GATHER)))
        .bind(shards.first())
        .bind(last)
        .bind(BATCH)
        .bind(cycle.rule)
        .bind(cycle.start)
        .bind(EVENT_COSTS)
        .execute(&mut *tx)
        .await?;
    sqlx::query(SQLITE_SUMS).execute(&mut *tx).await?;
    for step in SQLITE_STEPS {
        sqlx::query(AssertSqlSafe(shards.of(step)))
            .bind(shards.first())
            .bind(cycle.rule)
            .bind(cycle.start)
            .bind(now())
            .execute(&mut *tx)
            .await?;
    }
    let done: Option<Uuid> = sqlx::query_scalar("SELECT MAX(id) FROM temp.placed")
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(done)
}
