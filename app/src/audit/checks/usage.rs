//! What events came to: that each was rated once and at its price, paid in full, counted, and debited.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use domain::{
    amount::{Credits, Quantity},
    credit::{block::Block, draws::Purse},
    cycle::late::{Timeline, Timing},
    id::{BlockId, CustomerId, EventId, MeteringRuleId, MetricId},
    metering::{
        Position,
        rule::{Properties, RuleBook, select},
    },
    time::Timestamp,
};
use entity::{usage_counter, usage_event, usage_pending, usage_rating};
use uuid::Uuid;

use super::{Check, Findings, cycle::Span, ledger::Debits};
use crate::usage::{Rating, day_of, unpack};

/// How long a price may take from its instant to its commit, in seconds. A debit in between could not see it.
const UNSEEN_SECONDS: i64 = 60;

/// What is read about one customer's usage: everything of some days, or what was rated of late.
#[derive(Debug, Default)]
pub(in crate::audit) struct Usage {
    pub(in crate::audit) ratings: Vec<usage_rating::Model>,
    pub(in crate::audit) events: HashMap<Uuid, usage_event::Model>,
    pub(in crate::audit) pending: HashMap<Uuid, usage_pending::Model>,
    /// Whether every event of the days is here, and not only those that are rated.
    pub(in crate::audit) complete: bool,
}

/// What ratings are judged by.
#[derive(Debug)]
pub(in crate::audit) struct Known {
    pub(in crate::audit) rules: RuleBook,
    pub(in crate::audit) metric_tenants: HashMap<Uuid, Uuid>,
    pub(in crate::audit) blocks: HashMap<Uuid, Block>,
    pub(in crate::audit) block_owners: HashMap<Uuid, Uuid>,
}

/// A count, by metric, line and cycle.
type CountKey = (Uuid, Uuid, i64);

/// What ratings sum up to.
#[derive(Debug, Default)]
pub(in crate::audit) struct Tally {
    counts: BTreeMap<CountKey, Count>,
    /// What was drawn, by instant and purse.
    pub(in crate::audit) drawn: Debits,
}

#[derive(Debug, Default)]
struct Count {
    units: i128,
    events: i64,
    credits: i128,
    versions: BTreeSet<Option<Uuid>>,
    voided: bool,
    /// What was rated in time.
    in_time: Span,
    /// Sum of `mark(to) − mark(from)` over all events. Where each begins at the end of another, only both ends of the chain are left.
    chain: u64,
}

impl Tally {
    /// Adds sums that the database has formed. What they were formed of is not known.
    pub(in crate::audit) fn add_sums(
        &mut self,
        key: CountKey,
        version: Option<Uuid>,
        units: i64,
        events: i64,
    ) {
        let count = self.counts.entry(key).or_default();
        count.units += i128::from(units);
        count.events += events;
        count.voided = true;
        count.versions.insert(version);
    }
}

impl Tally {
    /// What was rated in time in the stretches with these first instants, by metric. Only where all ratings were read.
    pub(in crate::audit) fn spans(&self, starts: &[i64]) -> impl Iterator<Item = (Uuid, Span)> {
        self.counts
            .iter()
            .filter(|((.., start), _)| starts.contains(start))
            .map(|((metric, ..), count)| (*metric, count.in_time))
    }

    /// Forgets the counts, where only some of the ratings were read.
    pub(in crate::audit) fn forget_counts(&mut self) {
        self.counts.clear();
    }
}

/// Checks what is read, and adds it up in `tally`.
pub(in crate::audit) fn ratings(
    tenant: Uuid,
    usage: &Usage,
    known: &Known,
    timeline: &mut Timeline,
    tally: &mut Tally,
    found: &mut Findings,
) {
    let mut seen = HashSet::new();
    for row in &usage.ratings {
        let name = format!("rating:{}", EventId(row.last_event));
        super::account::owner(tenant, row.tenant_id, &name, "usage_rating", found);
        let of_tenant = known.metric_tenants.get(&row.metric_id) == Some(&tenant);
        found.expect(
            of_tenant,
            Check::RowOwner,
            &name,
            || "it names a metric of another tenant",
        );
        match unpack(row) {
            Ok(events) => one_row(
                row, &name, &events, usage, known, timeline, &mut seen, tally, found,
            ),
            Err(error) => found.add(Check::UsageRows, &name, error.to_string()),
        }
    }
    if !usage.complete {
        return;
    }
    for event in usage.events.values() {
        let id = EventId(event.id);
        super::account::owner(tenant, event.tenant_id, id, "usage_event", found);
        let settled = seen.contains(&event.id) || event.voided_at.is_some();
        match usage.pending.get(&event.id) {
            None => found.expect(
                settled,
                Check::UsageOnce,
                id,
                || "it is neither waiting nor rated",
            ),
            Some(row) => found.expect(
                same(row, event),
                Check::UsageOnce,
                id,
                || "another event waits in its place",
            ),
        }
    }
}

