//! Plans, variants and templates as they are shown.

use app::catalog::{self, TemplateView, VariantView};
use async_graphql::{ComplexObject, Context, Enum, ID, SimpleObject};
use domain::{
    cycle::late::LatePolicy,
    id::{PlanId, TemplateId, VariantId},
    plan::{
        self,
        interval::Unit,
        template::{Expiry, Recurrence, Warning},
        variant::{self, Mode, ShortCycle},
    },
};

use crate::graphql::{
    caller,
    credit::{BlockBilling, BlockSource},
    error::top_level,
    money::{CreditPrice, Money, MoneyPrice},
    page::{Args, Connection, connection, cost},
    scalar::{DateTime, Decimal, SafeInt},
};

/// What a vendor offers, such as "Pro": in one or more variants.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct Plan {
    /// Global id.
    pub id: ID,
    /// The vendor's own name for it, unique per tenant.
    pub key: String,
    /// Name for people.
    pub name: String,
    /// More words for people.
    pub description: Option<String>,
    /// When it was made.
    pub created_at: DateTime,
    /// Since when it is no longer offered; null while it is. Subscriptions that have it keep it.
    pub archived_at: Option<DateTime>,
    #[graphql(skip)]
    plan: PlanId,
}

impl From<plan::Plan> for Plan {
    fn from(plan: plan::Plan) -> Self {
        Self {
            id: plan.id.to_string().into(),
            key: plan.key,
            name: plan.name,
            description: plan.description,
            created_at: plan.created_at.into(),
            archived_at: plan.archived_at.map(DateTime),
            plan: plan.id,
        }
    }
}

#[ComplexObject]
impl Plan {
    /// Ways to buy it, oldest first, archived ones as well. Needs `catalog:read`.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn variants(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<PlanVariant>> {
        let (app, actor) = caller(ctx)?;
        let page = Args {
            first,
            last,
            after,
            before,
        }
        .page::<VariantId>()?;
        let slice = catalog::variants(app, actor, self.plan, page)
            .await
            .map_err(top_level)?;
        Ok(connection(
            slice,
            |view| view.variant.id.to_string(),
            PlanVariant::from,
        ))
    }
}

/// What intervals are counted in.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Unit")]
pub enum IntervalUnit {
    /// Calendar days.
    Day,
    /// Seven calendar days.
    Week,
    /// Calendar months.
    Month,
    /// Three calendar months.
    Quarter,
    /// Twelve calendar months.
    Year,
}

/// How often something comes round: one day to ten years.
#[derive(SimpleObject)]
pub struct Interval {
    /// What is counted.
    pub unit: IntervalUnit,
    /// How many of them; more than zero.
    pub count: i32,
}

impl From<plan::interval::Interval> for Interval {
    fn from(interval: plan::interval::Interval) -> Self {
        Self {
            unit: interval.unit.into(),
            count: interval.count,
        }
    }
}

/// Whether a cycle is paid before or after it is used.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Mode")]
pub enum BillingMode {
    /// Before: the next cycle begins when it is paid.
    Prepaid,
    /// After: cycles advance by themselves and are invoiced when they end.
    Postpaid,
}

/// What happens to usage that comes after its cycle has closed.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "LatePolicy")]
pub enum LateUsagePolicy {
    /// It counts in the cycle that is open, as a line that names the original date.
    CurrentCycle,
    /// It is priced by the tiers of the closed cycle and billed now.
    Adjustment,
    /// It is refused.
    Reject,
}

/// What a cycle brings and costs that is shorter than its interval because of the billing day.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "ShortCycle")]
pub enum ShortCycleRule {
    /// As much as a whole one.
    Full,
    /// As much as its seconds are of the whole interval's.
    Prorated,
}

/// How much of its own money a customer may turn into credits at once.
#[derive(SimpleObject)]
pub struct PurchaseLimits {
    /// Smallest purchase; null: any.
    pub minimum: Option<Money>,
    /// Largest purchase; null: any.
    pub maximum: Option<Money>,
}

impl From<variant::PurchaseLimits> for PurchaseLimits {
    fn from(limits: variant::PurchaseLimits) -> Self {
        Self {
            minimum: limits.minimum.map(Money::from),
            maximum: limits.maximum.map(Money::from),
        }
    }
}

