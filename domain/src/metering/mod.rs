//! From units to credits.
//!
//! A [`Price`] answers one question: what do `u` cumulative units of a cycle cost, exactly? Rounded once that is `C(u)`. An
//! event that moves the count from `a` to `b` costs `C(b) − C(a)`, so the cycle's total is `C(total)` however the usage was
//! split, batched or ordered: rating *telescopes*.
//!
//! To add a kind of price: one file beside this one, one variant of [`Price`], one arm in each `match` of it.

mod flat;
mod graduated;
mod package;
mod per_unit;
pub mod rule;
mod tier;
mod volume;

use serde::{Deserialize, Serialize};

pub use self::{
    flat::Flat, graduated::Graduated, package::Package, per_unit::PerUnit, tier::Tier, volume::Volume,
};
use crate::{
    amount::{Credits, ExactCost, Overflow, Quantity},
    rejection::Rejection,
};

/// How far a cycle's count has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Units counted so far.
    pub units: Quantity,
    /// Events counted so far.
    pub events: i64,
}

impl Position {
    /// The count after one more event.
    ///
    /// # Errors
    /// More units than can be counted.
    pub fn after(self, units: Quantity) -> Result<Self, Overflow> {
        Ok(Self {
            units: self.units.plus(units)?,
            events: self.events.checked_add(1).ok_or(Overflow)?,
        })
    }

    /// The count as if one event had never been.
    ///
    /// # Errors
    /// More taken back than was counted.
    pub fn without(self, units: Quantity) -> Result<Self, Overflow> {
        let before = Self {
            units: self.units.minus(units)?,
            events: self.events - 1,
        };
        if before.units.is_negative() || before.events < 0 {
            Err(Overflow)
        } else {
            Ok(before)
        }
    }
}

/// What a metric costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Price {
    /// A fixed price per event, whatever its units.
    Flat(Flat),
    /// One price for every unit.
    PerUnit(PerUnit),
    /// Each tier's price applies to the units inside the tier.
    Graduated(Graduated),
    /// The price of the tier reached applies to all units of the cycle.
    Volume(Volume),
    /// A price for every started package of units.
    Package(Package),
}

impl Price {
    /// Checks a price before it is written.
    ///
    /// # Errors
    /// Which part cannot be, and why.
    pub fn validate(&self) -> Result<(), Rejection> {
        match self {
            Self::Flat(flat) => flat.validate().map_err(|no| no.under("flat")),
            Self::PerUnit(per_unit) => per_unit.validate().map_err(|no| no.under("perUnit")),
            Self::Graduated(graduated) => {
                tier::validate(&graduated.tiers).map_err(|no| no.under("graduated.tiers"))
            }
            Self::Volume(volume) => tier::validate(&volume.tiers).map_err(|no| no.under("volume.tiers")),
            Self::Package(package) => package.validate().map_err(|no| no.under("package")),
        }
    }

    /// The exact cost of a cycle that has come to `position`.
    pub(crate) fn exact(&self, position: Position) -> Result<ExactCost, Overflow> {
        match self {
            Self::Flat(flat) => Ok(flat.exact(position)),
            Self::PerUnit(per_unit) => Ok(per_unit.exact(position.units)),
            Self::Graduated(graduated) => graduated.exact(position.units),
            Self::Volume(volume) => Ok(volume.exact(position.units)),
            Self::Package(package) => Ok(package.exact(position.units)),
        }
    }

    /// `C(u)`: the cost of a cycle that has come to `position`, rounded once, half to even.
    ///
    /// # Errors
    /// A cost outside the range of [`Credits`].
    pub fn cumulative(&self, position: Position) -> Result<Credits, Overflow> {
        self.exact(position)?.round()
    }

    /// `C(b) − C(a)`: what moving the count costs. Negative where a [`Volume`] tier makes past units cheaper.
    ///
    /// # Errors
    /// A cost outside the range of [`Credits`].
    pub fn between(&self, from: Position, to: Position) -> Result<Credits, Overflow> {
        self.cumulative(to)?.minus(self.cumulative(from)?)
    }

