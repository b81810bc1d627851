//! Accepted usage, written by hand: the same rows in the same two tables with the same unique key, one transaction per
//! batch. A key that is known is left out of both tables.

use std::ops::Range;

use app::{
    clock::{Clock, Ids, SystemClock},
    customer::shard_of,
};
use domain::{id::CustomerId, time::Timestamp};
use serde_json::json;
use sqlx::{PgPool, SqlitePool};
use uuid::Uuid;

use super::Hand;
use crate::{Outcome, world::World};

// One round trip.
const POSTGRES: &str = "WITH v AS (
        SELECT * FROM UNNEST($4::uuid[], $5::uuid[], $6::bigint[], $7::text[], $8::uuid[])
            AS v (id, customer_id, shard, key, fingerprint)
    ), written AS (
        INSERT INTO usage_event (id, tenant_id, customer_id, metric_id, key, fingerprint, units, occurred_at,
            received_at)
        SELECT id, $1, customer_id, $2, key, fingerprint, 1000000, $3, $3 FROM v
        ON CONFLICT (tenant_id, key) DO NOTHING RETURNING id
    )
    INSERT INTO usage_pending (shard, id, customer_id, metric_id, units, occurred_at, received_at)
    SELECT v.shard, v.id, v.customer_id, $2, 1000000, $3, $3 FROM v JOIN written ON written.id = v.id";

const SQLITE_EVENTS: &str =
    "INSERT INTO usage_event (id, tenant_id, customer_id, metric_id, key, fingerprint, units,
        occurred_at, received_at)
    SELECT unhex(value ->> 0), ?1, unhex(value ->> 1), ?2, value ->> 3, unhex(value ->> 4), 1000000, ?3, ?3
    FROM json_each(?4) WHERE true ON CONFLICT (tenant_id, key) DO NOTHING";
const SQLITE_PENDING: &str =
    "INSERT INTO usage_pending (shard, id, customer_id, metric_id, units, occurred_at, received_at)
    SELECT value ->> 2, unhex(value ->> 0), unhex(value ->> 1), ?1, 1000000, ?2, ?2
    FROM json_each(?3)";
// Only asked for when a key was known: what was not written must not be queued.
const SQLITE_UNKNOWN: &str =
    "DELETE FROM usage_pending WHERE id IN (SELECT unhex(value ->> 0) FROM json_each(?1))
    AND NOT EXISTS (SELECT 1 FROM usage_event e WHERE e.id = usage_pending.id)";

/// Events on their way into the tables, one column each.
#[derive(Debug, Default)]
pub struct Rows {
    ids: Vec<Uuid>,
    customers: Vec<Uuid>,
    shards: Vec<i64>,
    keys: Vec<String>,
    fingerprints: Vec<Uuid>,
    at: i64,
}

impl Rows {
    /// Events with these numbers; `prefix` and number make the idempotency key.
    pub fn of(prefix: &str, numbers: Range<usize>, who: impl Fn(usize) -> Uuid, ids: &Ids) -> Self {
        Self::at(SystemClock.now(), prefix, numbers, who, ids)
    }

    /// The same, of another instant.
    pub fn at(
        at: Timestamp,
        prefix: &str,
        numbers: Range<usize>,
        who: impl Fn(usize) -> Uuid,
        ids: &Ids,
    ) -> Self {
        let mut rows = Self {
            at: at.micros(),
            ..Self::default()
        };
        for number in numbers {
            let customer = who(number);
            rows.ids.push(ids.next(at));
            rows.customers.push(customer);
            rows.shards.push(shard_of(CustomerId(customer)).into());
            rows.keys.push(format!("{prefix}-{number:012}"));
            rows.fingerprints
                .push(Uuid::from_u128(number as u128 * 0x9E37_79B9_7F4A_7C15));
        }
        rows
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// As `json_each` reads them.
    fn json(&self) -> String {
        let hex = |id: &Uuid| id.simple().to_string();
        let lines: Vec<_> = (0..self.len())
            .map(|n| {
                json!([
                    hex(&self.ids[n]),
                    hex(&self.customers[n]),
                    self.shards[n],
                    self.keys[n],
                    hex(&self.fingerprints[n])
                ])
            })
            .collect();
        serde_json::Value::from(lines).to_string()
    }
}

impl Hand {
    /// Writes events durably.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn insert(&self, world: &World, rows: &Rows) -> Outcome<()> {
        match self {
            Self::Postgres(pool) => postgres(pool, world, rows).await,
            Self::Sqlite(pool) => sqlite(pool, world, rows).await,
        }
    }
}

async fn postgres(pool: &PgPool, world: &World, rows: &Rows) -> Outcome<()> {
    sqlx::query(POSTGRES)
        .bind(world.tenant)
        .bind(world.metric)
        .bind(rows.at)
        .bind(&rows.ids)
        .bind(&rows.customers)
        .bind(&rows.shards)
        .bind(&rows.keys)
        .bind(&rows.fingerprints)
        .execute(pool)
        .await?;
    Ok(())
}

async fn sqlite(pool: &SqlitePool, world: &World, rows: &Rows) -> Outcome<()> {
    let (json, now) = (rows.json(), rows.at);
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    let written = sqlx::query(SQLITE_EVENTS)
        .bind(world.tenant)
        .bind(world.metric)
        .bind(now)
        .bind(&json)
        .execute(&mut *tx)
        .await?
        .rows_affected();
    sqlx::query(SQLITE_PENDING)
        .bind(world.metric)
        .bind(now)
        .bind(&json)
        .execute(&mut *tx)
        .await?;
    if written < rows.len() as u64 {
        sqlx::query(SQLITE_UNKNOWN).bind(&json).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(())
}
