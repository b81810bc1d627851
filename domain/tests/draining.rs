//! Draining: a batch is worth what its events are worth one by one, every credit is accounted for, and it does not matter
//! when the worker comes round.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::collections::BTreeMap;

use common::{
    Shape, World, at, block, block_id, book, cases, check_counters, check_ledger, credits, cycle_cost, event,
    graduated, instant, micro, per_unit, remaining, rule, state, units, volume, worlds,
};
use domain::{
    amount::Credits,
    credit::{
        block::{Billing, Block},
        burn::{Funds, rank},
        draws::{Draw, Purse},
        grant,
    },
    customer::Settlement,
    cycle::{
        CycleRef,
        late::{CountingCycle, LatePolicy, Timeline, Timing, stretch},
    },
    id::{BlockId, MeteringRuleId, MetricId, SubscriptionId},
    ledger::{Cause, Entry, EntryKind},
    metering::Position,
    time::{Period, Timestamp},
    usage::{
        CounterKey, CustomerState,
        drain::{Drained, changed_blocks, drain},
        event::PendingEvent,
    },
};
use proptest::prelude::*;
use uuid::Uuid;

const ANY: Shape = Shape {
    rising: false,
    versions: true,
    expiring: true,
};
const ONE_VERSION: Shape = Shape {
    versions: false,
    ..ANY
};
const RISING: Shape = Shape { rising: true, ..ANY };

type SumKey = (
    EntryKind,
    Option<(MetricId, Option<MeteringRuleId>, Timestamp)>,
    Option<BlockId>,
);

/// What the entries add up to, whatever their number.
fn sums(entries: &[Entry]) -> BTreeMap<String, (i64, i64)> {
    let mut sums = BTreeMap::new();
    for entry in entries {
        let usage = entry
            .cause
            .usage
            .as_ref()
            .map(|usage| (usage.metric, usage.rule, usage.period_start));
        let key: SumKey = (entry.cause.kind, usage, entry.block);
        let sum: &mut (i64, i64) = sums.entry(format!("{key:?}")).or_default();
        sum.0 += entry.credits.raw();
        sum.1 += entry.overdraft_change.raw();
    }
    sums.retain(|_, sum| *sum != (0, 0));
    sums
}

fn sum(draws: &[Draw]) -> i64 {
    Credits::total(draws.iter().map(|draw| draw.credits))
        .unwrap()
        .raw()
}

fn one_by_one(world: &World, state: &mut CustomerState) -> Drained {
    let mut all = Drained::default();
    for event in &world.events {
        let before = state.clone();
        let one = drain(state, &world.rules, std::slice::from_ref(event)).unwrap();
        check_ledger(&before, state, &one.entries);
        all.events.extend(one.events);
        all.entries.extend(one.entries);
        all.lapsed = all.lapsed.plus(one.lapsed).unwrap();
        all.homeless = all.homeless.plus(one.homeless).unwrap();
    }
    all
}

fn deposit(state: &mut CustomerState, mut block: Block) -> Vec<Entry> {
    let cause = Cause {
        kind: EntryKind::Grant,
        effect_key: format!("grant:{}", block.id),
        usage: None,
    };
    let entries = grant::grant(&mut state.account, state.settlement, &mut block, cause, "Granted").unwrap();
    let blocks = state.funds.blocks().iter().cloned().chain([block]).collect();
    state.funds = Funds::new(blocks, state.account.overdraft);
    state.check().unwrap();
    entries
}

/// Drains every event before the blocks that come after it (`prompt`), or all of them at the end.
fn live(world: &World, prompt: bool) -> (CustomerState, Credits) {
    let (early, mut later): (Vec<Block>, Vec<Block>) = world
        .blocks
        .iter()
        .cloned()
        .partition(|block| block.granted_at <= at(0));
    later.sort_by_key(|block| (block.granted_at, block.id));
    let mut state = common::state(early, world.overdraft, world.settlement);
    let mut homeless = Credits::ZERO;
    let mut later = later.into_iter().peekable();
    for event in &world.events {
        while let Some(block) = later.next_if(|block| block.granted_at <= event.received_at) {
            deposit(&mut state, block);
        }
        if prompt {
            let done = drain(&mut state, &world.rules, std::slice::from_ref(event)).unwrap();
            homeless = homeless.plus(done.homeless).unwrap();
        }
    }
    for block in later {
        deposit(&mut state, block);
    }
    if !prompt {
        homeless = drain(&mut state, &world.rules, &world.events).unwrap().homeless;
    }
    (state, homeless)
}

