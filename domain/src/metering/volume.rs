//! The price of the tier reached applies to all units of the cycle.

use serde::{Deserialize, Serialize};

use super::Tier;
use crate::amount::{ExactCost, Quantity};

/// All units cost the price of the tier that the count has reached. Reaching a cheaper tier makes past units cheaper; the
/// difference returns to the blocks last debited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Rising; the last has no end.
    pub tiers: Vec<Tier>,
}

impl Volume {
    pub(super) fn exact(&self, units: Quantity) -> ExactCost {
        self.tiers
            .iter()
            .find(|tier| tier.up_to.is_none_or(|end| units <= end))
            .map_or(ExactCost::ZERO, |tier| {
                ExactCost::of(units, tier.credits_per_unit)
            })
    }
}
