//! Bounded overshoot: whatever happens, usage takes nobody's overdraft beyond the bound, every credit of it is covered, owed or written
//! off, and what is written off goes back to the vendor and to nobody else.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use common::{
    Shape, World, at, block, block_id, book, cases, check_counters, check_ledger, credits, event, metric,
    micro, per_unit, remaining, rule, units, volume, worlds,
};
use domain::{
    amount::Credits,
    credit::{
        block::Block,
        burn::{Bound, Funds, Repaid},
        draws::Purse,
        grant,
    },
    customer::{AtZero, BeyondOvershoot, Settlement, Terms},
    ledger::{Cause, Entry, EntryKind},
    metering::rule::RuleBook,
    rejection::Rejection,
    usage::{
        CustomerState,
        drain::{Drained, RatedEvent, drain},
        event::PendingEvent,
        void::{Voided, void},
    },
};
use proptest::{collection::vec, prelude::*};

const ANY: Shape = Shape {
    rising: false,
    versions: true,
    expiring: true,
};
const RISING: Shape = Shape { rising: true, ..ANY };
const LASTING: Shape = Shape {
    versions: false,
    expiring: false,
    ..ANY
};

fn bounded(mut state: CustomerState, most: Credits) -> CustomerState {
    let repaid = Vec::new();
    state.funds = state.funds.bounded(Some(Bound { most, repaid }));
    state
}

fn state(blocks: Vec<Block>, settlement: Settlement, most: &str) -> CustomerState {
    bounded(common::state(blocks, micro(0), settlement), credits(most))
}

/// What the counts say was written off.
fn by_counts(state: &CustomerState) -> i64 {
    let draws = state.counters.values().flat_map(|count| count.draws.as_slice());
    let written_off = draws.filter(|draw| draw.from == Purse::WrittenOff);
    written_off.map(|draw| draw.credits.raw()).sum()
}

/// What the ledger says was written off.
fn by_entries(entries: &[Entry]) -> i64 {
    let written_off = entries.iter().filter(|it| it.cause.kind == EntryKind::WriteOff);
    written_off.map(|it| it.credits.raw()).sum()
}

fn drained(state: &mut CustomerState, rules: &RuleBook, events: &[PendingEvent]) -> Drained {
    let before = state.clone();
    let done = drain(state, rules, events).unwrap();
    check_ledger(&before, state, &done.entries);
    check_counters(state);
    assert_eq!(by_counts(state) - by_counts(&before), by_entries(&done.entries));
    done
}

fn voided(state: &mut CustomerState, world: &World, event: &PendingEvent, rated: &RatedEvent) -> Voided {
    let before = state.clone();
    let done = void(state, &world.usage(event, rated), at(200)).unwrap();
    check_ledger(&before, state, &done.entries);
    check_counters(state);
    assert_eq!(by_counts(state) - by_counts(&before), by_entries(&done.entries));
    done
}

/// Deposits a block, and has the bound know what it repays.
fn deposit(state: &mut CustomerState, mut block: Block) -> Vec<Entry> {
    let cause = Cause {
        kind: EntryKind::Grant,
        effect_key: format!("grant:{}", block.id),
        usage: None,
    };
    let owed = state.account.overdraft;
    let entries = grant::grant(&mut state.account, state.settlement, &mut block, cause, "Granted").unwrap();
    let repaid = owed.minus(state.account.overdraft).unwrap();
    let granted_at = block.granted_at;
    let blocks = state.funds.blocks().iter().cloned().chain([block]).collect();
    let mut known = state.funds.bound().cloned();
    if let Some(bound) = &mut known
        && repaid.is_positive()
    {
        bound.repaid.push(Repaid {
            granted_at,
            credits: repaid,
        });
    }
    state.funds = Funds::new(blocks, state.account.overdraft).bounded(known);
    state.check().unwrap();
    entries
}

