//! Builders, generators and the checks that every ledger must pass. Instants are microseconds after noon of 20 November 2026,
//! so that ties and exact boundaries are common; amounts are small for the same reason.
#![allow(dead_code)]

pub mod vendor;

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::{
    amount::{Credits, Quantity, Rate},
    credit::{
        block::{Billing, Block, BlockState, Source},
        burn::Funds,
    },
    customer::Settlement,
    cycle::{
        CycleRef,
        late::{CountingCycle, LatePolicy, Timeline},
    },
    id::{BlockId, CustomerId, EventId, MeteringRuleId, MetricId, SubscriptionId},
    ledger::{Account, Entry, chain::EntryHash},
    metering::{
        Flat, Graduated, Package, PerUnit, Position, Price, Tier, Volume,
        rule::{MeteringRule, MetricRules, Properties, RuleBook},
    },
    time::{Period, Timestamp},
    usage::{CounterKey, CustomerState, drain::RatedEvent, event::PendingEvent, void::RatedUsage},
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use uuid::Uuid;

/// Noon of 20 November 2026 in microseconds.
const NOON: i64 = 1_795_176_000_000_000;
const DAY: i64 = 86_400_000_000;

pub fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

pub fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(NOON + micros)
}

/// An instant by its text, independent of noon.
pub fn instant(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|_| panic!("{text}"))
}

pub fn credits(text: &str) -> Credits {
    text.parse().unwrap_or_else(|_| panic!("{text}"))
}

pub fn units(text: &str) -> Quantity {
    text.parse().unwrap_or_else(|_| panic!("{text}"))
}

pub fn rate(text: &str) -> Rate {
    text.parse().unwrap_or_else(|_| panic!("{text}"))
}

pub fn micro(raw: i64) -> Credits {
    Credits::from_raw(raw)
}

pub fn metric(number: u128) -> MetricId {
    MetricId(Uuid::from_u128(number))
}

pub fn block_id(number: u128) -> BlockId {
    BlockId(Uuid::from_u128(number))
}

fn rule_id(number: u128) -> MeteringRuleId {
    MeteringRuleId(Uuid::from_u128(number))
}

pub fn large() -> Properties {
    Properties::from([("model".to_owned(), "large".to_owned())])
}

/// A free block of `raw` micro-credits that is open to every metric for ever.
pub fn block(number: u128, raw: i64) -> Block {
    Block {
        id: block_id(number),
        source: Source::Promotion,
        billing: Billing::Free,
        priority: 0,
        credits: micro(raw),
        remaining: micro(raw),
        granted_at: at(-10),
        expires_at: None,
        metrics: None,
        state: BlockState::Active,
    }
}

pub fn event(number: u128, of: u128, amount: Quantity, received: i64) -> PendingEvent {
    PendingEvent {
        id: EventId(Uuid::from_u128(number)),
        metric: metric(of),
        units: amount,
        occurred_at: at(received),
        received_at: at(received),
        properties: Properties::new(),
    }
}

pub fn tiers(list: &[(&str, &str)]) -> Vec<Tier> {
    list.iter()
        .map(|&(up_to, price)| Tier {
            up_to: (up_to != "∞").then(|| units(up_to)),
            credits_per_unit: rate(price),
        })
        .collect()
}

pub fn volume(list: &[(&str, &str)]) -> Price {
    Price::Volume(Volume { tiers: tiers(list) })
}

pub fn graduated(list: &[(&str, &str)]) -> Price {
    Price::Graduated(Graduated { tiers: tiers(list) })
}

pub fn per_unit(price: &str) -> Price {
    Price::PerUnit(PerUnit {
        credits_per_unit: rate(price),
    })
}

/// One version of a price. `number` is unique; `line` is the number of the first version.
pub fn rule(number: u128, line: u128, of: u128, price: Price) -> MeteringRule {
    MeteringRule {
        id: rule_id(number),
        metric: metric(of),
        version: i32::try_from(number).unwrap(),
        matches: Properties::new(),
        line: rule_id(line),
        price,
        effective_from: Timestamp::MIN,
        effective_to: None,
        known_from: Timestamp::MIN,
    }
}

pub fn book(rules: Vec<MeteringRule>) -> RuleBook {
    let mut book = RuleBook::new();
    for rule in rules {
        let empty = || MetricRules {
            name: "Call".to_owned(),
            unit: "call".to_owned(),
            rules: Vec::new(),
        };
        book.entry(rule.metric).or_insert_with(empty).rules.push(rule);
    }
    book
}

