//! The SQL of letters.

use std::collections::BTreeMap;

use domain::{
    amount::Credits,
    id::{BillingEventId, CustomerId, MailId, TenantId},
    time::Timestamp,
};
use entity::{from_json, from_text, mail, mail_setting, to_text};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryResult};

use super::{Audience, CustomerMail, Mail, MailSetting, MailState};
use crate::{
    error::Result,
    op::Op,
    page::{Page, Slice, ordered},
    sql::{Rows, for_update, statement},
};

/// How a vendor writes to its customers and its own people. One statement.
pub(super) async fn setting(db: &impl ConnectionTrait, tenant: TenantId) -> Result<MailSetting> {
    let Some(row) = mail_setting::Entity::find_by_id(tenant.0).one(db).await? else {
        return Ok(MailSetting::default());
    };
    Ok(MailSetting {
        enabled: row.enabled != 0,
        sender: row.sender,
        muted: from_json("mail_setting", &row.muted)?,
        operations: from_json("mail_setting", &row.operations)?,
        operations_muted: from_json("mail_setting", &row.operations_muted)?,
    })
}

pub(super) async fn put_setting(op: &Op, tenant: TenantId, it: &MailSetting) -> Result<()> {
    op.tx()
        .execute_raw(statement(
            op.tx(),
            "INSERT INTO mail_setting (tenant_id, enabled, sender, muted, operations, operations_muted, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (tenant_id) DO UPDATE SET enabled = excluded.enabled, sender = excluded.sender,
                muted = excluded.muted, operations = excluded.operations, operations_muted = excluded.operations_muted,
                updated_at = excluded.updated_at",
            vec![
                tenant.0.into(),
                i32::from(it.enabled).into(),
                it.sender.clone().into(),
                serde_json::to_string(&it.muted)?.into(),
                serde_json::to_string(&it.operations)?.into(),
                serde_json::to_string(&it.operations_muted)?.into(),
                op.now().micros().into(),
            ],
        ))
        .await?;
    Ok(())
}

/// Where some customers are written to. One statement.
pub(super) async fn of_customers(
    db: &impl ConnectionTrait,
    customers: &[CustomerId],
) -> Result<BTreeMap<CustomerId, CustomerMail>> {
    let rows = Rows::of(customers)
        .query(
            db,
            "SELECT c.id, c.billing_email, a.low_balance, m.addresses, m.muted FROM {rows} AS v
             JOIN customer c ON c.id = v.id JOIN account a ON a.customer_id = v.id
             LEFT JOIN customer_mail m ON m.customer_id = c.id",
            Vec::new(),
        )
        .await?;
    let mut all = BTreeMap::new();
    for row in &rows {
        let list = |name: &str| -> Result<Option<Vec<String>>> {
            let text: Option<String> = row.try_get("", name)?;
            Ok(text.map(|text| from_json("customer_mail", &text)).transpose()?)
        };
        let mail = CustomerMail {
            addresses: list("addresses")?,
            muted: list("muted")?.unwrap_or_default(),
            billing_email: row.try_get("", "billing_email")?,
            low_balance: row
                .try_get::<Option<i64>>("", "low_balance")?
                .map(Credits::from_raw),
        };
        all.insert(CustomerId(row.try_get("", "id")?), mail);
    }
    Ok(all)
}

pub(super) async fn put_customer(
    op: &Op,
    tenant: TenantId,
    customer: CustomerId,
    it: &CustomerMail,
) -> Result<()> {
    let addresses = it.addresses.as_ref().map(serde_json::to_string).transpose()?;
    op.tx()
        .execute_raw(statement(
            op.tx(),
            "INSERT INTO customer_mail (customer_id, tenant_id, addresses, muted, updated_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (customer_id) DO UPDATE SET addresses = excluded.addresses, muted = excluded.muted,
                updated_at = excluded.updated_at",
            vec![
                customer.0.into(),
                tenant.0.into(),
                addresses.into(),
                serde_json::to_string(&it.muted)?.into(),
                op.now().micros().into(),
            ],
        ))
        .await?;
    Ok(())
}

