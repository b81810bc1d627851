//! What should come out, written from the product's words: one customer, one history, no jobs, no batches, no database.

use std::{cmp::Reverse, collections::BTreeMap};

use domain::{credit::block::Billing, customer::Settlement, metering::Price};
use entity::billing_cycle;

use super::METRICS;
use crate::harness::naive::{cumulative, places};

/// How long after its expiry a block is emptied, and after its end a cycle turned.
pub const GRACE: i64 = 5_000_000;

/// One version of a price.
#[derive(Debug, Clone)]
pub struct Version {
    pub metric: usize,
    /// Whether it is for large requests only.
    pub large: bool,
    /// When it was written.
    pub known: i64,
    /// When it begins to apply.
    pub from: i64,
    pub price: Price,
}

/// The prices of all metrics, which grow.
pub type Prices = Vec<Version>;

/// What happened.
pub enum Input {
    Event {
        key: String,
        metric: usize,
        units: i64,
        occurred: i64,
        large: bool,
    },
    Grant {
        amount: i64,
        priority: i32,
        billing: Billing,
        expires: Option<i64>,
        metric: Option<usize>,
    },
    Adjust {
        amount: i64,
        refused: bool,
    },
    Revoke {
        granted: i64,
    },
    Void {
        key: String,
    },
}

/// Credits that come with every cycle and end with it.
pub struct Sold {
    /// First instants of the cycles, oldest first. The last is the end of the contract, or later than the case lives.
    pub bounds: Vec<i64>,
    pub amount: i64,
    pub billing: Billing,
    /// Whether half of what is left goes on.
    pub rolls_over: bool,
}

pub struct Model {
    settlement: Settlement,
    /// The most that it comes to owe; the rest is written off.
    bound: Option<i64>,
    /// What the customer has agreed to.
    pub sold: Option<Sold>,
    /// Of the customer, if it ever had any.
    pub cycles: Vec<billing_cycle::Model>,
    pub history: Vec<(i64, Input)>,
}

struct Block {
    granted: i64,
    credits: i64,
    remaining: i64,
    priority: i32,
    billing: Billing,
    expires: Option<i64>,
    metric: Option<usize>,
    revoked: bool,
    /// Whether it came with a cycle.
    of_cycle: bool,
}

impl Block {
    fn open(&self, at: i64) -> bool {
        !self.revoked && self.granted <= at && self.expires.is_none_or(|end| at < end)
    }
}

/// Where credits were drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purse {
    /// The block with a number.
    Block(usize),
    Owed,
    WrittenOff,
}

/// Where credits were drawn from, last used last.
type Draws = Vec<(Purse, i64)>;

#[derive(Default)]
struct Count {
    units: i64,
    events: i64,
    credits: i64,
    draws: Draws,
}

/// Metric, whether for large requests only, first instant of what is counted together.
type Cycle = (usize, bool, i64);

struct Rated {
    cycle: Cycle,
    price: Price,
    units: i64,
    draws: Draws,
}

#[derive(Default)]
struct Books {
    blocks: Vec<Block>,
    overdraft: i64,
    bound: Option<i64>,
    written_off: i64,
    counts: BTreeMap<Cycle, Count>,
    rated: BTreeMap<String, Rated>,
}

impl Model {
    pub fn new(settlement: Settlement, bound: Option<i64>) -> Self {
        Self {
            settlement,
            bound,
            sold: None,
            cycles: vec![],
            history: vec![],
        }
    }

    /// How the customer stands at an instant.
    pub fn replay(&self, prices: &Prices, now: i64) -> String {
        let mut books = Books {
            bound: self.bound,
            ..Books::default()
        };
        let mut turned = 0;
        for (at, input) in &self.history {
            self.turn(&mut books, &mut turned, *at);
            self.apply(prices, &mut books, *at, input);
        }
        self.turn(&mut books, &mut turned, now - GRACE);
        for block in &mut books.blocks {
            if block.expires.is_some_and(|end| end <= now - GRACE) {
                block.remaining = 0;
            }
        }
        books.told()
    }