proptest! {
    #![proptest_config(cases(4_000))]

    #[test]
    fn a_batch_is_worth_its_events_one_by_one(world in worlds(ANY)) {
        let (mut whole, mut single) = (world.state(), world.state());
        let batch = drain(&mut whole, &world.rules, &world.events).unwrap();
        let pieces = one_by_one(&world, &mut single);
        check_ledger(&world.state(), &whole, &batch.entries);
        prop_assert_eq!(&batch.events, &pieces.events, "same costs and draws");
        prop_assert_eq!((batch.lapsed, batch.homeless), (pieces.lapsed, pieces.homeless));
        prop_assert_eq!(&whole.funds, &single.funds);
        prop_assert_eq!(&whole.counters, &single.counters);
        single.account.sequence = whole.account.sequence;
        prop_assert_eq!(whole.account, single.account);
        prop_assert_eq!(sums(&batch.entries), sums(&pieces.entries));
    }

    /// Without cycles, and with cycles of other times, usage counts by months and nothing is late.
    #[test]
    fn months_count_where_no_cycle_is(world in worlds(ANY), mut cycles in common::cycles()) {
        for cycle in &mut cycles {
            let years = |at: Timestamp| at.plus_seconds(-3 * 365 * 86_400);
            cycle.period = Period { start: years(cycle.period.start), end: years(cycle.period.end) };
            cycle.closes_at = years(cycle.closes_at);
        }
        let (mut without, mut with) = (world.state(), world.state());
        with.timeline = Timeline::new(cycles);
        let done = drain(&mut without, &world.rules, &world.events).unwrap();
        for (rated, event) in done.events.iter().zip(&world.events) {
            prop_assert_eq!(rated.counter.period_start, event.occurred_at.month().start);
            prop_assert_eq!(rated.timing, Timing::OnTime);
        }
        prop_assert!(done.entries.iter().all(|entry| !entry.description.contains("late")));
        prop_assert_eq!(&drain(&mut with, &world.rules, &world.events).unwrap(), &done);
        prop_assert_eq!(with.account, without.account);
        prop_assert_eq!(with.counters, without.counters);
    }

    #[test]
    fn with_cycles_a_batch_is_worth_its_events_one_by_one(world in worlds(ANY), cycles in common::cycles()) {
        let world = World { timeline: Timeline::new(cycles), ..world };
        let (mut whole, mut single) = (world.state(), world.state());
        let batch = drain(&mut whole, &world.rules, &world.events).unwrap();
        let pieces = one_by_one(&world, &mut single);
        check_ledger(&world.state(), &whole, &batch.entries);
        prop_assert_eq!(&batch.events, &pieces.events, "same places, costs and draws");
        prop_assert_eq!(&whole.funds, &single.funds);
        prop_assert_eq!(&whole.counters, &single.counters);
        prop_assert_eq!(sums(&batch.entries), sums(&pieces.entries));
    }

    /// What was accepted is debited, in a stretch of its own time or of the time of its acceptance, and every stretch costs `C(total)`.
    #[test]
    fn with_cycles_every_stretch_costs_its_total(world in worlds(ONE_VERSION), cycles in common::cycles()) {
        let world = World { timeline: Timeline::new(cycles.clone()), ..world };
        let mut after = world.state();
        let done = drain(&mut after, &world.rules, &world.events).unwrap();
        let mut totals: BTreeMap<CounterKey, Position> = BTreeMap::new();
        for (rated, event) in done.events.iter().zip(&world.events) {
            let of = match rated.timing {
                Timing::OnTime | Timing::LateAdjustment => event.occurred_at,
                Timing::LateCurrentCycle => event.received_at,
                Timing::LateRejected => panic!("it was accepted"),
            };
            prop_assert_eq!(rated.counter.period_start, stretch(&cycles, of).period.start);
            let total = totals.entry(rated.counter).or_default();
            *total = total.after(event.units).unwrap();
        }
        for (key, total) in totals {
            let count = &after.counters[&key];
            prop_assert_eq!((count.position, count.credits), (total, cycle_cost(&world, &key, total)));
        }
    }

    #[test]
    fn any_cut_of_a_batch_is_the_same(world in worlds(ANY), cut in any::<prop::sample::Index>()) {
        let (mut whole, mut cut_up) = (world.state(), world.state());
        drain(&mut whole, &world.rules, &world.events).unwrap();
        let (head, tail) = world.events.split_at(cut.index(world.events.len() + 1));
        drain(&mut cut_up, &world.rules, head).unwrap();
        drain(&mut cut_up, &world.rules, tail).unwrap();
        prop_assert_eq!(whole.funds, cut_up.funds);
        prop_assert_eq!(whole.counters, cut_up.counters);
    }

    #[test]
    fn every_credit_is_accounted_for(world in worlds(ANY)) {
        let before = world.state();
        let mut after = world.state();
        let done = drain(&mut after, &world.rules, &world.events).unwrap();
        let (mut cost, mut returned) = (0, 0);
        for event in &done.events {
            if event.credits.is_negative() {
                returned += sum(event.draws.as_slice());
                prop_assert!(sum(event.draws.as_slice()) <= -event.credits.raw());
            } else {
                prop_assert_eq!(sum(event.draws.as_slice()), event.credits.raw(), "cost = drawn");
            }
            cost += event.credits.raw();
        }
        let dropped: i64 = done.events.iter().map(|event| event.credits.raw().min(0)).sum();
        prop_assert_eq!(returned + done.lapsed.raw() + done.homeless.raw(), -dropped, "returned or accounted for");
        let gone = before.account.balance().raw() - after.account.balance().raw();
        prop_assert_eq!(gone, cost + done.lapsed.raw() + done.homeless.raw());
        let counted: i64 = after.counters.values().map(|count| count.credits.raw()).sum();
        prop_assert_eq!(counted, cost);
        check_counters(&after);
        let known: Vec<_> = remaining(&before).into_iter().map(|(id, left)| (id, micro(left))).collect();
        for (id, left) in changed_blocks(&known, &after) {
            prop_assert_ne!(remaining(&before)[&id], left.raw());
        }
    }

    #[test]
    fn a_cycle_costs_its_total(world in worlds(ONE_VERSION)) {
        let mut after = world.state();
        drain(&mut after, &world.rules, &world.events).unwrap();
        for (key, count) in &after.counters {
            prop_assert_eq!(count.credits, cycle_cost(&world, key, count.position));
        }
    }

    /// What is missing from the blocks is what the counts have drawn from them.
    #[test]
    fn draws_tell_where_the_credits_are(world in worlds(Shape { expiring: false, ..ANY })) {
        let world = World { settlement: Settlement::Manual, ..world };
        let mut after = world.state();
        drain(&mut after, &world.rules, &world.events).unwrap();
        let mut drawn: BTreeMap<Purse, i64> = BTreeMap::new();
        for draw in after.counters.values().flat_map(|count| count.draws.as_slice()) {
            *drawn.entry(draw.from).or_default() += draw.credits.raw();
        }
        let owed = after.account.overdraft.raw() - world.overdraft.raw();
        prop_assert_eq!(drawn.remove(&Purse::Overdraft).unwrap_or(0), owed);
        for (id, left) in remaining(&after) {
            let earlier = remaining(&world.state())[&id];
            prop_assert_eq!(drawn.remove(&Purse::Block(id)).unwrap_or(0), earlier - left);
        }
        prop_assert!(drawn.is_empty());
    }

    #[test]
    fn the_right_blocks_pay(world in worlds(ANY)) {
        let mut state = world.state();
        for event in &world.events {
            let before = state.clone();
            let done = drain(&mut state, &world.rules, std::slice::from_ref(event)).unwrap();
            let rated = &done.events[0];
            if rated.credits.is_negative() {
                let ended = |block: &Block| block.expires_at.is_some_and(|end| end <= event.received_at);
                for draw in rated.draws.as_slice() {
                    let closed = before.funds.blocks().iter().any(|it| Purse::Block(it.id) == draw.from && ended(it));
                    prop_assert!(!closed, "an expired block takes nothing back");
                }
                continue;
            }
            let drawn = |purse| rated.draws.as_slice().iter().any(|draw| draw.from == purse);
            let may = |it: &Block| {
                it.granted_at <= event.received_at
                    && it.expires_at.is_none_or(|end| event.received_at < end)
                    && it.metrics.as_ref().is_none_or(|metrics| metrics.contains(&event.metric))
            };
            let last = before.funds.blocks().iter().filter(|it| drawn(Purse::Block(it.id))).max_by_key(|it| rank(it));
            for it in before.funds.blocks() {
                prop_assert!(may(it) || !drawn(Purse::Block(it.id)), "{:?} may not pay for {:?}", it, event);
                let first = last.is_some_and(|last| rank(it) < rank(last)) || drawn(Purse::Overdraft);
                prop_assert!(!(first && may(it)) || remaining(&state)[&it.id] == 0, "{:?} pays first", it);
            }
        }
    }

    #[test]
    fn budgets_never_repay(world in worlds(ANY)) {
        let mut after = world.state();
        let done = drain(&mut after, &world.rules, &world.events).unwrap();
        let repaid = done.entries.iter().filter(|entry| entry.cause.kind == EntryKind::Repayment);
        for entry in repaid {
            prop_assert_eq!(world.settlement, Settlement::NextPurchase);
            let payer = after.funds.blocks().iter().find(|it| Some(it.id) == entry.block).unwrap();
            prop_assert_ne!(payer.billing, Billing::Budget);
            prop_assert_eq!(entry.credits, Credits::ZERO);
        }
    }

    /// Draining before or after the grants ends in the same blocks and the same overdraft.
    #[test]
    fn it_does_not_matter_when_the_worker_comes(world in worlds(RISING)) {
        let world = World { settlement: Settlement::NextPurchase, ..world };
        let ((prompt, _), (late, _)) = (live(&world, true), live(&world, false));
        prop_assert_eq!(remaining(&prompt), remaining(&late));
        prop_assert_eq!(prompt.account.overdraft, late.account.overdraft);
        prop_assert_eq!(prompt.counters.len(), late.counters.len());
    }

    /// With falling prices, what a drop returns to an overdraft that has been repaid is homeless; nothing is lost.
    #[test]
    fn nothing_is_lost_whenever_the_worker_comes(world in worlds(Shape { expiring: false, ..ANY })) {
        let world = World { settlement: Settlement::NextPurchase, ..world };
        let ((prompt, one), (late, other)) = (live(&world, true), live(&world, false));
        prop_assert_eq!(
            prompt.account.balance().plus(one).unwrap(),
            late.account.balance().plus(other).unwrap()
        );
    }
}

