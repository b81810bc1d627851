//! Taking usage back: the cycle stands as if the event had never been, and every credit that it cost is somewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::collections::HashSet;

use common::{
    Shape, World, at, block, block_id, book, cases, check_counters, check_ledger, credits, cycle_cost, event,
    graduated, micro, per_unit, remaining, rule, state, units, volume, worlds,
};
use domain::{
    amount::Credits,
    credit::{block::Block, burn::Funds, draws::Draws, grant},
    customer::Settlement,
    ledger::{Cause, Entry, EntryKind},
    metering::rule::MeteringRule,
    usage::{
        CustomerState,
        drain::{RatedEvent, drain},
        event::PendingEvent,
        void::{RatedUsage, Voided, void},
    },
};
use proptest::prelude::*;

const ANY: Shape = Shape {
    rising: false,
    versions: false,
    expiring: true,
};
const LASTING: Shape = Shape {
    expiring: false,
    ..ANY
};
const VERSIONS: Shape = Shape {
    versions: true,
    ..LASTING
};

fn returned(entries: &[Entry]) -> i64 {
    entries.iter().map(|entry| entry.credits.raw()).sum()
}

/// A void together with the checks that all of them must pass.
fn checked(state: &mut CustomerState, usage: &RatedUsage<'_>, now: i64) -> Voided {
    let before = state.clone();
    let done = void(state, usage, at(now)).unwrap();
    check_ledger(&before, state, &done.entries);
    let whole = returned(&done.entries) + done.lapsed.raw() + done.homeless.raw();
    assert_eq!(whole, done.credits.raw(), "conserved");
    let count = |state: &CustomerState| state.counters[&usage.counter].clone();
    assert_eq!(
        count(&before).credits.minus(done.credits),
        Ok(count(state).credits)
    );
    assert_eq!(
        count(&before).position.without(usage.event.units),
        Ok(count(state).position)
    );
    done
}

/// Some of the events in some order: which are to be taken back.
fn with_victims(shape: Shape) -> impl Strategy<Value = (World, Vec<usize>)> {
    worlds(shape).prop_flat_map(|world| {
        let all: Vec<usize> = (0..world.events.len()).collect();
        let some = 0..=all.len();
        (Just(world), some, Just(all).prop_shuffle()).prop_map(|(world, some, mut order)| {
            order.truncate(some);
            (world, order)
        })
    })
}

fn rated(world: &World, state: &mut CustomerState) -> Vec<RatedEvent> {
    drain(state, &world.rules, &world.events).unwrap().events
}

fn usage_of<'a>(rule: &'a MeteringRule, event: &PendingEvent, rated: &RatedEvent) -> RatedUsage<'a> {
    let draws = if rated.credits.is_positive() {
        rated.draws.clone()
    } else {
        Draws::default()
    };
    RatedUsage {
        event: event.clone(),
        rule: Some(rule),
        counter: rated.counter,
        draws,
    }
}

