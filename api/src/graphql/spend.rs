//! Spend management: how much a customer wants to spend, and what it has spent.

use app::spend::{self, SpentIn, UpdateSpend, Updated};
use async_graphql::{Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use domain::{
    id::CustomerId,
    spend::{Limits, Mode, standing::Left},
};

use super::{
    caller,
    customer::customer_ref,
    error::top_level,
    payload::{payload, plain},
    scalar::{DateTime, Decimal},
    webhook::{WebhookDelivery, WebhookDeliveryPayload, WebhookEndpointState},
};

/// What becomes of usage beyond a budget. Usage that has happened is always recorded and paid.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Mode")]
pub enum SpendMode {
    /// `entitlement`, `reserveUsage` and `/gate` refuse it until the period is over.
    Enforce,
    /// Nothing: it is only told what would have been refused.
    Observe,
}

/// What a customer spends in a day or a month.
#[derive(SimpleObject)]
pub struct SpendPeriod {
    /// Since when it is counted: midnight UTC, or the first of the month.
    pub starts_at: DateTime,
    /// When the count begins again.
    pub resets_at: DateTime,
    /// Credits at which the customer wants to be told; null: it does not.
    pub threshold: Option<Decimal>,
    /// Credits that may be spent; null: no limit.
    pub budget: Option<Decimal>,
    /// Credits spent, by the usage that is debited; never null while spend management is on. Off, it is not counted, but added up from the newest
    /// usage back; null: there is too much of it. Switching on counts it.
    pub used: Option<Decimal>,
    /// Credits left of the budget; null: no limit, or `used` is null.
    pub left: Option<Decimal>,
    /// Credits spent beyond the budget, zero without one. Where it is only observed: what it would have held back. Null: `used` is null.
    pub beyond: Option<Decimal>,
}

impl From<SpentIn> for SpendPeriod {
    fn from(it: SpentIn) -> Self {
        Self {
            starts_at: it.period.start.into(),
            resets_at: it.period.end.into(),
            threshold: it.limits.threshold.map(Decimal::from),
            budget: it.limits.budget.map(Decimal::from),
            used: it.used.map(Decimal::from),
            left: it.left().map(Decimal::from),
            beyond: it.beyond().map(Decimal::from),
        }
    }
}

/// How much a customer wants to spend, and what it has spent.
#[derive(SimpleObject)]
pub struct Spend {
    /// Whether it is switched on. What is used is shown all the same, unless it is very much.
    pub enabled: bool,
    /// What becomes of usage beyond a budget.
    pub mode: SpendMode,
    /// Today.
    pub daily: SpendPeriod,
    /// This month.
    pub monthly: SpendPeriod,
    /// Credits spent yesterday; null as `used` is.
    pub used_yesterday: Option<Decimal>,
    /// Where `spend.threshold_reached` and `spend.budget_reached` are sent to, beside the vendor's own endpoints.
    pub webhook_url: Option<String>,
    /// Whether something is sent there; null: there is no URL.
    pub webhook_state: Option<WebhookEndpointState>,
}

impl From<spend::Spend> for Spend {
    fn from(it: spend::Spend) -> Self {
        Self {
            enabled: it.enabled,
            mode: it.mode.into(),
            daily: it.daily.into(),
            monthly: it.monthly.into(),
            used_yesterday: it.yesterday.map(Decimal::from),
            webhook_state: it.endpoint.as_ref().map(|it| it.state.into()),
            webhook_url: it.endpoint.map(|it| it.url),
        }
    }
}

/// What is left of a customer's own budget, as the gate sees it.
#[derive(SimpleObject)]
pub struct BudgetLeft {
    /// Credits that may be spent in the period.
    pub budget: Decimal,
    /// Credits spent, with the accepted usage that is not debited yet.
    pub used: Decimal,
    /// Credits that may still be spent, beside what open reservations claim.
    pub left: Decimal,
    /// When the count begins again.
    pub resets_at: DateTime,
}

impl From<Left> for BudgetLeft {
    fn from(it: Left) -> Self {
        Self {
            budget: it.budget.into(),
            used: it.used.into(),
            left: it.left.into(),
            resets_at: it.resets_at.into(),
        }
    }
}

/// How much a customer wants to spend, and what it has spent.
pub(super) async fn customer_spend(ctx: &Context<'_>, customer: CustomerId) -> async_graphql::Result<Spend> {
    let (app, actor) = caller(ctx)?;
    let found = spend::spend(app, actor, customer).await.map_err(top_level)?;
    Ok(found.into())
}

/// The limits of a day or a month, in credits. Both are replaced.
#[derive(InputObject)]
pub struct SpendLimitsInput {
    /// Where the customer wants to be told, more than zero; null: nowhere.
    pub threshold: Option<Decimal>,
    /// All that may be spent, zero or more; null: no limit.
    pub budget: Option<Decimal>,
}

impl SpendLimitsInput {
    fn limits(self, field: &str) -> app::Result<Limits> {
        let credits = |it: Option<Decimal>, name: &str| {
            let field = format!("{field}.{name}");
            it.map(|it| it.credits(&field)).transpose()
        };
        Ok(Limits {
            threshold: credits(self.threshold, "threshold")?,
            budget: credits(self.budget, "budget")?,
        })
    }
}

/// How much a customer is to spend; what is left out stays.
#[derive(InputObject)]
pub struct UpdateSpendSettingsInput {
    /// The customer by id.
    pub customer_id: Option<ID>,
    /// The customer by the vendor's own name.
    pub external_customer_id: Option<String>,
    /// Whether it is switched on. One that is switched off keeps its limits.
    pub enabled: Option<bool>,
    /// What becomes of usage beyond a budget; `ENFORCE` by default.
    pub mode: Option<SpendMode>,
    /// The limits of a day of UTC; null: none.
    pub daily: MaybeUndefined<SpendLimitsInput>,
    /// The limits of a calendar month of UTC; null: none.
    pub monthly: MaybeUndefined<SpendLimitsInput>,
    /// Where it is told that a limit is reached, `https://…`; null: nowhere. Needs `webhook:write` as well.
    pub webhook_url: MaybeUndefined<String>,
}

impl UpdateSpendSettingsInput {
    fn command(self) -> app::Result<UpdateSpend> {
        let limits = |it: MaybeUndefined<SpendLimitsInput>, field: &str| {
            Option::<Option<SpendLimitsInput>>::from(it)
                .map(|it| it.map(|it| it.limits(field)).transpose())
                .transpose()
        };
        Ok(UpdateSpend {
            customer: customer_ref(self.customer_id, self.external_customer_id)?,
            enabled: self.enabled,
            mode: self.mode.map(Mode::from),
            daily: limits(self.daily, "daily")?,
            monthly: limits(self.monthly, "monthly")?,
            webhook_url: self.webhook_url.into(),
        })
    }
}

/// Limits as they stand, and the secret of the URL.
#[derive(SimpleObject)]
pub struct UpdatedSpend {
    /// The limits, and what has been spent.
    pub settings: Spend,
    /// `whsec_…`: what libraries of Standard Webhooks verify the messages with; null: no URL was given. Shown here only.
    pub webhook_secret: Option<String>,
}

impl From<Updated> for UpdatedSpend {
    fn from(it: Updated) -> Self {
        Self {
            settings: it.spend.into(),
            webhook_secret: it.secret,
        }
    }
}

payload! {
    /// Result of `updateSpendSettings`.
    UpdateSpendSettingsPayload {
        /// The limits from now on; null when they were refused.
        spend: UpdatedSpend
    }
}

/// A test to the URL of a customer.
#[derive(InputObject)]
pub struct SendTestSpendWebhookInput {
    /// The customer by id.
    pub customer_id: Option<ID>,
    /// The customer by the vendor's own name.
    pub external_customer_id: Option<String>,
    /// Chosen by the caller; repeating a request with it sends nothing more.
    pub idempotency_key: String,
}

/// Writes of spend management.
#[derive(Default)]
pub struct SpendMutation;

#[Object]
impl SpendMutation {
    /// Says how much a customer wants to spend in a day and in a month. What it has used before counts: a limit that is reached already is
    /// told at once. Needs `customer:write`.
    async fn update_spend_settings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateSpendSettingsInput,
    ) -> async_graphql::Result<UpdateSpendSettingsPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match input.command() {
            Ok(command) => spend::update(app, actor, command).await,
            Err(error) => Err(error),
        };
        UpdateSpendSettingsPayload::from_outcome(plain(outcome), UpdatedSpend::from)
    }

    /// Sends an event of the type `webhook.test` to the URL that hears of a customer's limits. Needs `webhook:write`, for all customers.
    async fn send_test_spend_webhook(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose URL.")] input: SendTestSpendWebhookInput,
    ) -> async_graphql::Result<WebhookDeliveryPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match customer_ref(input.customer_id, input.external_customer_id) {
            Ok(who) => spend::send_test(app, actor, &who, &input.idempotency_key).await,
            Err(error) => Err(error),
        };
        WebhookDeliveryPayload::from_outcome(outcome, WebhookDelivery::from)
    }
}
