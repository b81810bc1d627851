//! The end of cycles, written by hand: as much as possible in the database, as little as possible over the wire.
//!
//! It writes the rows that the product writes for this one plan: the old block expires, half of what it had left rolls over, the
//! next cycle begins with its grant, the summary of the old one is final, and the vendor is told. It leaves out what makes the product
//! general: other plans, several subscriptions and metrics, usage that is still on its way, failures.

use domain::time::Timestamp;
use sqlx::{PgPool, SqlitePool};
use tokio::task::JoinSet;

use super::Hand;
use crate::{Outcome, subscribed::GRANTED, world::now};

/// Customers of one transaction.
const BATCH: i64 = 500;
/// Workers on PostgreSQL, each with shards of its own.
const WORKERS: i32 = 2;

// $1 worker of 2, $2 customers, $3 now, $4 end of the next cycle, $5 micro-credits of a grant.
const POSTGRES: &str = "WITH due AS MATERIALIZED (
        SELECT s.id, s.customer_id, s.tenant_id, s.variant_id, s.due_at AS at, c.number, c.since, c.late, c.period_start,
            b.id AS block, b.billing, b.template_id, b.remaining AS rest, b.remaining / 2 AS rolled,
            gen_random_uuid() AS kept, gen_random_uuid() AS fresh, a.sequence, a.blocks, a.overdraft,
            '{\"total_credits_consumed\":' || u.credits || ',\"by_metric\":{\"' || u.metric_id || '\":{\"units\":'
                || u.units || ',\"events\":' || u.events || ',\"credits\":' || u.credits || '}},\"net_balance_at_cycle_start\":'
                || c.balance_at_start || ',\"net_balance_at_cycle_end\":' || a.blocks - a.overdraft || '}' AS summary
        FROM (SELECT * FROM subscription WHERE shard % 2 = $1 AND due_at <= $3 AND clock_id IS NULL LIMIT $2) AS s
        JOIN account a ON a.customer_id = s.customer_id
        JOIN billing_cycle c ON c.subscription_id = s.id AND c.state = 'RUNNING'
        JOIN block b ON b.subscription_id = s.id AND b.state = 'ACTIVE'
        JOIN usage_counter u ON u.customer_id = s.customer_id AND u.period_start = c.period_start
    ), turned AS (
        UPDATE subscription s SET revision = s.revision + 2, last_number = s.last_number + 1, due_at = $4, barrier_at = $4,
            updated_at = $3 FROM due d WHERE s.id = d.id
    ), closed AS (
        UPDATE billing_cycle c SET state = 'CLOSED', summary = d.summary, closed_at = d.at, balance_at_end = d.blocks - d.overdraft
        FROM due d WHERE c.subscription_id = d.id AND c.number = d.number
        RETURNING c.subscription_id
    ), begun AS (
        INSERT INTO billing_cycle (subscription_id, number, tenant_id, customer_id, variant_id, state, since, late, period_start,
            period_end, natural_end, basis_seconds, trial, paid, closes_at, granted, ahead, granted_through, balance_at_start,
            balance_at_end)
        SELECT id, number + 1, tenant_id, customer_id, variant_id, 'RUNNING', since, late, at, $4, $4, ($4 - at) / 1000000, 0, 1,
            $4, $5, 0, at, blocks - rest + rolled + $5 - overdraft, 0
        FROM due JOIN closed ON closed.subscription_id = due.id
    ), ended AS (
        UPDATE block b SET remaining = 0, state = 'EXPIRED' FROM due d WHERE b.id = d.block
    ), granted AS (
        INSERT INTO block (id, tenant_id, customer_id, source, billing, priority, credits, remaining, granted_at, expires_at,
            state, subscription_id, template_id, cycle_number, ends_with_cycle)
        SELECT d.kept, d.tenant_id, d.customer_id, 'ROLLOVER', d.billing, 0, d.rolled, d.rolled, d.at, $4, 'ACTIVE', d.id,
            d.template_id, d.number + 1, 1 FROM due d
        UNION ALL
        SELECT d.fresh, d.tenant_id, d.customer_id, 'PLAN_GRANT', d.billing, 0, $5, $5, d.at, $4, 'ACTIVE', d.id,
            d.template_id, d.number + 1, 1 FROM due d
    ), moved AS (
        UPDATE account a SET sequence = a.sequence + 3, blocks = a.blocks - d.rest + d.rolled + $5, revision = a.revision + 2,
            barrier_at = $4, updated_at = $3, head = sha256(a.head), event_sequence = a.event_sequence + 1
        FROM due d WHERE a.customer_id = d.customer_id
    ), entered AS (
        INSERT INTO ledger_entry (customer_id, sequence, tenant_id, kind, effect_key, block_id, credits, overdraft_change,
            balance_after, overdraft_after, description, created_at, hash)
        SELECT d.customer_id, d.sequence + e.place, d.tenant_id, e.kind, e.kind || ':' || e.block, e.block, e.credits, 0,
            d.blocks - d.overdraft + e.so_far, d.overdraft, e.description, $3, sha256(uuid_send(e.block))
        FROM due d CROSS JOIN LATERAL (VALUES
            (1, 'EXPIRY', d.block, -d.rest, -d.rest, 'Expired'),
            (2, 'GRANT', d.kept, d.rolled, d.rolled - d.rest, 'Rolled over'),
            (3, 'GRANT', d.fresh, $5, d.rolled - d.rest + $5, 'Granted')) AS e (place, kind, block, credits, so_far, description)
    ), told AS (
        INSERT INTO billing_event (id, tenant_id, customer_id, subscription_id, kind, version, sequence, key, occurred_at, data,
            created_at)
        SELECT gen_random_uuid(), tenant_id, customer_id, id, 'subscription.renewed', 1, number + 1, 'renewed:' || id || ':' || number + 1, at,
            '{\"customerId\":\"' || customer_id || '\",\"subscriptionId\":\"' || id || '\",\"usageSummary\":' || summary || '}', $3
        FROM due
    )
    SELECT COUNT(*) FROM due";

