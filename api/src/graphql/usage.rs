//! Usage: events, their outcomes, taking them back, and sums.

use app::{
    Actor, App,
    usage::{self, Age, GroupBy, NewEvent, Outcome},
};
use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use domain::{
    credit::draws::Purse,
    cycle::late::Timing,
    usage::event::{EventState, Refusal},
};

use super::{
    caller,
    catalog::properties_json,
    customer::customer_ref_if_any,
    error::{UserError, top_level},
    payload::{payload, plain, settled},
    scalar::{DateTime, Decimal, Json, SafeInt},
};

/// What has become of an event.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "EventState")]
pub enum UsageEventState {
    /// Accepted, to be debited in a moment.
    Pending,
    /// Debited.
    Rated,
    /// Taken back.
    Voided,
}

/// Whether usage came before its billing cycle closed, and where it counts if it did not. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageTiming {
    /// It came in time and counts where it happened.
    OnTime,
    /// Its cycle had closed: it counts in the cycle in which it was accepted, as a ledger entry that names the original dates.
    LateCurrentCycle,
    /// Its cycle had closed: it is priced by the tiers of that cycle and debited now.
    LateAdjustment,
}

impl From<Timing> for UsageTiming {
    fn from(timing: Timing) -> Self {
        match timing {
            Timing::OnTime => Self::OnTime,
            // What was accepted is debited, so nothing that can be read here was refused.
            Timing::LateCurrentCycle | Timing::LateRejected => Self::LateCurrentCycle,
            Timing::LateAdjustment => Self::LateAdjustment,
        }
    }
}

/// Credits that paid for an event.
#[derive(SimpleObject)]
pub struct CreditDraw {
    /// Global id of the block; null: overdraft, or written off.
    pub block_id: Option<ID>,
    /// Whether it lay beyond the bound of the overdraft and was written off.
    pub written_off: bool,
    /// How many credits.
    pub credits: Decimal,
}

/// One accepted event and, once it is debited, what it came to.
#[derive(SimpleObject)]
pub struct UsageEvent {
    /// Global id.
    pub id: ID,
    /// Global id of the customer.
    pub customer_id: ID,
    /// Key of the metric.
    pub metric_key: String,
    /// The producer's idempotency key.
    pub idempotency_key: String,
    /// How much was used, in the metric's unit.
    pub units: Decimal,
    /// When it happened.
    pub occurred_at: DateTime,
    /// When it was accepted, or counts as accepted.
    pub received_at: DateTime,
    /// Facts that a rule may match on, as an object of texts.
    pub properties: Json,
    /// What has become of it.
    pub state: UsageEventState,
    /// Whether it came before its billing cycle closed, and where it counts if not; null while it is pending.
    pub timing: Option<UsageTiming>,
    /// What it cost, in credits; null while it is pending. Negative where it made past usage cheaper.
    pub credits: Option<Decimal>,
    /// Units of the cycle counted before it; null while it is pending.
    pub from_units: Option<Decimal>,
    /// Global id of the version that priced it; null while it is pending, or when it was free of charge.
    pub metering_rule_id: Option<ID>,
    /// Where the credits came from (went to, for a negative cost); empty while it is pending.
    pub draws: Vec<CreditDraw>,
    /// When it was debited or taken back.
    pub settled_at: Option<DateTime>,
}

impl From<usage::UsageEvent> for UsageEvent {
    fn from(event: usage::UsageEvent) -> Self {
        let rating = event.rating.as_ref();
        let draws = rating.map(|rating| rating.draws.as_slice()).unwrap_or_default();
        Self {
            id: event.id.to_string().into(),
            customer_id: event.customer.to_string().into(),
            properties: properties_json(&event.properties),
            state: event.state.into(),
            timing: rating.map(|rating| rating.timing.into()),
            credits: rating.map(|rating| rating.credits.into()),
            from_units: rating.map(|rating| rating.from.units.into()),
            metering_rule_id: rating
                .and_then(|rating| rating.rule)
                .map(|rule| rule.to_string().into()),
            draws: draws
                .iter()
                .map(|draw| CreditDraw {
                    block_id: draw.from.block().map(|block| block.to_string().into()),
                    written_off: draw.from == Purse::WrittenOff,
                    credits: draw.credits.into(),
                })
                .collect(),
            metric_key: event.metric_key,
            idempotency_key: event.key,
            units: event.units.into(),
            occurred_at: event.occurred_at.into(),
            received_at: event.received_at.into(),
            settled_at: event.settled_at.map(DateTime),
        }
    }
}

/// How a summary is split, besides by metric.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "GroupBy")]
pub enum UsageGrouping {
    /// Not at all.
    Metric,
    /// By UTC day.
    Day,
    /// By what is counted together: the billing cycle, or the UTC calendar month where there is none.
    Month,
}

