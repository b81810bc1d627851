//! Numbers and prices: texts survive the way there and back, nothing wraps, and rating telescopes.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use common::{Scale, cases, credits, graduated, per_unit, position, prices, quantities, units};
use domain::{
    amount::{Credits, Overflow, Quantity, Rate},
    metering::{Flat, Package, PerUnit, Position, Price},
};
use proptest::{collection::vec, prelude::*};

/// Parts of one micro-credit in which costs are exact.
const MICRO: i128 = 1_000_000_000_000;

/// The exact cost, written again in the most literal way. `None`: beyond `i128`.
fn exact(price: &Price, position: Position) -> Option<i128> {
    let count = i128::from(position.units.raw());
    let raw = |rate: Rate| i128::from(rate.raw());
    match price {
        Price::Flat(flat) => (i128::from(position.events) * 1_000_000).checked_mul(raw(flat.credits)),
        Price::PerUnit(each) => Some(count * raw(each.credits_per_unit)),
        Price::Graduated(graduated) => {
            let mut below = 0;
            let mut sum = 0;
            for tier in &graduated.tiers {
                let end = tier.up_to.map_or(i128::MAX, |end| i128::from(end.raw()));
                sum += (count.min(end) - count.min(below)) * raw(tier.credits_per_unit);
                below = end;
            }
            Some(sum)
        }
        Price::Volume(volume) => {
            let reached = volume
                .tiers
                .iter()
                .filter(|tier| tier.up_to.is_some_and(|end| end < position.units))
                .count();
            Some(count * raw(volume.tiers[reached].credits_per_unit))
        }
        Price::Package(package) => {
            let size = i128::from(package.size.raw());
            ((count + size - 1) / size * 1_000_000).checked_mul(raw(package.credits_per_package))
        }
    }
}

fn fold(price: &Price, parts: &[Quantity]) -> (Position, Credits) {
    parts
        .iter()
        .fold((Position::default(), Credits::ZERO), |(from, sum), part| {
            let to = from.after(*part).unwrap();
            (to, sum.plus(price.between(from, to).unwrap()).unwrap())
        })
}

fn any_price() -> impl Strategy<Value = Price> {
    Scale::any().prop_flat_map(|scale| prices(scale, false))
}