/// One way to buy a plan. Never changed, only archived.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct PlanVariant {
    /// Global id.
    pub id: ID,
    /// Global id of its plan.
    pub plan_id: ID,
    /// Name for people.
    pub name: String,
    /// How long a cycle is.
    pub interval: Interval,
    /// Whether a cycle is paid before or after it is used.
    pub mode: BillingMode,
    /// What a cycle costs. Zero: free of charge, so it renews by itself. Null: not known here, because the vendor charges elsewhere.
    pub fee: Option<Money>,
    /// Length of the trial in calendar days; 0: none.
    pub trial_days: i32,
    /// Prepaid: how many calendar days before the end of a cycle renewal is due.
    pub renewal_due_days: i32,
    /// Prepaid: for how many calendar days an unpaid subscription is overdue before it expires.
    pub grace_days: i32,
    /// Whether checks let usage pass while the subscription is overdue.
    pub allow_usage_while_overdue: bool,
    /// Limits of purchases of credits; null: customers of this variant buy none.
    pub purchase: Option<PurchaseLimits>,
    /// What a credit costs, for purchases and for invoices of budgets and overdraft.
    pub credit_price: Option<CreditPrice>,
    /// What metrics cost in money, for invoices; at most 100. A metric without is billed by the credit price.
    pub money_prices: Vec<MoneyPrice>,
    /// What happens to usage that comes after its cycle has closed.
    pub late_policy: LateUsagePolicy,
    /// How long after its end a cycle still takes usage, in seconds, 0 to 604,800.
    pub late_window_seconds: i32,
    /// What cycles bring and cost that are short because of the billing day.
    pub short_cycle: ShortCycleRule,
    /// When it was made.
    pub created_at: DateTime,
    /// Since when it, or its plan, is no longer offered; null while it is. Subscriptions that have it keep it.
    pub archived_at: Option<DateTime>,
    #[graphql(skip)]
    variant: VariantId,
}

impl From<VariantView> for PlanVariant {
    fn from(view: VariantView) -> Self {
        let (variant, keys) = (view.variant, view.metric_keys);
        let price = |(metric, price): (_, plan::money_price::MoneyPrice)| MoneyPrice {
            metric_key: keys.get(&metric).cloned().unwrap_or_default(),
            currency: price.currency.into(),
            price: price.price.into(),
        };
        Self {
            id: variant.id.to_string().into(),
            plan_id: variant.plan.to_string().into(),
            name: variant.name,
            interval: variant.interval.into(),
            mode: variant.mode.into(),
            fee: variant.fee.map(Money::from),
            trial_days: variant.trial_days,
            renewal_due_days: variant.renewal_due_days,
            grace_days: variant.grace_days,
            allow_usage_while_overdue: variant.allow_usage_while_overdue,
            purchase: variant.purchase.map(PurchaseLimits::from),
            credit_price: variant.credit_price.map(CreditPrice::from),
            money_prices: variant.money_prices.into_iter().map(price).collect(),
            late_policy: variant.late.into(),
            late_window_seconds: i32::try_from(variant.late_seconds).unwrap_or(i32::MAX),
            short_cycle: variant.short_cycle.into(),
            created_at: view.created_at.into(),
            archived_at: variant.archived_at.map(DateTime),
            variant: variant.id,
        }
    }
}

#[ComplexObject]
impl PlanVariant {
    /// The credits that it brings, oldest first, archived ones as well; at most 20 are in force. Needs `catalog:read`.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    async fn grant_templates(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<GrantTemplate>> {
        let (app, actor) = caller(ctx)?;
        let page = Args {
            first,
            last,
            after,
            before,
        }
        .page::<TemplateId>()?;
        let slice = catalog::templates(app, actor, self.variant, page)
            .await
            .map_err(top_level)?;
        Ok(connection(
            slice,
            |view| view.template.id.to_string(),
            GrantTemplate::from,
        ))
    }
}

/// How often a template grants.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Recurrence")]
pub enum GrantRecurrence {
    /// In every cycle.
    Recurring,
    /// Once, when the subscription begins; with a trial, when the trial ends.
    Once,
}

