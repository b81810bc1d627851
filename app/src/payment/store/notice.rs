//! What providers tell, and what was asked of them.

use std::collections::BTreeSet;

use domain::{
    id::{CustomerId, NoticeId, PaymentId},
    payment::notice::Notice,
    time::Timestamp,
};
use entity::{nouns, payment, payment_notice, payment_watch, to_text};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Expr,
};
use serde::Serialize;

use crate::{
    error::Result,
    op::Op,
    sql::{Rows, among, among_texts, statement},
};

/// What has become of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in crate::payment) enum Fate {
    /// Nothing yet.
    New,
    /// Its payment is asked about.
    Done,
    /// It is about no payment of ours.
    Unknown,
}

/// Keeps notices, those that are kept already left out. One statement for any number.
pub(in crate::payment) async fn keep_notices(op: &Op, provider: &str, notices: &[Notice]) -> Result<()> {
    if notices.is_empty() {
        return Ok(());
    }
    let subjects = |it: &Notice| serde_json::json!(it.subjects).to_string();
    Rows::default()
        .id("id", notices.iter().map(|_| op.new_id()))
        .text("reference", notices.iter().map(|it| it.reference.clone()))
        .text("kind", notices.iter().map(|it| it.kind.clone()))
        .opt_id("payment_id", notices.iter().map(|it| it.payment.map(|id| id.0)))
        .text("subjects", notices.iter().map(subjects))
        .int("occurred_at", notices.iter().map(|it| it.occurred_at.micros()))
        .execute(
            op.tx(),
            "INSERT INTO payment_notice (id, provider, reference, kind, payment_id, subjects, state, occurred_at,
                received_at)
             SELECT id, $1, reference, kind, payment_id, subjects, 'NEW', occurred_at, $2 FROM {rows} AS v WHERE true
             ON CONFLICT (provider, reference) DO NOTHING",
            vec![provider.into(), op.now().micros().into()],
        )
        .await?;
    Ok(())
}

/// Notices of which nothing has become yet, oldest first.
pub(in crate::payment) async fn new_notices(
    db: &impl ConnectionTrait,
    provider: &str,
    limit: u64,
) -> Result<Vec<(NoticeId, Notice)>> {
    let rows = of_fate(provider, Fate::New)
        .order_by_asc(payment_notice::Column::Id)
        .limit(limit)
        .all(db)
        .await?;
    Ok(nouns(rows)?)
}

fn of_fate(provider: &str, fate: Fate) -> sea_orm::Select<payment_notice::Entity> {
    payment_notice::Entity::find()
        .filter(payment_notice::Column::Provider.eq(provider))
        .filter(payment_notice::Column::State.eq(to_text(fate)))
}

pub(in crate::payment) async fn count_new(db: &impl ConnectionTrait, provider: &str) -> Result<u64> {
    Ok(of_fate(provider, Fate::New).count(db).await?)
}

/// Notices about payments that have our name and are not here.
pub(in crate::payment) async fn strangers(
    db: &impl ConnectionTrait,
    provider: &str,
) -> Result<Vec<PaymentId>> {
    let found: Vec<Option<uuid::Uuid>> = of_fate(provider, Fate::Unknown)
        .filter(payment_notice::Column::PaymentId.is_not_null())
        .select_only()
        .column(payment_notice::Column::PaymentId)
        .distinct()
        .into_tuple()
        .all(db)
        .await?;
    Ok(found.into_iter().flatten().map(PaymentId).collect())
}

/// Providers of whom notices wait.
pub(in crate::payment) async fn with_new_notices(db: &impl ConnectionTrait) -> Result<Vec<String>> {
    Ok(payment_notice::Entity::find()
        .select_only()
        .column(payment_notice::Column::Provider)
        .distinct()
        .filter(payment_notice::Column::State.eq(to_text(Fate::New)))
        .into_tuple()
        .all(db)
        .await?)
}