/// Usage of one metric, summed up.
#[derive(SimpleObject)]
pub struct MetricUsage {
    /// Key of the metric.
    pub metric_key: String,
    /// First instant of the day, or of the cycle or month; null when not split by time.
    pub period_start: Option<DateTime>,
    /// Units used.
    pub units: Decimal,
    /// Events counted.
    pub events: SafeInt,
    /// Credits debited.
    pub credits: Decimal,
}

/// Debited usage, summed up. Events that are pending or were taken back do not count.
#[derive(SimpleObject)]
pub struct UsageSummary {
    /// First instant; null: from the beginning.
    pub from: Option<DateTime>,
    /// First instant after; null: to the end.
    pub to: Option<DateTime>,
    /// One per metric, and per day, or cycle or month, when split by time.
    pub metrics: Vec<MetricUsage>,
}

impl From<usage::Summary> for UsageSummary {
    fn from(summary: usage::Summary) -> Self {
        let line = |line: usage::SummaryLine| MetricUsage {
            metric_key: line.metric_key,
            period_start: line.period_start.map(DateTime),
            units: line.units.into(),
            events: SafeInt(line.events),
            credits: line.credits.into(),
        };
        Self {
            from: summary.from.map(DateTime),
            to: summary.to.map(DateTime),
            metrics: summary.lines.into_iter().map(line).collect(),
        }
    }
}

/// Reads of usage.
#[derive(Default)]
pub struct UsageQuery;

#[Object]
impl UsageQuery {
    /// One event by the producer's idempotency key; null when there is none. Needs `usage:read`.
    async fn usage_event(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The producer's idempotency key.")] key: String,
    ) -> async_graphql::Result<Option<UsageEvent>> {
        let (app, actor) = caller(ctx)?;
        Ok(usage::event(app, actor, &key)
            .await
            .map_err(top_level)?
            .map(UsageEvent::from))
    }
}

/// Some use of a metric by a customer.
#[derive(InputObject)]
pub struct UsageEventInput {
    /// The customer by id.
    pub customer_id: Option<ID>,
    /// The customer by the vendor's own name.
    pub external_customer_id: Option<String>,
    /// Key of the metric.
    pub metric_key: String,
    /// How much was used, in the metric's unit; zero or more, at most 6 decimal places.
    pub units: Decimal,
    /// Chosen by the producer, 1 to 255 visible ASCII characters, unique per tenant. The same key is never debited twice.
    pub idempotency_key: String,
    /// When it happened; the moment of acceptance by default. At most 5 minutes ahead, and not older than the back-date limit.
    pub occurred_at: Option<DateTime>,
    /// Facts that a rule may match on: an object of at most 16 texts, numbers or booleans.
    pub properties: Option<Json>,
}

impl From<UsageEventInput> for NewEvent {
    fn from(event: UsageEventInput) -> Self {
        Self {
            // Nobody, or two at once, is refused with the event, not with the batch.
            customer: customer_ref_if_any(event.customer_id, event.external_customer_id)
                .ok()
                .flatten(),
            metric_key: event.metric_key,
            units: event.units.0,
            key: event.idempotency_key,
            occurred_at: event.occurred_at.map(|at| at.0),
            properties: event.properties.map(|json| json.0),
        }
    }
}

/// Events to record.
#[derive(InputObject)]
pub struct RecordUsageInput {
    /// 1 to 1,000 events. Each is judged by itself.
    pub events: Vec<UsageEventInput>,
}

/// What became of one event.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageOutcome {
    /// Committed to the database; it will be debited.
    Accepted,
    /// The same event was accepted before; nothing was written.
    Duplicate,
    /// The idempotency key was used before for an event with other content; nothing was written.
    Conflict,
    /// It cannot be accepted; nothing was written.
    Rejected,
}

/// Why an event was not accepted. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "Refusal")]
pub enum UsageRefusal {
    /// The key was used before for an event with other content.
    IdempotencyConflict,
    /// The idempotency key is empty, too long, or not visible ASCII.
    InvalidKey,
    /// No such customer, none named, or two.
    UnknownCustomer,
    /// No such metric.
    UnknownMetric,
    /// The metric accepts no new usage.
    ArchivedMetric,
    /// The units are not a decimal number with at most six places.
    InvalidUnits,
    /// The units are below zero; use `voidUsage` to take usage back.
    NegativeUnits,
    /// More than five minutes in the future.
    OccurredInFuture,
    /// Older than the back-date limit.
    OccurredTooLongAgo,
    /// The billing cycle in which it happened has closed, and the customer's plan refuses late usage.
    LateForCycle,
    /// Too many properties, or one that is too long or not a plain value.
    InvalidProperties,
}