#[test]
fn the_example_of_p4() {
    let rules = book(vec![rule(
        1,
        1,
        1,
        graduated(&[("10000", "1"), ("100000", "0.5"), ("∞", "0.1")]),
    )]);
    for (count, each, cost, overdraft) in [
        (1, "15000", "12500", "0"),
        (150, "100", "12500", "0"),
        (1, "85000", "47500", "27500"),
        (850, "100", "47500", "27500"),
    ] {
        let mut state = state(vec![block(1, 20_000_000_000)], micro(0), Settlement::NextInvoice);
        let events: Vec<_> = (0..count).map(|index| event(index, 1, units(each), 1)).collect();
        let done = drain(&mut state, &rules, &events).unwrap();
        let entries = if overdraft == "0" { 1 } else { 2 };
        assert_eq!(done.entries.len(), entries, "one entry per purse");
        let total = Credits::total(done.events.iter().map(|event| event.credits));
        assert_eq!(total, Ok(credits(cost)), "{count} events of {each}");
        assert_eq!(state.account.overdraft, credits(overdraft));
    }
}

#[test]
fn terms_of_blocks_are_respected_to_the_microsecond() {
    let rules = book(vec![rule(1, 1, 1, per_unit("1"))]);
    let narrow = Block {
        granted_at: at(5),
        expires_at: Some(at(8)),
        metrics: Some(vec![common::metric(1)]),
        ..block(1, 9_000_000)
    };
    for (received, drawn) in [(4, "0"), (5, "2"), (7, "2"), (8, "0")] {
        let mut state = state(vec![narrow.clone()], micro(0), Settlement::NextInvoice);
        drain(&mut state, &rules, &[event(1, 1, units("2"), received)]).unwrap();
        let left = credits("9").minus(credits(drawn)).unwrap();
        assert_eq!(remaining(&state)[&block_id(1)], left.raw(), "at {received}");
    }
}

