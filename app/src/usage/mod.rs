//! Usage: accept it durably, debit it exactly, take it back, sum it up.
//!
//! **Record.** Each event is checked by itself; the good ones of all concurrent requests are written by one statement (see
//! [`collector`]) and answered after the commit. Cost: no statement for the checks while customers and metrics are known,
//! then one for the events and the queue of pending ones (two on SQLite), and one more when a key was known before. Where a plan of
//! the tenant refuses late usage, one more for the cycles when an event says that it happened before.
//!
//! **Drain.** See [`drain`].

pub(crate) mod collector;
pub(crate) mod directory;
pub(crate) mod drain;
mod overshoot;
mod rating;
pub(crate) mod standing;
mod store;
mod view;
mod void;
mod within;

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::{
    amount::Quantity,
    cycle::late::{Timeline, Timing},
    id::{CustomerId, EventId, MeteringRuleId, MetricId, TenantId, TestClockId},
    ledger::UsageCause,
    metering::{
        Position,
        rule::{Properties, validate_properties},
    },
    rejection::Rejection,
    time::Timestamp,
    usage::{
        event::{MAX_EVENTS, Refusal, is_key},
        limits::check_occurred_at,
    },
};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use self::{collector::Prepared, directory::Known};
pub(crate) use self::{
    drain::{debit_in, refundable, settle, settle_up_to_date},
    rating::{day_of, unpack},
    store::{spent_by_day as spent_by_day_in, spent_lately as spent_lately_in, used_in},
    view::Rating,
    within::{Accept, accept_in, wake},
};
pub use self::{
    view::{GroupBy, Summary, SummaryLine, UsageEvent},
    void::{VoidUsage, Voided, void},
};
use crate::{
    App,
    actor::{Actor, Reach, Scope},
    catalog,
    customer::CustomerRef,
    error::Result,
    failpoint::reach,
    measure,
    page::{Page, Slice},
    subscription, test_clock,
};

/// Seconds in a day.
const DAY: i64 = 86_400;
/// Microseconds in a day.
pub(crate) const DAY_MICROS: i64 = DAY * 1_000_000;

/// An event as a producer sends it.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Who used it; `None` when the producer named nobody, or two.
    pub customer: Option<CustomerRef>,
    /// What was used.
    pub metric_key: String,
    /// How much, as a decimal number.
    pub units: String,
    /// Chosen by the producer; the same key is never debited twice.
    pub key: String,
    /// When it happened; `None`: when it is accepted.
    pub occurred_at: Option<Timestamp>,
    /// Facts that a rule may match on: a JSON object of plain values.
    pub properties: Option<Value>,
}

/// How old an event may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Up to the back-date limit.
    Limited,
    /// Any: import of history, a privilege of the command line.
    Any,
}

/// What became of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Committed; it will be debited.
    Accepted(EventId),
    /// The same event was accepted before.
    Duplicate(EventId),
    /// The key was used before for another event; nothing was written.
    Conflict,
    /// It cannot be accepted; nothing was written.
    Rejected(Refusal),
}

/// Records a batch of events. Answers per event, in order, after the commit.
///
/// # Errors
/// No events, or more than [`MAX_EVENTS`]; a database out of reach, in which case sending the same again is safe.
pub async fn record(app: &App, actor: &Actor, events: Vec<NewEvent>, age: Age) -> Result<Vec<Outcome>> {
    actor.require(Scope::UsageWrite)?;
    if events.is_empty() || events.len() > MAX_EVENTS {
        return Err(Rejection::invalid("events", format!("a request has 1 to {MAX_EVENTS} events")).into());
    }
    reach("record.asked")?;
    let known = app.directory().look_up(app, actor.tenant, &events).await?;
    let times = Times::read(app, &known, &events).await?;
    let mut late = Late::read(app, &known, &events, &times).await?;
    let max_age = match age {
        Age::Limited => Some(app.limits().back_date_days * DAY),
        Age::Any => None,
    };
    let mut outcomes = vec![None; events.len()];
    let mut prepared = Vec::with_capacity(events.len());
    let mut places = Vec::with_capacity(events.len());
    let (mut refused, mut timed) = (Vec::new(), Vec::new());
    for (index, event) in events.into_iter().enumerate() {
        match prepare(actor.reach(), &known, event, &times, max_age) {
            Ok(event) if late.refuses(&event, times.now(event.clock)) => refused.push((index, event)),
            Ok(event) if event.clock.is_some() => timed.push((index, event)),
            Ok(event) => {
                prepared.push(event);
                places.push(index);
            }
            Err(refusal) => outcomes[index] = Some(Outcome::Rejected(refusal)),
        }
    }
    if !refused.is_empty() {
        for (index, outcome) in Box::pin(refused_for_cycle(app, &refused)).await? {
            outcomes[index] = Some(outcome);
        }
    }
    reach("record.checked")?;
    if !prepared.is_empty() {
        let stored = app.collector().store(prepared).await?;
        for (index, outcome) in places.into_iter().zip(stored) {
            outcomes[index] = Some(outcome);
        }
    }
    if !timed.is_empty() {
        for (index, outcome) in Box::pin(accept_by_clocks(app, timed, &times)).await? {
            outcomes[index] = Some(outcome);
        }
    }
    let outcomes: Vec<Outcome> = outcomes.into_iter().flatten().collect();
    measure::outcomes(&outcomes);
    Ok(outcomes)
}