/// Lines of the ledger: kind, credits, change of the overdraft, overdraft afterwards.
fn lines(entries: &[Entry]) -> Vec<(EntryKind, String, String, String)> {
    let line = |it: &Entry| {
        let text = |credits: Credits| credits.to_string();
        (
            it.cause.kind,
            text(it.credits),
            text(it.overdraft_change),
            text(it.overdraft_after),
        )
    };
    entries.iter().map(line).collect()
}

fn line(kind: EntryKind, credits: &str, change: &str, after: &str) -> (EntryKind, String, String, String) {
    (kind, credits.to_owned(), change.to_owned(), after.to_owned())
}

fn one_price(price: domain::metering::Price, blocks: Vec<Block>, amounts: &[&str]) -> World {
    let events = amounts.iter().zip(1_u128..);
    World {
        blocks,
        overdraft: micro(0),
        settlement: Settlement::NextPurchase,
        rules: book(vec![rule(1, 1, 1, price)]),
        events: events
            .map(|(amount, number)| event(number, 1, units(amount), i64::try_from(number).unwrap()))
            .collect(),
        timeline: Default::default(),
    }
}

#[test]
fn the_ledger_tells_of_the_debit_in_full_and_of_the_write_off() {
    let world = one_price(per_unit("1"), vec![block(1, 10_000_000)], &["30", "4"]);
    let mut books = bounded(world.state(), credits("5"));
    let done = drained(&mut books, &world.rules, &world.events[..1]);
    assert_eq!(
        lines(&done.entries),
        [
            line(EntryKind::Debit, "-10", "0", "0"),
            line(EntryKind::Debit, "-20", "20", "20"),
            line(EntryKind::WriteOff, "15", "-15", "5"),
        ]
    );
    let entry = &done.entries[2];
    assert_eq!(
        entry.description,
        "Call: 30 call in 1 event, beyond the bound: written off"
    );
    let usage = entry.cause.usage.as_ref().unwrap();
    assert_eq!((usage.metric, usage.events), (metric(1), 1));
    // There is no room left.
    let done = drained(&mut books, &world.rules, &world.events[1..]);
    assert_eq!(
        lines(&done.entries),
        [
            line(EntryKind::Debit, "-4", "4", "9"),
            line(EntryKind::WriteOff, "4", "-4", "5"),
        ]
    );
    // The next purchase repays what is owed and no more.
    deposit(
        &mut books,
        Block {
            granted_at: at(9),
            ..block(2, 8_000_000)
        },
    );
    assert_eq!(
        (books.account.overdraft, remaining(&books)[&block_id(2)]),
        (micro(0), 3_000_000)
    );
}

#[test]
fn the_first_to_come_back_is_what_was_written_off() {
    // 10 from the block, 5 owed, 3 written off; then a purchase repays the 5.
    let world = one_price(per_unit("1"), vec![block(1, 10_000_000)], &["10", "8"]);
    let mut books = bounded(world.state(), credits("5"));
    let rated = drained(&mut books, &world.rules, &world.events).events;
    assert_eq!(
        (books.account.overdraft, by_counts(&books)),
        (credits("5"), 3_000_000)
    );
    deposit(
        &mut books,
        Block {
            granted_at: at(9),
            ..block(2, 50_000_000)
        },
    );
    // Had the first event never been, the block would have paid for the second, and nothing would have been written off.
    let done = voided(&mut books, &world, &world.events[0], &rated[0]);
    assert_eq!(
        lines(&done.entries),
        [
            line(EntryKind::WriteOff, "-3", "3", "3"),
            line(EntryKind::Void, "7", "0", "3"),
            line(EntryKind::Void, "3", "-3", "0"),
        ]
    );
    assert_eq!(
        (done.homeless, books.account.balance(), by_counts(&books)),
        (micro(0), credits("52"), 0)
    );
    // What was owed and is repaid goes into a new block; what was written off never does.
    let done = voided(&mut books, &world, &world.events[1], &rated[1]);
    assert_eq!(
        (done.homeless, books.account.balance()),
        (credits("5"), credits("55"))
    );
}

