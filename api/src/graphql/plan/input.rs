//! What is said of plans, variants and templates when they are made.

use app::{
    catalog::{self, PlanRef},
    error::Result,
};
use async_graphql::{ID, InputObject, MaybeUndefined};
use domain::{
    amount::Percent,
    credit::block::{Billing, DEFAULT_PRIORITY, Source},
    cycle::late::LatePolicy,
    id::{TemplateId, VariantId},
    plan::{
        self,
        template::{Expiry, Recurrence},
        variant::{self, DEFAULT_LATE_SECONDS, ShortCycle},
    },
    rejection::Rejection,
};

use super::object::{
    BillingMode, GrantExpiry, GrantRecurrence, IntervalUnit, LateUsagePolicy, ShortCycleRule,
};
use crate::graphql::{
    credit::{BlockBilling, BlockSource},
    money::{CreditPriceInput, MoneyInput, MoneyPriceInput},
    scalar::{DateTime, Decimal, SafeInt},
};

/// The plan that is named by its id or its key.
fn plan_ref(id: Option<ID>, key: Option<String>) -> Result<PlanRef> {
    match (id, key) {
        (Some(id), None) => {
            let id = id.parse();
            Ok(PlanRef::Id(
                id.map_err(|_| Rejection::not_found("planId", "plan"))?,
            ))
        }
        (None, Some(key)) => Ok(PlanRef::Key(key)),
        _ => Err(Rejection::invalid("planId", "name the plan by either `planId` or `planKey`").into()),
    }
}

/// A variant's id; a text of another form names none.
pub(in crate::graphql) fn variant_id(id: &ID) -> Result<VariantId> {
    let id = id.parse();
    Ok(id.map_err(|_| Rejection::not_found("variantId", "plan variant"))?)
}