fn same(row: &usage_pending::Model, event: &usage_event::Model) -> bool {
    row.customer_id == event.customer_id
        && row.metric_id == event.metric_id
        && row.units == event.units
        && row.occurred_at == event.occurred_at
        && row.received_at == event.received_at
        && row.properties == event.properties
        && event.voided_at.is_none()
}

#[expect(clippy::too_many_arguments, reason = "the parts of one look at a row")]
fn one_row(
    row: &usage_rating::Model,
    name: &str,
    events: &[(EventId, Rating)],
    usage: &Usage,
    known: &Known,
    timeline: &mut Timeline,
    seen: &mut HashSet<Uuid>,
    tally: &mut Tally,
    found: &mut Findings,
) {
    let ids = |index: Option<&(EventId, Rating)>| index.map(|(id, _)| id.0);
    let ordered = events.is_sorted_by(|(one, _), (next, _)| one < next)
        && ids(events.first()) == Some(row.first_event)
        && ids(events.last()) == Some(row.last_event);
    found.expect(
        ordered,
        Check::UsageRows,
        name,
        || "its events are not those it says it has",
    );
    let count = tally
        .counts
        .entry((row.metric_id, row.line_id, row.period_start))
        .or_default();
    count.versions.insert(row.rule_id);
    let (mut units, mut standing, mut credits) = (0_i128, 0_i64, 0_i128);
    let mut last = Position::default();
    for (id, rating) in events {
        found.expect(seen.insert(id.0), Check::UsageOnce, id, || "it is rated twice");
        found.expect(
            !usage.pending.contains_key(&id.0),
            Check::UsageOnce,
            id,
            || "it is rated and waits to be rated",
        );
        let Some(event) = usage.events.get(&id.0) else {
            found.add(Check::UsageRows, id, "it is rated, but was never accepted");
            continue;
        };
        place(row, event, *id, rating, timeline, found);
        let to = price(event, *id, rating, known, found);
        paid(row, event, *id, rating, known, found);
        let follows = rating.from.units >= last.units && rating.from.events >= last.events;
        found.expect(
            follows,
            Check::UsageRows,
            id,
            || "it begins before the event before it has ended",
        );
        last = to;
        for draw in rating.draws.as_slice() {
            // What was written off was debited from the overdraft first.
            let purse = draw.from.block().map(|block| block.0);
            let sign = if rating.credits.is_negative() { -1 } else { 1 };
            *tally.drawn.entry((row.settled_at, purse)).or_default() += sign * i128::from(draw.credits.raw());
        }
        count.chain = count.chain.wrapping_add(mark(to).wrapping_sub(mark(rating.from)));
        count.in_time.note(rating.timing, event);
        if event.voided_at.is_some() {
            count.voided = true;
        } else {
            units += i128::from(event.units);
            standing += 1;
            credits += i128::from(rating.credits.raw());
        }
    }
    let says = (i128::from(row.units), row.events, i128::from(row.credits));
    found.expect(says == (units, standing, credits), Check::UsageRows, name, || {
        format!(
            "it says {says:?} (units, events, credits), its events come to {:?}",
            (units, standing, credits)
        )
    });
    count.units += units;
    count.events += standing;
    count.credits += credits;
}

