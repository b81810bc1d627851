//! Lines for usage: one for each metric of a cycle.

use serde::{Deserialize, Serialize};

use super::line::{Detail, Line};
use crate::{
    amount::{Credits, Overflow, Quantity, Rate},
    id::MetricId,
    metering::{Graduated, Position, Price, Volume},
    money::{Currency, Money, MoneyError},
    plan::money_price::{CreditPrice, MoneyPrice},
    time::Period,
};

/// The credits that a metric's usage cost, by what paid for them. Each is zero or more.
///
/// An overdraft that a purchase has repaid since counts as covered: it was paid with credits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditsUsed {
    /// In all: the three parts `covered`, `budget` and `overdraft`.
    pub total: Credits,
    /// From blocks that are prepaid or free, and what was written off.
    pub covered: Credits,
    /// From budgets: credits that are billed afterwards.
    pub budget: Credits,
    /// From no block.
    pub overdraft: Credits,
    /// Of what counts as covered, what the vendor has taken upon itself.
    #[serde(default)]
    pub written_off: Credits,
}

/// What a cycle came to for one metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricBill {
    /// Which metric.
    pub metric: MetricId,
    /// What it is called, such as `API calls`.
    pub name: String,
    /// What one unit is called, such as `call`.
    pub unit: String,
    /// How much was used.
    pub position: Position,
    /// The credits that it cost.
    pub credits: CreditsUsed,
    /// What the metric costs in money; `None`: it goes by credits.
    pub money_price: Option<MoneyPrice>,
    /// What a credit costs, for metrics without a price in money; `None`: credits are not billed.
    pub credit_price: Option<CreditPrice>,
}

/// Why there is no line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BillError {
    /// The credits do not add up, or a part is negative: the caller has counted wrong.
    #[error("the credits of the usage do not add up to their total")]
    DoesNotAddUp,
    /// The price is in another currency than the invoice, or an amount is outside its range.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

impl From<Overflow> for BillError {
    fn from(no: Overflow) -> Self {
        Self::Money(no.into())
    }
}

/// The price that a line was made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Pricing {
    /// The metric's own price in money.
    Metric(MoneyPrice),
    /// The price of a credit.
    Credit(CreditPrice),
    /// None: the usage is shown and not billed.
    Nothing,
}

/// What a part of a usage line counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Counts {
    /// Units of the metric.
    Units,
    /// Events, whatever their units.
    Events,
    /// Started packages of units.
    Packages,
    /// Credits.
    Credits,
}

/// A part of a usage line: so many of something at one price. One for each tier that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What is counted.
    pub counts: Counts,
    /// The tier begins above this count; zero where there are no tiers.
    pub above: Quantity,
    /// Last count of the tier (inclusive); `None`: it has no end, or there are no tiers.
    pub up_to: Option<Quantity>,
    /// How many, more than zero.
    pub quantity: Quantity,
    /// What one costs, in major units of the currency.
    pub unit_price: Rate,
    /// What all cost. Sums of parts are rounded and not the parts, so that they add up to the full amount; one alone may be off by one minor
    /// unit from `quantity` × `unit_price`.
    pub amount: Money,
}

/// Usage of a metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Which metric.
    pub metric: MetricId,
    /// What it was called.
    pub name: String,
    /// What one unit was called.
    pub unit: String,
    /// Units used.
    pub units: Quantity,
    /// Events counted.
    pub events: i64,
    /// The credits that it cost.
    pub credits: CreditsUsed,
    /// The price that it was billed with.
    pub pricing: Pricing,
    /// The full amount, tier by tier.
    pub parts: Vec<Part>,
    /// What all of it is worth.
    pub full: Money,
    /// What of that prepaid or free credits have paid for, or was written off. The line bills the rest.
    pub covered: Money,
}

