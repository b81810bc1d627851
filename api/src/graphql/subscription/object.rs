//! Subscriptions, their cycles and events as they are shown.

use app::{
    catalog,
    event::About,
    subscription::{self, CycleView, MetricKeys, SubscriptionView, Window},
};
use async_graphql::{ComplexObject, Context, Enum, ID, SimpleObject};
use domain::{
    cycle::summary::Summary,
    id::{CustomerId, SubscriptionId, VariantId},
    subscription::state::State,
    time::Timestamp,
};

use crate::graphql::{
    caller,
    error::top_level,
    event::{BillingEvent, events},
    page::{Args, Connection, connection, cost},
    plan::PlanVariant,
    scalar::{DateTime, Decimal, Json, SafeInt},
};

/// What a subscription is in. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "State")]
pub enum SubscriptionState {
    /// In its trial.
    Trialing,
    /// In a cycle that is paid, or that is paid afterwards.
    Active,
    /// Prepaid: the cycle began and is not paid.
    Overdue,
    /// Paused: the running cycle goes on to its end without further grants, and none follows.
    Paused,
    /// Ended by somebody's wish.
    Cancelled,
    /// Prepaid: ended because it was not paid within the grace days.
    Expired,
    /// Ended because the contract did. Extending the contract revives it.
    ContractEnded,
}

/// What a cycle is in.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "subscription::CycleState")]
pub enum BillingCycleState {
    /// It goes on.
    Running,
    /// It has ended and waits for late usage.
    Closing,
    /// Its summary is final.
    Closed,
}

/// From one instant to another.
#[derive(SimpleObject)]
pub struct TimeWindow {
    /// First instant.
    pub start: DateTime,
    /// First instant after.
    pub end: DateTime,
}

impl From<Window> for TimeWindow {
    fn from(window: Window) -> Self {
        Self {
            start: window.start.into(),
            end: window.end.into(),
        }
    }
}

/// A customer's agreement to a plan variant. A customer may have several.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct PlanSubscription {
    /// Global id.
    pub id: ID,
    /// Global id of the customer.
    pub customer_id: ID,
    /// The vendor's own name for it, unique per tenant.
    pub external_id: Option<String>,
    /// The vendor's own notes: a JSON object.
    pub metadata: Json,
    /// What it is in.
    pub state: SubscriptionState,
    /// Billing day, 1 to 31; in a shorter month the last day is meant.
    pub billing_anchor_day: i32,
    /// IANA time zone by whose calendar cycles begin and end.
    pub time_zone: String,
    /// The cycle that runs; null when it is over, or was paused when its cycle ended.
    pub current_cycle: Option<BillingCycle>,
    /// Prepaid: number of the last cycle that is paid.
    pub paid_through: SafeInt,
    /// Prepaid: since when it is overdue.
    pub overdue_since: Option<DateTime>,
    /// Whether it ends with its cycle.
    pub cancel_at_end: bool,
    /// The contract; null when it has none that ends.
    pub contract: Option<TimeWindow>,
    /// How many calendar days before the end of the contract that is told; null: not at all.
    pub contract_ending_soon_days: Option<i32>,
    /// When it was made. Of several, the oldest counts usage.
    pub created_at: DateTime,
    /// When it ended.
    pub ended_at: Option<DateTime>,
    #[graphql(skip)]
    subscription: SubscriptionId,
    #[graphql(skip)]
    variant: VariantId,
    #[graphql(skip)]
    next_variant: Option<VariantId>,
}

impl From<SubscriptionView> for PlanSubscription {
    fn from(view: SubscriptionView) -> Self {
        let keys = MetricKeys::default();
        Self {
            id: view.id.to_string().into(),
            customer_id: view.customer.to_string().into(),
            external_id: view.external_id,
            metadata: Json(view.metadata.into()),
            state: view.state.into(),
            billing_anchor_day: i32::from(view.billing_day),
            time_zone: view.zone,
            current_cycle: view.cycle.map(|cycle| BillingCycle::new(cycle, &keys)),
            paid_through: SafeInt(view.paid_through),
            overdue_since: view.overdue_since.map(DateTime),
            cancel_at_end: view.cancel_at_end,
            contract: view.contract.map(TimeWindow::from),
            contract_ending_soon_days: view.contract_notice_days,
            created_at: view.created_at.into(),
            ended_at: view.ended_at.map(DateTime),
            subscription: view.id,
            variant: view.variant,
            next_variant: view.next_variant,
        }
    }
}

async fn variant(ctx: &Context<'_>, id: VariantId) -> async_graphql::Result<Option<PlanVariant>> {
    let (app, actor) = caller(ctx)?;
    let found = catalog::variant(app, actor, id).await.map_err(top_level)?;
    Ok(found.map(PlanVariant::from))
}

#[ComplexObject]
impl PlanSubscription {
    /// What was agreed to. Needs `catalog:read`.
    async fn variant(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<PlanVariant>> {
        variant(ctx, self.variant).await
    }

    /// What the next cycle is to have; null: the same. Needs `catalog:read`.
    async fn next_variant(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<PlanVariant>> {
        match self.next_variant {
            Some(next) => variant(ctx, next).await,
            None => Ok(None),
        }
    }

    /// Its cycles, newest first. Needs `subscription:read`.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn cycles(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<BillingCycle>> {
        let (app, actor) = caller(ctx)?;
        let page = Args {
            first,
            last,
            after,
            before,
        }
        .page::<i64>()?;
        let (slice, keys) = subscription::cycles(app, actor, self.subscription, page)
            .await
            .map_err(top_level)?;
        Ok(connection(
            slice,
            |cycle| cycle.number.to_string(),
            |cycle| BillingCycle::new(cycle, &keys),
        ))
    }

    /// What was told about it, newest first. Needs `subscription:read`.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<BillingEvent>> {
        let args = Args {
            first,
            last,
            after,
            before,
        };
        events(ctx, About::Subscription(self.subscription), args).await
    }
}

