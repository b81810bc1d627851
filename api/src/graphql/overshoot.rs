//! Usage beyond the bound of an overdraft, which a vendor has written off.

use std::sync::Arc;

use app::{
    credit::overshoot::{self, WriteOffKey},
    customer,
};
use async_graphql::{ComplexObject, Context, ID, InputObject, Object, SimpleObject, dataloader::DataLoader};
use domain::{
    customer::{BeyondOvershoot, OvershootDefault},
    id::CustomerId,
    time::Period,
};

use super::{
    caller,
    credit::LedgerEntry,
    customer::BeyondOvershootPolicy,
    error::top_level,
    loader::WrittenOff,
    page::{Args, Connection, connection, cost},
    payload::{payload, plain},
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

/// What is promised about overshoot to customers of whom nothing else was said.
#[derive(SimpleObject)]
pub struct OvershootTerms {
    /// How far usage that nobody could stop may go beyond where checks refuse, in credits; null: nothing is promised.
    pub overshoot_limit: Option<Decimal>,
    /// What becomes of usage beyond that.
    pub beyond_overshoot: BeyondOvershootPolicy,
}

impl From<OvershootDefault> for OvershootTerms {
    fn from(it: OvershootDefault) -> Self {
        Self {
            overshoot_limit: it.limit.map(Decimal::from),
            beyond_overshoot: it.beyond.into(),
        }
    }
}

/// What is to be promised about overshoot to customers of whom nothing else is said. Both are replaced.
#[derive(InputObject)]
pub struct UpdateOvershootDefaultInput {
    /// How far usage that nobody could stop may go beyond where checks refuse, in credits, zero or more; null: nothing is promised. Customers
    /// with the policy `ALLOW`, whom checks never refuse, have no limit in any case.
    pub overshoot_limit: Option<Decimal>,
    /// What becomes of usage beyond that; `BILL` where it is left out.
    pub beyond_overshoot: Option<BeyondOvershootPolicy>,
}

impl UpdateOvershootDefaultInput {
    fn command(self) -> app::Result<OvershootDefault> {
        let limit = self.overshoot_limit.map(|limit| limit.credits("overshootLimit"));
        Ok(OvershootDefault {
            limit: limit.transpose()?,
            beyond: self
                .beyond_overshoot
                .map(BeyondOvershoot::from)
                .unwrap_or_default(),
        })
    }
}

payload! {
    /// Result of `updateOvershootDefault`.
    UpdateOvershootDefaultPayload {
        /// What is promised from now on; null when it was refused.
        terms: OvershootTerms
    }
}

/// Writes of what is promised about overshoot.
#[derive(Default)]
pub struct OvershootMutation;

#[Object]
impl OvershootMutation {
    /// Says what is promised about overshoot to customers of whom nothing else was said (`overshootIsDefault`). Customers that are made from now on
    /// have it at once, others within minutes, one by one: usage that was accepted before a customer has it is debited by what it had. Needs
    /// `customer:write`, for all customers.
    async fn update_overshoot_default(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is promised.")] input: UpdateOvershootDefaultInput,
    ) -> async_graphql::Result<UpdateOvershootDefaultPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match input.command() {
            Ok(command) => customer::update_overshoot_default(app, actor, command).await,
            Err(error) => Err(error),
        };
        UpdateOvershootDefaultPayload::from_outcome(plain(outcome), OvershootTerms::from)
    }
}

/// Reads of what was written off.
#[derive(Default)]
pub struct OvershootQuery;

#[Object]
impl OvershootQuery {
    /// What is promised about overshoot to customers of whom nothing else was said. Needs `customer:read`, and is not for customer tokens.
    async fn overshoot_default(&self, ctx: &Context<'_>) -> async_graphql::Result<OvershootTerms> {
        let (app, actor) = caller(ctx)?;
        let found = customer::overshoot_default(app, actor).await.map_err(top_level)?;
        Ok(found.into())
    }

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