pub(in crate::payment) async fn end_notices(op: &Op, ids: &[NoticeId], fate: Fate) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    payment_notice::Entity::update_many()
        .col_expr(payment_notice::Column::State, Expr::value(to_text(fate)))
        .filter(among(
            op.tx(),
            payment_notice::Column::Id,
            ids.iter().map(|id| id.0),
        ))
        .exec(op.tx())
        .await?;
    Ok(())
}

/// Forgets notices that came before an instant, but for those that wait, and those that have our name and are not here.
pub(in crate::payment) async fn forget_notices(op: &Op, before: Timestamp) -> Result<()> {
    let known_or_nobodys = sea_orm::Condition::any()
        .add(payment_notice::Column::State.eq(to_text(Fate::Done)))
        .add(payment_notice::Column::PaymentId.is_null());
    payment_notice::Entity::delete_many()
        .filter(payment_notice::Column::ReceivedAt.lt(before.micros()))
        .filter(payment_notice::Column::State.ne(to_text(Fate::New)))
        .filter(known_or_nobodys)
        .exec(op.tx())
        .await?;
    Ok(())
}

/// The payments of a provider that are known by these ids or names: id, name and customer.
pub(in crate::payment) async fn named(
    db: &impl ConnectionTrait,
    provider: &str,
    ids: &[PaymentId],
    references: &[String],
) -> Result<Vec<(PaymentId, Option<String>, CustomerId)>> {
    use payment::Column::{CustomerId as Customer, Id, Provider, Reference};
    let by_either = sea_orm::Condition::any()
        .add(among(db, Id, ids.iter().map(|id| id.0)))
        .add(among_texts(db, Reference, references));
    let rows: Vec<(uuid::Uuid, Option<String>, uuid::Uuid)> = payment::Entity::find()
        .select_only()
        .columns([Id, Reference, Customer])
        .filter(Provider.eq(provider))
        .filter(by_either)
        .into_tuple()
        .all(db)
        .await?;
    let named = |(id, reference, customer)| (PaymentId(id), reference, CustomerId(customer));
    Ok(rows.into_iter().map(named).collect())
}

/// Has payments looked at at once. One statement.
pub(in crate::payment) async fn hasten(op: &Op, ids: &[PaymentId]) -> Result<()> {
    use payment::Column::{DueAt, Id};
    let late = sea_orm::Condition::any()
        .add(DueAt.is_null())
        .add(DueAt.gt(op.now().micros()));
    payment::Entity::update_many()
        .col_expr(DueAt, Expr::value(op.now().micros()))
        .filter(among(op.tx(), Id, ids.iter().map(|id| id.0)))
        .filter(late)
        .exec(op.tx())
        .await?;
    Ok(())
}

// What was asked of providers.

/// How a provider was listened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Key of the provider.
    pub provider: String,
    /// Nothing that happened before was missed.
    pub heard_until: Timestamp,
    /// When it was last asked.
    pub asked_at: Timestamp,
    /// Nothing is charged: what has happened since may be missing here.
    pub safe_since: Option<Timestamp>,
}

fn watch(row: payment_watch::Model) -> Watch {
    Watch {
        provider: row.provider,
        heard_until: Timestamp::from_micros(row.heard_until),
        asked_at: Timestamp::from_micros(row.asked_at),
        safe_since: row.safe_since.map(Timestamp::from_micros),
    }
}

pub(in crate::payment) async fn watches(db: &impl ConnectionTrait) -> Result<Vec<Watch>> {
    let rows = payment_watch::Entity::find().all(db).await?;
    Ok(rows.into_iter().map(watch).collect())
}

/// The keys of all providers that rows speak of. Three statements, one of them over all payments.
pub(in crate::payment) async fn providers(db: &impl ConnectionTrait) -> Result<BTreeSet<String>> {
    let mut keys = BTreeSet::new();
    for table in ["payment", "payment_setting", "payment_watch"] {
        let sql = format!("SELECT DISTINCT provider FROM {table}");
        for row in db.query_all_raw(statement(db, &sql, Vec::new())).await? {
            keys.insert(row.try_get("", "provider")?);
        }
    }
    Ok(keys)
}