/// The line for a metric's usage in a cycle, in the currency of the invoice.
///
/// The full amount is what all usage costs: by the metric's own price, else by the price of a credit, else nothing. Of it the line
/// bills the share of the credits that came from budgets and overdraft, rounded once, half to even (source P1: what is over the
/// prepaid credits is billed). By a metric's price that is the share of the full amount as it is shown; by the price of a credit it is
/// what those credits cost. Usage with a price that cost no credits was covered by none, so it is billed in full.
///
/// # Errors
/// Credits that do not add up, a price in another currency, or an amount outside its range.
pub fn line(bill: &MetricBill, period: Period, currency: Currency) -> Result<Line, BillError> {
    let credits = bill.credits;
    let parts = [credits.covered, credits.budget, credits.overdraft];
    if parts.iter().any(|part| part.is_negative()) || Credits::total(parts)? != credits.total {
        return Err(BillError::DoesNotAddUp);
    }
    let billable = credits.budget.plus(credits.overdraft)?;
    let (pricing, parts, full, amount) = match (&bill.money_price, bill.credit_price) {
        (Some(price), _) => {
            let full = price.cumulative(bill.position)?;
            let amount = if credits.total.is_zero() {
                full
            } else {
                full.share(billable.raw(), credits.total.raw())?
            };
            let parts = parts_of(price, bill.position)?;
            (Pricing::Metric(price.clone()), parts, full, amount)
        }
        (None, Some(price)) => {
            let full = price.of(credits.total)?;
            let parts = credit_parts(price, credits.total, full);
            // The exact share of the exact full amount.
            (Pricing::Credit(price), parts, full, price.of(billable)?)
        }
        (None, None) => {
            let nothing = Money::of(0, currency);
            (Pricing::Nothing, Vec::new(), nothing, nothing)
        }
    };
    if full.currency != currency {
        return Err(MoneyError::Currencies(currency, full.currency).into());
    }
    Ok(Line {
        description: bill.name.clone(),
        period: Some(period),
        amount,
        detail: Detail::Usage(Usage {
            metric: bill.metric,
            name: bill.name.clone(),
            unit: bill.unit.clone(),
            units: bill.position.units,
            events: bill.position.events,
            credits,
            pricing,
            parts,
            full,
            covered: full.plus(amount.negated()?)?,
        }),
        note: None,
    })
}

/// The full amount of a price in money, tier by tier.
fn parts_of(price: &MoneyPrice, position: Position) -> Result<Vec<Part>, Overflow> {
    let units = position.units;
    let one = |counts, quantity: Quantity, unit_price| -> Result<Vec<Part>, Overflow> {
        let amount = price.cumulative(position)?;
        Ok(single(counts, quantity, unit_price, amount))
    };
    match &price.price {
        Price::Flat(flat) => one(Counts::Events, Quantity::whole(position.events)?, flat.credits),
        Price::PerUnit(per_unit) => one(Counts::Units, units, per_unit.credits_per_unit),
        Price::Package(package) => one(
            Counts::Packages,
            Quantity::whole(package.started(units))?,
            package.credits_per_package,
        ),
        Price::Graduated(graduated) => graduated_parts(graduated, price, position),
        Price::Volume(volume) => Ok(volume_parts(volume, units, price.cumulative(position)?)),
    }
}

/// A single part, or none where nothing was used.
fn single(counts: Counts, quantity: Quantity, unit_price: Rate, amount: Money) -> Vec<Part> {
    let part = Part {
        counts,
        above: Quantity::ZERO,
        up_to: None,
        quantity,
        unit_price,
        amount,
    };
    if quantity.is_positive() {
        vec![part]
    } else {
        Vec::new()
    }
}

/// One part for each tier reached. A tier's amount is the rounded cost up to its end less the rounded cost up to its beginning.
fn graduated_parts(
    graduated: &Graduated,
    price: &MoneyPrice,
    position: Position,
) -> Result<Vec<Part>, Overflow> {
    let mut parts = Vec::new();
    let (mut above, mut before) = (Quantity::ZERO, 0_i64);
    for tier in &graduated.tiers {
        if position.units <= above {
            break;
        }
        let end = tier.up_to.map_or(position.units, |end| end.min(position.units));
        let so_far = price.cumulative(Position {
            units: end,
            ..position
        })?;
        let minor = so_far.minor.checked_sub(before).ok_or(Overflow)?;
        parts.push(Part {
            counts: Counts::Units,
            above,
            up_to: tier.up_to,
            quantity: end.minus(above)?,
            unit_price: tier.credits_per_unit,
            amount: Money { minor, ..so_far },
        });
        (above, before) = (end, so_far.minor);
    }
    Ok(parts)
}

/// All units at the price of the tier reached.
fn volume_parts(volume: &Volume, units: Quantity, amount: Money) -> Vec<Part> {
    let mut above = Quantity::ZERO;
    for tier in &volume.tiers {
        match tier.up_to {
            Some(end) if units > end => above = end,
            up_to => {
                let parts = single(Counts::Units, units, tier.credits_per_unit, amount);
                return parts
                    .into_iter()
                    .map(|part| Part { above, up_to, ..part })
                    .collect();
            }
        }
    }
    Vec::new()
}

fn credit_parts(price: CreditPrice, credits: Credits, amount: Money) -> Vec<Part> {
    // A credit is a million micro-credits as a unit is a million micro-units.
    single(
        Counts::Credits,
        Quantity::from_raw(credits.raw()),
        price.per_credit,
        amount,
    )
}

#[cfg(test)]
mod tests;
