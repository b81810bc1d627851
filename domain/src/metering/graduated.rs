//! Each tier's price applies to the units inside the tier.

use serde::{Deserialize, Serialize};

use super::Tier;
use crate::amount::{ExactCost, Overflow, Quantity};

/// The first units cost the first tier's price, the next ones the second's, and so on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graduated {
    /// Rising; the last has no end.
    pub tiers: Vec<Tier>,
}

impl Graduated {
    pub(super) fn exact(&self, units: Quantity) -> Result<ExactCost, Overflow> {
        let mut cost = ExactCost::ZERO;
        let mut below = Quantity::ZERO;
        for tier in &self.tiers {
            let end = tier.up_to.map_or(units, |end| end.min(units));
            cost = cost.plus(ExactCost::of(end.minus(below)?, tier.credits_per_unit))?;
            if end == units {
                break;
            }
            below = end;
        }
        Ok(cost)
    }
}