#[test]
fn a_falling_price_gives_back_to_the_vendor() {
    let world = one_price(volume(&[("10", "1"), ("∞", "0.1")]), Vec::new(), &["10", "1"]);
    let mut books = bounded(world.state(), credits("4"));
    drained(&mut books, &world.rules, &world.events[..1]);
    assert_eq!(
        (books.account.overdraft, by_counts(&books)),
        (credits("4"), 6_000_000)
    );
    // 10 credits become 1.1: 8.9 come back, 6 of them to the vendor.
    let done = drained(&mut books, &world.rules, &world.events[1..]);
    assert_eq!(
        lines(&done.entries),
        [
            line(EntryKind::WriteOff, "-6", "6", "10"),
            line(EntryKind::Debit, "8.9", "-8.9", "1.1"),
        ]
    );
    assert_eq!((done.homeless, by_counts(&books)), (micro(0), 0));
}

#[test]
fn losing_a_volume_price_keeps_to_the_bound() {
    let world = one_price(volume(&[("10", "1"), ("∞", "0.1")]), Vec::new(), &["10", "1"]);
    let mut books = bounded(world.state(), credits("4"));
    let rated = drained(&mut books, &world.rules, &world.events).events;
    let done = voided(&mut books, &world, &world.events[1], &rated[1]);
    assert_eq!(
        lines(&done.entries),
        [
            line(EntryKind::Void, "-8.9", "8.9", "10"),
            line(EntryKind::WriteOff, "6", "-6", "4"),
        ]
    );
}

/// In one batch the overdraft may return and the write-off grow: the totals never dip below zero on the way.
#[test]
fn what_moves_both_ways_in_one_batch() {
    let world = one_price(
        volume(&[("10", "1"), ("∞", "0.5")]),
        Vec::new(),
        &["9", "3", "20"],
    );
    let mut books = bounded(world.state(), credits("7"));
    let done = drained(&mut books, &world.rules, &world.events);
    // 16 in all: 7 are owed and 9 written off.
    assert_eq!(
        (books.account.overdraft, by_entries(&done.entries)),
        (credits("7"), 9_000_000)
    );
}

/// A worker that comes after a purchase finds the room that there was when the usage was accepted.
#[test]
fn a_purchase_makes_no_room_for_usage_before_it() {
    for late in [false, true] {
        let world = one_price(per_unit("1"), Vec::new(), &["5", "3"]);
        let mut books = bounded(world.state(), credits("5"));
        drained(&mut books, &world.rules, &world.events[..1]);
        let bought = Block {
            granted_at: at(9),
            ..block(2, 100_000_000)
        };
        if late {
            deposit(&mut books, bought.clone());
        }
        drained(&mut books, &world.rules, &world.events[1..]);
        if !late {
            deposit(&mut books, bought);
        }
        assert_eq!(
            (books.account.balance(), by_counts(&books)),
            (credits("95"), 3_000_000),
            "{late}"
        );
    }
}

#[test]
fn what_is_owed_already_stays_owed() {
    let world = one_price(per_unit("1"), Vec::new(), &["20", "1"]);
    let mut books = world.state();
    drained(&mut books, &world.rules, &world.events[..1]);
    let mut books = bounded(books, credits("5"));
    drained(&mut books, &world.rules, &world.events[1..]);
    assert_eq!(
        (books.account.overdraft, by_counts(&books)),
        (credits("20"), 1_000_000)
    );
}