pub fn state(blocks: Vec<Block>, overdraft: Credits, settlement: Settlement) -> CustomerState {
    let total = Credits::total(blocks.iter().map(|block| block.remaining)).unwrap();
    CustomerState {
        customer: CustomerId(Uuid::nil()),
        settlement,
        account: Account {
            sequence: 7,
            blocks: total,
            overdraft,
            head: EntryHash::NONE,
            watched_balance: None,
            low_balance: None,
        },
        funds: Funds::new(blocks, overdraft),
        counters: HashMap::new(),
        timeline: Timeline::default(),
    }
}

/// Everything that is needed to drain.
#[derive(Debug, Clone)]
pub struct World {
    pub blocks: Vec<Block>,
    pub overdraft: Credits,
    pub settlement: Settlement,
    pub rules: RuleBook,
    pub events: Vec<PendingEvent>,
    pub timeline: Timeline,
}

impl World {
    pub fn state(&self) -> CustomerState {
        CustomerState {
            timeline: self.timeline.clone(),
            ..state(self.blocks.clone(), self.overdraft, self.settlement)
        }
    }

    pub fn rule_of(&self, rated: &RatedEvent) -> Option<&MeteringRule> {
        let wanted = rated.rule?;
        self.rules
            .values()
            .flat_map(|metric| &metric.rules)
            .find(|rule| rule.id == wanted)
    }

    /// The rated event as `void` wants it.
    pub fn usage(&self, event: &PendingEvent, rated: &RatedEvent) -> RatedUsage<'_> {
        let draws = if rated.credits.is_positive() {
            rated.draws.clone()
        } else {
            Default::default()
        };
        RatedUsage {
            event: event.clone(),
            rule: self.rule_of(rated),
            counter: rated.counter,
            draws,
        }
    }
}

/// Micro-credits per unit: tiny prices hit the rounding, plain ones do not.
#[derive(Debug, Clone, Copy)]
pub enum Scale {
    Tiny,
    Plain,
}

impl Scale {
    pub fn any() -> impl Strategy<Value = Self> + Clone {
        select(vec![Self::Tiny, Self::Plain])
    }

    /// Zero to four micro-credits a unit, or zero to four credits.
    pub fn rates(self) -> BoxedStrategy<Rate> {
        let raw = match self {
            Self::Tiny => prop_oneof![Just(0), Just(500_000), Just(1_500_000), 0_i64..4_000_000].boxed(),
            Self::Plain => prop_oneof![Just(0), Just(1_000_000_000_000), 0_i64..4_000_000_000_000].boxed(),
        };
        raw.prop_map(Rate::from_raw).boxed()
    }

    pub fn credits(self, up_to: i64) -> BoxedStrategy<Credits> {
        let raw = match self {
            Self::Tiny => 1..=up_to,
            Self::Plain => 1..=up_to * 1_000_000,
        };
        raw.prop_map(Credits::from_raw).boxed()
    }
}

/// Up to ten units, half of the time whole ones.
pub fn quantities() -> BoxedStrategy<Quantity> {
    prop_oneof![
        (0_i64..=10).prop_map(|whole| whole * 1_000_000),
        0_i64..10_000_000
    ]
    .prop_map(Quantity::from_raw)
    .boxed()
}

fn tier_lists(scale: Scale, rising: bool) -> impl Strategy<Value = Vec<Tier>> {
    let widths = prop_oneof![(1_i64..15).prop_map(|whole| whole * 1_000_000), 1_i64..15_000_000];
    (vec(widths, 0..4), vec(scale.rates(), 4)).prop_map(move |(widths, mut rates)| {
        if rising {
            rates.sort_unstable();
        }
        let mut end = 0;
        let ends: Vec<_> = widths
            .iter()
            .map(|width| {
                end += width;
                Some(Quantity::from_raw(end))
            })
            .collect();
        let ends = ends.into_iter().chain([None]);
        ends.zip(rates)
            .map(|(up_to, credits_per_unit)| Tier {
                up_to,
                credits_per_unit,
            })
            .collect()
    })
}

/// Every kind of price. `rising`: more units never cost less in total.
pub fn prices(scale: Scale, rising: bool) -> BoxedStrategy<Price> {
    prop_oneof![
        1 => scale.rates().prop_map(|credits| Price::Flat(Flat { credits })),
        1 => scale.rates().prop_map(|credits_per_unit| Price::PerUnit(PerUnit { credits_per_unit })),
        2 => tier_lists(scale, false).prop_map(|tiers| Price::Graduated(Graduated { tiers })),
        3 => tier_lists(scale, rising).prop_map(|tiers| Price::Volume(Volume { tiers })),
        1 => (1_i64..8_000_000, scale.rates()).prop_map(|(size, credits_per_package)| {
            Price::Package(Package { size: Quantity::from_raw(size), credits_per_package })
        }),
    ]
    .boxed()
}

