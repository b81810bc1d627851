//! The burn order is one strict total order, and burning, giving back and repaying keep to the terms of each block.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::cmp::Ordering;

use common::{Scale, at, block, block_id, blocks, cases, metric, micro};
use domain::{
    amount::Credits,
    credit::{
        block::{Billing, Block, BlockState},
        burn::{Funds, rank},
        draws::{Draw, Purse},
        grant::take_out,
    },
    time::Timestamp,
};
use proptest::prelude::*;

fn order(one: &Block, other: &Block) -> Ordering {
    rank(one).cmp(&rank(other))
}

/// The order as the documentation states it, word for word.
fn stated(one: &Block, other: &Block) -> Ordering {
    let paid = |billing| {
        [Billing::Free, Billing::Prepaid, Billing::Budget]
            .iter()
            .position(|it| *it == billing)
    };
    other
        .priority
        .cmp(&one.priority)
        .then(one.expires_at.is_none().cmp(&other.expires_at.is_none()))
        .then(one.expires_at.cmp(&other.expires_at))
        .then(paid(one.billing).cmp(&paid(other.billing)))
        .then(one.granted_at.cmp(&other.granted_at))
        .then(one.id.cmp(&other.id))
}

/// Blocks that often tie in every respect but one.
fn close_blocks() -> impl Strategy<Value = Vec<Block>> {
    let ends = prop_oneof![
        Just(None),
        Just(Some(Timestamp::MAX)),
        (1_i64..3).prop_map(|end| Some(at(end)))
    ];
    let billing = prop::sample::select(vec![Billing::Free, Billing::Prepaid, Billing::Budget]);
    let one = (-1_i32..=1, ends, billing, -2_i64..=0, 0_u128..3);
    prop::collection::vec(one, 3).prop_map(|list| {
        let build = |(index, (priority, expires_at, billing, granted, name))| Block {
            id: block_id(u128::from(name > 0) << 64 | index as u128),
            priority,
            expires_at,
            billing,
            granted_at: at(granted),
            ..block(0, 5)
        };
        list.into_iter().enumerate().map(build).collect()
    })
}

fn some_blocks() -> impl Strategy<Value = Vec<Block>> {
    Scale::any().prop_flat_map(|scale| blocks(scale, true, 0..7))
}

