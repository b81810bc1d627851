//! A fixed price per event.

use serde::{Deserialize, Serialize};

use super::{Position, tier::non_negative};
use crate::{
    amount::{ExactCost, Rate},
    rejection::Rejection,
};

/// Every event costs the same, whatever its units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flat {
    /// Credits per event, zero or more.
    pub credits: Rate,
}

impl Flat {
    pub(super) fn validate(&self) -> Result<(), Rejection> {
        non_negative(self.credits, "credits")
    }

    pub(super) fn exact(&self, position: Position) -> ExactCost {
        ExactCost::of_count(position.events, self.credits)
    }
}