/// When the credits of a grant end.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantExpiry {
    /// Never.
    Never,
    /// At a fixed instant, `expiresAt`. After it, nothing is granted.
    At,
    /// `expiresAfterSeconds` after the grant.
    AfterSeconds,
    /// With the cycle, or, for a template that grants more often, with the next grant.
    EndOfCycle,
}

/// Something that is allowed and probably not meant. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantTemplateWarningCode {
    /// The credits expire after a number of seconds that is near the end of the cycle and not always it: 30 days are not the end of a
    /// month of 31.
    NotTheCycle,
}

/// What the vendor should be told of a template although it is allowed.
#[derive(SimpleObject)]
pub struct GrantTemplateWarning {
    /// Stable code.
    pub code: GrantTemplateWarningCode,
    /// A sentence for people, in English. Wording may change.
    pub message: String,
}

impl From<Warning> for GrantTemplateWarning {
    fn from(warning: Warning) -> Self {
        Self {
            code: match warning {
                Warning::NotTheCycle { .. } => GrantTemplateWarningCode::NotTheCycle,
            },
            message: warning.to_string(),
        }
    }
}

/// Credits that a variant brings. Never changed, only archived.
#[derive(SimpleObject)]
pub struct GrantTemplate {
    /// Global id.
    pub id: ID,
    /// Global id of its variant.
    pub variant_id: ID,
    /// Credits per grant.
    pub credits: Decimal,
    /// Once or always.
    pub recurrence: GrantRecurrence,
    /// How often it grants; null: with every cycle.
    pub grant_interval: Option<Interval>,
    /// Where the credits come from. `TRIAL` is granted for the trial and only there.
    pub source: BlockSource,
    /// How their use is billed.
    pub billing: BlockBilling,
    /// Higher burns first.
    pub priority: i32,
    /// When the credits end.
    pub expiry: GrantExpiry,
    /// First instant at which they are gone; of `AT`.
    pub expires_at: Option<DateTime>,
    /// Seconds from the grant to its end; of `AFTER_SECONDS`.
    pub expires_after_seconds: Option<SafeInt>,
    /// How much of what is left rolls over when the cycle ends, in percent, 0 to 100.
    pub rollover_percentage: Decimal,
    /// Most credits of this template that there may be after a grant, the grant included; null: any. What rolls over is cut, never
    /// the grant.
    pub accumulation_cap: Option<Decimal>,
    /// A further block of so much of the grant, in percent, free of charge; 0: none. It shares priority, expiry and rollover.
    pub bonus_percentage: Decimal,
    /// Keys of the metrics that the credits may pay for; null: all.
    pub metric_keys: Option<Vec<String>>,
    /// Whether a trial gets it as well, free of charge.
    pub in_trial: bool,
    /// When it was made. Boundaries before do not grant it.
    pub created_at: DateTime,
    /// Since when it is no longer granted; null while it is.
    pub archived_at: Option<DateTime>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<GrantTemplateWarning>,
}

impl From<TemplateView> for GrantTemplate {
    fn from(view: TemplateView) -> Self {
        let template = view.template;
        let (expiry, expires_at, seconds) = match template.expiry {
            Expiry::Never => (GrantExpiry::Never, None, None),
            Expiry::At { at } => (GrantExpiry::At, Some(at), None),
            Expiry::After { seconds } => (GrantExpiry::AfterSeconds, None, Some(seconds)),
            Expiry::EndOfCycle => (GrantExpiry::EndOfCycle, None, None),
        };
        Self {
            id: template.id.to_string().into(),
            variant_id: template.variant.to_string().into(),
            credits: template.credits.into(),
            recurrence: template.recurrence.into(),
            grant_interval: template.every.map(Interval::from),
            source: template.source.into(),
            billing: view.billing.into(),
            priority: template.priority,
            expiry,
            expires_at: expires_at.map(DateTime),
            expires_after_seconds: seconds.map(SafeInt),
            rollover_percentage: template.rollover.into(),
            accumulation_cap: template.accumulation_cap.map(Decimal::from),
            bonus_percentage: template.bonus.into(),
            metric_keys: view.metric_keys,
            in_trial: template.in_trial,
            created_at: template.created_at.into(),
            archived_at: template.archived_at.map(DateTime),
            warnings: view.warning.into_iter().map(GrantTemplateWarning::from).collect(),
        }
    }
}