/// A plan to create.
#[derive(InputObject)]
pub struct CreatePlanInput {
    /// The vendor's own name for it: 1 to 64 lower-case letters, digits, `_`, `-`, `.`. Never changes.
    pub key: String,
    /// Name for people, 1 to 100 bytes.
    pub name: String,
    /// More words for people, at most 1,000 bytes.
    pub description: Option<String>,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

/// What to change of a plan. Fields left out stay; a description of null is removed.
#[derive(InputObject)]
pub struct UpdatePlanInput {
    /// The plan by id.
    pub plan_id: Option<ID>,
    /// The plan by its key.
    pub plan_key: Option<String>,
    /// Name for people, 1 to 100 bytes.
    pub name: Option<String>,
    /// More words for people, at most 1,000 bytes.
    pub description: MaybeUndefined<String>,
}

impl UpdatePlanInput {
    pub(super) fn command(self) -> Result<(PlanRef, catalog::UpdatePlan)> {
        let command = catalog::UpdatePlan {
            name: self.name,
            description: match self.description {
                MaybeUndefined::Undefined => None,
                MaybeUndefined::Null => Some(None),
                MaybeUndefined::Value(text) => Some(Some(text)),
            },
        };
        Ok((plan_ref(self.plan_id, self.plan_key)?, command))
    }
}

/// The plan to archive.
#[derive(InputObject)]
pub struct ArchivePlanInput {
    /// The plan by id.
    pub plan_id: Option<ID>,
    /// The plan by its key.
    pub plan_key: Option<String>,
}

impl ArchivePlanInput {
    pub(super) fn plan(self) -> Result<PlanRef> {
        plan_ref(self.plan_id, self.plan_key)
    }
}

/// How often something comes round: one day to ten years.
#[derive(InputObject)]
pub struct IntervalInput {
    /// What is counted.
    pub unit: IntervalUnit,
    /// How many of them; 1 by default.
    pub count: Option<i32>,
}

impl IntervalInput {
    fn interval(&self, field: &str) -> Result<plan::interval::Interval> {
        let interval = plan::interval::Interval::new(self.unit.into(), self.count.unwrap_or(1));
        Ok(interval.map_err(|no| no.under(field))?)
    }
}

/// How much of its own money a customer may turn into credits at once. An empty one allows any amount.
#[derive(InputObject)]
pub struct PurchaseLimitsInput {
    /// Smallest purchase, more than zero; left out: any.
    pub minimum: Option<MoneyInput>,
    /// Largest purchase, not below the smallest; left out: any.
    pub maximum: Option<MoneyInput>,
}

impl PurchaseLimitsInput {
    fn limits(&self) -> Result<variant::PurchaseLimits> {
        let money = |money: &Option<MoneyInput>, field| money.as_ref().map(|it| it.money(field)).transpose();
        Ok(variant::PurchaseLimits {
            minimum: money(&self.minimum, "purchase.minimum")?,
            maximum: money(&self.maximum, "purchase.maximum")?,
        })
    }
}

/// A variant to create. All its amounts have one currency.
#[derive(InputObject)]
pub struct CreatePlanVariantInput {
    /// The plan by id.
    pub plan_id: Option<ID>,
    /// The plan by its key.
    pub plan_key: Option<String>,
    /// Name for people, 1 to 100 bytes.
    pub name: String,
    /// How long a cycle is.
    pub interval: IntervalInput,
    /// Whether a cycle is paid before or after it is used.
    pub mode: BillingMode,
    /// What a cycle costs, zero or more. Zero: free of charge, so it renews by itself. Left out: not known here, because you charge
    /// elsewhere; a prepaid subscription then waits for its renewal.
    pub fee: Option<MoneyInput>,
    /// Length of the trial in calendar days, 0 to 366; 0 by default: none.
    pub trial_days: Option<i32>,
    /// Prepaid only: how many calendar days before the end of a cycle renewal is due, 0 to 366; 0 by default.
    pub renewal_due_days: Option<i32>,
    /// Prepaid only: for how many calendar days an unpaid subscription is overdue before it expires, 0 to 366; 0 by default.
    pub grace_days: Option<i32>,
    /// Whether checks let usage pass while the subscription is overdue; false by default.
    pub allow_usage_while_overdue: Option<bool>,
    /// Limits of purchases of credits; left out: customers of this variant buy none.
    pub purchase: Option<PurchaseLimitsInput>,
    /// What a credit costs, for purchases and for invoices of budgets and overdraft.
    pub credit_price: Option<CreditPriceInput>,
    /// What metrics cost in money, for invoices; at most 100. A metric without is billed by the credit price.
    pub money_prices: Option<Vec<MoneyPriceInput>>,
    /// What happens to usage that comes after its cycle has closed; `CURRENT_CYCLE` by default.
    pub late_policy: Option<LateUsagePolicy>,
    /// How long after its end a cycle still takes usage, in seconds, 0 to 604,800; 60 by default. Grants do not wait for it.
    pub late_window_seconds: Option<i32>,
    /// What cycles bring and cost that are short because of the billing day; `FULL` by default.
    pub short_cycle: Option<ShortCycleRule>,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

impl CreatePlanVariantInput {
    pub(super) fn command(self) -> Result<catalog::CreateVariant> {
        let prices = self.money_prices.unwrap_or_default().into_iter().enumerate();
        let prices = prices.map(|(index, price)| price.price(&format!("moneyPrices.{index}")));
        Ok(catalog::CreateVariant {
            plan: plan_ref(self.plan_id, self.plan_key)?,
            name: self.name,
            interval: self.interval.interval("interval")?,
            mode: self.mode.into(),
            fee: self.fee.map(|fee| fee.money("fee")).transpose()?,
            trial_days: self.trial_days.unwrap_or_default(),
            renewal_due_days: self.renewal_due_days.unwrap_or_default(),
            grace_days: self.grace_days.unwrap_or_default(),
            allow_usage_while_overdue: self.allow_usage_while_overdue.unwrap_or_default(),
            purchase: self.purchase.map(|limits| limits.limits()).transpose()?,
            credit_price: self
                .credit_price
                .map(|price| price.price("creditPrice"))
                .transpose()?,
            money_prices: prices.collect::<Result<_>>()?,
            late: self.late_policy.map(LatePolicy::from).unwrap_or_default(),
            late_seconds: self.late_window_seconds.map_or(DEFAULT_LATE_SECONDS, i64::from),
            short_cycle: self.short_cycle.map(ShortCycle::from).unwrap_or_default(),
        })
    }
}

/// The variant to archive.
#[derive(InputObject)]
pub struct ArchivePlanVariantInput {
    /// Global id of the variant.
    pub variant_id: ID,
}

/// A template to create.
#[derive(InputObject)]
pub struct CreateGrantTemplateInput {
    /// Global id of the variant that brings the credits.
    pub variant_id: ID,
    /// Credits per grant, more than zero.
    pub credits: Decimal,
    /// Once or always; `RECURRING` by default.
    pub recurrence: Option<GrantRecurrence>,
    /// How often it grants; not longer than the cycle. Left out: with every cycle.
    pub grant_interval: Option<IntervalInput>,
    /// Where the credits come from; `PLAN_GRANT` by default. `TRIAL` is granted for the trial and only there; `PURCHASE`, `ROLLOVER` and
    /// `ADJUSTMENT` are not for plans.
    pub source: Option<BlockSource>,
    /// How their use is billed. By default a postpaid variant's `PLAN_GRANT` is a `BUDGET`, and all else as its source says.
    pub billing: Option<BlockBilling>,
    /// Higher burns first; 0 by default.
    pub priority: Option<i32>,
    /// When the credits end. By default as `expiresAt` or `expiresAfterSeconds` says, and without them at the `END_OF_CYCLE`.
    pub expiry: Option<GrantExpiry>,
    /// First instant at which they are gone, in the future; goes with `AT`.
    pub expires_at: Option<DateTime>,
    /// Seconds from the grant to its end, more than zero; goes with `AFTER_SECONDS`.
    pub expires_after_seconds: Option<SafeInt>,
    /// How much of what is left rolls over when the cycle ends, in percent, 0 to 100; 0 by default. Goes with `END_OF_CYCLE`.
    pub rollover_percentage: Option<Decimal>,
    /// Most credits of this template that there may be after a grant, the grant included; left out: any. Goes with a rollover.
    pub accumulation_cap: Option<Decimal>,
    /// A further block of so much of the grant, in percent, 0 to 100,000, free of charge; 0 by default.
    pub bonus_percentage: Option<Decimal>,
    /// Keys of the metrics that the credits may pay for, 1 to 50; left out: all.
    pub metric_keys: Option<Vec<String>>,
    /// Whether a trial gets it as well, free of charge; false by default.
    pub in_trial: Option<bool>,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

impl CreateGrantTemplateInput {
    pub(super) fn command(self) -> Result<catalog::CreateTemplate> {
        let percent = |part: &Option<Decimal>, field| {
            part.as_ref()
                .map_or(Ok(Percent::ZERO), |part| part.percent(field))
        };
        Ok(catalog::CreateTemplate {
            variant: variant_id(&self.variant_id)?,
            credits: self.credits.credits("credits")?,
            recurrence: self.recurrence.map_or(Recurrence::Recurring, Recurrence::from),
            every: self
                .grant_interval
                .as_ref()
                .map(|every| every.interval("grantInterval"))
                .transpose()?,
            source: self.source.map_or(Source::PlanGrant, Source::from),
            billing: self.billing.map(Billing::from),
            priority: self.priority.unwrap_or(DEFAULT_PRIORITY),
            expiry: expiry(self.expiry, self.expires_at, self.expires_after_seconds)?,
            rollover: percent(&self.rollover_percentage, "rolloverPercentage")?,
            accumulation_cap: self
                .accumulation_cap
                .map(|cap| cap.credits("accumulationCap"))
                .transpose()?,
            bonus: percent(&self.bonus_percentage, "bonusPercentage")?,
            metric_keys: self.metric_keys,
            in_trial: self.in_trial.unwrap_or_default(),
        })
    }
}

/// When credits end, from three fields that must agree.
fn expiry(kind: Option<GrantExpiry>, at: Option<DateTime>, seconds: Option<SafeInt>) -> Result<Expiry> {
    let refuse = |field, message: &str| Err(Rejection::invalid(field, message).into());
    match (kind, at, seconds) {
        (_, Some(_), Some(_)) => refuse(
            "expiresAfterSeconds",
            "use either `expiresAt` or `expiresAfterSeconds`",
        ),
        (None | Some(GrantExpiry::At), Some(at), None) => Ok(Expiry::At { at: at.0 }),
        (None | Some(GrantExpiry::AfterSeconds), None, Some(seconds)) => {
            Ok(Expiry::After { seconds: seconds.0 })
        }
        (None | Some(GrantExpiry::EndOfCycle), None, None) => Ok(Expiry::EndOfCycle),
        (Some(GrantExpiry::Never), None, None) => Ok(Expiry::Never),
        (Some(GrantExpiry::At), None, _) => refuse("expiresAt", "the kind AT needs it"),
        (Some(GrantExpiry::AfterSeconds), _, None) => {
            refuse("expiresAfterSeconds", "the kind AFTER_SECONDS needs it")
        }
        (Some(_), Some(_), None) => refuse("expiresAt", "it goes with the kind AT"),
        (Some(_), None, Some(_)) => refuse("expiresAfterSeconds", "it goes with the kind AFTER_SECONDS"),
    }
}

/// The template to archive.
#[derive(InputObject)]
pub struct ArchiveGrantTemplateInput {
    /// Global id of the template.
    pub template_id: ID,
}

impl ArchiveGrantTemplateInput {
    pub(super) fn template(&self) -> Result<TemplateId> {
        let id = self.template_id.parse();
        Ok(id.map_err(|_| Rejection::not_found("templateId", "grant template"))?)
    }
}