/// Blocks of every kind with distinct ids, most of them granted before the first event.
pub fn blocks(scale: Scale, expiring: bool, count: std::ops::Range<usize>) -> BoxedStrategy<Vec<Block>> {
    let grants = prop_oneof![3 => -10_i64..=0, 1 => 0_i64..100];
    let ends = if expiring {
        option::of(1_i64..120).boxed()
    } else {
        Just(None).boxed()
    };
    let metrics = prop_oneof![2 => Just(None), 1 => vec((0_u128..4).prop_map(metric), 1..3).prop_map(Some)];
    let billing = select(vec![Billing::Free, Billing::Prepaid, Billing::Budget]);
    let one = (
        0_u128..9,
        -1_i32..=1,
        scale.credits(40),
        0_i64..=4,
        (grants, ends),
        metrics,
        billing,
    );
    vec(one, count)
        .prop_map(|list| {
            let build = |(index, (name, priority, amount, quarters, (granted, end), metrics, billing))| {
                let amount: Credits = amount;
                let index: usize = index;
                Block {
                    id: block_id(name << 64 | index as u128),
                    billing,
                    priority,
                    remaining: micro(i64::min(amount.raw(), amount.raw() / 4 * quarters + quarters)),
                    granted_at: at(granted),
                    expires_at: Option::map(end, |after: i64| at(granted + after)),
                    metrics,
                    ..block(0, amount.raw())
                }
            };
            list.into_iter().enumerate().map(build).collect()
        })
        .boxed()
}

pub fn settlements() -> impl Strategy<Value = Settlement> {
    select(vec![
        Settlement::NextPurchase,
        Settlement::NextInvoice,
        Settlement::Manual,
    ])
}

/// What a generated world may contain.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// More units never cost less.
    pub rising: bool,
    /// Metric 1 changes its price at instant 50.
    pub versions: bool,
    /// Blocks may expire.
    pub expiring: bool,
}

/// Metric 0 has two lines of prices, 1 and 2 have one, 3 is free of charge. Events come in the order of acceptance; some
/// happened in the month before.
pub fn worlds(shape: Shape) -> BoxedStrategy<World> {
    Scale::any()
        .prop_flat_map(move |scale| {
            let one = (0_u128..4, quantities(), 0_i64..100, any::<bool>(), any::<bool>());
            (
                blocks(scale, shape.expiring, 0..6),
                prop_oneof![Just(Credits::ZERO), scale.credits(5)],
                settlements(),
                vec(prices(scale, shape.rising), 5),
                vec(one, 0..14),
            )
        })
        .prop_map(move |(blocks, overdraft, settlement, prices, mut usage)| {
            usage.sort_by_key(|&(.., received, _, _)| received);
            let build = |(index, (of, amount, received, late, big))| {
                let fresh: PendingEvent = event(1_000 + index as u128, of, amount, received);
                PendingEvent {
                    occurred_at: at(received - if late { 25 * DAY } else { 0 }),
                    properties: if big { large() } else { Properties::new() },
                    ..fresh
                }
            };
            let events = usage.into_iter().enumerate().map(build).collect();
            World {
                blocks,
                overdraft,
                settlement,
                rules: rule_book(prices, shape.versions),
                events,
                timeline: Timeline::default(),
            }
        })
        .boxed()
}

/// Cycles of up to two subscriptions, with gaps, and boundaries among the instants at which the events of [`worlds`] occur and are
/// accepted.
pub fn cycles() -> BoxedStrategy<Vec<CountingCycle>> {
    let bound = (select(vec![-60_i64, -25, -25, 0, 0, 60]), 0_i64..100);
    let late = select(vec![
        LatePolicy::CurrentCycle,
        LatePolicy::Adjustment,
        LatePolicy::Reject,
    ]);
    let kind = (prop_oneof![3 => Just(true), 1 => Just(false)], 0_i64..60, late);
    let one = |subscription: u128| {
        (vec(bound.clone(), 2..6), vec(kind.clone(), 6)).prop_map(move |(mut bounds, kinds)| {
            bounds.sort_unstable();
            let ends = bounds.iter().map(|(days, micros)| at(days * DAY + micros));
            let ends: Vec<Timestamp> = ends.collect();
            let periods = ends.windows(2).zip(1..).zip(kinds);
            let cycle = |((ends, number), (there, open, late)): ((&[Timestamp], i64), (bool, i64, _))| {
                there.then(|| CountingCycle {
                    cycle: CycleRef {
                        subscription: SubscriptionId(Uuid::from_u128(subscription)),
                        number,
                    },
                    since: at(i64::try_from(subscription).unwrap()),
                    period: Period {
                        start: ends[0],
                        end: ends[1],
                    },
                    closes_at: Timestamp::from_micros(ends[1].micros() + open),
                    late,
                    closed: false,
                })
            };
            periods.filter_map(cycle).collect::<Vec<_>>()
        })
    };
    prop_oneof![
        one(1).boxed(),
        (one(1), one(2))
            .prop_map(|(one, two)| [one, two].concat())
            .boxed()
    ]
    .boxed()
}

