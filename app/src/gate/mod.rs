//! The gate: may this customer go on?
//!
//! Answered from memory: what is remembered of a customer (see [`entry`]) is what one moment of the database showed, moved on by
//! the usage that this process has accepted since. It never writes and never waits for the queue.
//!
//! It stays true in four ways. A change by this process is read before the next answer. A change by another one is told by the
//! change feed, and read at once where somebody has asked lately; until that is done, a quarter of a second at most, answers of
//! before may still be given. Where the feed proves ten times a second that it has heard of every change (PostgreSQL), whoever it
//! does not name has not changed, and that is confirmed by the revision every few seconds only; elsewhere several times a second.
//! And nothing older than [`entry::MAX_AGE`], or from before a step of a subscription that is due since, is answered from at all:
//! then the caller waits for a read. `as_of` says of when the answer is.
//!
//! Cost: no statement while the customer is remembered; a read is seven for up to 500 customers, one more where any has ever had a
//! subscription, one where any has open holds, two where any has limits of its own, and one where usage waits of any whose overdraft has a bound.

mod entry;
mod load;
mod memory;

use std::{sync::Arc, time::Instant};

pub use domain::gate::Reason;
use domain::{
    amount::{Credits, Quantity},
    gate::Question,
    id::CustomerId,
    metering::rule::{Properties, validate_properties},
    rejection::Rejection,
    spend::standing::Left,
    time::Timestamp,
};

use self::entry::{Answer, Asked, Entry, Told};
pub(crate) use self::load::standings_in;
pub(crate) use self::memory::{Complete, Memory, run};
use crate::{
    App,
    actor::{Actor, Scope},
    catalog::shelf::Known,
    customer::CustomerRef,
    error::{Error, Result},
    measure,
};

/// Most questions of one request.
pub const MAX_CHECKS: usize = 100;

/// What the vendor wants the gate to say when it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// Whether a customer that does not exist may go on.
    pub unknown_customer: Unsure,
    /// Whether customers may go on while the database is out of reach, or when what it says cannot be counted.
    pub outage: Unsure,
}

/// An answer for when nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unsure {
    /// No: no credit is lost.
    #[default]
    Refuse,
    /// Yes: no customer is stopped.
    Allow,
}

/// The answer of the gate. The terms add up: `available = max(0, min(remaining + overage_line − held, what is left of each enforced budget))`,
/// `None` meaning no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entitlement {
    /// Whether the customer may go on.
    pub allowed: bool,
    /// What stands against it.
    pub reason: Option<Reason>,
    /// What the asked units would cost; `None` when it cannot be expressed.
    pub cost: Option<Credits>,
    /// Credits in the blocks that may pay for the metric, minus overdraft and undebited usage; `None` when unknown.
    pub remaining: Option<Credits>,
    /// How far below zero the terms allow; `None` when unknown.
    pub overage_line: Option<Credits>,
    /// What open holds claim of the credits that may pay for the metric, at present prices; `None` when unknown.
    pub held: Option<Credits>,
    /// The cost of accepted usage that is counted here and not debited yet; `None` when unknown.
    pub undebited: Option<Credits>,
    /// Credits that would have to be added for the asked units; `None` when it cannot be expressed.
    pub missing: Option<Credits>,
    /// What is left of the customer's own budget of the day; `None`: it has none, or that is unknown.
    pub daily: Option<Left>,
    /// What is left of the customer's own budget of the month; `None`: it has none, or that is unknown.
    pub monthly: Option<Left>,
    /// What a budget that is only observed would have said.
    pub would_refuse: Option<Reason>,
    /// When the limit that decided is over by itself; `None`: it is not, or nothing was refused.
    pub resets_at: Option<Timestamp>,
    /// Seconds until then by the customer's own time, rounded up.
    pub resets_in_seconds: Option<u64>,
    /// Credits left to spend on this metric; `None`: no limit.
    pub available: Option<Credits>,
    /// Units left to spend on; `None`: no limit.
    pub affordable_units: Option<Quantity>,
    /// When this was so.
    pub as_of: Timestamp,
}