/// The cycles of a customer's subscriptions.
pub(in crate::graphql) async fn cycles(
    ctx: &Context<'_>,
    customer: CustomerId,
    args: Args,
) -> async_graphql::Result<Connection<BillingCycle>> {
    let (app, actor) = caller(ctx)?;
    let page = args.page_by(cycle_place)?;
    let (slice, keys) = subscription::cycles_of_customer(app, actor, customer, page)
        .await
        .map_err(top_level)?;
    let cursor = |it: &CycleView| format!("{}:{}:{}", it.period.start.micros(), it.subscription, it.number);
    Ok(connection(slice, cursor, |cycle| BillingCycle::new(cycle, &keys)))
}

fn cycle_place(cursor: &str) -> Option<(Timestamp, SubscriptionId, i64)> {
    let mut parts = cursor.split(':');
    let start = Timestamp::from_micros(parts.next()?.parse().ok()?);
    let id = parts.next()?.parse().ok()?;
    let number = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some((start, id, number))
}

/// A customer's subscriptions.
pub(in crate::graphql) async fn subscriptions(
    ctx: &Context<'_>,
    customer: CustomerId,
    args: Args,
) -> async_graphql::Result<Connection<PlanSubscription>> {
    let (app, actor) = caller(ctx)?;
    let page = args.page::<SubscriptionId>()?;
    let slice = subscription::subscriptions(app, actor, customer, page)
        .await
        .map_err(top_level)?;
    Ok(connection(slice, |it| it.id.to_string(), PlanSubscription::from))
}

/// One billing cycle of a subscription: a half-open stretch of time.
#[derive(SimpleObject)]
pub struct BillingCycle {
    /// Global id of the subscription.
    pub subscription_id: ID,
    /// Its number: 0 for a trial, else from 1 without gaps.
    pub number: SafeInt,
    /// Global id of the variant that the subscription had at its beginning.
    pub variant_id: ID,
    /// What it is in.
    pub state: BillingCycleState,
    /// Its stretch of time. The next cycle begins where it ends.
    pub period: TimeWindow,
    /// Whether it is a trial.
    pub trial: bool,
    /// Whether its grants were made: not while the renewal is unpaid.
    pub paid: bool,
    /// First instant at which usage of it is late, and it closes.
    pub closes_at: DateTime,
    /// Its grants and their bonuses so far, in credits, without what rolled over.
    pub credits_granted: Decimal,
    /// What it came to; null before it has closed.
    pub usage_summary: Option<CycleUsageSummary>,
    /// When it closed.
    pub closed_at: Option<DateTime>,
}

/// What a cycle came to.
#[derive(SimpleObject)]
pub struct CycleUsageSummary {
    /// What the usage counted in the cycle cost, in credits, whatever paid for it (overdraft included).
    pub total_credits_consumed: Decimal,
    /// The customer's balance (blocks minus overdraft) once the grants of the cycle were made, in credits.
    pub net_balance_at_cycle_start: Decimal,
    /// The customer's balance at the end of the cycle, before anything expired, in credits.
    pub net_balance_at_cycle_end: Decimal,
    /// By metric.
    pub metrics: Vec<CycleMetricUsage>,
}

/// Use of one metric in a cycle.
#[derive(SimpleObject)]
pub struct CycleMetricUsage {
    /// Key of the metric.
    pub metric_key: String,
    /// Units used.
    pub units: Decimal,
    /// What they cost, in credits.
    pub credits: Decimal,
}

impl BillingCycle {
    fn new(view: CycleView, keys: &MetricKeys) -> Self {
        Self {
            subscription_id: view.subscription.to_string().into(),
            number: SafeInt(view.number),
            variant_id: view.variant.to_string().into(),
            state: view.state.into(),
            period: view.period.into(),
            trial: view.trial,
            paid: view.paid,
            closes_at: view.closes_at.into(),
            credits_granted: view.granted.into(),
            usage_summary: view.summary.map(|summary| CycleUsageSummary::new(summary, keys)),
            closed_at: view.closed_at.map(DateTime),
        }
    }
}

impl CycleUsageSummary {
    fn new(summary: Summary, keys: &MetricKeys) -> Self {
        let metric = |(id, usage): (_, domain::cycle::summary::MetricUsage)| CycleMetricUsage {
            metric_key: keys.get(&id).cloned().unwrap_or_else(|| id.to_string()),
            units: usage.units.into(),
            credits: usage.credits.into(),
        };
        Self {
            total_credits_consumed: summary.total_credits_consumed.into(),
            net_balance_at_cycle_start: summary.net_balance_at_cycle_start.into(),
            net_balance_at_cycle_end: summary.net_balance_at_cycle_end.into(),
            metrics: summary.by_metric.into_iter().map(metric).collect(),
        }
    }
}