fn wide() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        -3_i64..=3,
        Just(i64::MIN),
        Just(i64::MAX),
        any::<i32>().prop_map(|small| i64::from(small) * 1_000)
    ]
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn amounts_survive_as_text(raw in wide()) {
        let amount = Credits::from_raw(raw);
        let text = amount.to_string();
        prop_assert_eq!(text.parse(), Ok(amount));
        prop_assert_eq!(Quantity::from_raw(raw).to_string(), text.clone());
        prop_assert!(!text.contains('.') || !text.ends_with(['0', '.']), "one spelling: {}", text);
        let json = serde_json::to_string(&amount).unwrap();
        prop_assert_eq!(&json, &format!("{text:?}"));
        prop_assert_eq!(serde_json::from_str::<Credits>(&json).unwrap(), amount);
        let rate = Rate::from_raw(raw);
        prop_assert_eq!(rate.to_string().parse(), Ok(rate));
    }

    #[test]
    fn reading_is_total(text in "[-+0-9.eE_ ]{0,24}|\\PC{0,8}") {
        if let Ok(amount) = text.parse::<Credits>() {
            prop_assert_eq!(amount.to_string().parse(), Ok(amount));
        }
    }

    #[test]
    fn sums_are_exact_or_refused(one in wide(), other in wide()) {
        let (a, b) = (Credits::from_raw(one), Credits::from_raw(other));
        let wanted = |sum: i128| i64::try_from(sum).map(Credits::from_raw).map_err(|_| Overflow);
        prop_assert_eq!(a.plus(b), wanted(i128::from(one) + i128::from(other)));
        prop_assert_eq!(a.minus(b), wanted(i128::from(one) - i128::from(other)));
        prop_assert_eq!(Credits::total([a, b, a]), wanted(2 * i128::from(one) + i128::from(other)));
    }

    #[test]
    fn products_are_exact_or_refused(count in 0..=i64::MAX, price in 0..=i64::MAX, shift in 0_u32..63, down in 0_u32..63, size in 1_i64..9_000_000) {
        let (count, price) = (count >> shift, Rate::from_raw(price >> down));
        for price in [
            Price::PerUnit(PerUnit { credits_per_unit: price }),
            Price::Flat(Flat { credits: price }),
            Price::Package(Package { size: Quantity::from_raw(size), credits_per_package: price }),
        ] {
            let at = position(count, count);
            let wanted = exact(&price, at).and_then(|cost| i64::try_from((cost + MICRO / 2) / MICRO).ok());
            match (price.cumulative(at), wanted) {
                // Half to even may be one below half up.
                (Ok(cost), Some(wanted)) => prop_assert!((wanted - 1..=wanted).contains(&cost.raw())),
                (Err(Overflow), None) => {}
                (Ok(cost), None) => prop_assert_eq!(cost.raw(), i64::MAX, "rounded down to the largest amount"),
                (Err(Overflow), Some(_)) => prop_assert!(false, "{:?} at {} fits", price, count),
            }
        }
    }

    /// A whole cycle is off by at most half a micro-credit, and a tie goes to the even side.
    #[test]
    fn a_cycle_is_rounded_once(price in any_price(), raw in 0_i64..60_000_000, events in 0_i64..20) {
        let at = position(raw, events);
        let error = i128::from(price.cumulative(at).unwrap().raw()) * MICRO - exact(&price, at).unwrap();
        prop_assert!(2 * error.abs() <= MICRO, "off by {}", error);
        if 2 * error.abs() == MICRO {
            prop_assert_eq!(price.cumulative(at).unwrap().raw() % 2, 0, "half to even");
        }
    }

    #[test]
    fn order_does_not_matter(
        price in any_price(),
        (parts, shuffled) in vec(quantities(), 0..12).prop_flat_map(|parts| (Just(parts.clone()), Just(parts).prop_shuffle())),
    ) {
        let (end, sum) = fold(&price, &parts);
        prop_assert_eq!(fold(&price, &shuffled), (end, sum));
        prop_assert_eq!(Ok(sum), price.cumulative(end));
    }

    #[test]
    fn splits_do_not_matter(price in any_price(), total in 1_i64..60_000_000, cuts in vec(any::<prop::sample::Index>(), 0..12)) {
        let mut ends: Vec<i64> = cuts.iter().map(|cut| cut.index(usize::try_from(total).unwrap()) as i64).collect();
        ends.extend([0, total]);
        ends.sort_unstable();
        let parts: Vec<Quantity> = ends.windows(2).map(|pair| Quantity::from_raw(pair[1] - pair[0])).collect();
        let (end, sum) = fold(&price, &parts);
        prop_assert_eq!(end, position(total, parts.len() as i64));
        // A flat price counts events, so only there the number of parts is a fact of the usage.
        let events = if matches!(price, Price::Flat(_)) { end.events } else { 1 };
        prop_assert_eq!(Ok(sum), price.cumulative(position(total, events)));
    }

    #[test]
    fn a_position_forgets_what_is_taken_back(raw in 0..i64::MAX / 2, events in 0_i64..9, more in 0..i64::MAX / 2) {
        let before = position(raw, events);
        let after = before.after(Quantity::from_raw(more)).unwrap();
        prop_assert_eq!(after.without(Quantity::from_raw(more)), Ok(before));
    }
}

#[test]
fn known_answers_whatever_the_split() {
    let p4 = || graduated(&[("10000", "1"), ("100000", "0.5"), ("∞", "0.1")]);
    for (price, total, answer) in [
        (p4(), "15000", "12500"),
        (p4(), "85000", "47500"),
        (per_unit("0.000003"), "18059974", "54.179922"),
        (per_unit("0.000015"), "245896", "3.68844"),
        (per_unit("0.0000004"), "1000", "0.0004"),
    ] {
        let whole = units(total).raw();
        for pieces in [1, 2, 3, 7, 150, 1_000] {
            let cut = |index: i64| i64::try_from(i128::from(whole) * i128::from(index) / pieces).unwrap();
            let parts: Vec<Quantity> = (0..i64::try_from(pieces).unwrap())
                .map(|index| Quantity::from_raw(cut(index + 1) - cut(index)))
                .collect();
            assert_eq!(
                fold(&price, &parts).1,
                credits(answer),
                "{total} units in {pieces} events"
            );
        }
    }
}