fn sum(draws: &[Draw]) -> i64 {
    Credits::total(draws.iter().map(|draw| draw.credits))
        .unwrap()
        .raw()
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn the_order_is_strict_and_total(list in close_blocks()) {
        for a in &list {
            for b in &list {
                prop_assert_eq!(order(a, b), order(b, a).reverse(), "antisymmetric");
                prop_assert_eq!(order(a, b) == Ordering::Equal, a.id == b.id, "no two blocks are equal");
                prop_assert_eq!(order(a, b), stated(a, b), "as stated: {:?} {:?}", a, b);
                for c in &list {
                    let chained = order(a, b).is_lt() && order(b, c).is_lt();
                    prop_assert!(!chained || order(a, c).is_lt(), "transitive");
                }
            }
        }
    }

    #[test]
    fn the_order_of_input_does_not_matter(
        (list, shuffled) in some_blocks().prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle())),
        raw in 0_i64..100_000_000, of in 0_u128..4, now in 0_i64..100,
    ) {
        let (mut one, mut other) = (Funds::new(list, micro(3)), Funds::new(shuffled, micro(3)));
        prop_assert_eq!(&one, &other);
        prop_assert_eq!(one.burn(micro(raw), metric(of), at(now)), other.burn(micro(raw), metric(of), at(now)));
        prop_assert_eq!(one.repay(|_| Credits::MAX), other.repay(|_| Credits::MAX));
        prop_assert_eq!(one, other);
    }

    #[test]
    fn burning_takes_the_first_open_blocks(list in some_blocks(), raw in 0_i64..100, big in any::<bool>(), of in 0_u128..4, now in 0_i64..100) {
        let amount = if big { raw * 1_000_000 } else { raw };
        let mut funds = Funds::new(list.clone(), micro(3));
        let draws = funds.burn(micro(amount), metric(of), at(now)).unwrap();
        let mut open: Vec<Block> = list
            .into_iter()
            .filter(|it| it.granted_at <= at(now) && it.expires_at.is_none_or(|end| end > at(now)))
            .filter(|it| it.metrics.as_ref().is_none_or(|metrics| metrics.contains(&metric(of))))
            .collect();
        open.sort_by(stated);
        let mut left = amount;
        let mut wanted = Vec::new();
        for it in open {
            let part = left.min(it.remaining.raw());
            left -= part;
            wanted.push(Draw { from: Purse::Block(it.id), credits: micro(part) });
        }
        wanted.push(Draw { from: Purse::Overdraft, credits: micro(left) });
        wanted.retain(|draw| draw.credits.is_positive());
        prop_assert_eq!(draws, wanted);
        prop_assert_eq!(funds.overdraft(), micro(3 + left));
    }

    #[test]
    fn giving_back_undoes_burning(list in some_blocks(), raw in 0_i64..100_000_000, of in 0_u128..4, now in 0_i64..100, later in 0_i64..100) {
        let mut funds = Funds::new(list, micro(3));
        let before = funds.clone();
        let draws = funds.burn(micro(raw), metric(of), at(now)).unwrap();
        let ended = |purse: Purse| before.blocks().iter().any(|it| {
            Purse::Block(it.id) == purse && it.expires_at.is_some_and(|end| end <= at(now + later))
        });
        let (gone, kept): (Vec<Draw>, Vec<Draw>) = draws.iter().partition(|draw| ended(draw.from));
        let given = funds.give_back(&draws, at(now + later)).unwrap();
        prop_assert_eq!(given.lapsed.raw(), sum(&gone));
        prop_assert!(given.homeless.is_zero());
        prop_assert_eq!(given.returns.iter().map(|it| it.credits.raw()).sum::<i64>(), sum(&kept));
        if gone.is_empty() {
            prop_assert_eq!(funds, before);
        }
    }

    #[test]
    fn giving_back_too_much_stops_at_the_brim(list in some_blocks(), raw in 1_i64..100_000_000, repaid in 0_i64..10) {
        let mut funds = Funds::new(list, micro(repaid));
        let purses = funds.blocks().iter().map(|it| Purse::Block(it.id)).chain([Purse::Overdraft]);
        let draws: Vec<Draw> = purses.map(|from| Draw { from, credits: micro(raw) }).collect();
        let given = funds.give_back(&draws, at(0)).unwrap();
        let returned: i64 = given.returns.iter().map(|it| it.credits.raw()).sum();
        prop_assert_eq!(returned + given.lapsed.raw() + given.homeless.raw(), sum(&draws), "conserved");
        prop_assert!(!funds.overdraft().is_negative());
        for it in funds.blocks() {
            prop_assert!(it.remaining <= it.credits);
        }
    }

    #[test]
    fn repaying_takes_the_oldest_but_no_budget(list in some_blocks(), owed in 0_i64..100_000_000) {
        let mut funds = Funds::new(list, micro(owed));
        let before = funds.clone();
        let draws = funds.repay(|it| if it.granted_at > at(-5) { Credits::MAX } else { Credits::ZERO }).unwrap();
        prop_assert_eq!(funds.overdraft().raw(), owed - sum(&draws));
        for (was, is) in before.blocks().iter().zip(funds.blocks()) {
            let mine: Vec<Draw> = draws.iter().copied().filter(|draw| draw.from == Purse::Block(is.id)).collect();
            prop_assert_eq!(was.remaining.raw() - is.remaining.raw(), sum(&mine));
            let may = is.billing != Billing::Budget && is.granted_at > at(-5);
            prop_assert!(may || mine.is_empty(), "{:?}", is);
            prop_assert!(!may || funds.overdraft().is_zero() || is.remaining.is_zero(), "all it can: {:?}", is);
        }
        let granted = |draw: &Draw| before.blocks().iter().find(|it| Purse::Block(it.id) == draw.from).unwrap().granted_at;
        prop_assert!(draws.iter().map(granted).is_sorted(), "oldest first");
    }

    #[test]
    fn taking_out_is_all_or_nothing(list in some_blocks(), raw in 0_i64..100_000_000, now in 0_i64..100) {
        let open: i64 = list.iter().filter(|it| it.is_open_at(at(now))).map(|it| it.remaining.raw()).sum();
        match take_out(&list, micro(raw), at(now)) {
            Ok(draws) => prop_assert_eq!(sum(&draws), raw),
            Err(_) => prop_assert!(raw > open),
        }
    }
}

#[test]
fn a_block_pays_from_its_grant_until_just_before_its_end() {
    let it = || Block {
        granted_at: at(5),
        expires_at: Some(at(8)),
        metrics: Some(vec![metric(1)]),
        ..block(1, 10)
    };
    for (now, of, state, drawn) in [
        (4, 1, BlockState::Active, 0),
        (5, 1, BlockState::Active, 7),
        (7, 1, BlockState::Active, 7),
        (8, 1, BlockState::Active, 0),
        (7, 2, BlockState::Active, 0),
        (7, 1, BlockState::Revoked, 0),
        (7, 1, BlockState::Expired, 0),
    ] {
        let mut funds = Funds::new(vec![Block { state, ..it() }], micro(0));
        let draws = funds.burn(micro(7), metric(of), at(now)).unwrap();
        let found = draws
            .iter()
            .filter(|draw| draw.from == Purse::Block(block_id(1)))
            .map(|draw| draw.credits.raw());
        assert_eq!(
            (found.sum::<i64>(), funds.overdraft().raw()),
            (drawn, 7 - drawn),
            "metric {of} at {now}, {state:?}"
        );
    }
}