    /// The most that the count comes to cost on the way from `from` to `to`, beyond what it has cost at `from`: zero or more. It is
    /// `C(b) − C(a)`, but for a [`Volume`] price, which may be dearer on the way than at its end.
    ///
    /// # Errors
    /// A cost outside the range of [`Credits`].
    pub fn most_between(&self, from: Position, to: Position) -> Result<Credits, Overflow> {
        let mut most = self.between(from, to)?.max(Credits::ZERO);
        if let Self::Volume(_) = self {
            let inside = |edge: &i64| (from.units.raw()..to.units.raw()).contains(edge);
            for edge in self.edges().into_iter().filter(inside) {
                let units = Quantity::from_raw(edge);
                most = most.max(self.between(from, Position { units, ..to })?);
            }
        }
        Ok(most)
    }

    /// The most units that one further event may have so that it, and every smaller one, costs at most `budget`.
    /// `None`: no number of units costs more.
    #[must_use]
    pub fn affordable(&self, from: Position, budget: Credits) -> Option<Quantity> {
        // By the exact cost as well as by the rounded one: rounding must not conjure up millionths of a unit.
        let fits = |extra: i64| {
            from.after(Quantity::from_raw(extra)).is_ok_and(|to| {
                let exact = self
                    .exact(from)
                    .and_then(|cost| cost.plus(ExactCost::from(budget)));
                matches!((self.exact(to), exact), (Ok(cost), Ok(limit)) if cost <= limit)
                    && self.between(from, to).is_ok_and(|cost| cost <= budget)
            })
        };
        if !fits(0) {
            return Some(Quantity::ZERO);
        }
        // Inside a stretch between two edges the cost only rises, so bisection finds the last affordable count.
        let mut reached = 0_i64;
        for edge in self.edges().into_iter().chain([i64::MAX]) {
            let stretch = edge.saturating_sub(from.units.raw());
            if stretch <= reached {
                continue;
            }
            if edge != i64::MAX && fits(stretch) {
                reached = stretch;
                continue;
            }
            let (mut low, mut high) = (reached, stretch);
            while low < high {
                let middle = low + (high - low).div_euclid(2) + (high - low) % 2;
                if fits(middle) {
                    low = middle
                } else {
                    high = middle - 1
                }
            }
            return (low != stretch).then(|| Quantity::from_raw(low));
        }
        None
    }