#[test]
fn a_volume_drop_returns_to_the_blocks_last_debited() {
    let rules = book(vec![rule(1, 1, 1, volume(&[("10", "1"), ("∞", "0.1")]))]);
    let first = Block {
        priority: 1,
        expires_at: Some(at(50)),
        ..block(1, 4_000_000)
    };
    // Ten units cost 10: 4 from the first block, 6 from the second. The eleventh brings the total to 1.1: 8.9 return.
    for (when, first_left, second_left, lapsed) in [(49, "2.9", "6", "0"), (50, "0", "6", "2.9")] {
        let mut state = state(
            vec![first.clone(), block(2, 6_000_000)],
            micro(0),
            Settlement::Manual,
        );
        let events = [event(1, 1, units("10"), 1), event(2, 1, units("1"), when)];
        let done = drain(&mut state, &rules, &events).unwrap();
        assert_eq!(done.events[1].credits, credits("-8.9"));
        assert_eq!(
            remaining(&state)[&block_id(1)],
            credits(first_left).raw(),
            "at {when}"
        );
        assert_eq!(
            remaining(&state)[&block_id(2)],
            credits(second_left).raw(),
            "at {when}"
        );
        assert_eq!(done.lapsed, credits(lapsed));
    }
}

#[test]
fn a_volume_drop_of_a_repaid_overdraft_is_handed_over() {
    let rules = book(vec![rule(1, 1, 1, volume(&[("10", "1"), ("∞", "0.1")]))]);
    let mut state = state(Vec::new(), micro(0), Settlement::NextPurchase);
    drain(&mut state, &rules, &[event(1, 1, units("10"), 1)]).unwrap();
    let entries = deposit(
        &mut state,
        Block {
            granted_at: at(2),
            ..block(1, 30_000_000)
        },
    );
    assert_eq!(entries.len(), 2, "a deposit and a repayment");
    assert_eq!(state.account.balance(), credits("20"));
    let done = drain(&mut state, &rules, &[event(2, 1, units("1"), 3)]).unwrap();
    assert_eq!(
        (done.homeless, state.account.balance()),
        (credits("8.9"), credits("20"))
    );
}