#[test]
fn terms_of_overshoot() {
    use AtZero::{Allow, AllowUpTo, Block as Stop};
    use BeyondOvershoot::{Bill, WriteOff};
    let of = |at_zero, line: Option<&str>, limit: Option<&str>, beyond| {
        Terms::new(at_zero, line.map(credits), Settlement::Manual)?.with_overshoot(limit.map(credits), beyond)
    };
    let bound = |terms: Result<Terms, Rejection>| terms.map(|it| it.bound()).map_err(|no| no.path);
    let refused = |field: &str| Err(vec![field.to_owned()]);
    let huge = "9000000000000";
    for (at_zero, line, limit, beyond, answer) in [
        (Stop, None, None, Bill, Ok(None)),
        (Stop, None, Some("5"), Bill, Ok(None)),
        (Stop, None, Some("5"), WriteOff, Ok(Some(credits("5")))),
        (Stop, None, Some("0"), WriteOff, Ok(Some(micro(0)))),
        (
            AllowUpTo,
            Some("20"),
            Some("5"),
            WriteOff,
            Ok(Some(credits("25"))),
        ),
        (Allow, None, None, Bill, Ok(None)),
        (Stop, None, None, WriteOff, refused("beyondOvershoot")),
        (Allow, None, None, WriteOff, refused("beyondOvershoot")),
        (Allow, None, Some("5"), Bill, refused("overshootLimit")),
        (Allow, None, Some("5"), WriteOff, refused("overshootLimit")),
        (Stop, None, Some("-0.000001"), WriteOff, refused("overshootLimit")),
        (
            AllowUpTo,
            Some(huge),
            Some(huge),
            WriteOff,
            refused("overshootLimit"),
        ),
    ] {
        let case = format!("{at_zero:?} {line:?} {limit:?} {beyond:?}");
        assert_eq!(bound(of(at_zero, line, limit, beyond)), answer, "{case}");
    }
}

/// What somebody does.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Use,
    Void(prop::sample::Index),
    Grant(i64),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let one = prop_oneof![
        4 => Just(Deed::Use),
        2 => any::<prop::sample::Index>().prop_map(Deed::Void),
        1 => (1_i64..9_000_000).prop_map(Deed::Grant),
    ];
    vec(one, 0..30)
}

/// A world and the most that may be owed in it: nothing, a little, or what never matters.
fn with_bound(shape: Shape) -> impl Strategy<Value = (World, Credits)> {
    let most = prop_oneof![Just(0_i64), 0_i64..10, 0_i64..20_000_000];
    (worlds(shape), most.prop_map(micro))
}

