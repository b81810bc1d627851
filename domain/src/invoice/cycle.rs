//! The lines of a cycle that has closed: its fee, what changes of plan left, and its usage metric by metric.

use std::collections::{BTreeMap, HashMap};

use super::{
    fee,
    line::{Detail, Line},
    usage::{self, BillError, CreditsUsed, MetricBill},
};
use crate::{
    amount::{Credits, Overflow},
    credit::{block::Billing, draws::Purse},
    customer::Settlement,
    cycle::Cycle,
    id::{BlockId, MetricId},
    metering::Position,
    money::{Currency, Money},
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

/// What earlier invoices of a cycle have billed of a metric.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Billed {
    /// In minor units of the currency of the invoices.
    pub minor: i64,
    /// The overdraft among it.
    pub overdraft: Credits,
}

impl Billed {
    /// What invoices of one cycle have billed, in the order in which they were made.
    #[must_use]
    pub fn by<'a>(lines: impl IntoIterator<Item = &'a Line>) -> BTreeMap<MetricId, Self> {
        let mut all: BTreeMap<MetricId, Self> = BTreeMap::new();
        for line in lines {
            let Detail::Usage(used) = &line.detail else {
                continue;
            };
            let billed = all.entry(used.metric).or_default();
            billed.minor = billed.minor.saturating_add(line.amount.minor);
            // Each line counts the whole cycle.
            billed.overdraft = used.credits.overdraft;
        }
        all
    }
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
        for (metric, used) in self.usage()? {
            let (line, owed) = self.usage_line(metric, used, Credits::ZERO, settles, currency)?;
            settles = settles.plus(owed)?;
            lines.push(line);
        }
        Ok(CycleLines { lines, settles })
    }

    /// The lines of usage that has come after the cycle was billed, priced with all of it by the tiers of the cycle: of each metric what it
    /// costs now beyond what was `billed`. What has become less is not given back by itself: that is a credit note.
    ///
    /// # Errors
    /// Several currencies, or amounts outside their range.
    pub fn late_lines(
        &self,
        billed: &BTreeMap<MetricId, Billed>,
        currency: Currency,
    ) -> Result<CycleLines, BillError> {
        let mut late = CycleLines {
            lines: Vec::new(),
            settles: Credits::ZERO,
        };
        for (metric, used) in self.usage()? {
            let before = billed.get(&metric).copied().unwrap_or_default();
            let (line, owed) = self.usage_line(metric, used, before.overdraft, late.settles, currency)?;
            let minor = line.amount.minor.saturating_sub(before.minor);
            if minor > 0 {
                late.settles = late.settles.plus(owed)?;
                let amount = Money { minor, ..line.amount };
                late.lines
                    .push(Line { amount, ..line }.noted("usage that came after its cycle was billed"));
            }
        }
        Ok(late)
    }

    /// The line of a metric, and the overdraft that it is the first to bill: `before` was billed earlier, and `settles` by other lines.
    fn usage_line(
        &self,
        metric: MetricId,
        (position, mut credits): (Position, CreditsUsed),
        before: Credits,
        settles: Credits,
        currency: Currency,
    ) -> Result<(Line, Credits), BillError> {
        let before = before.min(credits.overdraft);
        let owed = match self.settlement {
            Settlement::NextInvoice => {
                let open = self.overdraft.minus(settles)?.max(Credits::ZERO);
                open.min(credits.overdraft.minus(before)?)
            }
            Settlement::NextPurchase | Settlement::Manual => Credits::ZERO,
        };
        let billed = before.plus(owed)?;
        credits.covered = credits.covered.plus(credits.overdraft.minus(billed)?)?;
        credits.overdraft = billed;
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
        Ok((usage::line(&bill, self.cycle.period, currency)?, owed))
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
                    Purse::WrittenOff => &mut credits.written_off,
                    Purse::Block(_) => &mut credits.covered,
                };
                *part = part.plus(draw.credits)?;
            }
        }
        for (_, credits) in all.values_mut() {
            // What was put back by hand, or lapsed, stands behind no purse any more: it is not billed. No more is what was written off.
            let drawn = credits.budget.plus(credits.overdraft)?;
            credits.covered = credits.total.minus(drawn)?;
        }
        all.retain(|_, (position, _)| position.events > 0);
        Ok(all)
    }
}