proptest! {
    #![proptest_config(cases(4_000))]

    #[test]
    fn voiding_the_last_event_is_the_identity(world in worlds(LASTING)) {
        let world = World { settlement: Settlement::Manual, ..world };
        let mut state = world.state();
        for event in &world.events {
            let before = state.clone();
            let done = drain(&mut state, &world.rules, std::slice::from_ref(event)).unwrap();
            let mut back = state.clone();
            let undone = checked(&mut back, &world.usage(event, &done.events[0]), 100);
            prop_assert_eq!(undone.credits, done.events[0].credits);
            prop_assert_eq!(back.account.balance(), before.account.balance());
            if undone.credits.is_negative() {
                continue; // The difference is debited anew, from the blocks that are first now.
            }
            prop_assert_eq!(&back.funds, &before.funds);
            let key = done.events[0].counter;
            let was = before.counters.get(&key).cloned().unwrap_or_default();
            prop_assert_eq!(back.counters[&key].position, was.position);
            prop_assert_eq!(back.counters[&key].credits, was.credits);
            let set = |draws: &Draws| draws.as_slice().iter().map(|draw| (draw.from, draw.credits)).collect::<HashSet<_>>();
            prop_assert_eq!(set(&back.counters[&key].draws), set(&was.draws));
        }
    }

    /// Whatever is taken back and in whatever order: the cycle costs what the rest costs.
    #[test]
    fn the_cycle_stands_as_if_they_had_never_been((world, victims) in with_victims(ANY), now in 100_i64..200) {
        let mut state = world.state();
        let rated = rated(&world, &mut state);
        let mut keys = HashSet::new();
        for &victim in &victims {
            let done = checked(&mut state, &world.usage(&world.events[victim], &rated[victim]), now);
            for entry in done.entries {
                prop_assert!(keys.insert(entry.cause.effect_key), "one effect, one key");
            }
            check_counters(&state);
        }
        let rest = world.events.iter().enumerate().filter(|(index, _)| !victims.contains(index));
        let rest = World { events: rest.map(|(_, event)| event.clone()).collect(), ..world.clone() };
        let mut never = world.state();
        drain(&mut never, &rest.rules, &rest.events).unwrap();
        for (key, count) in &state.counters {
            let wanted = never.counters.get(key).cloned().unwrap_or_default();
            prop_assert_eq!(count.position, wanted.position);
            prop_assert_eq!(count.credits, wanted.credits);
            prop_assert_eq!(count.credits, cycle_cost(&world, key, count.position));
        }
    }

    /// As long as no block ends and no overdraft is repaid, everything that is due comes home.
    #[test]
    fn nothing_lapses_while_the_blocks_last((world, victims) in with_victims(LASTING)) {
        let world = World { settlement: Settlement::Manual, ..world };
        let state = take_back(&world, &victims);
        if victims.len() == world.events.len() {
            prop_assert_eq!(remaining(&state), remaining(&world.state()), "all is back where it was");
            prop_assert_eq!(state.account.overdraft, world.overdraft);
        }
    }

    /// Across versions of a price the rest of a cycle has no one cost; still nothing is lost or made up.
    #[test]
    fn nothing_lapses_across_versions((world, victims) in with_victims(VERSIONS)) {
        take_back(&World { settlement: Settlement::Manual, ..world }, &victims);
    }
}

/// Drains all, takes some back, and checks that what the blocks lack is what the cycles cost.
fn take_back(world: &World, victims: &[usize]) -> CustomerState {
    let mut state = world.state();
    let rated = rated(world, &mut state);
    for &victim in victims {
        let done = checked(
            &mut state,
            &world.usage(&world.events[victim], &rated[victim]),
            100,
        );
        assert_eq!((done.lapsed, done.homeless), (Credits::ZERO, Credits::ZERO));
        check_counters(&state);
        assert!(state.counters.values().all(|count| !count.credits.is_negative()));
    }
    let cost: i64 = state.counters.values().map(|count| count.credits.raw()).sum();
    assert_eq!(
        world.state().account.balance().raw() - state.account.balance().raw(),
        cost
    );
    state
}

#[test]
fn one_purse_has_one_entry_per_void() {
    // The event cost 1, but at the end of the count a unit costs 3: 3 are due, 1 by the event, 2 by those after it.
    let rules = book(vec![rule(1, 1, 1, graduated(&[("1", "1"), ("∞", "3")]))]);
    let mut state = state(vec![block(1, 9_000_000)], micro(0), Settlement::Manual);
    let events = [event(1, 1, units("1"), 1), event(2, 1, units("1"), 2)];
    let rated = drain(&mut state, &rules, &events).unwrap().events;
    let price = &rules[&common::metric(1)].rules[0];
    let done = checked(&mut state, &usage_of(price, &events[0], &rated[0]), 3);
    assert_eq!((done.entries.len(), done.credits), (1, credits("3")));
    assert_eq!(state.account.balance(), credits("8"));
}

