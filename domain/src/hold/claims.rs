//! What open holds lay claim to: a customer's books as they would stand if everything that is held were used now.
//!
//! Holds are priced anew with every decision, in the order in which they were made and on top of what is counted by then. A price
//! fixed when a hold was made would not do: when an earlier hold is given up, a later one moves down into a dearer tier, and both
//! together could pass the limit. Priced anew, what all of a count's holds claim depends on their sum only, and falls whenever one of them
//! is captured, given up or over. With a volume price, which may be dearer on the way than at the end, they claim the dearest that it can
//! come to.
//!
//! The credits are taken from the blocks that would pay, in burn order. So what is held for one metric by a block of its own
//! leaves the others alone.

use std::collections::HashMap;

use super::Hold;
use crate::{
    amount::{Credits, Overflow},
    credit::{burn::Funds, draws::Draw},
    id::MetricId,
    metering::{
        Position,
        rule::{MeteringRule, Properties, RuleBook, select},
    },
    time::Timestamp,
    usage::{CounterKey, CustomerState},
};

/// By when books are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instant {
    /// The customer's present.
    pub now: Timestamp,
    /// The instant by whose prices it is asked. A customer with a test clock may live earlier.
    pub known_at: Timestamp,
}

/// What something would count as, and at which price.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Priced<'a> {
    pub(crate) counter: CounterKey,
    pub(crate) rule: Option<&'a MeteringRule>,
}

impl<'a> Priced<'a> {
    /// That of usage of an instant.
    pub(crate) fn of(
        state: &mut CustomerState,
        rules: &'a RuleBook,
        metric: MetricId,
        properties: &Properties,
        at: Instant,
    ) -> Self {
        let rule = rules
            .get(&metric)
            .and_then(|known| select(&known.rules, properties, at.now, at.known_at.max(at.now)));
        let counter = CounterKey {
            metric,
            line: rule.map(|rule| rule.line),
            period_start: state.timeline.stretch(at.now).period.start,
        };
        Self { counter, rule }
    }
}

/// What holds claim of one count.
#[derive(Debug, Clone, Copy)]
struct Reached {
    /// How far the count has come without them.
    counted: Position,
    /// How far it comes with all of them.
    position: Position,
    /// The most that this costs on the way.
    most: Credits,
}

impl Reached {
    /// The same with a further hold.
    fn with(self, rule: Option<&MeteringRule>, hold: &Hold) -> Result<Self, Overflow> {
        let position = self.position.after(hold.units)?;
        let most = match rule {
            Some(rule) => rule.price.most_between(self.counted, position)?,
            None => Credits::ZERO,
        };
        Ok(Self {
            position,
            most: most.max(self.most),
            ..self
        })
    }
}

/// The claims of a customer's open holds.
#[derive(Debug, Clone)]
pub(crate) struct Claims {
    /// The counts as they are.
    counted: HashMap<CounterKey, Position>,
    /// The counts that holds move.
    reached: HashMap<CounterKey, Reached>,
    /// The blocks and the overdraft as they would stand if everything that is held were used.
    funds: Funds,
    drawn: Vec<Draw>,
    /// The sum of all claims, zero or more.
    total: Credits,
    /// Whether a claim cannot be expressed: then there is nothing left.
    boundless: bool,
}

impl Claims {
    /// Those of the holds that are open at an instant. `state` is only read, but for what it remembers of its timeline.
    pub(crate) fn of(state: &mut CustomerState, rules: &RuleBook, holds: &[Hold], at: Instant) -> Self {
        let counted = state.counters.iter();
        let mut claims = Self {
            counted: counted.map(|(key, count)| (*key, count.position)).collect(),
            reached: HashMap::new(),
            // What is held was not used yet, so nobody takes it upon himself.
            funds: state.funds.clone().bounded(None),
            drawn: Vec::new(),
            total: Credits::ZERO,
            boundless: false,
        };
        for hold in holds.iter().filter(|hold| hold.is_open_at(at.now)) {
            let priced = Priced::of(state, rules, hold.metric, &hold.properties, at);
            // What cannot be added leaves its mark.
            let _ = claims.add(priced, hold, at.now);
        }
        claims
    }

    /// How far a count comes with everything that is held.
    pub(crate) fn position(&self, counter: CounterKey) -> Position {
        self.reached(counter).position
    }

    /// What a further hold would claim, zero or more.
    pub(crate) fn asked(&self, priced: Priced<'_>, hold: &Hold) -> Result<Credits, Overflow> {
        let before = self.reached(priced.counter);
        before.with(priced.rule, hold)?.most.minus(before.most)
    }

    /// Adds the claim of a hold.
    pub(crate) fn add(&mut self, priced: Priced<'_>, hold: &Hold, now: Timestamp) -> Result<(), Overflow> {
        let added = self.try_add(priced, hold, now);
        self.boundless |= added.is_err();
        added
    }

    fn try_add(&mut self, priced: Priced<'_>, hold: &Hold, now: Timestamp) -> Result<(), Overflow> {
        let before = self.reached(priced.counter);
        let after = before.with(priced.rule, hold)?;
        let credits = after.most.minus(before.most)?;
        self.total = self.total.plus(credits)?;
        self.drawn.clear();
        self.funds.burn_into(&mut self.drawn, credits, hold.metric, now)?;
        self.reached.insert(priced.counter, after);
        Ok(())
    }

    /// The blocks and the overdraft as they would stand if everything that is held were used; `None`: that cannot be expressed.
    pub(crate) fn funds(&self) -> Option<&Funds> {
        (!self.boundless).then_some(&self.funds)
    }

    /// What holds claim in all, of whatever credits; the most there can be where that cannot be expressed.
    pub(crate) fn total(&self) -> Credits {
        if self.boundless { Credits::MAX } else { self.total }
    }

    fn reached(&self, counter: CounterKey) -> Reached {
        let known = self.reached.get(&counter).copied();
        known.unwrap_or_else(|| {
            let counted = self.counted.get(&counter).copied().unwrap_or_default();
            Reached {
                counted,
                position: counted,
                most: Credits::ZERO,
            }
        })
    }
}