/// A question to the gate.
#[derive(Debug, Clone)]
pub struct Check {
    /// Who.
    pub customer: CustomerRef,
    /// What.
    pub metric_key: String,
    /// How much.
    pub units: Quantity,
    /// Facts that a rule may match on.
    pub properties: Properties,
}

/// Checks whether a customer may use some more of a metric. The prices are those of the drain.
///
/// # Errors
/// No such metric, negative units, or malformed properties. That the customer does not exist is an answer.
pub async fn check(app: &App, actor: &Actor, question: &Check) -> Result<Entitlement> {
    let mut answers = ask(app, actor, std::slice::from_ref(question), |no, _| no).await?;
    answers
        .pop()
        .ok_or_else(|| Error::Internal("a question without an answer".to_owned()))
}

/// Checks many at once: one answer per question, in order.
///
/// # Errors
/// Too many questions, or one that is wrong in itself, with its place in the path.
pub async fn check_many(app: &App, actor: &Actor, questions: &[Check]) -> Result<Vec<Entitlement>> {
    ask(app, actor, questions, |no, index| {
        no.under(&format!("checks.{index}"))
    })
    .await
}

async fn ask(
    app: &App,
    actor: &Actor,
    questions: &[Check],
    placed: impl Fn(Rejection, usize) -> Rejection,
) -> Result<Vec<Entitlement>> {
    actor.require(Scope::EntitlementRead)?;
    if questions.len() > MAX_CHECKS {
        let message = format!("a request has at most {MAX_CHECKS} questions");
        return Err(Rejection::invalid("checks", message).into());
    }
    for (index, question) in questions.iter().enumerate() {
        validate(question).map_err(|no| placed(no, index))?;
    }
    match answers(app, actor, questions, placed).await {
        Err(Error::Unavailable(problem)) => Ok(vec![unknown(app, &problem); questions.len()]),
        answered => answered,
    }
}

async fn answers(
    app: &App,
    actor: &Actor,
    questions: &[Check],
    placed: impl Fn(Rejection, usize) -> Rejection,
) -> Result<Vec<Entitlement>> {
    let session = Session {
        app,
        actor,
        since: Instant::now(),
        prices: app.shelf().of(app, actor.tenant).await?,
    };
    let mut asked = Vec::with_capacity(questions.len());
    for (index, question) in questions.iter().enumerate() {
        let no = || placed(Rejection::not_found("metricKey", "metric"), index);
        asked.push(session.asked(question).ok_or_else(no)?);
    }
    let who: Vec<&CustomerRef> = questions.iter().map(|question| &question.customer).collect();
    let reach = actor.reach();
    let places = app.directory().places(app, actor.tenant, &who).await?;
    // Everybody is asked for before anybody is waited for, so that one read serves all.
    let mut begun = Vec::with_capacity(questions.len());
    for (asked, place) in asked.iter().zip(places) {
        // What lies outside the caller's reach does not exist.
        let place = place.filter(|place| reach.admits(place.customer));
        begun.push(place.map(|place| session.begin(asked, place.customer)));
    }
    let mut answers = Vec::with_capacity(questions.len());
    for (asked, begun) in asked.iter().zip(begun) {
        let (answer, hit) = match begun {
            Some(begun) => {
                let hit = !matches!(begun.answer, Answer::Wait);
                (session.end(asked, begun).await, hit)
            }
            None => (nobody(app), true),
        };
        measure::checked(answer.allowed, answer.reason, hit, session.since);
        answers.push(answer);
    }
    Ok(answers)
}

/// What the questions of one request have in common.
struct Session<'a> {
    app: &'a App,
    actor: &'a Actor,
    prices: Arc<Known>,
    since: Instant,
}