    /// Cycles that end by an instant: what is left of their credits ends, some of it goes on, and the next begins with its own.
    fn turn(&self, books: &mut Books, turned: &mut usize, until: i64) {
        let Some(sold) = &self.sold else { return };
        while *turned + 1 < sold.bounds.len() && sold.bounds[*turned] <= until {
            let (at, end) = (sold.bounds[*turned], sold.bounds[*turned + 1]);
            *turned += 1;
            let mut left = 0;
            for block in books.blocks.iter_mut().filter(|it| it.of_cycle) {
                left += std::mem::take(&mut block.remaining);
            }
            // Half of it, and of half a micro-credit the even neighbour.
            let carried = if sold.rolls_over {
                left / 2 + (left % 2) * (left / 2 % 2)
            } else {
                0
            };
            for credits in [carried, sold.amount].into_iter().filter(|it| *it > 0) {
                let block = Block {
                    expires: Some(end),
                    of_cycle: true,
                    ..by_hand(at, credits, sold.billing)
                };
                books.deposit(block, self.settlement == Settlement::NextPurchase);
            }
        }
    }

    fn apply(&self, prices: &Prices, books: &mut Books, at: i64, input: &Input) {
        let purchase = self.settlement == Settlement::NextPurchase;
        match input {
            Input::Event {
                key,
                metric,
                units,
                occurred,
                large,
            } => {
                let version = valid(prices, *metric, *occurred, at, *large);
                let (_, start) = places(&self.cycles, *occurred, at)[0];
                books.consume(key, version, *units, start, at);
            }
            Input::Grant {
                amount,
                priority,
                billing,
                expires,
                metric,
            } => {
                let block = Block {
                    granted: at,
                    credits: *amount,
                    remaining: *amount,
                    priority: *priority,
                    billing: *billing,
                    expires: *expires,
                    metric: *metric,
                    revoked: false,
                    of_cycle: false,
                };
                books.deposit(block, purchase);
            }
            Input::Adjust { amount, refused } if *amount < 0 => books.take(-amount, at, *refused),
            Input::Adjust { amount, .. } => books.deposit(by_hand(at, *amount, Billing::Free), true),
            Input::Revoke { granted } => {
                let block = books.blocks.iter_mut().find(|it| it.granted == *granted).unwrap();
                block.revoked = true;
                block.remaining = 0;
            }
            Input::Void { key } => books.void(key, at, purchase),
        }
    }
}

/// Known when the event was accepted and valid when it occurred; of those the most specific, and of those the last.
fn valid(prices: &Prices, metric: usize, occurred: i64, accepted: i64, large: bool) -> &Version {
    let fits = |it: &&Version| {
        it.metric == metric && it.known <= accepted && it.from <= occurred && (large || !it.large)
    };
    prices
        .iter()
        .filter(fits)
        .max_by_key(|it| (it.large, it.from))
        .unwrap()
}

fn by_hand(granted: i64, amount: i64, billing: Billing) -> Block {
    Block {
        granted,
        credits: amount,
        remaining: amount,
        priority: 0,
        billing,
        expires: None,
        metric: None,
        revoked: false,
        of_cycle: false,
    }
}

fn draw(draws: &mut Draws, purse: Purse, amount: i64) {
    let before: i64 = draws.iter().filter(|it| it.0 == purse).map(|it| it.1).sum();
    draws.retain(|it| it.0 != purse);
    draws.push((purse, before + amount));
}

fn cost(price: &Price, count: &Count, units: i64, events: i64) -> i64 {
    let after = cumulative(price, count.units + units, count.events + events);
    i64::try_from(after - cumulative(price, count.units, count.events)).unwrap()
}

