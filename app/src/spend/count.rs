//! Counting what is spent where usage is debited or taken back.
//!
//! For any number of customers that have it switched on: two statements to read and one to write, and two more where a limit is reached.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::{
    amount::Credits,
    id::CustomerId,
    spend::{Span, tally::Tally},
    time::Timestamp,
};

use super::{
    event,
    store::{self, Found, Place},
};
use crate::{error::Result, failpoint::reach, op::Op, usage::day_of};

/// Usage that has cost something, or is taken back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    /// Whose. It has spend management switched on, and its account is locked.
    pub(crate) customer: CustomerId,
    /// When it happened.
    pub(crate) occurred_at: Timestamp,
    /// What it cost; less than zero where credits come back.
    pub(crate) credits: Credits,
    /// What of that is not its own cost: usage that is taken back lowers the cost of its cycle, which may be more or less.
    pub(crate) corrected: Credits,
}

/// Counts usage, and tells the limits that are reached by it.
pub(crate) async fn count_in(op: &Op, all: &[Spent]) -> Result<()> {
    let changes = by_period(all)?;
    if changes.is_empty() {
        return Ok(());
    }
    let places: Vec<Place> = changes.keys().copied().collect();
    let customers: BTreeSet<CustomerId> = places.iter().map(|(customer, ..)| *customer).collect();
    let settings = store::found(op.tx(), &Vec::from_iter(customers)).await?;
    let mut tallies = store::tallies(op.tx(), &places).await?;
    reach("spend.read")?;
    let mut counted = Vec::with_capacity(changes.len());
    for (place, change) in changes {
        let (customer, span, start) = place;
        // What nobody counted at first stays uncounted.
        let counts = settings
            .get(&customer)
            .is_some_and(|it| it.setting.since <= start);
        if !counts {
            continue;
        }
        let known = tallies.remove(&place);
        let mut tally = known.unwrap_or_else(|| Tally::begin(span, start));
        tally.add(change.credits)?;
        tally.corrected = tally.corrected.plus(change.corrected)?;
        counted.push((customer, tally));
    }
    tell_in(op, &settings, counted).await
}

/// Writes tallies, and tells the limits that are reached. One statement, none without tallies, and two more where a limit is.
pub(super) async fn tell_in(
    op: &Op,
    settings: &HashMap<CustomerId, Found>,
    mut tallies: Vec<(CustomerId, Tally)>,
) -> Result<()> {
    let mut events = Vec::new();
    for (customer, tally) in &mut tallies {
        if let Some(found) = settings.get(customer) {
            let now = found.own_time.unwrap_or_else(|| op.now());
            let news = tally.news(&found.setting.rule, now);
            events.extend(
                news.iter()
                    .map(|reached| event::of(op, &found.setting, reached, now)),
            );
        }
    }
    store::put_tallies(op, &tallies).await?;
    reach("spend.counted")?;
    crate::event::write_in(op, &events).await?;
    reach("spend.told")
}

/// What usage adds to a day or a month.
#[derive(Debug, Clone, Copy, Default)]
struct Change {
    credits: Credits,
    corrected: Credits,
}

impl Change {
    fn add(&mut self, other: Self) -> Result<()> {
        self.credits = self.credits.plus(other.credits)?;
        self.corrected = self.corrected.plus(other.corrected)?;
        Ok(())
    }
}

/// What usage adds to each day and month. By days first: a batch has thousands of events on a few of them, and a month is found by a calendar.
fn by_period(all: &[Spent]) -> Result<BTreeMap<Place, Change>> {
    let mut days: BTreeMap<(CustomerId, i64), Change> = BTreeMap::new();
    let counts = |it: &&Spent| !it.credits.is_zero() || !it.corrected.is_zero();
    for it in all.iter().filter(counts) {
        let day = days.entry((it.customer, day_of(it.occurred_at))).or_default();
        day.add(Change {
            credits: it.credits,
            corrected: it.corrected,
        })?;
    }
    let mut changes: BTreeMap<Place, Change> = BTreeMap::new();
    for ((customer, day), change) in days {
        let day = Timestamp::from_micros(day);
        for span in Span::ALL {
            let place = (customer, span, span.period(day).start);
            changes.entry(place).or_default().add(change)?;
        }
    }
    Ok(changes)
}