/// Entries are sums over a batch, so their order must not let a total dip below zero on the way.
#[test]
fn no_total_dips_below_zero_between_entries() {
    let falling = || volume(&[("10", "1"), ("∞", "0.1")]);
    let rules = book(vec![rule(1, 1, 1, falling()), rule(2, 2, 2, per_unit("1"))]);
    let early = |raw| vec![block(1, raw)];
    let bought = |raw| Block {
        granted_at: at(2),
        ..block(2, raw)
    };
    for (first, blocks, later, usage) in [
        // One credit is left; metric 2 takes it, metric 1 returns 8.9, metric 2 takes 5 of them.
        ("10", early(11_000_000), None, vec![(2, "1"), (1, "1"), (2, "5")]),
        // The overdraft of 5 was repaid; then metric 1 owes 5, metric 2 owes 10, and metric 1 returns 8.9.
        (
            "5",
            Vec::new(),
            Some(bought(5_000_000)),
            vec![(1, "5"), (2, "10"), (1, "1")],
        ),
    ] {
        let mut state = state(blocks, micro(0), Settlement::NextPurchase);
        drain(&mut state, &rules, &[event(1, 1, units(first), 1)]).unwrap();
        later.map(|block| deposit(&mut state, block));
        let events: Vec<_> = (2_u128..)
            .zip(usage)
            .map(|(id, (of, count))| event(id, of, units(count), 3))
            .collect();
        let before = state.clone();
        let done = drain(&mut state, &rules, &events).unwrap();
        check_ledger(&before, &state, &done.entries);
    }
}

