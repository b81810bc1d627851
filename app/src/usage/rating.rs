//! Ratings packed into rows: what each event of a batch came to, as one JSON text per metric, price version, cycle, timing and day.
//!
//! `[["<event id>",from_units,from_events,credits,[[purse,credits],…]],…]`, with ids as 32 hexadecimal digits and purses as
//! places in a list that the row keeps once. Both databases can read it with their JSON functions.

use std::collections::HashMap;

use domain::{
    amount::{Credits, Overflow, Quantity},
    credit::draws::{Draw, Draws, OVERDRAFT, Purse, WRITTEN_OFF},
    cycle::late::Timing,
    id::{BlockId, CustomerId, EventId, MeteringRuleId, MetricId, TenantId},
    metering::Position,
    time::Timestamp,
    usage::{CounterKey, drain::RatedEvent, event::PendingEvent},
};
use entity::{Corrupt, from_text, usage_rating};
use uuid::Uuid;

use super::{DAY_MICROS, view::Rating};
use crate::error::{Error, Result};

/// Events in one row: enough that the row itself costs nothing, few enough that looking at one event stays cheap (some 20 KB).
const MAX_EVENTS: i64 = 250;

/// A row in the making.
#[derive(Debug)]
pub(super) struct RatingRow {
    pub(super) tenant: TenantId,
    pub(super) customer: CustomerId,
    pub(super) counter: CounterKey,
    pub(super) rule: Option<MeteringRuleId>,
    pub(super) timing: Timing,
    pub(super) day: i64,
    pub(super) first: EventId,
    pub(super) last: EventId,
    pub(super) units: Quantity,
    pub(super) events: i64,
    pub(super) credits: Credits,
    purses: Vec<Purse>,
    detail: Vec<u8>,
}

/// What all events of a row have in common.
type Key = (CounterKey, Option<MeteringRuleId>, Timing, i64);

/// First instant of the UTC day, in microseconds.
pub(crate) fn day_of(instant: Timestamp) -> i64 {
    instant.micros() / DAY_MICROS * DAY_MICROS
}

/// Packs what a customer's events came to: at most [`MAX_EVENTS`] in a row, all of one count, price version, timing and
/// day.
///
/// # Errors
/// Sums out of range, which the counts would have refused before.
pub(super) fn pack(
    tenant: TenantId,
    customer: CustomerId,
    events: &[PendingEvent],
    rated: &[RatedEvent],
    rows: &mut Vec<RatingRow>,
) -> Result<()> {
    let mut open: HashMap<Key, usize> = HashMap::new();
    let mut last = None;
    for (event, rated) in events.iter().zip(rated) {
        let key = (rated.counter, rated.rule, rated.timing, day_of(event.occurred_at));
        let known = match last {
            // Nearly always the row of the event before.
            Some((before, place)) if before == key => Some(place),
            _ => open.get(&key).copied(),
        };
        let place = known.filter(|&place| rows[place].events < MAX_EVENTS);
        let place = place.unwrap_or_else(|| {
            rows.push(RatingRow::begin(tenant, customer, key, event.id));
            open.insert(key, rows.len() - 1);
            rows.len() - 1
        });
        last = Some((key, place));
        rows[place]
            .add(event, rated)
            .map_err(|overflow| Error::Internal(format!("{}: {overflow}", event.id)))?;
    }
    Ok(())
}

impl RatingRow {
    fn begin(
        tenant: TenantId,
        customer: CustomerId,
        (counter, rule, timing, day): Key,
        first: EventId,
    ) -> Self {
        Self {
            tenant,
            customer,
            counter,
            rule,
            timing,
            day,
            first,
            last: first,
            units: Quantity::ZERO,
            events: 0,
            credits: Credits::ZERO,
            purses: Vec::new(),
            detail: Vec::new(),
        }
    }