/// A question that was put to what is remembered of its customer.
struct Begun {
    customer: CustomerId,
    entry: Arc<Entry>,
    answer: Answer,
}

impl Session<'_> {
    /// The question as it is put; `None`: there is no such metric.
    fn asked<'b>(&'b self, check: &'b Check) -> Option<Asked<'b>> {
        let metric = self.prices.list.metrics.get(&check.metric_key)?.id;
        let now = self.app.now();
        Some(Asked {
            question: Question {
                metric,
                units: check.units,
                properties: &check.properties,
                known_at: now,
            },
            rules: &self.prices.list.rules,
            now,
            since: self.since,
            heard: self.app.gate().heard(),
        })
    }

    /// Answers at once where that can be, and has the customer read where it cannot.
    fn begin(&self, asked: &Asked<'_>, customer: CustomerId) -> Begun {
        let gate = self.app.gate();
        let entry = gate.entry(self.actor.tenant, customer);
        let answer = entry.answer(asked);
        if let Answer::Wait = answer {
            gate.ask(customer, &entry);
        }
        Begun {
            customer,
            entry,
            answer,
        }
    }

    /// The answer, after a read if need be.
    async fn end(&self, asked: &Asked<'_>, begun: Begun) -> Entitlement {
        let gate = self.app.gate();
        let answer = match begun.answer {
            Answer::Wait => Box::pin(gate.answer(begun.customer, &begun.entry, asked)).await,
            answer => answer,
        };
        match answer {
            Answer::Now(told) => {
                if told.ageing {
                    gate.ask(begun.customer, &begun.entry);
                }
                known(&told, self.prices.as_of)
            }
            Answer::Wait | Answer::Unknown => unknown(self.app, "the customer could not be read"),
        }
    }
}

fn validate(question: &Check) -> std::result::Result<(), Rejection> {
    if question.units.is_negative() {
        return Err(Rejection::invalid("units", "units must not be negative"));
    }
    validate_properties(&question.properties, "properties")
}

fn known(told: &Told, prices_as_of: Timestamp) -> Entitlement {
    let decision = told.decision;
    Entitlement {
        allowed: decision.allowed,
        reason: decision.reason,
        cost: decision.cost,
        remaining: Some(decision.remaining),
        overage_line: Some(told.overage_line),
        held: Some(decision.held),
        undebited: Some(told.undebited),
        missing: decision.missing,
        daily: decision.daily,
        monthly: decision.monthly,
        would_refuse: decision.would_refuse,
        resets_at: decision.resets_at(),
        resets_in_seconds: decision.resets_at().map(|at| seconds_until(at, told.now)),
        available: decision.available,
        affordable_units: decision.affordable_units,
        as_of: told.as_of.min(prices_as_of),
    }
}

/// Seconds from one instant to a later one, rounded up.
fn seconds_until(at: Timestamp, now: Timestamp) -> u64 {
    at.micros().abs_diff(now.micros()).div_ceil(1_000_000)
}

fn nobody(app: &App) -> Entitlement {
    unsure(app, Reason::UnknownCustomer, app.limits().gate.unknown_customer)
}

fn unknown(app: &App, problem: &str) -> Entitlement {
    tracing::warn!(problem, "the gate does not know");
    unsure(app, Reason::Outage, app.limits().gate.outage)
}

fn unsure(app: &App, reason: Reason, policy: Unsure) -> Entitlement {
    let nothing = match policy {
        Unsure::Allow => None,
        Unsure::Refuse => Some(Credits::ZERO),
    };
    Entitlement {
        allowed: policy == Unsure::Allow,
        reason: Some(reason),
        cost: None,
        remaining: None,
        overage_line: None,
        held: None,
        undebited: None,
        missing: None,
        daily: None,
        monthly: None,
        would_refuse: None,
        resets_at: None,
        resets_in_seconds: None,
        available: nothing,
        affordable_units: nothing.map(|_| Quantity::ZERO),
        as_of: app.now(),
    }
}
