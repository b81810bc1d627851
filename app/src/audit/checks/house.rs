//! What belongs to no single customer, found by SQL that reads the same on both databases.
//!
//! Each statement answers `tenant_id, customer_id, subject_id, message` of what breaks its promise. `$1` is the present instant.

use domain::id::BlockId;
use sea_orm::{ConnectionTrait, DbBackend, QueryResult};
use uuid::Uuid;

use super::{Check, Finding};
use crate::{error::Result, sql::statement};

/// Most findings that one statement answers.
const MAX_ROWS: u64 = 1_000;

/// Live tokens that are looked at, the youngest first.
const MAX_TOKENS: u64 = 20_000;

/// Triggers of `ledger_entry` that must be there and switched on.
const TRIGGERS: &[&str] = &["ledger_entry_final", "ledger_entry_kept", "ledger_entry_block"];

/// Tables whose unique keys make an effect happen once, and how many of them there are.
const KEYED: &[(&str, i64)] = &[
    ("ledger_entry", 2),
    ("usage_event", 2),
    ("usage_rating", 1),
    ("usage_pending", 1),
    ("usage_counter", 1),
    ("idempotency", 1),
    ("account", 1),
    ("block", 1),
    ("subscription", 2),
    ("billing_cycle", 1),
    ("subscription_charge", 1),
    ("billing_event", 2),
    ("payment", 3),
    ("payment_return", 2),
    ("payment_notice", 2),
    ("hold", 2),
];

struct Statement {
    check: Check,
    prefix: &'static str,
    sql: &'static str,
}

