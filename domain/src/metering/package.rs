//! A price for every started package of units.

use serde::{Deserialize, Serialize};

use super::tier::non_negative;
use crate::{
    amount::{ExactCost, Quantity, Rate},
    rejection::Rejection,
};

/// Units are sold in packages; a started package is paid in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Units in a package, more than zero.
    pub size: Quantity,
    /// Credits per package, zero or more.
    pub credits_per_package: Rate,
}

impl Package {
    pub(super) fn validate(&self) -> Result<(), Rejection> {
        if !self.size.is_positive() {
            return Err(Rejection::invalid(
                "size",
                "a package must hold more than zero units",
            ));
        }
        non_negative(self.credits_per_package, "creditsPerPackage")
    }

    /// How many packages so many units start.
    pub(crate) fn started(&self, units: Quantity) -> i64 {
        let full = units.raw().div_euclid(self.size.raw());
        full + i64::from(units.raw().rem_euclid(self.size.raw()) > 0)
    }

    pub(super) fn exact(&self, units: Quantity) -> ExactCost {
        ExactCost::of_count(self.started(units), self.credits_per_package)
    }
}
