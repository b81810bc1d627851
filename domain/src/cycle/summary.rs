//! What a cycle came to, in the words of source P4.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Cycle;
use crate::{
    amount::{Credits, Overflow, Quantity},
    id::MetricId,
    usage::{Counter, CounterKey},
};

/// Use of one metric.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricUsage {
    /// Units used.
    pub units: Quantity,
    /// Credits that they cost.
    pub credits: Credits,
}

/// The usage of a cycle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// What the usage counted in the cycle cost, whatever paid for it (overdraft included).
    pub total_credits_consumed: Credits,
    /// The customer's balance (blocks minus overdraft) once the grants of the cycle were made.
    pub net_balance_at_cycle_start: Credits,
    /// The customer's balance at the end of the cycle, when all usage accepted until then was debited and nothing had expired yet.
    pub net_balance_at_cycle_end: Credits,
    /// By metric.
    pub by_metric: BTreeMap<MetricId, MetricUsage>,
}

impl Summary {
    /// The summary of a cycle from the counts of its stretches: one per metric and line of prices.
    ///
    /// # Errors
    /// Totals outside their range.
    pub fn of<'a>(
        cycle: &Cycle,
        counts: impl IntoIterator<Item = (&'a CounterKey, &'a Counter)>,
    ) -> Result<Self, Overflow> {
        let mut by_metric: BTreeMap<MetricId, MetricUsage> = BTreeMap::new();
        for (key, count) in counts {
            let usage = by_metric.entry(key.metric).or_default();
            usage.units = usage.units.plus(count.position.units)?;
            usage.credits = usage.credits.plus(count.credits)?;
        }
        Ok(Self {
            total_credits_consumed: Credits::total(by_metric.values().map(|usage| usage.credits))?,
            net_balance_at_cycle_start: cycle.balance_at_start,
            net_balance_at_cycle_end: cycle.balance_at_end,
            by_metric,
        })
    }
}