const STATEMENTS: &[Statement] = &[
    Statement {
        check: Check::RuleVersions,
        prefix: "rul",
        sql: "SELECT tenant_id, NULL AS customer_id, id AS subject_id,
                'it does not end where the next version of its match begins' AS message
             FROM (SELECT tenant_id, id, effective_from, effective_to,
                    LEAD(effective_from) OVER (PARTITION BY line_id ORDER BY effective_from, version) AS next_from
                   FROM metering_rule) AS versions
             WHERE (next_from IS NOT NULL AND (effective_to IS NULL OR effective_to <> next_from))
                OR (next_from IS NULL AND effective_to IS NOT NULL)
                OR effective_to <= effective_from",
    },
    Statement {
        check: Check::RowOwner,
        prefix: "rul",
        sql: "SELECT r.tenant_id, NULL AS customer_id, r.id AS subject_id,
                'the price is of another tenant than its metric' AS message
             FROM metering_rule r JOIN metric m ON m.id = r.metric_id WHERE m.tenant_id <> r.tenant_id",
    },
    Statement {
        check: Check::BlockSwept,
        prefix: "blk",
        sql: "SELECT b.tenant_id, b.customer_id, b.id AS subject_id,
                'its time has run out, and it has not been ended' AS message
             FROM block b JOIN account a ON a.customer_id = b.customer_id
             WHERE b.state = 'ACTIVE' AND b.expires_at IS NOT NULL AND b.expires_at < $1 - 600000000
                AND a.clock_id IS NULL AND (a.barrier_at IS NULL OR b.expires_at < a.barrier_at)",
    },
    Statement {
        check: Check::HoldDue,
        prefix: "hld",
        sql: "SELECT h.tenant_id, h.customer_id, h.id AS subject_id,
                'its deadline has passed, and it has not been freed' AS message
             FROM hold h JOIN account a ON a.customer_id = h.customer_id LEFT JOIN test_clock c ON c.id = a.clock_id
             WHERE h.state = 'OPEN' AND ((a.clock_id IS NULL AND h.expires_at < $1 - 600000000)
                OR (c.ready = 1 AND h.expires_at < c.now_at))",
    },
    Statement {
        check: Check::SubscriptionDue,
        prefix: "sub",
        sql: "SELECT s.tenant_id, s.customer_id, s.id AS subject_id,
                'time has made something due, and it has not been done' AS message
             FROM subscription s LEFT JOIN test_clock c ON c.id = s.clock_id
             WHERE s.due_at IS NOT NULL AND ((s.clock_id IS NULL AND s.due_at < $1 - 600000000)
                OR (c.ready = 1 AND s.due_at < c.now_at))",
    },
    Statement {
        check: Check::PaymentDue,
        prefix: "pay",
        sql: "SELECT tenant_id, customer_id, id AS subject_id,
                CASE WHEN state = 'QUARANTINED' THEN 'the provider speaks of another amount than was asked for'
                    ELSE 'it is due to be sent or asked about, and it has not been done' END AS message
             FROM payment WHERE due_at < $1 - 600000000 OR state = 'QUARANTINED'",
    },
    Statement {
        check: Check::PaymentKnown,
        prefix: "pay",
        sql: "SELECT NULL AS tenant_id, NULL AS customer_id, n.payment_id AS subject_id,
                'its provider knows of it, and it is not here' AS message
             FROM payment_notice n WHERE n.state = 'UNKNOWN' AND n.payment_id IS NOT NULL AND $1 > 0
             GROUP BY n.payment_id",
    },
    Statement {
        check: Check::RechargeDue,
        prefix: "cus",
        sql: "SELECT r.tenant_id, r.customer_id, r.customer_id AS subject_id,
                'its auto-recharge is due to be looked at again, and it has not been done' AS message
             FROM auto_recharge r JOIN account a ON a.customer_id = r.customer_id
             LEFT JOIN test_clock c ON c.id = a.clock_id
             WHERE r.next_at IS NOT NULL AND ((a.clock_id IS NULL AND r.next_at < $1 - 600000000
                    AND r.updated_at < $1 - 600000000) OR (c.ready = 1 AND r.next_at > 0 AND r.next_at < c.now_at))",
    },
    Statement {
        check: Check::InvoiceDue,
        prefix: "inv",
        sql: "SELECT i.tenant_id, i.customer_id, i.id AS subject_id,
                'something has to be done about it, and it has not been done' AS message
             FROM invoice i JOIN account a ON a.customer_id = i.customer_id
             WHERE i.next_at < $1 - 600000000 AND i.updated_at < $1 - 600000000 AND a.clock_id IS NULL",
    },
    Statement {
        check: Check::InvoiceDue,
        prefix: "sub",
        sql: "SELECT b.tenant_id, b.customer_id, b.subscription_id AS subject_id,
                'a cycle has closed, and has no invoice' AS message
             FROM invoice_setting s JOIN billing_cycle b ON b.tenant_id = s.tenant_id
             JOIN account a ON a.customer_id = b.customer_id
             WHERE b.bill = 'DUE' AND b.closed_at < $1 - 600000000 AND a.clock_id IS NULL",
    },
    // Of the latest numbers only: this is asked every minute.
    Statement {
        check: Check::InvoiceNumbers,
        prefix: "ten",
        sql: "SELECT c.tenant_id, NULL AS customer_id, c.tenant_id AS subject_id,
                'numbers of invoices have a gap, or the count is not that of the last one' AS message
             FROM invoice_count c WHERE c.sequence = 'INVOICE' AND (
                c.last <> COALESCE((SELECT MAX(i.ordinal) FROM invoice i WHERE i.tenant_id = c.tenant_id), 0)
                OR (SELECT COUNT(*) FROM invoice i WHERE i.tenant_id = c.tenant_id AND i.ordinal > c.last - 1000)
                    <> CASE WHEN c.last < 1000 THEN c.last ELSE 1000 END)",
    },
    Statement {
        check: Check::InvoiceNumbers,
        prefix: "ten",
        sql: "SELECT c.tenant_id, NULL AS customer_id, c.tenant_id AS subject_id,
                'numbers of credit notes have a gap, or the count is not that of the last one' AS message
             FROM invoice_count c WHERE c.sequence = 'CREDIT_NOTE' AND (
                c.last <> COALESCE((SELECT MAX(n.ordinal) FROM credit_note n WHERE n.tenant_id = c.tenant_id), 0)
                OR (SELECT COUNT(*) FROM credit_note n WHERE n.tenant_id = c.tenant_id AND n.ordinal > c.last - 1000)
                    <> CASE WHEN c.last < 1000 THEN c.last ELSE 1000 END)",
    },
    Statement {
        check: Check::UsageWaiting,
        prefix: "evt",
        sql: "SELECT c.tenant_id, c.id AS customer_id, p.id AS subject_id,
                'it has waited to be debited for more than five minutes' AS message
             FROM (SELECT w.id, w.customer_id FROM usage_pending w JOIN account a ON a.customer_id = w.customer_id
                   WHERE w.received_at < $1 - 300000000 AND (a.clock_id IS NULL OR w.received_at < a.barrier_at)
                   LIMIT 1000) AS p
             JOIN customer c ON c.id = p.customer_id",
    },
    Statement {
        check: Check::WorkParked,
        prefix: "wrk",
        sql: "SELECT tenant_id, NULL AS customer_id, id AS subject_id, kind || ': ' || COALESCE(error, '') AS message
             FROM work WHERE state = 'PARKED' OR (state = 'DUE' AND due_at > 0 AND due_at < $1 - 600000000)",
    },
];

