//! Usage beyond the bound of an overdraft, which a vendor has written off.

use std::sync::Arc;

use app::credit::overshoot::{self, WriteOffKey};
use async_graphql::{ComplexObject, Context, ID, Object, SimpleObject, dataloader::DataLoader};
use domain::{id::CustomerId, time::Period};

use super::{
    caller,
    credit::LedgerEntry,
    error::top_level,
    loader::WrittenOff,
    page::{Args, Connection, connection, cost},
    scalar::{DateTime, Decimal, SafeInt},
};

/// What a customer has written off: a loader reads all that are asked for at once.
pub(super) async fn written_off(ctx: &Context<'_>, customer: CustomerId) -> async_graphql::Result<Decimal> {
    let loader = ctx.data::<DataLoader<WrittenOff>>()?;
    let credits = loader
        .load_one(customer)
        .await
        .map_err(|error: Arc<app::Error>| top_level(&*error))?;
    Ok(credits.unwrap_or_default().into())
}

/// A write-off, or what was taken back of one.
#[derive(SimpleObject)]
pub struct WriteOff {
    /// Global id of the customer whose usage it was.
    pub customer_id: ID,
    /// Global id of the metric of that usage.
    pub metric_id: Option<ID>,
    /// How many credits; negative where they are written off no more.
    pub credits: Decimal,
    /// Why, in words.
    pub reason: String,
    /// The line of the customer's ledger; `explainEntry` has all that is behind it.
    pub entry: LedgerEntry,
}

impl From<overshoot::WriteOff> for WriteOff {
    fn from(it: overshoot::WriteOff) -> Self {
        let usage = it.line.usage.as_ref();
        Self {
            customer_id: it.customer.to_string().into(),
            metric_id: usage.map(|usage| usage.metric.to_string().into()),
            credits: it.line.credits.into(),
            reason: it.line.description.clone(),
            entry: it.line.into(),
        }
    }
}

/// What was written off of all customers in a stretch of time.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct OvershootReport {
    /// How many credits, less what was taken back.
    pub written_off: Decimal,
    /// Of how many customers.
    pub customers: SafeInt,
    #[graphql(skip)]
    period: Period,
}

#[ComplexObject]
impl OvershootReport {
    /// Each write-off, newest first.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn write_offs(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<WriteOff>> {
        let (app, actor) = caller(ctx)?;
        let page = Args {
            first,
            last,
            after,
            before,
        }
        .page_by(key)?;
        let slice = overshoot::write_offs(app, actor, self.period, page)
            .await
            .map_err(top_level)?;
        let cursor = |it: &overshoot::WriteOff| format!("{}:{}", it.line.created_at.micros(), it.line.id);
        Ok(connection(slice, cursor, WriteOff::from))
    }
}

fn key(cursor: &str) -> Option<WriteOffKey> {
    let (micros, id) = cursor.split_once(':')?;
    Some((micros.parse().ok()?, id.parse().ok()?))
}

/// Reads of what was written off.
#[derive(Default)]
pub struct OvershootQuery;

#[Object]
impl OvershootQuery {
    /// What was written off in a stretch of time: usage that took customers' overdraft beyond the bound that their terms promise
    /// (`overshootLimit`). Needs `credit:read`, and is not for customer tokens.
    async fn overshoot_report(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "First instant.")] from: DateTime,
        #[graphql(desc = "First instant after.")] to: DateTime,
    ) -> async_graphql::Result<OvershootReport> {
        let (app, actor) = caller(ctx)?;
        let period = Period {
            start: from.0,
            end: to.0,
        };
        let sum = overshoot::written_off_in(app, actor, period)
            .await
            .map_err(top_level)?;
        Ok(OvershootReport {
            written_off: sum.credits.into(),
            customers: SafeInt(sum.customers),
            period,
        })
    }
}