    /// Counts after which the price of a unit changes, in raw units, rising.
    pub(crate) fn edges(&self) -> Vec<i64> {
        match self {
            Self::Graduated(Graduated { tiers }) | Self::Volume(Volume { tiers }) => tiers
                .iter()
                .filter_map(|tier| tier.up_to)
                .map(Quantity::raw)
                .collect(),
            Self::Flat(_) | Self::PerUnit(_) | Self::Package(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::Rate;

    fn units(text: &str) -> Quantity {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    fn rate(text: &str) -> Rate {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    fn tiers(tiers: &[(&str, &str)]) -> Vec<Tier> {
        tiers
            .iter()
            .map(|&(up_to, price)| Tier {
                up_to: (up_to != "∞").then(|| units(up_to)),
                credits_per_unit: rate(price),
            })
            .collect()
    }

    /// The prices that the tables below speak of.
    fn price(name: &str) -> Price {
        match name {
            "flat 2" => Price::Flat(Flat { credits: rate("2") }),
            "each 0.0004" => Price::PerUnit(PerUnit {
                credits_per_unit: rate("0.0004"),
            }),
            "each 0.0000005" => Price::PerUnit(PerUnit {
                credits_per_unit: rate("0.0000005"),
            }),
            // The example of source P4.
            "p4" => Price::Graduated(Graduated {
                tiers: tiers(&[("10000", "1"), ("100000", "0.5"), ("∞", "0.1")]),
            }),
            "volume" => Price::Volume(Volume {
                tiers: tiers(&[("10", "1"), ("∞", "0.5")]),
            }),
            "per 1000" => Price::Package(Package {
                size: units("1000"),
                credits_per_package: rate("3"),
            }),
            other => panic!("{other}"),
        }
    }

    fn at(events: i64, count: &str) -> Position {
        Position {
            units: units(count),
            events,
        }
    }

    #[test]
    fn cumulative_costs() {
        for (name, events, count, credits) in [
            ("flat 2", 3, "500", "6"),
            ("flat 2", 0, "0", "0"),
            ("each 0.0004", 1, "12.5", "0.005"),
            ("each 0.0000005", 1, "1", "0"),
            ("each 0.0000005", 1, "3", "0.000002"),
            ("p4", 1, "0", "0"),
            ("p4", 1, "9999", "9999"),
            ("p4", 1, "10000", "10000"),
            ("p4", 1, "10001", "10000.5"),
            ("p4", 1, "15000", "12500"),
            ("p4", 1, "100000", "55000"),
            ("p4", 1, "100001", "55000.1"),
            ("p4", 1, "85000", "47500"),
            ("volume", 1, "10", "10"),
            ("volume", 1, "10.000001", "5.000000"),
            ("volume", 1, "11", "5.5"),
            ("per 1000", 1, "0", "0"),
            ("per 1000", 1, "0.000001", "3"),
            ("per 1000", 1, "1000", "3"),
            ("per 1000", 1, "1000.000001", "6"),
        ] {
            let cost = price(name)
                .cumulative(at(events, count))
                .map(|cost| cost.to_string());
            let wanted: Credits = credits.parse().unwrap_or_else(|_| panic!("{credits}"));
            assert_eq!(
                cost,
                Ok(wanted.to_string()),
                "{name}: {count} units in {events} events"
            );
        }
    }

    #[test]
    fn dearest_on_the_way() {
        for (name, from, to, most) in [
            ("p4", "0", "15000", "12500"),
            ("p4", "5", "5", "0"),
            ("volume", "0", "10", "10"),
            ("volume", "0", "12", "10"),
            ("volume", "0", "30", "15"),
            ("volume", "8", "11", "2"),
            ("volume", "10", "12", "0"),
            ("volume", "11", "12", "0.5"),
            ("per 1000", "999", "1001", "3"),
        ] {
            let wanted: Credits = most.parse().unwrap_or_else(|_| panic!("{most}"));
            let found = price(name).most_between(at(1, from), at(2, to));
            assert_eq!(found, Ok(wanted), "{name} from {from} to {to}");
        }
    }

    #[test]
    fn affordable_units() {
        for (name, from, budget, answer) in [
            ("p4", "0", "12500", Some("15000")),
            ("p4", "0", "10000", Some("10000")),
            ("p4", "10000", "0.5", Some("1")),
            ("p4", "0", "0", Some("0")),
            ("p4", "100000", "1", Some("10")),
            ("each 0.0004", "0", "1", Some("2500")),
            ("flat 2", "0", "2", None),
            ("flat 2", "0", "1.999999", Some("0")),
            ("per 1000", "0", "3", Some("1000")),
            ("per 1000", "500", "0", Some("500")),
            ("volume", "0", "4", Some("4")),
            // From 9 units, one more is 1 credit; then the drop makes the 11th cheaper than none at all.
            ("volume", "9", "1", Some("11")),
        ] {
            let budget: Credits = budget.parse().unwrap_or_else(|_| panic!("{budget}"));
            let found = price(name).affordable(at(1, from), budget).map(Quantity::raw);
            let Some(answer) = answer.map(|text| units(text).raw()) else {
                assert_eq!(found, None, "{name} from {from}");
                continue;
            };
            assert_eq!(found, Some(answer), "{name} from {from}");
        }
    }

    #[test]
    fn impossible_prices_are_refused() {
        let graduated = |list: &[(&str, &str)]| Price::Graduated(Graduated { tiers: tiers(list) });
        for (bad, field) in [
            (graduated(&[]), "graduated.tiers"),
            (graduated(&[("10", "1")]), "graduated.tiers.0.upTo"),
            (graduated(&[("∞", "1"), ("∞", "2")]), "graduated.tiers.0.upTo"),
            (
                graduated(&[("10", "1"), ("10", "2"), ("∞", "2")]),
                "graduated.tiers.1.upTo",
            ),
            (graduated(&[("0", "1"), ("∞", "2")]), "graduated.tiers.0.upTo"),
            (
                graduated(&[("5", "-1"), ("∞", "2")]),
                "graduated.tiers.0.creditsPerUnit",
            ),
            (Price::Flat(Flat { credits: rate("-1") }), "flat.credits"),
            (
                Price::Package(Package {
                    size: Quantity::ZERO,
                    credits_per_package: rate("1"),
                }),
                "package.size",
            ),
        ] {
            let path = bad.validate().map_err(|no| no.path.join("."));
            assert_eq!(path, Err(field.to_owned()), "{bad:?}");
        }
    }

    #[test]
    fn overflow_is_refused() {
        let huge = Price::PerUnit(PerUnit {
            credits_per_unit: Rate::MAX,
        });
        assert_eq!(huge.cumulative(at(1, "9000000000000")), Err(Overflow));
        assert_eq!(
            at(1, "9000000000000").after(units("9000000000000")),
            Err(Overflow)
        );
        assert_eq!(at(1, "1").without(units("2")), Err(Overflow));
    }
}
