//! Gives the entries that exist their hashes, page by page in the order of the ledgers.
//!
//! Rows are read by name and not through models: a model is that of today's table, and this step is for ever.

use domain::ledger::chain::{Content, EntryHash};
use sea_orm_migration::{
    DbErr,
    sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value},
};
use uuid::Uuid;

/// Entries that are held in memory at a time.
const PAGE: i64 = 10_000;
/// Entries in one statement: three parameters each, below the limits of both databases.
const BATCH: usize = 500;

/// Fills in the hash of every entry and the head of every account.
pub(super) async fn existing_entries(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    let mut last = (Uuid::nil(), 0_i64);
    let mut head = EntryHash::NONE;
    loop {
        let rows = page(db, last).await?;
        let mut sealed = Vec::with_capacity(rows.len());
        for row in &rows {
            let entry = Row::read(row)?;
            if entry.customer != last.0 {
                head = EntryHash::NONE;
            }
            head = head.next(&entry.content());
            last = (entry.customer, entry.sequence);
            sealed.push((last, head));
        }
        for batch in sealed.chunks(BATCH) {
            write(db, batch).await?;
        }
        if rows.is_empty() {
            break;
        }
    }
    db.execute_unprepared(
        "UPDATE account SET head = e.hash FROM ledger_entry e
         WHERE e.customer_id = account.customer_id AND e.sequence = account.sequence",
    )
    .await?;
    Ok(())
}

async fn page(db: &impl ConnectionTrait, after: (Uuid, i64)) -> Result<Vec<QueryResult>, DbErr> {
    let sql = format!(
        "SELECT customer_id, sequence, tenant_id, kind, effect_key, block_id, credits, overdraft_change, balance_after,
            overdraft_after, description, metric_id, rule_id, period_start, from_units, from_events, to_units, to_events,
            first_event, last_event, event_count, created_at
         FROM ledger_entry WHERE (customer_id, sequence) > ($1, $2) ORDER BY customer_id, sequence LIMIT {PAGE}"
    );
    db.query_all_raw(statement(db, &sql, vec![after.0.into(), after.1.into()]))
        .await
}

async fn write(db: &impl ConnectionTrait, batch: &[((Uuid, i64), EntryHash)]) -> Result<(), DbErr> {
    let casts = match db.get_database_backend() {
        DbBackend::Postgres => ["::uuid", "::bigint", "::bytea"],
        _ => [""; 3],
    };
    let mut values: Vec<Value> = Vec::with_capacity(3 * batch.len());
    let mut lines = Vec::with_capacity(batch.len());
    for ((customer, sequence), hash) in batch {
        let place = values.len();
        let cell = |index: usize| format!("${}{}", place + index + 1, casts[index]);
        lines.push(format!("({}, {}, {})", cell(0), cell(1), cell(2)));
        values.extend([
            (*customer).into(),
            (*sequence).into(),
            hash.as_bytes().to_vec().into(),
        ]);
    }
    let sql = format!(
        "WITH v (customer_id, sequence, hash) AS (VALUES {})
         UPDATE ledger_entry SET hash = v.hash FROM v
         WHERE ledger_entry.customer_id = v.customer_id AND ledger_entry.sequence = v.sequence",
        lines.join(", ")
    );
    db.execute_raw(statement(db, &sql, values)).await?;
    Ok(())
}

fn statement(db: &impl ConnectionTrait, sql: &str, values: Vec<Value>) -> Statement {
    Statement::from_sql_and_values(db.get_database_backend(), sql, values)
}

/// An entry as this step finds it.
struct Row {
    customer: Uuid,
    tenant: Uuid,
    sequence: i64,
    kind: String,
    effect_key: String,
    description: String,
    ids: [Option<Uuid>; 5],
    amounts: [i64; 5],
    counts: [Option<i64>; 6],
}

impl Row {
    fn read(row: &QueryResult) -> Result<Self, DbErr> {
        let text = |name: &str| row.try_get::<String>("", name);
        let id = |name: &str| row.try_get::<Option<Uuid>>("", name);
        let amount = |name: &str| row.try_get::<i64>("", name);
        let count = |name: &str| row.try_get::<Option<i64>>("", name);
        Ok(Self {
            customer: row.try_get("", "customer_id")?,
            tenant: row.try_get("", "tenant_id")?,
            sequence: amount("sequence")?,
            kind: text("kind")?,
            effect_key: text("effect_key")?,
            description: text("description")?,
            ids: [
                id("block_id")?,
                id("metric_id")?,
                id("rule_id")?,
                id("first_event")?,
                id("last_event")?,
            ],
            amounts: [
                amount("credits")?,
                amount("overdraft_change")?,
                amount("balance_after")?,
                amount("overdraft_after")?,
                amount("created_at")?,
            ],
            counts: [
                count("period_start")?,
                count("from_units")?,
                count("from_events")?,
                count("to_units")?,
                count("to_events")?,
                count("event_count")?,
            ],
        })
    }

    fn content(&self) -> Content<'_> {
        let [block, metric, rule, first_event, last_event] = self.ids;
        let [
            credits,
            overdraft_change,
            balance_after,
            overdraft_after,
            created_at,
        ] = self.amounts;
        let [
            period_start,
            from_units,
            from_events,
            to_units,
            to_events,
            event_count,
        ] = self.counts;
        Content {
            tenant: self.tenant,
            customer: self.customer,
            sequence: self.sequence,
            kind: &self.kind,
            effect_key: &self.effect_key,
            block,
            credits,
            overdraft_change,
            balance_after,
            overdraft_after,
            description: &self.description,
            metric,
            rule,
            period_start,
            from_units,
            from_events,
            to_units,
            to_events,
            first_event,
            last_event,
            event_count,
            created_at,
        }
    }
}