/// A letter that is to be written.
#[derive(Debug, Clone)]
pub(super) struct NewLetter {
    pub(super) event: BillingEventId,
    pub(super) audience: Audience,
    pub(super) customer: Option<CustomerId>,
    pub(super) address: String,
}

/// Queues letters that are due at once; of two about one event to one address the first. One statement for any number.
pub(super) async fn queue(op: &Op, tenant: TenantId, letters: &[NewLetter]) -> Result<()> {
    Rows::default()
        .id("id", letters.iter().map(|_| op.new_id()))
        .id("event_id", letters.iter().map(|it| it.event.0))
        .text("audience", letters.iter().map(|it| to_text(it.audience)))
        .opt_id("customer_id", letters.iter().map(|it| it.customer.map(|id| id.0)))
        .text("address", letters.iter().map(|it| it.address.clone()))
        .execute(
            op.tx(),
            "INSERT INTO mail (id, tenant_id, audience, customer_id, event_id, address, state, attempts, next_at, created_at)
             SELECT id, $1, audience, customer_id, event_id, address, 'QUEUED', 0, $2, $2 FROM {rows} AS v WHERE true
             ON CONFLICT (event_id, address) DO NOTHING",
            vec![tenant.0.into(), op.now().micros().into()],
        )
        .await?;
    Ok(())
}

/// Those of some customers about whom the vendor has been written since an instant, with the types of events. One statement.
pub(super) async fn alerted_since(
    op: &Op,
    tenant: TenantId,
    customers: &[CustomerId],
    since: Timestamp,
) -> Result<Vec<(CustomerId, String)>> {
    let rows = Rows::of(customers)
        .query(
            op.tx(),
            "SELECT DISTINCT m.customer_id, e.kind FROM {rows} AS v JOIN mail m ON m.tenant_id = $1 AND m.customer_id = v.id
                AND m.audience = 'OPERATIONS' AND m.created_at >= $2
             JOIN billing_event e ON e.id = m.event_id",
            vec![tenant.0.into(), since.micros().into()],
        )
        .await?;
    let one = |row: &QueryResult| {
        Ok((
            CustomerId(row.try_get("", "customer_id")?),
            row.try_get("", "kind")?,
        ))
    };
    rows.iter().map(one).collect()
}

/// Whether letters are due.
pub(super) async fn is_due(db: &impl ConnectionTrait, now: Timestamp) -> Result<bool> {
    let due = mail::Entity::find()
        .filter(mail::Column::State.eq(to_text(MailState::Queued)))
        .filter(mail::Column::NextAt.lte(now.micros()));
    Ok(due.one(db).await?.is_some())
}

/// A letter that is in hand.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) id: MailId,
    pub(super) event: BillingEventId,
    pub(super) audience: Audience,
    pub(super) address: String,
    /// With the one that is about to be made.
    pub(super) attempts: i32,
    /// What letters come from.
    pub(super) vendor: String,
    pub(super) customer: Option<String>,
}

