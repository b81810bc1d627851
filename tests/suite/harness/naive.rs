//! Prices, computed the slow and obvious way: for the auditor and the model, who must not believe the code under test.

use domain::metering::Price;

/// 10⁻¹⁸ credits in a micro-credit.
const EXACT: i128 = 1_000_000_000_000;

/// What a cycle of so many micro-units in so many events costs, in micro-credits.
pub fn cumulative(price: &Price, units: i64, events: i64) -> i128 {
    let units = i128::from(units);
    let exact = match price {
        Price::Flat(flat) => i128::from(events) * 1_000_000 * i128::from(flat.credits.raw()),
        Price::PerUnit(each) => units * i128::from(each.credits_per_unit.raw()),
        Price::Package(package) => {
            let size = i128::from(package.size.raw());
            let started = (units + size - 1) / size;
            started * 1_000_000 * i128::from(package.credits_per_package.raw())
        }
        Price::Volume(volume) => {
            let reached = |up_to: Option<i64>| up_to.is_none_or(|end| units <= i128::from(end));
            let tier = volume
                .tiers
                .iter()
                .find(|tier| reached(tier.up_to.map(|end| end.raw())));
            units * i128::from(tier.unwrap().credits_per_unit.raw())
        }
        Price::Graduated(graduated) => {
            let mut below = 0;
            let mut sum = 0;
            for tier in &graduated.tiers {
                let end = tier.up_to.map_or(i128::MAX, |end| i128::from(end.raw()));
                let inside = units.min(end).max(below) - below;
                sum += inside * i128::from(tier.credits_per_unit.raw());
                below = end;
            }
            sum
        }
    };
    let (whole, rest) = (exact.div_euclid(EXACT), exact.rem_euclid(EXACT));
    match (rest * 2).cmp(&EXACT) {
        std::cmp::Ordering::Less => whole,
        std::cmp::Ordering::Greater => whole + 1,
        std::cmp::Ordering::Equal => whole + whole % 2,
    }
}