#[test]
fn what_has_expired_returns_to_nowhere() {
    let rules = book(vec![rule(1, 1, 1, per_unit("1"))]);
    let price = &rules[&common::metric(1)].rules[0];
    let short = || Block {
        expires_at: Some(at(50)),
        ..block(1, 2_000_000)
    };
    for (now, lapsed, first, second) in [(49, "0", "2", "9"), (50, "2", "0", "9")] {
        let mut state = state(vec![short(), block(2, 9_000_000)], micro(0), Settlement::Manual);
        let events = [event(1, 1, units("3"), 1)];
        let rated = drain(&mut state, &rules, &events).unwrap().events;
        let done = checked(&mut state, &usage_of(price, &events[0], &rated[0]), now);
        assert_eq!(done.lapsed, credits(lapsed), "at {now}");
        assert_eq!(remaining(&state)[&block_id(1)], credits(first).raw());
        assert_eq!(remaining(&state)[&block_id(2)], credits(second).raw());
    }
}

#[test]
fn what_was_overdraft_and_is_repaid_needs_a_new_block() {
    let rules = book(vec![rule(1, 1, 1, per_unit("1"))]);
    let price = &rules[&common::metric(1)].rules[0];
    let mut state = state(Vec::new(), micro(0), Settlement::NextPurchase);
    let events = [event(1, 1, units("3"), 1)];
    let rated = drain(&mut state, &rules, &events).unwrap().events;
    let mut bought = Block {
        granted_at: at(2),
        ..block(1, 2_000_000)
    };
    let cause = Cause {
        kind: EntryKind::Grant,
        effect_key: "grant:1".to_owned(),
        usage: None,
    };
    grant::grant(&mut state.account, state.settlement, &mut bought, cause, "Bought").unwrap();
    state.funds = Funds::new(vec![bought], state.account.overdraft);
    assert_eq!(state.account.balance(), credits("-1"));
    let done = checked(&mut state, &usage_of(price, &events[0], &rated[0]), 3);
    assert_eq!(
        (done.homeless, state.account.balance()),
        (credits("2"), credits("0"))
    );
}

#[test]
fn losing_a_volume_price_is_debited() {
    let rules = book(vec![rule(1, 1, 1, volume(&[("10", "1"), ("∞", "0.1")]))]);
    let price = &rules[&common::metric(1)].rules[0];
    let mut state = state(vec![block(1, 9_000_000)], micro(0), Settlement::Manual);
    let events = [event(1, 1, units("10"), 1), event(2, 1, units("1"), 2)];
    let rated = drain(&mut state, &rules, &events).unwrap().events;
    assert_eq!(state.account.balance(), credits("7.9"));
    let done = checked(&mut state, &usage_of(price, &events[1], &rated[1]), 3);
    assert_eq!(
        (done.credits, state.account.balance()),
        (credits("-8.9"), credits("-1"))
    );
    check_counters(&state);
}

/// A later version may price the stretch that is taken back far above what the event had cost.
#[test]
fn never_more_returns_than_the_cycle_cost() {
    let mut versions = vec![
        rule(1, 1, 1, graduated(&[("10", "1"), ("∞", "100")])),
        rule(2, 1, 1, per_unit("0")),
    ];
    versions[0].effective_to = Some(at(5));
    versions[1].effective_from = at(5);
    let rules = book(versions);
    let mut state = state(vec![block(1, 90_000_000)], micro(0), Settlement::Manual);
    let events = [event(1, 1, units("10"), 1), event(2, 1, units("10"), 6)];
    let rated = drain(&mut state, &rules, &events).unwrap().events;
    let first = &rules[&common::metric(1)].rules[0];
    let done = checked(&mut state, &usage_of(first, &events[0], &rated[0]), 7);
    assert_eq!(
        (done.credits, state.account.balance()),
        (credits("10"), credits("90"))
    );
}

#[test]
fn what_was_never_counted_cannot_be_taken_back() {
    let rules = book(vec![rule(1, 1, 1, per_unit("1"))]);
    let price = &rules[&common::metric(1)].rules[0];
    let mut state = state(vec![block(1, 9_000_000)], micro(0), Settlement::Manual);
    let events = [event(1, 1, units("1"), 1)];
    let rated = drain(&mut state, &rules, &events).unwrap().events;
    let usage = usage_of(price, &events[0], &rated[0]);
    checked(&mut state, &usage, 2);
    assert!(void(&mut state, &usage, at(2)).is_err());
}