/// Runs every statement: one each, and one or two per table of [`KEYED`].
pub(in crate::audit) async fn findings(db: &impl ConnectionTrait, now: i64) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for it in STATEMENTS {
        let sql = format!("SELECT * FROM ({}) AS found LIMIT {MAX_ROWS}", it.sql);
        // A parameter that a statement does not use has no type on PostgreSQL.
        let values = if it.sql.contains("$1") {
            vec![now.into()]
        } else {
            Vec::new()
        };
        for row in db.query_all_raw(statement(db, &sql, values)).await? {
            found.push(finding(it, &row)?);
        }
    }
    found.extend(scopes(db, now).await?);
    found.extend(guards(db).await?);
    Ok(found)
}

fn finding(it: &Statement, row: &QueryResult) -> Result<Finding> {
    let subject: Uuid = row.try_get("", "subject_id")?;
    Ok(Finding {
        check: it.check,
        tenant: row.try_get("", "tenant_id")?,
        customer: row.try_get("", "customer_id")?,
        // Ids of all kinds have the same text behind their prefix.
        subject: BlockId(subject)
            .to_string()
            .replacen(BlockId::PREFIX, it.prefix, 1),
        message: row.try_get("", "message")?,
    })
}

/// Tokens that can do more than the keys that made them.
async fn scopes(db: &impl ConnectionTrait, now: i64) -> Result<Vec<Finding>> {
    let sql = format!(
        "SELECT t.tenant_id, t.customer_id, t.id, t.scopes, k.scopes AS key_scopes
         FROM customer_token t JOIN api_key k ON k.id = t.api_key_id AND k.tenant_id = t.tenant_id
         WHERE t.expires_at > $1 AND t.scopes <> k.scopes ORDER BY t.id DESC LIMIT {MAX_TOKENS}"
    );
    let mut found = Vec::new();
    for row in db.query_all_raw(statement(db, &sql, vec![now.into()])).await? {
        let (own, key): (String, String) = (row.try_get("", "scopes")?, row.try_get("", "key_scopes")?);
        let Some(more) = own
            .split(' ')
            .find(|scope| !key.split(' ').any(|known| known == *scope))
        else {
            continue;
        };
        let id: Uuid = row.try_get("", "id")?;
        found.push(Finding {
            check: Check::AccessScopes,
            tenant: Some(row.try_get("", "tenant_id")?),
            customer: Some(row.try_get("", "customer_id")?),
            subject: format!("token:{}", id.simple()),
            message: format!("the token has `{more}`, the key that made it has not"),
        });
    }
    Ok(found)
}

/// Guards of the database that are missing or switched off.
async fn guards(db: &impl ConnectionTrait) -> Result<Vec<Finding>> {
    let postgres = db.get_database_backend() == DbBackend::Postgres;
    let sql = if postgres {
        "SELECT tgname::text AS name FROM pg_trigger
         WHERE NOT tgisinternal AND tgenabled IN ('O', 'A') AND tgrelid = 'ledger_entry'::regclass"
    } else {
        "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'ledger_entry'"
    };
    let rows = db.query_all_raw(statement(db, sql, Vec::new())).await?;
    let there: Vec<String> = rows
        .iter()
        .map(|row| row.try_get("", "name"))
        .collect::<std::result::Result<_, _>>()?;
    let missing = |subject: String, message: &str| Finding {
        check: Check::Guards,
        tenant: None,
        customer: None,
        subject,
        message: message.to_owned(),
    };
    let mut found: Vec<Finding> = TRIGGERS
        .iter()
        .filter(|name| !there.iter().any(|known| known == *name))
        .map(|name| {
            missing(
                format!("trigger:{name}"),
                "the trigger is missing or switched off",
            )
        })
        .collect();
    for &(table, keys) in KEYED {
        let sql = if postgres {
            format!(
                "SELECT COUNT(*) AS keys FROM pg_index
                 WHERE indrelid = '{table}'::regclass AND indisunique AND indisvalid AND indpred IS NULL"
            )
        } else {
            format!("SELECT COUNT(*) AS keys FROM pragma_index_list('{table}') WHERE \"unique\" = 1")
        };
        let row = db.query_one_raw(statement(db, &sql, Vec::new())).await?;
        let there: i64 = row.map(|row| row.try_get("", "keys")).transpose()?.unwrap_or(0);
        if there < keys {
            found.push(missing(
                format!("keys:{table}"),
                "a unique key of the table is missing",
            ));
        }
    }
    Ok(found)
}