/// What the clocks show that the customers of a request live by.
struct Times {
    wall: Timestamp,
    clocks: HashMap<TestClockId, Timestamp>,
}

impl Times {
    /// Reads the test clocks of customers. No statement where none lives by one.
    async fn read(app: &App, known: &Known, events: &[NewEvent]) -> Result<Self> {
        let customers = events.iter().filter_map(|event| event.customer.as_ref());
        let clocks: HashSet<TestClockId> = customers.filter_map(|who| known.customer(who)?.clock).collect();
        let clocks: Vec<TestClockId> = clocks.into_iter().collect();
        let clocks = if clocks.is_empty() {
            HashMap::new()
        } else {
            // Apart: the request of everybody else need not have room for it.
            Box::pin(test_clock::times(app.db().reader(), &clocks)).await?
        };
        Ok(Self {
            wall: app.now(),
            clocks,
        })
    }

    fn now(&self, clock: Option<TestClockId>) -> Timestamp {
        clock
            .and_then(|clock| self.clocks.get(&clock).copied())
            .unwrap_or(self.wall)
    }
}

/// Accepts events of customers that live by test clocks, at the clocks' time: they are few, and not gathered with others. One
/// transaction per clock.
async fn accept_by_clocks(
    app: &App,
    events: Vec<(usize, Prepared)>,
    times: &Times,
) -> Result<Vec<(usize, Outcome)>> {
    let mut by_time: BTreeMap<Timestamp, Vec<(usize, Prepared)>> = BTreeMap::new();
    for (index, event) in events {
        by_time
            .entry(times.now(event.clock))
            .or_default()
            .push((index, event));
    }
    let mut outcomes = Vec::new();
    for (at, events) in by_time {
        let prepared: Vec<&Prepared> = events.iter().map(|(_, event)| event).collect();
        let stored = collector::write_at(app, &prepared, Some(at)).await?;
        outcomes.extend(events.iter().map(|(index, _)| *index).zip(stored));
    }
    Ok(outcomes)
}

/// What is known of cycles that have closed to late usage.
struct Late {
    timelines: HashMap<CustomerId, Timeline>,
}

impl Late {
    /// Reads the cycles of customers whose events say that they happened before. No statement where no plan of the tenant refuses late
    /// usage, or no event is late.
    async fn read(app: &App, known: &Known, events: &[NewEvent], times: &Times) -> Result<Self> {
        let mut customers = HashSet::new();
        let mut since = Timestamp::MAX;
        for event in events.iter().filter(|_| known.rejects_late()) {
            let place = event.customer.as_ref().and_then(|who| known.customer(who));
            if let (Some(place), Some(occurred_at)) = (place, event.occurred_at)
                && occurred_at < times.now(place.clock)
            {
                customers.insert(place.customer);
                since = since.min(occurred_at);
            }
        }
        let customers: Vec<CustomerId> = customers.into_iter().collect();
        let timelines = if customers.is_empty() {
            HashMap::new()
        } else {
            Box::pin(subscription::timelines_in(app.db().reader(), &customers, since)).await?
        };
        Ok(Self { timelines })
    }

