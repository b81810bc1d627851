//! The gate: may this customer go on?

use app::{Actor, App, error::Result, gate};
use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use domain::gate::Reason;

use super::{
    caller,
    catalog::properties,
    customer::customer_ref,
    error::top_level,
    scalar::{DateTime, Decimal, Json},
};

/// Which limit said no. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Reason")]
pub enum EntitlementReason {
    /// The credits are used up, and the customer's policy is to stop.
    InsufficientCredits,
    /// The overage line is reached.
    OverageLimitReached,
}

/// Whether a customer may go on. A refusal is an answer, not an error.
#[derive(SimpleObject)]
pub struct Entitlement {
    /// Whether the customer may go on.
    pub allowed: bool,
    /// Which limit said no; null when allowed.
    pub reason: Option<EntitlementReason>,
    /// What the asked units would cost, in credits; null when it cannot be expressed.
    pub cost: Option<Decimal>,
    /// Credits left to spend on this metric, including the overage line; null: no limit.
    pub available: Option<Decimal>,
    /// Units left to spend on; null: no limit.
    pub affordable_units: Option<Decimal>,
    /// When this was so.
    pub as_of: DateTime,
}

/// Questions to the gate.
#[derive(Default)]
pub struct GateQuery;

#[Object]
impl GateQuery {
    /// Whether a customer may use some more of a metric. Never writes. Needs `entitlement:read`.
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
        let asked = Asked {
            customer_id,
            external_customer_id,
            metric_key,
            units,
            properties,
        };
        answer(app, actor, asked).await
    }
}

/// A question to the gate as it is asked.
pub(crate) struct Asked {
    pub(crate) customer_id: Option<ID>,
    pub(crate) external_customer_id: Option<String>,
    pub(crate) metric_key: String,
    pub(crate) units: Option<Decimal>,
    pub(crate) properties: Option<Json>,
}

/// Answers a question.
pub(crate) async fn answer(app: &App, actor: &Actor, asked: Asked) -> async_graphql::Result<Entitlement> {
    let check = || -> Result<gate::Check> {
        Ok(gate::Check {
            customer: customer_ref(asked.customer_id, asked.external_customer_id)?,
            metric_key: asked.metric_key,
            units: asked.units.unwrap_or(Decimal("1".to_owned())).quantity("units")?,
            properties: self::properties(asked.properties, "properties")?,
        })
    };
    let answer = gate::check(app, actor, check().map_err(top_level)?)
        .await
        .map_err(top_level)?;
    Ok(Entitlement {
        allowed: answer.allowed,
        reason: answer.reason.map(EntitlementReason::from),
        cost: answer.cost.map(Decimal::from),
        available: answer.available.map(Decimal::from),
        affordable_units: answer.affordable_units.map(Decimal::from),
        as_of: answer.as_of.into(),
    })
}