impl Books {
    fn deposit(&mut self, mut block: Block, repays: bool) {
        if repays && block.billing != Billing::Budget {
            let part = self.overdraft.min(block.remaining);
            block.remaining -= part;
            self.overdraft -= part;
        }
        self.blocks.push(block);
    }

    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.blocks.len()).collect();
        order.sort_by_key(|&index| {
            let it = &self.blocks[index];
            let billing = match it.billing {
                Billing::Free => 0,
                Billing::Prepaid => 1,
                Billing::Budget => 2,
            };
            (
                Reverse(it.priority),
                it.expires.is_none(),
                it.expires,
                billing,
                it.granted,
            )
        });
        order
    }

    fn consume(&mut self, key: &str, version: &Version, units: i64, start: i64, at: i64) {
        let metric = version.metric;
        let cycle = (metric, version.large, start);
        let mut left = cost(&version.price, self.counts.entry(cycle).or_default(), units, 1);
        let total = left;
        let mut drawn: Draws = vec![];
        for index in self.order() {
            let block = &mut self.blocks[index];
            let part = left.min(block.remaining);
            if part > 0 && block.open(at) && block.metric.is_none_or(|only| only == metric) {
                block.remaining -= part;
                left -= part;
                drawn.push((Purse::Block(index), part));
            }
        }
        let room = self.bound.map_or(left, |bound| (bound - self.overdraft).max(0));
        let owed = left.min(room);
        let beyond = left - owed;
        if owed > 0 {
            self.overdraft += owed;
            drawn.push((Purse::Owed, owed));
        }
        if beyond > 0 {
            self.written_off += beyond;
            drawn.push((Purse::WrittenOff, beyond));
        }
        let count = self.counts.get_mut(&cycle).unwrap();
        count.units += units;
        count.events += 1;
        count.credits += total;
        for (purse, amount) in &drawn {
            draw(&mut count.draws, *purse, *amount);
        }
        let rated = Rated {
            cycle,
            price: version.price.clone(),
            units,
            draws: drawn,
        };
        self.rated.insert(key.to_owned(), rated);
    }

    fn take(&mut self, amount: i64, at: i64, refused: bool) {
        let there: i64 = self
            .blocks
            .iter()
            .filter(|it| it.open(at))
            .map(|it| it.remaining)
            .sum();
        assert_eq!(refused, there < amount, "{there} were there, {amount} to take");
        let mut left = if refused { 0 } else { amount };
        for index in self.order() {
            let block = &mut self.blocks[index];
            let part = if block.open(at) {
                left.min(block.remaining)
            } else {
                0
            };
            block.remaining -= part;
            left -= part;
        }
    }

    /// The cycle costs what it would without the event. That returns to the vendor, as far as it has written something off, then to the
    /// event's own purses, then to those last debited.
    fn void(&mut self, key: &str, at: i64, purchase: bool) {
        let event = self.rated.remove(key).unwrap();
        let count = self.counts.get_mut(&event.cycle).unwrap();
        let back = match count.events {
            1 => count.credits,
            _ => count.credits.min(-cost(&event.price, count, -event.units, -1)),
        };
        count.units -= event.units;
        count.events -= 1;
        count.credits -= back;
        let mut left = back;
        let mut returns: Draws = vec![];
        let own = event.draws.iter().rev().map(|it| (it.0, it.1));
        let last: Vec<_> = count.draws.iter().rev().map(|it| (it.0, i64::MAX)).collect();
        let vendor = [(Purse::WrittenOff, i64::MAX)].into_iter();
        for (purse, most) in vendor.chain(own).chain(last) {
            let Some(held) = count.draws.iter_mut().find(|it| it.0 == purse) else {
                continue;
            };
            let part = left.min(most).min(held.1);
            held.1 -= part;
            left -= part;
            draw(&mut returns, purse, part);
        }
        count.draws.retain(|it| it.1 > 0);
        let mut homeless = 0;
        let mut returned = BTreeMap::new();
        for (purse, amount) in returns {
            match purse {
                Purse::WrittenOff => self.written_off -= amount,
                Purse::Owed => {
                    let part = amount.min(self.overdraft);
                    self.overdraft -= part;
                    homeless += amount - part;
                }
                Purse::Block(index) => {
                    let block = &mut self.blocks[index];
                    if !block.revoked && block.expires.is_none_or(|end| at < end) {
                        let part = amount.min(block.credits - block.remaining);
                        block.remaining += part;
                        returned.insert(index, part);
                    }
                }
            }
        }
        for (index, most) in returned {
            let block = &mut self.blocks[index];
            if purchase && block.billing != Billing::Budget {
                let part = self.overdraft.min(most).min(block.remaining);
                block.remaining -= part;
                self.overdraft -= part;
            }
        }
        if homeless > 0 {
            self.blocks.push(by_hand(at, homeless, Billing::Prepaid));
        }
    }

    fn told(&self) -> String {
        let mut lines = vec![format!(
            "overdraft {}, written off {}",
            self.overdraft, self.written_off
        )];
        let block = |it: &Block| format!("block {} {} of {}", it.granted, it.remaining, it.credits);
        let mut blocks: Vec<String> = self.blocks.iter().map(block).collect();
        blocks.sort();
        lines.extend(blocks);
        let count = |((metric, large, month), it): (&Cycle, &Count)| {
            format!(
                "count {} {} {month} {} {} {}",
                METRICS[*metric],
                u8::from(*large),
                it.units,
                it.events,
                it.credits
            )
        };
        let mut counts: Vec<String> = self.counts.iter().map(count).collect();
        counts.sort();
        lines.extend(counts);
        lines.push(format!("rated {}", self.rated.len()));
        lines.join("\n")
    }
}
