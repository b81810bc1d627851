//! The gate: may this customer go on?

use crate::{
    amount::{Credits, Quantity},
    credit::block::Block,
    customer::{AtZero, Terms},
    id::MetricId,
    metering::{Position, Price},
    time::Timestamp,
};

/// Which limit decided a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The credits are used up, and the customer's policy is to stop.
    InsufficientCredits,
    /// The overage line is reached.
    OverageLimitReached,
}

/// What the gate looks at.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The customer's terms.
    pub terms: &'a Terms,
    /// Every block with credits left.
    pub blocks: &'a [Block],
    /// What no block could cover.
    pub overdraft: Credits,
    /// The price in force; `None`: the metric is free of charge.
    pub price: Option<&'a Price>,
    /// How far the cycle's count has come.
    pub position: Position,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
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
}

/// Decides about `units` more of a metric at an instant. The prices are those of the drain.
#[must_use]
pub fn decide(view: &View<'_>, metric: MetricId, units: Quantity, now: Timestamp) -> Decision {
    let usable = view
        .blocks
        .iter()
        .filter(|block| block.is_open_at(now) && block.pays_for(metric));
    let blocks: i128 = usable.map(|block| i128::from(block.remaining.raw())).sum();
    let remaining = blocks - i128::from(view.overdraft.raw());
    let remaining = remaining.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    let remaining = Credits::from_raw(i64::try_from(remaining).unwrap_or(i64::MAX));
    let available = view.terms.available(remaining, Credits::ZERO);
    let cost = match view.price {
        Some(price) => view
            .position
            .after(units)
            .and_then(|to| price.between(view.position, to))
            .ok(),
        None => Some(Credits::ZERO),
    };
    let affordable_units = match (available, view.price) {
        (Some(budget), Some(price)) => price.affordable(view.position, budget),
        _ => None,
    };
    let allowed = match (available, cost) {
        (None, _) => true,
        (Some(budget), Some(cost)) => cost <= budget,
        (Some(_), None) => false,
    };
    let limit = match view.terms.at_zero {
        AtZero::AllowUpTo => Reason::OverageLimitReached,
        AtZero::Block | AtZero::Allow => Reason::InsufficientCredits,
    };
    Decision {
        allowed,
        reason: (!allowed).then_some(limit),
        cost,
        available,
        affordable_units,
    }
}