/// A version that begins in mid-cycle may drop by more than the version before it ever cost.
#[test]
fn a_drop_never_returns_more_than_the_cycle_cost() {
    let mut versions = vec![
        rule(1, 1, 1, per_unit("0.1")),
        rule(2, 1, 1, volume(&[("10", "1"), ("∞", "0.1")])),
    ];
    versions[0].effective_to = Some(at(5));
    versions[1].effective_from = at(5);
    let mut state = state(vec![block(1, 9_000_000)], micro(0), Settlement::Manual);
    let events = [event(1, 1, units("10"), 1), event(2, 1, units("1"), 6)];
    let done = drain(&mut state, &book(versions), &events).unwrap();
    assert_eq!(done.events[1].credits, credits("-1"));
    assert_eq!(state.account.balance(), credits("9"));
}

/// Late usage has entries of its own, one for each cycle in which it occurred.
#[test]
fn late_usage_has_entries_that_name_its_dates() {
    let cycle = |number, from: &str, to: &str| CountingCycle {
        cycle: CycleRef {
            subscription: SubscriptionId(Uuid::nil()),
            number,
        },
        since: Timestamp::MIN,
        period: Period {
            start: instant(from),
            end: instant(to),
        },
        closes_at: instant(to),
        late: LatePolicy::CurrentCycle,
        closed: false,
    };
    let mut state = state(vec![block(1, 100_000_000)], micro(0), Settlement::Manual);
    state.timeline = Timeline::new(vec![
        cycle(1, "2026-09-15", "2026-10-15"),
        cycle(2, "2026-10-15", "2026-11-15T12:00:00Z"),
        cycle(3, "2026-11-15T12:00:00Z", "2026-12-15"),
    ]);
    let of = |number: u128, occurred: &str| PendingEvent {
        occurred_at: instant(occurred),
        ..event(number, 1, units("1"), 1)
    };
    let events = [
        of(1, "2026-10-14"),
        of(2, "2026-11-19"),
        of(3, "2026-10-15"),
        of(4, "2026-10-13"),
    ];
    let rules = book(vec![rule(1, 1, 1, per_unit("1"))]);
    let done = drain(&mut state, &rules, &events).unwrap();
    let texts: Vec<&str> = done
        .entries
        .iter()
        .map(|entry| entry.description.as_str())
        .collect();
    assert_eq!(
        texts,
        [
            "Call: 2 call in 2 events, late, of 2026-09-15 to 2026-10-15",
            "Call: 1 call in 1 event",
            "Call: 1 call in 1 event, late, of 2026-10-15 to 2026-11-15T12:00:00Z",
        ]
    );
    assert_eq!(state.counters.len(), 1, "all of them count in the open cycle");
}

#[test]
fn what_does_not_fit_is_refused() {
    let rules = book(vec![rule(1, 1, 1, per_unit("9000000"))]);
    let mut state = state(Vec::new(), micro(0), Settlement::Manual);
    let events: Vec<_> = (0..3).map(|index| event(index, 1, units("600000"), 1)).collect();
    assert!(drain(&mut state, &rules, &events).is_err());
}