// ?1 now, ?2 customers.
const SQLITE_GATHER: &str = "INSERT INTO temp.due
    SELECT s.id, s.customer_id, s.tenant_id, s.variant_id, s.due_at, c.number, c.since, c.late, c.period_start, b.id, b.billing,
        b.template_id, b.remaining, b.remaining / 2, randomblob(16), randomblob(16), a.sequence, a.blocks, a.overdraft,
        '{\"total_credits_consumed\":' || u.credits || ',\"by_metric\":{\"' || HEX(u.metric_id) || '\":{\"units\":'
            || u.units || ',\"events\":' || u.events || ',\"credits\":' || u.credits || '}},\"net_balance_at_cycle_start\":'
            || c.balance_at_start || ',\"net_balance_at_cycle_end\":' || (a.blocks - a.overdraft) || '}'
    FROM (SELECT * FROM subscription WHERE due_at <= ?1 AND due_at IS NOT NULL AND clock_id IS NULL LIMIT ?2) AS s
    JOIN account a ON a.customer_id = s.customer_id
    JOIN billing_cycle c ON c.subscription_id = s.id AND c.state = 'RUNNING'
    JOIN block b ON b.subscription_id = s.id AND b.state = 'ACTIVE'
    JOIN usage_counter u ON u.customer_id = s.customer_id AND u.period_start = c.period_start";
