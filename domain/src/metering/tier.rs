//! Tiers, shared by graduated and volume prices.

use serde::{Deserialize, Serialize};

use crate::{
    amount::{Quantity, Rate},
    rejection::Rejection,
};

/// More tiers than any price list has; bounds the work per event.
const MAX_TIERS: usize = 100;

/// A price for a stretch of the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// Last count that belongs to the tier (inclusive). `None`: the tier has no end and is the last.
    pub up_to: Option<Quantity>,
    /// Credits per unit, zero or more.
    pub credits_per_unit: Rate,
}

/// Tiers begin above zero, rise, and only the last has no end.
pub(super) fn validate(tiers: &[Tier]) -> Result<(), Rejection> {
    if tiers.is_empty() || tiers.len() > MAX_TIERS {
        return Err(Rejection::invalid(
            "",
            format!("there must be 1 to {MAX_TIERS} tiers"),
        ));
    }
    let mut below = Quantity::ZERO;
    for (index, tier) in tiers.iter().enumerate() {
        let refuse = |message| Err(Rejection::invalid(&format!("{index}.upTo"), message));
        non_negative(tier.credits_per_unit, &format!("{index}.creditsPerUnit"))?;
        match tier.up_to {
            None if index + 1 < tiers.len() => return refuse("only the last tier may be without an end"),
            Some(_) if index + 1 == tiers.len() => {
                return refuse("the last tier must be without an end (null)");
            }
            Some(end) if end <= below => return refuse("each tier must end above the one before it"),
            end => below = end.unwrap_or(below),
        }
    }
    Ok(())
}

pub(super) fn non_negative(rate: Rate, field: &str) -> Result<(), Rejection> {
    if rate.is_negative() {
        return Err(Rejection::invalid(field, "a price must not be negative"));
    }
    Ok(())
}