proptest! {
    #![proptest_config(cases(4_000))]

    /// Usage never takes the overdraft beyond the bound, whatever is done and in whatever order.
    #[test]
    fn nobody_comes_to_owe_more((world, most) in with_bound(ANY), deeds in deeds()) {
        let mut books = bounded(world.state(), most);
        let (mut next, mut rated, mut granted) = (0, Vec::new(), 0);
        for deed in deeds {
            let before = books.account.overdraft;
            match deed {
                Deed::Use => {
                    let Some(event) = world.events.get(next) else { continue };
                    let done = drained(&mut books, &world.rules, std::slice::from_ref(event));
                    rated.push((event.clone(), done.events[0].clone()));
                    next += 1;
                }
                Deed::Void(which) if !rated.is_empty() => {
                    let (event, it) = rated.swap_remove(which.index(rated.len()));
                    voided(&mut books, &world, &event, &it);
                }
                Deed::Void(_) => {}
                Deed::Grant(raw) => {
                    granted += 1;
                    let granted_at = world.events.get(next).map_or(at(100), |it| it.received_at);
                    deposit(&mut books, Block { granted_at, ..block(1_000 + granted, raw) });
                }
            }
            prop_assert!(books.account.overdraft <= before.max(most), "{:?}", deed);
            prop_assert!(by_counts(&books) >= 0);
        }
    }

    /// What no block covers is owed or written off: together as much as would be owed without a bound.
    #[test]
    fn owed_and_written_off_is_what_was_not_covered((world, most) in with_bound(RISING)) {
        let world = World { settlement: Settlement::Manual, ..world };
        let (mut with, mut without) = (bounded(world.state(), most), world.state());
        let one = drained(&mut with, &world.rules, &world.events);
        let other = drained(&mut without, &world.rules, &world.events);
        prop_assert_eq!(remaining(&with), remaining(&without), "blocks pay the same");
        let owed = |state: &CustomerState| state.account.overdraft.raw();
        prop_assert_eq!(owed(&with) + by_counts(&with), owed(&without));
        prop_assert!(by_counts(&with) == 0 || owed(&with) >= most.raw(), "as much is owed as may be");
        for (one, other) in one.events.iter().zip(&other.events) {
            prop_assert_eq!(one.credits, other.credits, "prices know of no bound");
        }
    }

    #[test]
    fn nothing_stays_written_off_of_what_is_taken_back(
        (world, most) in with_bound(LASTING),
        order in any::<prop::sample::Index>(),
    ) {
        let world = World { settlement: Settlement::Manual, ..world };
        let mut books = bounded(world.state(), most);
        let rated = drained(&mut books, &world.rules, &world.events).events;
        let mut all: Vec<_> = world.events.iter().zip(&rated).collect();
        if !all.is_empty() {
            let first = order.index(all.len());
            all.rotate_left(first);
        }
        for (event, it) in all {
            let done = voided(&mut books, &world, event, it);
            prop_assert_eq!(done.homeless, micro(0), "a gift to nobody");
        }
        prop_assert_eq!(by_counts(&books), 0);
        prop_assert_eq!(remaining(&books), remaining(&world.state()));
        prop_assert_eq!(books.account.overdraft, world.overdraft);
    }

    #[test]
    fn a_batch_is_worth_its_events_one_by_one((world, most) in with_bound(ANY)) {
        let (mut whole, mut single) = (bounded(world.state(), most), bounded(world.state(), most));
        let batch = drained(&mut whole, &world.rules, &world.events);
        let mut written_off = 0;
        for (event, rated) in world.events.iter().zip(&batch.events) {
            let one = drained(&mut single, &world.rules, std::slice::from_ref(event));
            written_off += by_entries(&one.entries);
            prop_assert_eq!(&one.events[0], rated);
        }
        prop_assert_eq!(&whole.funds, &single.funds);
        prop_assert_eq!(&whole.counters, &single.counters);
        prop_assert_eq!(by_entries(&batch.entries), written_off);
    }

    /// Draining before or after the grants writes the same off.
    #[test]
    fn it_does_not_matter_when_the_worker_comes((world, most) in with_bound(RISING)) {
        let world = World { settlement: Settlement::NextPurchase, ..world };
        let (prompt, late) = (live(&world, most, true), live(&world, most, false));
        prop_assert_eq!(remaining(&prompt), remaining(&late));
        prop_assert_eq!(prompt.account.overdraft, late.account.overdraft);
        prop_assert_eq!(by_counts(&prompt), by_counts(&late));
    }
}

/// Drains every event before the blocks that come after it (`prompt`), or all of them at the end.
fn live(world: &World, most: Credits, prompt: bool) -> CustomerState {
    let (early, mut later): (Vec<Block>, Vec<Block>) = world
        .blocks
        .iter()
        .cloned()
        .partition(|block| block.granted_at <= at(0));
    later.sort_by_key(|block| (block.granted_at, block.id));
    let mut books = bounded(common::state(early, world.overdraft, world.settlement), most);
    let mut later = later.into_iter().peekable();
    for event in &world.events {
        while let Some(block) = later.next_if(|block| block.granted_at <= event.received_at) {
            deposit(&mut books, block);
        }
        if prompt {
            drained(&mut books, &world.rules, std::slice::from_ref(event));
        }
    }
    for block in later {
        deposit(&mut books, block);
    }
    if !prompt {
        drained(&mut books, &world.rules, &world.events);
    }
    books
}

#[test]
fn a_zero_bound_owes_nothing() {
    let world = one_price(per_unit("1"), Vec::new(), &["2"]);
    let mut books = state(Vec::new(), Settlement::NextPurchase, "0");
    let done = drained(&mut books, &world.rules, &world.events);
    assert_eq!(
        (books.account.overdraft, by_entries(&done.entries)),
        (micro(0), 2_000_000)
    );
}