/// Takes letters that are due in hand until an instant, at most so many, and counts the attempt. Two statements.
pub(super) async fn take(op: &Op, until: Timestamp, most: u64) -> Result<Vec<Taken>> {
    let sql = format!(
        "UPDATE mail SET next_at = $2, attempts = attempts + 1 WHERE id IN (
            SELECT m.id FROM mail m WHERE m.state = 'QUEUED' AND m.next_at <= $1 ORDER BY m.next_at, m.id LIMIT $3{})
         RETURNING id",
        match for_update(op.tx(), "m") {
            lock if lock.is_empty() => lock,
            lock => format!("{lock} SKIP LOCKED"),
        }
    );
    let values = vec![op.now().micros().into(), until.micros().into(), most.into()];
    let rows = op.tx().query_all_raw(statement(op.tx(), &sql, values)).await?;
    let ids: std::result::Result<Vec<uuid::Uuid>, _> = rows.iter().map(|row| row.try_get("", "id")).collect();
    let rows = Rows::default()
        .id("id", ids?)
        .query(
            op.tx(),
            "SELECT m.id, m.event_id, m.audience, m.address, m.attempts, COALESCE(s.sender, t.name) AS vendor,
                COALESCE(c.name, c.external_id) AS customer
             FROM {rows} AS v JOIN mail m ON m.id = v.id JOIN tenant t ON t.id = m.tenant_id
             LEFT JOIN customer c ON c.id = m.customer_id LEFT JOIN mail_setting s ON s.tenant_id = m.tenant_id
             ORDER BY m.id",
            Vec::new(),
        )
        .await?;
    let one = |row: &QueryResult| {
        Ok(Taken {
            id: MailId(row.try_get("", "id")?),
            event: BillingEventId(row.try_get("", "event_id")?),
            audience: from_text("mail.audience", &row.try_get::<String>("", "audience")?)?,
            address: row.try_get("", "address")?,
            attempts: row.try_get("", "attempts")?,
            vendor: row.try_get("", "vendor")?,
            customer: row.try_get("", "customer")?,
        })
    };
    rows.iter().map(one).collect()
}

/// What has become of a letter.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) id: MailId,
    pub(super) attempts: i32,
    pub(super) state: MailState,
    /// When it is tried again; with another state than queued, when it was over.
    pub(super) at: Timestamp,
    pub(super) words: Option<gateway::mail::Words>,
    pub(super) problem: Option<String>,
}

/// Writes what has become of letters. What somebody else has in hand meanwhile stays. One statement.
pub(super) async fn conclude(op: &Op, all: &[Ended]) -> Result<()> {
    let word = |pick: fn(&gateway::mail::Words) -> &String| {
        all.iter()
            .map(move |it| it.words.as_ref().map(|words| pick(words).clone()))
    };
    let ended = |it: &Ended| (it.state != MailState::Queued).then(|| it.at.micros());
    Rows::default()
        .id("id", all.iter().map(|it| it.id.0))
        .int("attempts", all.iter().map(|it| i64::from(it.attempts)))
        .text("state", all.iter().map(|it| to_text(it.state)))
        .int("next_at", all.iter().map(|it| it.at.micros()))
        .opt_int("ended_at", all.iter().map(ended))
        .opt_text("subject", word(|words| &words.subject))
        .opt_text("body_text", word(|words| &words.text))
        .opt_text("body_html", word(|words| &words.html))
        .opt_text("problem", all.iter().map(|it| it.problem.clone()))
        .execute(
            op.tx(),
            "UPDATE mail SET state = v.state, next_at = v.next_at, ended_at = v.ended_at, subject = v.subject,
                body_text = v.body_text, body_html = v.body_html, problem = v.problem
             FROM {rows} AS v WHERE mail.id = v.id AND mail.state = 'QUEUED' AND mail.attempts = v.attempts",
            Vec::new(),
        )
        .await?;
    Ok(())
}

/// The letters of a tenant, newest first.
pub(super) async fn outbox(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    page: Page<MailId>,
) -> Result<Slice<Mail>> {
    let all = mail::Entity::find().filter(mail::Column::TenantId.eq(tenant.0));
    let mut newest_first = ordered(all, mail::Column::Id);
    newest_first.desc();
    page.map(|id| id.0)
        .read(newest_first, db)
        .await?
        .try_map(Mail::try_from)
}

/// Forgets the letters about some events. One statement.
pub(crate) async fn forget_in(op: &Op, events: &[BillingEventId]) -> Result<()> {
    Rows::default()
        .id("id", events.iter().map(|event| event.0))
        .execute(
            op.tx(),
            "DELETE FROM mail WHERE event_id IN (SELECT id FROM {rows} AS v)",
            Vec::new(),
        )
        .await?;
    Ok(())
}
