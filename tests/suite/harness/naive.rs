//! Prices, computed the slow and obvious way: for the auditor and the model, who must not believe the code under test.

use domain::{metering::Price, time::Timestamp};
use entity::billing_cycle;
use uuid::Uuid;

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

/// What owns an instant: the cycle of the oldest subscription that runs then, or else the UTC calendar month.
type Owner = (Option<(Uuid, i64)>, i64);

/// Cycles from the oldest subscription to the youngest.
fn owner(cycles: &[billing_cycle::Model], at: i64) -> Owner {
    let running = cycles
        .iter()
        .filter(|it| it.period_start <= at && at < it.period_end)
        .min_by_key(|it| (it.since, it.subscription_id));
    match running {
        Some(cycle) => (Some((cycle.subscription_id, cycle.number)), 0),
        None => (None, Timestamp::from_micros(at).month().start.micros()),
    }
}

/// The cycle that owns an instant: subscription and number.
pub fn cycle_at(cycles: &[billing_cycle::Model], at: i64) -> Option<(Uuid, i64)> {
    owner(cycles, at).0
}

/// Since when an instant's owner has owned time without a break.
fn begun(cycles: &[billing_cycle::Model], at: i64) -> i64 {
    let of = owner(cycles, at);
    let mut bounds: Vec<i64> = cycles
        .iter()
        .flat_map(|it| [it.period_start, it.period_end])
        .chain([Timestamp::from_micros(at).month().start.micros()])
        .filter(|bound| *bound <= at)
        .collect();
    bounds.sort_unstable();
    let begins = |bound: &&i64| owner(cycles, **bound - 1) != of;
    *bounds.iter().rev().find(begins).unwrap_or(&bounds[0])
}

/// Where a customer's event may count and what may have come of its time. There are several answers only where a cycle was not known
/// when it was debited: one that began or ended between its acceptance and the later instant at which it says that it occurred, or
/// that began at the very instant of its acceptance, perhaps to end as soon.
pub fn places(cycles: &[billing_cycle::Model], occurred: i64, received: i64) -> Vec<(&'static str, i64)> {
    let (of, _) = owner(cycles, occurred);
    let closed = cycles
        .iter()
        .find(|it| of == Some((it.subscription_id, it.number)) && it.closes_at <= received);
    let mut places = vec![match closed.map(|cycle| cycle.late.as_str()) {
        None => ("ON_TIME", begun(cycles, occurred)),
        Some("ADJUSTMENT") => ("LATE_ADJUSTMENT", begun(cycles, occurred)),
        // Also what was accepted before its plan could refuse it.
        Some(_) => ("LATE_CURRENT_CYCLE", begun(cycles, received)),
    }];
    if received <= occurred {
        let accepted_in = begun(cycles, received);
        places.push(("ON_TIME", accepted_in));
        if accepted_in == received {
            places.push(("ON_TIME", begun(cycles, received - 1)));
        }
        if cycles.iter().any(|it| it.period_start == received) {
            places.push(("ON_TIME", received));
        }
    }
    places
}
