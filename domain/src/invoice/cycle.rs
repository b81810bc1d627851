//! The lines of a cycle that has closed: its fee, what changes of plan left, and its usage metric by metric.

use std::collections::{BTreeMap, HashMap};

use super::{
    fee,
    line::Line,
    usage::{self, BillError, CreditsUsed, MetricBill},
};
use crate::{
    amount::{Credits, Overflow},
    credit::{block::Billing, draws::Purse},
    customer::Settlement,
    cycle::Cycle,
    id::{BlockId, MetricId},
    metering::Position,
    money::Currency,
    plan::variant::Variant,
    subscription::MoneyLine,
    usage::{Counter, CounterKey},
};

/// What a metric is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its name, such as `API calls`.
    pub name: String,
    /// What one unit is called, such as `call`.
    pub unit: String,
}

/// What the invoice of a cycle is made of.
#[derive(Debug, Clone, Copy)]
pub struct CycleBill<'a> {
    /// The cycle.
    pub cycle: &'a Cycle,
    /// What it was agreed to cost.
    pub variant: &'a Variant,
    /// What plan and variant are called.
    pub plan: &'a str,
    /// What changes of plan within the cycle left to be billed or to go back. A cycle that a change began has its own share of the
    /// fee among them.
    pub changes: &'a [MoneyLine],
    /// What was used in it.
    pub counts: &'a [(CounterKey, Counter)],
    /// What the metrics are called.
    pub metrics: &'a BTreeMap<MetricId, Named>,
    /// How the blocks are billed that paid.
    pub blocks: &'a HashMap<BlockId, Billing>,
    /// Who pays back an overdraft.
    pub settlement: Settlement,
    /// The customer's overdraft now.
    pub overdraft: Credits,
}

/// What a cycle comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CycleLines {
    /// What is billed, in order.
    pub lines: Vec<Line>,
    /// Overdraft that they bill, and that is to be settled with them; zero or more.
    pub settles: Credits,
}

impl CycleBill<'_> {
    /// In which currency the cycle is billed; `None`: nothing of it has a price.
    #[must_use]
    pub fn currency(&self) -> Option<Currency> {
        let variant = self.variant;
        let prices = variant.money_prices.values().map(|price| price.currency);
        let credit = variant.credit_price.map(|price| price.currency);
        let fee = variant.fee.map(|fee| fee.currency);
        let changes = self.changes.iter().map(|change| change.amount.currency);
        fee.into_iter().chain(credit).chain(prices).chain(changes).next()
    }

    /// The lines in a currency. What changes of plan left in another one waits for a cycle that is billed in that. Usage that no block covered is billed where the customer settles by the next invoice (sources P2 and P4), as far as it
    /// has not been settled otherwise since; elsewhere it is shown as covered, because a purchase or somebody's hand pays for it.
    ///
    /// # Errors
    /// Several currencies, or amounts outside their range.
    pub fn lines(&self, currency: Currency) -> Result<CycleLines, BillError> {
        let mut lines: Vec<Line> = self
            .fees()?
            .iter()
            .filter(|money| money.amount.currency == currency)
            .map(|money| fee::line(self.plan, money))
            .collect();
        let mut settles = Credits::ZERO;
        for (metric, (position, mut credits)) in self.usage()? {
            let owed = match self.settlement {
                Settlement::NextInvoice => self.overdraft.minus(settles)?.min(credits.overdraft),
                Settlement::NextPurchase | Settlement::Manual => Credits::ZERO,
            };
            credits.covered = credits.covered.plus(credits.overdraft.minus(owed)?)?;
            credits.overdraft = owed;
            settles = settles.plus(owed)?;
            let named = self.metrics.get(&metric);
            let bill = MetricBill {
                metric,
                name: named.map_or_else(|| metric.to_string(), |named| named.name.clone()),
                unit: named.map_or_else(String::new, |named| named.unit.clone()),
                position,
                credits,
                money_price: self.variant.money_prices.get(&metric).cloned(),
                credit_price: self.variant.credit_price,
            };
            lines.push(usage::line(&bill, self.cycle.period, currency)?);
        }
        Ok(CycleLines { lines, settles })
    }

    /// The fee of the cycle, and what changes of plan left of it and of others. A trial is free.
    fn fees(&self) -> Result<Vec<MoneyLine>, Overflow> {
        let mut fees = Vec::new();
        let start = self.cycle.period.start;
        let began_by_change = self.changes.iter().any(|change| {
            change.variant == self.variant.id && change.period.start == start && change.amount.minor > 0
        });
        if let Some(fee) = self.variant.fee.filter(|_| !self.cycle.trial && !began_by_change) {
            let amount = self.cycle.worth().of_money(fee)?;
            if amount.minor != 0 {
                fees.push(MoneyLine {
                    variant: self.variant.id,
                    period: self.cycle.period,
                    amount,
                });
            }
        }
        fees.extend_from_slice(self.changes);
        Ok(fees)
    }

    /// What was used of each metric, and what paid for it.
    fn usage(&self) -> Result<BTreeMap<MetricId, (Position, CreditsUsed)>, Overflow> {
        let mut all: BTreeMap<MetricId, (Position, CreditsUsed)> = BTreeMap::new();
        for (key, count) in self.counts {
            let (position, credits) = all.entry(key.metric).or_default();
            position.units = position.units.plus(count.position.units)?;
            position.events = position
                .events
                .checked_add(count.position.events)
                .ok_or(Overflow)?;
            credits.total = credits.total.plus(count.credits)?;
            for draw in count.draws.as_slice() {
                let part = match draw.from {
                    Purse::Overdraft => &mut credits.overdraft,
                    Purse::Block(block) if self.blocks.get(&block) == Some(&Billing::Budget) => {
                        &mut credits.budget
                    }
                    Purse::Block(_) => &mut credits.covered,
                };
                *part = part.plus(draw.credits)?;
            }
        }
        for (_, credits) in all.values_mut() {
            // What was put back by hand, or lapsed, stands behind no purse any more: it is not billed.
            let drawn = credits.budget.plus(credits.overdraft)?;
            credits.covered = credits.total.minus(drawn)?;
        }
        all.retain(|_, (position, _)| position.events > 0);
        Ok(all)
    }
}
