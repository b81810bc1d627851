//! The gate: may this customer go on?
//!
//! One check reads five rows' worth of state in seven statements and never writes.

use domain::{
    amount::{Credits, Quantity},
    gate::{Reason, View, decide},
    id::MetricId,
    metering::{Position, rule::Properties, rule::select},
    rejection::Rejection,
    time::Timestamp,
};

use crate::{
    App,
    actor::{Actor, Scope},
    catalog, credit,
    customer::{self, CustomerRef},
    error::{Error, Result},
    measure, usage,
};

/// The answer of the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entitlement {
    /// Whether the customer may go on.
    pub allowed: bool,
    /// Which limit said no.
    pub reason: Option<Reason>,
    /// What the asked units would cost; `None` when it cannot be expressed.
    pub cost: Option<Credits>,
    /// Credits left to spend on this metric; `None`: no limit.
    pub available: Option<Credits>,
    /// Units left to spend on; `None`: no limit.
    pub affordable_units: Option<Quantity>,
    /// When this was so.
    pub as_of: Timestamp,
}

/// A question to the gate.
#[derive(Debug, Clone)]
pub struct Check {
    /// Who.
    pub customer: CustomerRef,
    /// What.
    pub metric_key: String,
    /// How much.
    pub units: Quantity,
    /// Facts that a rule may match on.
    pub properties: Properties,
}

/// Checks whether a customer may use some more of a metric. The prices are those of the drain.
///
/// # Errors
/// No such customer or metric, or negative units.
pub async fn check(app: &App, actor: &Actor, question: Check) -> Result<Entitlement> {
    actor.require(Scope::EntitlementRead)?;
    if question.units.is_negative() {
        return Err(Rejection::invalid("units", "units must not be negative").into());
    }
    let begun = std::time::Instant::now();
    let now = app.now();
    let db = app.db().reader();
    let customer = customer::resolve(db, actor.reach(), &question.customer).await?;
    let keys = std::slice::from_ref(&question.metric_key);
    let metric: MetricId = catalog::metric_ids_in(db, actor.tenant, keys, "metricKey").await?[0];
    let book = catalog::rule_book_in(db, &[metric]).await?;
    let rule = book
        .get(&metric)
        .and_then(|metric| select(&metric.rules, &question.properties, now, now));
    let (account, terms) = credit::standing(db, actor.reach(), customer)
        .await?
        .ok_or_else(|| Error::Internal(format!("{customer} has no account")))?;
    let blocks = credit::open_blocks(db, customer).await?;
    let position: Position = usage::position(db, customer, metric, rule.map(|rule| rule.line), now).await?;
    let view = View {
        terms: &terms,
        blocks: &blocks,
        overdraft: account.overdraft,
        price: rule.map(|rule| &rule.price),
        position,
    };
    let decision = decide(&view, metric, question.units, now);
    measure::checked(decision.allowed, decision.reason, false, begun);
    Ok(Entitlement {
        allowed: decision.allowed,
        reason: decision.reason,
        cost: decision.cost,
        available: decision.available,
        affordable_units: decision.affordable_units,
        as_of: now,
    })
}