pub(in crate::payment) async fn watch_of(db: &impl ConnectionTrait, provider: &str) -> Result<Option<Watch>> {
    let row = payment_watch::Entity::find_by_id(provider.to_owned())
        .one(db)
        .await?;
    Ok(row.map(watch))
}

/// Writes how a provider was listened to, unless somebody has set it back since `before` was read. Whether nothing is charged stays as it is.
pub(in crate::payment) async fn write_watch(op: &Op, it: &Watch, before: Option<&Watch>) -> Result<()> {
    let sql = "INSERT INTO payment_watch (provider, heard_until, asked_at) VALUES ($1, $2, $3)
         ON CONFLICT (provider) DO UPDATE SET heard_until = excluded.heard_until, asked_at = excluded.asked_at
         WHERE payment_watch.heard_until = $4 AND payment_watch.asked_at = $5";
    let (heard, asked) = before.map_or((0, 0), |it| (it.heard_until.micros(), it.asked_at.micros()));
    let values = vec![
        it.provider.as_str().into(),
        it.heard_until.micros().into(),
        it.asked_at.micros().into(),
        heard.into(),
        asked.into(),
    ];
    op.tx().execute_raw(statement(op.tx(), sql, values)).await?;
    Ok(())
}

/// Has all payments of a provider asked about that have not ended, and notes that they were not yet. One statement.
pub(in crate::payment) async fn hasten_all(op: &Op, provider: &str) -> Result<()> {
    payment::Entity::update_many()
        .col_expr(payment::Column::DueAt, Expr::value(op.now().micros()))
        .col_expr(payment::Column::Unasked, Expr::value(1))
        .filter(open_of(provider))
        .exec(op.tx())
        .await?;
    Ok(())
}

/// Notes that a provider has said how a payment stands. One statement.
pub(in crate::payment) async fn mark_asked(op: &Op, id: PaymentId) -> Result<()> {
    payment::Entity::update_many()
        .col_expr(payment::Column::Unasked, Expr::value(0))
        .filter(payment::Column::Id.eq(id.0))
        .filter(payment::Column::Unasked.eq(1))
        .exec(op.tx())
        .await?;
    Ok(())
}

/// How many payments of a provider that have not ended are still to be asked about: silence is no answer.
pub(in crate::payment) async fn count_unasked(db: &impl ConnectionTrait, provider: &str) -> Result<u64> {
    let unasked = payment::Entity::find()
        .filter(open_of(provider))
        .filter(payment::Column::Unasked.eq(1));
    Ok(unasked.count(db).await?)
}

fn open_of(provider: &str) -> sea_orm::Condition {
    sea_orm::Condition::all()
        .add(payment::Column::Provider.eq(provider))
        .add(payment::Column::EndedAt.is_null())
}

/// Whether nothing is charged through a provider, and since when something may be missing here.
pub(in crate::payment) async fn write_safe(op: &Op, provider: &str, since: Option<Timestamp>) -> Result<()> {
    let sql =
        "INSERT INTO payment_watch (provider, heard_until, asked_at, safe_since) VALUES ($1, $2, $3, $4)
         ON CONFLICT (provider) DO UPDATE SET safe_since = excluded.safe_since, asked_at = excluded.asked_at,
            heard_until = CASE WHEN excluded.heard_until < payment_watch.heard_until
                THEN excluded.heard_until ELSE payment_watch.heard_until END";
    // Never heard: what happened since then is asked for first.
    let heard = since.unwrap_or_else(|| op.now());
    let values = vec![
        provider.into(),
        heard.micros().into(),
        0_i64.into(),
        since.map(Timestamp::micros).into(),
    ];
    op.tx().execute_raw(statement(op.tx(), sql, values)).await?;
    Ok(())
}