/// What became of one event of the request.
#[derive(SimpleObject)]
pub struct UsageResult {
    /// Place of the event in the request, from 0.
    pub index: i32,
    /// What became of it.
    pub outcome: UsageOutcome,
    /// Why it was not accepted; null otherwise.
    pub reason: Option<UsageRefusal>,
    /// The reason in a sentence for people; null otherwise.
    pub message: Option<String>,
    /// Global id of the event: the new one, or the first one with this key; null when it was not accepted.
    pub event_id: Option<ID>,
}

impl UsageResult {
    fn new(index: usize, outcome: Outcome) -> Self {
        let (outcome, refusal, event) = match outcome {
            Outcome::Accepted(event) => (UsageOutcome::Accepted, None, Some(event)),
            Outcome::Duplicate(event) => (UsageOutcome::Duplicate, None, Some(event)),
            Outcome::Conflict => (UsageOutcome::Conflict, Some(Refusal::IdempotencyConflict), None),
            Outcome::Rejected(refusal) => (UsageOutcome::Rejected, Some(refusal), None),
        };
        Self {
            index: i32::try_from(index).unwrap_or(i32::MAX),
            outcome,
            reason: refusal.map(UsageRefusal::from),
            message: refusal.map(|refusal| refusal.to_string()),
            event_id: event.map(|event| event.to_string().into()),
        }
    }
}

/// Result of `recordUsage`. Everything accepted is committed.
#[derive(SimpleObject, Default)]
pub struct RecordUsagePayload {
    /// What became of each event, in the order of the request.
    pub results: Vec<UsageResult>,
    /// How many events were accepted.
    pub accepted_count: i32,
    /// How many events had been accepted before.
    pub duplicate_count: i32,
    /// Why the request as a whole was refused; empty when each event was judged.
    pub user_errors: Vec<UserError>,
}

impl RecordUsagePayload {
    fn new(outcomes: Vec<Outcome>) -> Self {
        let results: Vec<UsageResult> = outcomes
            .into_iter()
            .enumerate()
            .map(|(index, outcome)| UsageResult::new(index, outcome))
            .collect();
        let count = |wanted| {
            i32::try_from(results.iter().filter(|result| result.outcome == wanted).count())
                .unwrap_or(i32::MAX)
        };
        Self {
            accepted_count: count(UsageOutcome::Accepted),
            duplicate_count: count(UsageOutcome::Duplicate),
            results,
            user_errors: Vec::new(),
        }
    }
}

/// An event to take back.
#[derive(InputObject)]
pub struct VoidUsageInput {
    /// Idempotency key under which the event was recorded.
    pub key: String,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

/// What taking an event back came to.
#[derive(SimpleObject)]
pub struct VoidedUsage {
    /// Idempotency key of the event.
    pub key: String,
    /// Credits that the cycle costs less now: as if the event had never been. Zero for an event that could not be debited.
    pub credits: Decimal,
    /// Of these, credits that returned to nowhere because their block has ended.
    pub lapsed: Decimal,
}

payload! {
    /// Result of `voidUsage`.
    VoidUsagePayload {
        /// What it came to; null when it was refused.
        voided: VoidedUsage
    }
}

/// Records events and tells what became of them.
pub(crate) async fn recorded(
    app: &App,
    actor: &Actor,
    events: Vec<NewEvent>,
) -> async_graphql::Result<RecordUsagePayload> {
    let outcome = usage::record(app, actor, events, Age::Limited).await;
    Ok(match settled(plain(outcome))? {
        Ok(once) => RecordUsagePayload::new(once.value),
        Err(user_errors) => RecordUsagePayload {
            user_errors,
            ..RecordUsagePayload::default()
        },
    })
}

/// Writes of usage.
#[derive(Default)]
pub struct UsageMutation;

#[Object]
impl UsageMutation {
    /// Records 1 to 1,000 events. One bad event never spoils the others; sending the same again is safe. Needs `usage:write`.
    async fn record_usage(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The events to record.")] input: RecordUsageInput,
    ) -> async_graphql::Result<RecordUsagePayload> {
        let (app, actor) = caller(ctx)?;
        let events = input.events.into_iter().map(NewEvent::from).collect();
        recorded(app, actor, events).await
    }

    /// Takes one event back, once: its credits return to the blocks they came from. Needs `usage:write`.
    async fn void_usage(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The event to take back.")] input: VoidUsageInput,
    ) -> async_graphql::Result<VoidUsagePayload> {
        let (app, actor) = caller(ctx)?;
        let command = usage::VoidUsage { event_key: input.key };
        let outcome = usage::void(app, actor, command, &input.idempotency_key).await;
        VoidUsagePayload::from_outcome(outcome, |voided| VoidedUsage {
            key: voided.event_key,
            credits: voided.credits.into(),
            lapsed: voided.lapsed.into(),
        })
    }
}