fn rule_book(prices: Vec<Price>, versions: bool) -> RuleBook {
    let mut prices = prices.into_iter();
    let mut next = || prices.next().unwrap();
    let mut rules = vec![
        rule(1, 1, 0, next()),
        MeteringRule {
            matches: large(),
            ..rule(2, 2, 0, next())
        },
        rule(3, 3, 1, next()),
        rule(4, 4, 2, next()),
    ];
    if versions {
        rules[2].effective_to = Some(at(50));
        rules.push(MeteringRule {
            effective_from: at(50),
            ..rule(5, 3, 1, next())
        });
    }
    book(rules)
}

/// Remaining credits per block.
pub fn remaining(state: &CustomerState) -> BTreeMap<BlockId, i64> {
    state
        .funds
        .blocks()
        .iter()
        .map(|block| (block.id, block.remaining.raw()))
        .collect()
}

/// The position of a count of `events` that together have `raw` units.
pub fn position(raw: i64, events: i64) -> Position {
    Position {
        units: Quantity::from_raw(raw),
        events,
    }
}

/// What every batch of entries must keep to, given the state before and after.
pub fn check_ledger(before: &CustomerState, after: &CustomerState, entries: &[Entry]) {
    after.check().expect("totals and blocks agree");
    let mut sequence = before.account.sequence;
    let mut balance = before.account.balance().raw();
    let mut overdraft = before.account.overdraft.raw();
    let mut change: BTreeMap<BlockId, i64> = BTreeMap::new();
    let mut keys = HashSet::new();
    for entry in entries {
        sequence += 1;
        balance += entry.credits.raw();
        overdraft += entry.overdraft_change.raw();
        assert_eq!(entry.sequence, sequence, "no gap");
        assert_eq!(entry.balance_after.raw(), balance, "running balance");
        assert_eq!(entry.overdraft_after.raw(), overdraft, "running overdraft");
        assert!(overdraft >= 0, "the overdraft is never below zero: {entry:?}");
        assert!(
            balance + overdraft >= 0,
            "the blocks are never below zero in total: {entry:?}"
        );
        assert!(
            keys.insert(&entry.cause.effect_key),
            "one effect, one key: {}",
            entry.cause.effect_key
        );
        let moved = entry.credits.raw() + entry.overdraft_change.raw();
        match entry.block {
            Some(block) => *change.entry(block).or_default() += moved,
            None => assert_eq!(moved, 0, "an entry without a block moves the overdraft only"),
        }
    }
    assert_eq!(after.account.sequence, sequence);
    assert_eq!(after.account.balance().raw(), balance);
    assert_eq!(after.account.overdraft.raw(), overdraft);
    let earlier = remaining(before);
    for block in after.funds.blocks() {
        assert!(
            !block.remaining.is_negative() && block.remaining <= block.credits,
            "{block:?}"
        );
        let moved = block.remaining.raw() - earlier[&block.id];
        assert_eq!(
            moved,
            change.remove(&block.id).unwrap_or(0),
            "entries of a block = its change"
        );
    }
    assert!(change.is_empty(), "only blocks of the customer move");
}

/// A count's draws add up to its credits, as long as no version of a price follows another.
pub fn check_counters(state: &CustomerState) {
    for (key, count) in &state.counters {
        let drawn = Credits::total(count.draws.as_slice().iter().map(|draw| draw.credits)).unwrap();
        assert_eq!(drawn, count.credits, "{key:?}");
    }
}

/// What the count costs by its price alone.
pub fn cycle_cost(world: &World, key: &CounterKey, position: Position) -> Credits {
    let rule = world
        .rules
        .values()
        .flat_map(|metric| &metric.rules)
        .find(|rule| Some(rule.id) == key.line);
    rule.map_or(Credits::ZERO, |rule| rule.price.cumulative(position).unwrap())
}