/// A number for a place in a count that no other place has, as far as chance goes.
fn mark(place: Position) -> u64 {
    let mut bits = (place.units.raw() as u64)
        ^ (place.events as u64)
            .rotate_left(32)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Whether an event is counted where it belongs.
///
/// Cycles that begin, or end early, between its acceptance and the later instant at which it says that it occurred (clocks run ahead)
/// were not known when it was debited: then it counts in the stretch in which it was accepted. No more was one that was agreed to at
/// the very instant of acceptance, and one that ended at the instant at which it began has left no stretch: a test clock stands still.
fn place(
    row: &usage_rating::Model,
    event: &usage_event::Model,
    id: EventId,
    rating: &Rating,
    timeline: &mut Timeline,
    found: &mut Findings,
) {
    let (occurred, received) = (
        Timestamp::from_micros(event.occurred_at),
        Timestamp::from_micros(event.received_at),
    );
    let here =
        (event.customer_id, event.metric_id, day_of(occurred)) == (row.customer_id, row.metric_id, row.day);
    let placed = timeline.place_accepted(occurred, received);
    let says = (rating.timing, row.period_start);
    let begun = timeline.begins_at(received) && received <= occurred;
    let mut unaware =
        |at| received <= occurred && says == (Timing::OnTime, timeline.stretch(at).period.start.micros());
    let belongs = says == (placed.timing, placed.stretch.period.start.micros())
        || unaware(received)
        || (placed.stretch.period.start == received
            && unaware(Timestamp::from_micros(received.micros() - 1)))
        || (begun && says == (Timing::OnTime, received.micros()));
    found.expect(
        here && belongs,
        Check::UsageRows,
        id,
        || "it is rated for another customer, metric, cycle or day",
    );
}

/// The price version and the cost of an event. Answers where it ends.
fn price(
    event: &usage_event::Model,
    id: EventId,
    rating: &Rating,
    known: &Known,
    found: &mut Findings,
) -> Position {
    let (occurred, received) = (
        Timestamp::from_micros(event.occurred_at),
        Timestamp::from_micros(event.received_at),
    );
    let rules = known
        .rules
        .get(&MetricId(event.metric_id))
        .map_or(&[][..], |metric| &metric.rules);
    let properties: Option<Properties> = match event.properties.as_deref() {
        None => Some(Properties::default()),
        Some(json) => serde_json::from_str(json).ok(),
    };
    let chosen = rules.iter().find(|rule| Some(rule.id) == rating.rule);
    let valid = |seen: Timestamp| {
        let properties = properties.as_ref()?;
        Some(select(rules, properties, occurred, seen).map(|rule| rule.id) == rating.rule)
    };
    let known_at = id.made_at().unwrap_or(received).max(received);
    let fits = [known_at, known_at.plus_seconds(-UNSEEN_SECONDS)]
        .map(valid)
        .contains(&Some(true));
    let line = chosen.map(|rule| rule.line);
    found.expect(fits && line == rating.counter.line, Check::UsagePrice, id, || {
        format!(
            "{:?} was not the version valid for it",
            rating.rule.map(|rule| rule.to_string())
        )
    });
    let Ok(to) = rating.from.after(Quantity::from_raw(event.units)) else {
        found.add(Check::UsagePrice, id, "its place in the cycle is out of range");
        return rating.from;
    };
    let due = chosen.map_or(Ok(Credits::ZERO), |rule| rule.price.between(rating.from, to));
    // A drop returns no more than the cycle has cost, so it may be smaller than the price says.
    let right = due.is_ok_and(|due| {
        rating.credits == due || (due.is_negative() && due <= rating.credits && !rating.credits.is_positive())
    });
    found.expect(right, Check::UsagePrice, id, || {
        format!("it cost {}, its price says {due:?}", rating.credits)
    });
    to
}

/// Where the cost was drawn from.
fn paid(
    row: &usage_rating::Model,
    event: &usage_event::Model,
    id: EventId,
    rating: &Rating,
    known: &Known,
    found: &mut Findings,
) {
    let cost = i128::from(rating.credits.raw());
    let drawn: i128 = rating
        .draws
        .as_slice()
        .iter()
        .map(|draw| i128::from(draw.credits.raw()))
        .sum();
    let full = if cost >= 0 { drawn == cost } else { drawn <= -cost };
    found.expect(full, Check::UsagePaid, id, || {
        format!("it cost {cost}, {drawn} were drawn")
    });
    for draw in rating.draws.as_slice() {
        let Purse::Block(block) = draw.from else { continue };
        let own = known.block_owners.get(&block.0) == Some(&row.customer_id);
        let received = event.received_at;
        let open = known.blocks.get(&block.0).is_some_and(|block| {
            block.granted_at.micros() <= received
                && block.expires_at.is_none_or(|end| received < end.micros())
                && block.pays_for(MetricId(event.metric_id))
        });
        found.expect(own && (open || cost < 0), Check::UsagePaid, id, || {
            format!("it drew on {block}, which was not open to it")
        });
    }
}

/// Compares the counts of one customer with what its ratings sum up to. `found` hears of counts without ratings and of ratings
/// without a count.
pub(in crate::audit) fn counts(
    tenant: Uuid,
    counters: &[usage_counter::Model],
    tally: &mut Tally,
    known: &Known,
    found: &mut Findings,
) {
    for counter in counters {
        let key = (counter.metric_id, counter.line_id, counter.period_start);
        let name = count_name(counter.customer_id, key);
        super::account::owner(tenant, counter.tenant_id, &name, "usage_counter", found);
        let count = tally.counts.remove(&key).unwrap_or_default();
        let sums = (i128::from(counter.units), counter.events);
        found.expect(
            sums == (count.units, count.events),
            Check::UsageCounts,
            &name,
            || {
                format!(
                    "it says {sums:?} (units, events), its ratings {:?}",
                    (count.units, count.events)
                )
            },
        );
        match counter.noun() {
            Ok((_, _, noun)) => {
                let drawn: i128 = noun
                    .draws
                    .as_slice()
                    .iter()
                    .map(|draw| i128::from(draw.credits.raw()))
                    .sum();
                found.expect(
                    drawn == i128::from(counter.credits),
                    Check::UsageCounts,
                    &name,
                    || format!("it cost {}, {drawn} were drawn", counter.credits),
                );
                cost_of(counter, noun.position, &count, known, &name, found);
            }
            Err(error) => found.add(Check::UsageCounts, &name, error.to_string()),
        }
    }
    for (key, count) in std::mem::take(&mut tally.counts) {
        let who = counters
            .first()
            .map_or(Uuid::nil(), |counter| counter.customer_id);
        found.expect(
            count.events == 0,
            Check::UsageCounts,
            count_name(who, key),
            || format!("{} events are rated that nobody counts", count.events),
        );
    }
}

/// Compares what a customer's ledger has written off with what its counts have drawn of that.
pub(in crate::audit) fn written_off(
    who: CustomerId,
    counters: &[usage_counter::Model],
    by_entries: i64,
    found: &mut Findings,
) {
    // Counts that cannot be read are another finding.
    let counts = counters.iter().filter_map(|counter| counter.noun().ok());
    let by_counts: i128 = counts
        .flat_map(|(_, _, count)| count.draws.as_slice().to_vec())
        .filter(|draw| draw.from == Purse::WrittenOff)
        .map(|draw| i128::from(draw.credits.raw()))
        .sum();
    found.expect(
        by_counts == i128::from(by_entries),
        Check::UsageWrittenOff,
        who,
        || format!("its entries have written {by_entries} off, its counts {by_counts}"),
    );
}

fn count_name(customer: Uuid, (metric, line, period): CountKey) -> String {
    let customer = domain::id::CustomerId(customer);
    let line = MeteringRuleId(line);
    format!("count:{customer}:{}:{line}:{period}", MetricId(metric))
}

fn cost_of(
    counter: &usage_counter::Model,
    end: Position,
    count: &Count,
    known: &Known,
    name: &str,
    found: &mut Findings,
) {
    // With several versions in a cycle the cost depends on the order of events; each of them is checked by itself.
    if let [version] = count.versions.iter().copied().collect::<Vec<_>>()[..] {
        let rules = known
            .rules
            .get(&MetricId(counter.metric_id))
            .map_or(&[][..], |metric| &metric.rules);
        let rule = rules.iter().find(|rule| Some(rule.id.0) == version);
        let due = rule.map_or(Ok(Credits::ZERO), |rule| {
            rule.price.between(Position::default(), end)
        });
        let right = due == Ok(Credits::from_raw(counter.credits));
        found.expect(right, Check::UsageCounts, name, || {
            format!("it cost {}, its price says {due:?}", counter.credits)
        });
    }
    // A void moves the count back, and by the price of the last units.
    if count.voided || count.events == 0 {
        return;
    }
    found.expect(
        count.credits == i128::from(counter.credits),
        Check::UsageCounts,
        name,
        || format!("it cost {}, its events {}", counter.credits, count.credits),
    );
    let whole = mark(end).wrapping_sub(mark(Position::default()));
    found.expect(
        count.chain == whole,
        Check::UsageRows,
        name,
        || "its events do not follow each other from the first to the last unit",
    );
}

/// Compares what debit entries moved with what was drawn for events, purse by purse.
pub(in crate::audit) fn debits(
    customer: Uuid,
    moved: &Debits,
    drawn: &Debits,
    since: i64,
    found: &mut Findings,
) {
    let mut left: BTreeMap<Option<Uuid>, i128> = BTreeMap::new();
    for (sign, side) in [(1, moved), (-1, drawn)] {
        for ((instant, purse), credits) in side {
            if *instant >= since {
                *left.entry(*purse).or_default() += sign * credits;
            }
        }
    }
    for (purse, credits) in left {
        let name = purse.map_or_else(
            || format!("overdraft:{}", domain::id::CustomerId(customer)),
            |block| BlockId(block).to_string(),
        );
        found.expect(credits == 0, Check::UsageDebits, name, || {
            format!("debit entries moved {credits} more than events drew from it")
        });
    }
}
