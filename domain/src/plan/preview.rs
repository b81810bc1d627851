//! What would so many units cost? The answer of `pricePreview`, and the lines of an invoice.

use super::money_price::MoneyPrice;
use crate::{
    amount::{Credits, Overflow, Quantity},
    metering::{Position, Price},
    money::Money,
};

/// A stretch of the count with one price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<Amount> {
    /// Units in the stretch.
    pub units: Quantity,
    /// What they cost. The lines of a preview add up to its total.
    pub amount: Amount,
}

/// What units cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview<Amount> {
    /// In all.
    pub total: Amount,
    /// By tier, for graduated prices; one line for all others.
    pub lines: Vec<Line<Amount>>,
}

/// What `units` more, recorded as one event, cost in credits for a count that has come to `from`.
///
/// # Errors
/// A count or cost outside its range.
pub fn in_credits(price: &Price, from: Position, units: Quantity) -> Result<Preview<Credits>, Overflow> {
    let mut lines = Vec::new();
    for step in steps(price, from, units)? {
        lines.push(Line {
            units: step.units,
            amount: price.between(step.from, step.to)?,
        });
    }
    Ok(Preview {
        total: Credits::total(lines.iter().map(|line| line.amount))?,
        lines,
    })
}

/// What `units` more, recorded as one event, cost in money for a count that has come to `from`.
///
/// # Errors
/// A count or cost outside its range.
pub fn in_money(price: &MoneyPrice, from: Position, units: Quantity) -> Result<Preview<Money>, Overflow> {
    let currency = price.currency;
    let mut lines = Vec::new();
    let mut total = 0_i64;
    for step in steps(&price.price, from, units)? {
        let (before, after) = (price.cumulative(step.from)?, price.cumulative(step.to)?);
        let minor = after.minor.checked_sub(before.minor).ok_or(Overflow)?;
        total = total.checked_add(minor).ok_or(Overflow)?;
        lines.push(Line {
            units: step.units,
            amount: Money::of(minor, currency),
        });
    }
    Ok(Preview {
        total: Money::of(total, currency),
        lines,
    })
}

struct Step {
    from: Position,
    to: Position,
    units: Quantity,
}

/// The way of the count, cut where a graduated price changes. Differences of cumulative costs telescope, so the cuts cost nothing.
fn steps(price: &Price, from: Position, units: Quantity) -> Result<Vec<Step>, Overflow> {
    let end = from.after(units)?;
    let cuts = match price {
        Price::Graduated(_) => price.edges(),
        Price::Flat(_) | Price::PerUnit(_) | Price::Volume(_) | Price::Package(_) => Vec::new(),
    };
    let mut steps = Vec::new();
    let mut here = from;
    for cut in cuts.into_iter().map(Quantity::from_raw) {
        if here.units < cut && cut < end.units {
            let to = Position {
                units: cut,
                events: here.events,
            };
            steps.push(Step {
                from: here,
                to,
                units: cut.minus(here.units)?,
            });
            here = to;
        }
    }
    steps.push(Step {
        from: here,
        to: end,
        units: end.units.minus(here.units)?,
    });
    Ok(steps)
}