    /// Whether the cycle of an event has closed, and its plan refuses late usage.
    fn refuses(&mut self, event: &Prepared, now: Timestamp) -> bool {
        let timeline = self.timelines.get_mut(&event.customer);
        timeline
            .zip(event.occurred_at)
            .is_some_and(|(timeline, at)| timeline.place(at, now).timing == Timing::LateRejected)
    }
}

/// What to say of events that are too late for their cycles: one that was accepted before it closed gets its first outcome again. One
/// statement.
async fn refused_for_cycle(app: &App, events: &[(usize, Prepared)]) -> Result<Vec<(usize, Outcome)>> {
    let refused: Vec<&Prepared> = events.iter().map(|(_, event)| event).collect();
    let first = store::known_keys(app.db().reader(), &refused).await?;
    let outcome = |(index, event): &(usize, Prepared)| {
        let known = first.get(&(event.tenant, event.key.clone()));
        let outcome = known.map_or(Outcome::Rejected(Refusal::LateForCycle), |known| {
            event.known_as(*known)
        });
        (*index, outcome)
    };
    Ok(events.iter().map(outcome).collect())
}

/// Checks one event.
fn prepare(
    reach: Reach,
    known: &Known,
    event: NewEvent,
    times: &Times,
    max_age: Option<i64>,
) -> std::result::Result<Prepared, Refusal> {
    if !is_key(&event.key) {
        return Err(Refusal::InvalidKey);
    }
    let place = event
        .customer
        .as_ref()
        .and_then(|who| known.customer(who))
        .filter(|place| reach.admits(place.customer))
        .ok_or(Refusal::UnknownCustomer)?;
    let metric = known.metric(&event.metric_key)?;
    let units: Quantity = event.units.parse().map_err(|_| Refusal::InvalidUnits)?;
    if units.is_negative() {
        return Err(Refusal::NegativeUnits);
    }
    if let Some(occurred) = event.occurred_at {
        check_occurred_at(occurred, times.now(place.clock), max_age)?;
    }
    let properties = parse_properties(event.properties)?;
    // Written down here, by the caller's task: the one that writes to the database must not wait for it.
    let json = (!properties.is_empty()).then(|| json!(properties).to_string());
    let fingerprint = fingerprint(place.customer, metric, units, event.occurred_at, &properties);
    Ok(Prepared {
        tenant: reach.tenant(),
        customer: place.customer,
        shard: place.shard,
        clock: place.clock,
        metric,
        key: event.key,
        fingerprint,
        units,
        occurred_at: event.occurred_at,
        properties: json,
    })
}

/// Reads a JSON object of plain values.
///
/// # Errors
/// Anything else, or more than the domain allows.
pub fn parse_properties(json: Option<Value>) -> std::result::Result<Properties, Refusal> {
    let plain = |value: Value| match value {
        Value::String(text) => Ok(text),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(Refusal::InvalidProperties),
    };
    let properties = match json {
        None | Some(Value::Null) => Properties::new(),
        Some(Value::Object(object)) => object
            .into_iter()
            .map(|(name, value)| Ok((name, plain(value)?)))
            .collect::<std::result::Result<_, _>>()?,
        Some(_) => return Err(Refusal::InvalidProperties),
    };
    validate_properties(&properties, "properties").map_err(|_| Refusal::InvalidProperties)?;
    Ok(properties)
}

/// What makes two events with one key the same event: all that the producer sent, and nothing that we filled in.
fn fingerprint(
    customer: CustomerId,
    metric: MetricId,
    units: Quantity,
    occurred_at: Option<Timestamp>,
    properties: &Properties,
) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(customer.0.as_bytes());
    hash.update(metric.0.as_bytes());
    hash.update(units.raw().to_be_bytes());
    hash.update(occurred_at.map_or(-1, Timestamp::micros).to_be_bytes());
    for (name, value) in properties {
        for text in [name, value] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
    }
    let digest = hash.finalize();
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    Uuid::from_bytes(half)
}

/// One event by its idempotency key.
///
/// # Errors
/// The scope is missing.
pub async fn event(app: &App, actor: &Actor, key: &str) -> Result<Option<UsageEvent>> {
    actor.require(Scope::UsageRead)?;
    store::event_by_key(app.db().reader(), actor.reach(), key).await
}