// All of them take the same three values: now, end of the next cycle, micro-credits of a grant.
const SQLITE_STEPS: [&str; 10] = [
    "UPDATE subscription SET revision = revision + 2, last_number = last_number + 1, due_at = ?2, barrier_at = ?2,
        updated_at = ?1 FROM temp.due d WHERE subscription.id = d.id AND ?3 > 0",
    "UPDATE billing_cycle SET state = 'CLOSED', summary = d.summary, closed_at = d.at, balance_at_end = d.blocks - d.overdraft
     FROM temp.due d WHERE billing_cycle.subscription_id = d.id AND billing_cycle.number = d.number
        AND ?1 > 0 AND ?2 > 0 AND ?3 > 0",
    "INSERT INTO billing_cycle (subscription_id, number, tenant_id, customer_id, variant_id, state, since, late, period_start,
        period_end, natural_end, basis_seconds, trial, paid, closes_at, granted, ahead, granted_through, balance_at_start,
        balance_at_end)
     SELECT id, number + 1, tenant_id, customer_id, variant_id, 'RUNNING', since, late, at, ?2, ?2, (?2 - at) / 1000000, 0, 1,
        ?2, ?3, 0, at, blocks - rest + rolled + ?3 - overdraft, 0 FROM temp.due WHERE ?1 > 0",
    "UPDATE block SET remaining = 0, state = 'EXPIRED' FROM temp.due d
     WHERE block.id = d.block AND ?1 > 0 AND ?2 > 0 AND ?3 > 0",
    "INSERT INTO block (id, tenant_id, customer_id, source, billing, priority, credits, remaining, granted_at, expires_at,
        state, subscription_id, template_id, cycle_number, ends_with_cycle)
     SELECT kept, tenant_id, customer_id, 'ROLLOVER', billing, 0, rolled, rolled, at, ?2, 'ACTIVE', id, template_id,
        number + 1, 1 FROM temp.due WHERE ?1 > 0 AND ?3 > 0
     UNION ALL
     SELECT fresh, tenant_id, customer_id, 'PLAN_GRANT', billing, 0, ?3, ?3, at, ?2, 'ACTIVE', id, template_id,
        number + 1, 1 FROM temp.due",
    "UPDATE account SET sequence = account.sequence + 3, blocks = account.blocks - d.rest + d.rolled + ?3,
        revision = revision + 2, barrier_at = ?2, updated_at = ?1, head = randomblob(32), event_sequence = event_sequence + 1
     FROM temp.due d WHERE account.customer_id = d.customer_id",
    "INSERT INTO ledger_entry (customer_id, sequence, tenant_id, kind, effect_key, block_id, credits, overdraft_change,
        balance_after, overdraft_after, description, created_at, hash)
     SELECT customer_id, sequence + 1, tenant_id, 'EXPIRY', 'EXPIRY:' || HEX(block), block, -rest, 0,
        blocks - overdraft - rest, overdraft, 'Expired', ?1, randomblob(32) FROM temp.due WHERE ?2 > 0 AND ?3 > 0",
    "INSERT INTO ledger_entry (customer_id, sequence, tenant_id, kind, effect_key, block_id, credits, overdraft_change,
        balance_after, overdraft_after, description, created_at, hash)
     SELECT customer_id, sequence + 2, tenant_id, 'GRANT', 'GRANT:' || HEX(kept), kept, rolled, 0,
        blocks - overdraft - rest + rolled, overdraft, 'Rolled over', ?1, randomblob(32) FROM temp.due WHERE ?2 > 0 AND ?3 > 0",
    "INSERT INTO ledger_entry (customer_id, sequence, tenant_id, kind, effect_key, block_id, credits, overdraft_change,
        balance_after, overdraft_after, description, created_at, hash)
     SELECT customer_id, sequence + 3, tenant_id, 'GRANT', 'GRANT:' || HEX(fresh), fresh, ?3, 0,
        blocks - overdraft - rest + rolled + ?3, overdraft, 'Granted', ?1, randomblob(32) FROM temp.due WHERE ?2 > 0",
    "INSERT INTO billing_event (id, tenant_id, customer_id, subscription_id, kind, version, sequence, key, occurred_at, data,
        created_at)
     SELECT randomblob(16), tenant_id, customer_id, id, 'subscription.renewed', 1, number + 1, 'renewed:' || HEX(id) || ':' || (number + 1), at,
        '{\"customerId\":\"' || HEX(customer_id) || '\",\"subscriptionId\":\"' || HEX(id) || '\",\"usageSummary\":' || summary
            || '}', ?1
     FROM temp.due WHERE ?2 > 0 AND ?3 > 0",
];
const SQLITE_TABLE: &str = "CREATE TEMP TABLE IF NOT EXISTS due (id BLOB PRIMARY KEY, customer_id BLOB, tenant_id BLOB,
    variant_id BLOB, at INTEGER, number INTEGER, since INTEGER, late TEXT, period_start INTEGER, block BLOB, billing TEXT,
    template_id BLOB, rest INTEGER, rolled INTEGER, kept BLOB, fresh BLOB, sequence INTEGER, blocks INTEGER, overdraft INTEGER,
    summary TEXT) WITHOUT ROWID";

impl Hand {
    /// Turns and closes every cycle that has ended.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn turn(&self) -> Outcome<()> {
        match self {
            Self::Postgres(pool) => {
                let mut workers = JoinSet::new();
                for worker in 0..WORKERS {
                    let pool = pool.clone();
                    workers.spawn(async move {
                        while postgres(&pool, worker).await? > 0 {}
                        Outcome::Ok(())
                    });
                }
                while let Some(ended) = workers.join_next().await {
                    ended??;
                }
            }
            Self::Sqlite(pool) => {
                sqlx::raw_sql(SQLITE_TABLE).execute(pool).await?;
                while sqlite(pool).await? > 0 {}
            }
        }
        Ok(())
    }
}

/// Some day in the next month: the length of a cycle changes nothing.
fn next_end() -> i64 {
    Timestamp::from_micros(now()).month().end.micros() + 1
}

async fn postgres(pool: &PgPool, worker: i32) -> Outcome<i64> {
    let query = sqlx::query_scalar(POSTGRES)
        .bind(worker)
        .bind(BATCH)
        .bind(now())
        .bind(next_end())
        .bind(GRANTED);
    Ok(query.fetch_one(pool).await?)
}

async fn sqlite(pool: &SqlitePool) -> Outcome<u64> {
    let (now, end) = (now(), next_end());
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("DELETE FROM temp.due").execute(&mut *tx).await?;
    let gather = sqlx::query(SQLITE_GATHER).bind(now).bind(BATCH);
    let found = gather.execute(&mut *tx).await?.rows_affected();
    for step in SQLITE_STEPS {
        let step = sqlx::query(step).bind(now).bind(end).bind(GRANTED);
        step.execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(found)
}