    fn add(&mut self, event: &PendingEvent, rated: &RatedEvent) -> std::result::Result<(), Overflow> {
        self.last = event.id;
        self.units = self.units.plus(event.units)?;
        self.events += 1;
        self.credits = self.credits.plus(rated.credits)?;
        let text = &mut self.detail;
        text.extend_from_slice(if text.is_empty() { b"[[\"" } else { b",[\"" });
        text.extend_from_slice(
            event
                .id
                .0
                .simple()
                .encode_lower(&mut Uuid::encode_buffer())
                .as_bytes(),
        );
        text.push(b'"');
        for number in [rated.from.units.raw(), rated.from.events, rated.credits.raw()] {
            text.push(b',');
            push_number(text, number);
        }
        text.extend_from_slice(b",[");
        for (index, draw) in rated.draws.as_slice().iter().enumerate() {
            let purse = match self.purses.iter().position(|known| *known == draw.from) {
                Some(place) => place,
                None => {
                    self.purses.push(draw.from);
                    self.purses.len() - 1
                }
            };
            text.extend_from_slice(if index == 0 { b"[" } else { b",[" });
            push_number(text, i64::try_from(purse).map_err(|_| Overflow)?);
            text.push(b',');
            push_number(text, draw.credits.raw());
            text.push(b']');
        }
        text.extend_from_slice(b"]]");
        Ok(())
    }

    /// The list of purses as it is kept.
    pub(super) fn purses(&self) -> String {
        let name = |purse: &Purse| match purse {
            Purse::Block(block) => format!("\"{}\"", block.0.simple()),
            Purse::Overdraft | Purse::WrittenOff => format!("\"{purse}\""),
        };
        format!("[{}]", self.purses.iter().map(name).collect::<Vec<_>>().join(","))
    }

    /// The events as they are kept.
    pub(super) fn take_detail(&mut self) -> String {
        let mut text = std::mem::take(&mut self.detail);
        text.push(b']');
        // Only ASCII was written.
        String::from_utf8(text).unwrap_or_default()
    }
}

/// Appends a number in decimal digits.
fn push_number(text: &mut Vec<u8>, number: i64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut left = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if number < 0 {
        text.push(b'-');
    }
    text.extend_from_slice(&digits[at..]);
}

/// An event of `detail`.
type Packed<'a> = (&'a str, i64, i64, i64, Vec<(usize, i64)>);

/// What the events of a row came to, in the order of their ids.
///
/// # Errors
/// A row that does not say what it should.
pub(crate) fn unpack(row: &usage_rating::Model) -> Result<Vec<(EventId, Rating)>> {
    let corrupt = |problem: String| Corrupt {
        table: "usage_rating",
        problem: format!("ending at {}: {problem}", row.last_event),
    };
    let names: Vec<&str> = serde_json::from_str(&row.purses).map_err(|error| corrupt(error.to_string()))?;
    let purses: Vec<Purse> = names
        .iter()
        .map(|name| match *name {
            OVERDRAFT => Ok(Purse::Overdraft),
            WRITTEN_OFF => Ok(Purse::WrittenOff),
            id => Uuid::try_parse(id).map(|id| Purse::Block(BlockId(id))),
        })
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| corrupt(error.to_string()))?;
    let events: Vec<Packed<'_>> =
        serde_json::from_str(&row.detail).map_err(|error| corrupt(error.to_string()))?;
    let counter = CounterKey {
        metric: MetricId(row.metric_id),
        line: (!row.line_id.is_nil()).then_some(MeteringRuleId(row.line_id)),
        period_start: Timestamp::from_micros(row.period_start),
    };
    let timing: Timing = from_text("usage_rating", &row.timing)?;
    let mut ratings = Vec::with_capacity(events.len());
    for (id, from_units, from_events, credits, parts) in events {
        let id = Uuid::try_parse(id).map_err(|error| corrupt(error.to_string()))?;
        let mut draws = Draws::default();
        for (purse, credits) in parts {
            let from = *purses
                .get(purse)
                .ok_or_else(|| corrupt(format!("purse {purse}")))?;
            let credits = Credits::from_raw(credits);
            draws
                .push(Draw { from, credits })
                .map_err(|overflow| corrupt(overflow.to_string()))?;
        }
        let rating = Rating {
            rule: row.rule_id.map(MeteringRuleId),
            counter,
            timing,
            from: Position {
                units: Quantity::from_raw(from_units),
                events: from_events,
            },
            credits: Credits::from_raw(credits),
            draws,
        };
        ratings.push((EventId(id), rating));
    }
    Ok(ratings)
}
