//! One price for every unit.

use serde::{Deserialize, Serialize};

use super::tier::non_negative;
use crate::{
    amount::{ExactCost, Quantity, Rate},
    rejection::Rejection,
};

/// Every unit costs the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerUnit {
    /// Credits per unit, zero or more.
    pub credits_per_unit: Rate,
}

impl PerUnit {
    pub(super) fn validate(&self) -> Result<(), Rejection> {
        non_negative(self.credits_per_unit, "creditsPerUnit")
    }

    pub(super) fn exact(&self, units: Quantity) -> ExactCost {
        ExactCost::of(units, self.credits_per_unit)
    }
}