/// One event by id.
///
/// # Errors
/// The scope is missing.
pub async fn event_by_id(app: &App, actor: &Actor, id: EventId) -> Result<Option<UsageEvent>> {
    actor.require(Scope::UsageRead)?;
    store::event_by_id(app.db().reader(), actor.reach(), id).await
}

/// A customer's events, latest first.
///
/// # Errors
/// The scope is missing.
pub async fn events(
    app: &App,
    actor: &Actor,
    customer: CustomerId,
    page: Page<(Timestamp, EventId)>,
) -> Result<Slice<UsageEvent>> {
    actor.require(Scope::UsageRead)?;
    store::events(app.db().reader(), actor.reach(), customer, page).await
}

/// Which usage to sum up.
#[derive(Debug, Clone, Copy, Default)]
pub struct SummaryRequest {
    /// First instant; `None`: from the beginning.
    pub from: Option<Timestamp>,
    /// First instant after; `None`: to the end.
    pub to: Option<Timestamp>,
    /// How to split it.
    pub group_by: GroupBy,
}

/// Sums up a customer's debited usage: per metric, or per metric and UTC day or month. Without bounds and days it reads
/// the counts of the cycles, which is what they cost; otherwise it sums what events came to when they were debited.
///
/// # Errors
/// The scope is missing, or an end before the beginning.
pub async fn summary(
    app: &App,
    actor: &Actor,
    customer: CustomerId,
    request: SummaryRequest,
) -> Result<Summary> {
    actor.require(Scope::UsageRead)?;
    if let (Some(from), Some(to)) = (request.from, request.to)
        && to < from
    {
        return Err(Rejection::invalid("to", "the end must not lie before the beginning").into());
    }
    let db = app.db().reader();
    let whole = request.from.is_none() && request.to.is_none() && request.group_by != GroupBy::Day;
    let lines = if !actor.reach().admits(customer) {
        Vec::new()
    } else if whole {
        store::summary_of_counters(db, actor.tenant, customer, request.group_by).await?
    } else {
        store::summary_of_ratings(db, actor.tenant, customer, request).await?
    };
    Ok(Summary {
        from: request.from,
        to: request.to,
        lines,
    })
}

/// How far the count has come that an event of an instant would move if it came now. Two statements.
pub(crate) async fn position(
    db: &impl ConnectionTrait,
    customer: CustomerId,
    metric: MetricId,
    line: CountOf,
    at: Timestamp,
    now: Timestamp,
) -> Result<Position> {
    let timelines = subscription::timelines_in(db, &[customer], at.min(now)).await?;
    let mut timeline = timelines.into_values().next().unwrap_or_default();
    let start = timeline.place_accepted(at, now.max(at)).stretch.period.start;
    match line {
        CountOf::Line(line) => store::position(db, customer, metric, line, start).await,
        CountOf::All => store::position_in_all(db, customer, metric, start).await,
    }
}

/// Which counts of a metric.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CountOf {
    /// That of one line of prices; `None`: usage that has no price.
    Line(Option<MeteringRuleId>),
    /// All of them together.
    All,
}

/// Whether usage of a customer that was accepted before an instant is still to be debited.
pub(crate) async fn is_waiting(
    db: &impl ConnectionTrait,
    customer: CustomerId,
    before: Timestamp,
) -> Result<bool> {
    Ok(!waiting_before_in(db, &[(customer, before)]).await?.is_empty())
}

/// The customers of whom usage that was accepted before their instant is still to be debited. One statement.
pub(crate) async fn waiting_before_in(
    db: &impl ConnectionTrait,
    all: &[(CustomerId, Timestamp)],
) -> Result<HashSet<CustomerId>> {
    store::waiting_before(db, all).await
}

/// The first events behind a ledger entry.
pub(crate) async fn events_of(
    db: &impl ConnectionTrait,
    reach: Reach,
    customer: CustomerId,
    cause: &UsageCause,
) -> Result<Vec<UsageEvent>> {
    store::events_between(db, reach, customer, cause).await
}

/// The keys of the metrics of events, for views.
async fn keys(
    db: &impl ConnectionTrait,
    tenant: TenantId,
    ids: impl Iterator<Item = MetricId>,
) -> Result<BTreeMap<MetricId, String>> {
    let mut ids: Vec<MetricId> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    catalog::metric_keys_in(db, tenant, &ids).await
}
