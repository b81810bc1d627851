//! The gate: may this customer go on?

use app::{
    Actor, App,
    error::Result,
    gate::{self, Reason},
};
use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};

use super::{
    caller,
    catalog::properties,
    customer::customer_ref,
    error::top_level,
    scalar::{DateTime, Decimal, Json},
    spend::BudgetLeft,
};

/// What stands against going on. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Reason")]
pub enum EntitlementReason {
    /// The credits are used up, and the customer's policy is to stop.
    InsufficientCredits,
    /// The overage line is reached.
    OverageLimitReached,
    /// The renewal of the subscription is overdue, and its plan allows no usage meanwhile. It helps to renew, not to add credits.
    SubscriptionOverdue,
    /// The subscription is paused. It helps to resume it, not to add credits.
    SubscriptionPaused,
    /// The customer's own budget of the day is spent. It is over at `resetsAt`.
    DailyBudgetReached,
    /// The customer's own budget of the month is spent. It is over at `resetsAt`.
    MonthlyBudgetReached,
    /// There is no such customer. The server's settings decide whether an unknown customer may go on; by default it may not.
    UnknownCustomer,
    /// What is known of the customer is too old or cannot be counted. The server's settings decide whether customers may go on
    /// meanwhile; by default they may not.
    Outage,
}

/// Whether a customer may go on. A refusal is an answer, not an error.
///
/// The terms add up: `available = max(0, min(remaining + overageLine - held, dailyBudget.left, monthlyBudget.left))`, where budgets count only if
/// they are enforced.
#[derive(SimpleObject)]
pub struct Entitlement {
    /// Whether the customer may go on.
    pub allowed: bool,
    /// What stands against it; null when nothing does.
    pub reason: Option<EntitlementReason>,
    /// What the asked units would cost, in credits; null when it cannot be expressed.
    pub cost: Option<Decimal>,
    /// Credits in the blocks that may pay for this metric, minus the overdraft and the undebited usage; may be negative. Null when
    /// the customer is not known.
    pub remaining: Option<Decimal>,
    /// How far below zero the customer's policy allows, in credits. Null when the customer is not known.
    pub overage_line: Option<Decimal>,
    /// What open reservations claim of the credits that may pay for this metric, at present prices. Null when the customer is not known.
    pub held: Option<Decimal>,
    /// The cost, in credits, of accepted usage that is counted here and not debited yet. Null when the customer is not known.
    pub undebited: Option<Decimal>,
    /// Credits left to spend on this metric, including the overage line; null: no limit.
    pub available: Option<Decimal>,
    /// Credits that would have to be added for the asked units; zero when the credits suffice, null when it cannot be expressed. Budgets do not
    /// count here: credits do not help against them.
    pub missing: Option<Decimal>,
    /// What is left of the customer's own budget of the day; null: it has none.
    pub daily_budget: Option<BudgetLeft>,
    /// What is left of the customer's own budget of the month; null: it has none.
    pub monthly_budget: Option<BudgetLeft>,
    /// What a budget that is only observed would have said; null: it would not refuse, or none is observed.
    pub would_refuse: Option<EntitlementReason>,
    /// When what stands against it is over by itself; null: it is not, or nothing does.
    pub resets_at: Option<DateTime>,
    /// Units left to spend on; null: no limit.
    pub affordable_units: Option<Decimal>,
    /// When this was so. An answer is never older than a second.
    pub as_of: DateTime,
}

impl From<gate::Entitlement> for Entitlement {
    fn from(answer: gate::Entitlement) -> Self {
        Self {
            allowed: answer.allowed,
            reason: answer.reason.map(EntitlementReason::from),
            cost: answer.cost.map(Decimal::from),
            remaining: answer.remaining.map(Decimal::from),
            overage_line: answer.overage_line.map(Decimal::from),
            held: answer.held.map(Decimal::from),
            undebited: answer.undebited.map(Decimal::from),
            available: answer.available.map(Decimal::from),
            missing: answer.missing.map(Decimal::from),
            daily_budget: answer.daily.map(BudgetLeft::from),
            monthly_budget: answer.monthly.map(BudgetLeft::from),
            would_refuse: answer.would_refuse.map(EntitlementReason::from),
            resets_at: answer.resets_at.map(DateTime),
            affordable_units: answer.affordable_units.map(Decimal::from),
            as_of: answer.as_of.into(),
        }
    }
}

/// A question to the gate. Name the customer by exactly one of the two.
#[derive(InputObject)]
pub struct EntitlementCheckInput {
    /// The customer by id.
    pub customer_id: Option<ID>,
    /// The customer by the vendor's own name.
    pub external_customer_id: Option<String>,
    /// Key of the metric.
    pub metric_key: String,
    /// How many units more; 1 by default.
    pub units: Option<Decimal>,
    /// Facts that a rule may match on.
    pub properties: Option<Json>,
}

impl EntitlementCheckInput {
    fn question(self) -> Result<gate::Check> {
        Ok(gate::Check {
            customer: customer_ref(self.customer_id, self.external_customer_id)?,
            metric_key: self.metric_key,
            units: self.units.unwrap_or(Decimal("1".to_owned())).quantity("units")?,
            properties: self::properties(self.properties, "properties")?,
        })
    }
}

/// Questions to the gate.
#[derive(Default)]
pub struct GateQuery;

#[Object]
impl GateQuery {
    /// Whether a customer may use some more of a metric. Answered from memory, counting the usage that was accepted and is not
    /// debited yet. Never writes. Needs `entitlement:read`.
    async fn entitlement(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The customer by id.")] customer_id: Option<ID>,
        #[graphql(desc = "The customer by the vendor's own name.")] external_customer_id: Option<String>,
        #[graphql(desc = "Key of the metric.")] metric_key: String,
        #[graphql(desc = "How many units more; 1 by default.")] units: Option<Decimal>,
        #[graphql(desc = "Facts that a rule may match on.")] properties: Option<Json>,
    ) -> async_graphql::Result<Entitlement> {
        let (app, actor) = caller(ctx)?;
        let asked = EntitlementCheckInput {
            customer_id,
            external_customer_id,
            metric_key,
            units,
            properties,
        };
        answer(app, actor, asked).await
    }

    /// Several questions to the gate at once, answered in order: at most 100, of any customers and metrics. Needs
    /// `entitlement:read`.
    #[graphql(complexity = "checks.len() * child_complexity")]
    async fn entitlements(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The questions.")] checks: Vec<EntitlementCheckInput>,
    ) -> async_graphql::Result<Vec<Entitlement>> {
        let (app, actor) = caller(ctx)?;
        let questions = checks
            .into_iter()
            .enumerate()
            .map(|(index, asked)| {
                asked
                    .question()
                    .map_err(|no| no.under(&format!("checks.{index}")))
            })
            .collect::<Result<Vec<_>>>()
            .map_err(top_level)?;
        let answers = gate::check_many(app, actor, &questions)
            .await
            .map_err(top_level)?;
        Ok(answers.into_iter().map(Entitlement::from).collect())
    }
}

/// Answers a question.
pub(crate) async fn answer(
    app: &App,
    actor: &Actor,
    asked: EntitlementCheckInput,
) -> async_graphql::Result<Entitlement> {
    let question = asked.question().map_err(top_level)?;
    let answer = gate::check(app, actor, &question).await.map_err(top_level)?;
    Ok(answer.into())
}
