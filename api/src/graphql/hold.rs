//! Reservations: credits set aside for work that is running, what was used of them, and giving them up.

use app::{
    gate::Reason,
    hold::{self, NotEnded, Outcome, Refused, Reserved},
};
use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use domain::{
    hold::{HoldState, Refusal, Unfit},
    usage::event::Refusal as NoEvent,
};

use super::{
    caller,
    catalog::properties_json,
    customer::customer_ref_if_any,
    error::UserError,
    payload::{plain, settled},
    scalar::{DateTime, Decimal, Json},
};

/// What has become of a reservation.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "HoldState")]
pub enum ReservationState {
    /// Its credits are set aside, until its deadline.
    Open,
    /// What was used is recorded as usage.
    Captured,
    /// It was given up.
    Released,
    /// Its deadline passed.
    Expired,
}

/// Credits set aside for work that is running.
#[derive(SimpleObject)]
pub struct Reservation {
    /// Global id.
    pub id: ID,
    /// Global id of the customer.
    pub customer_id: ID,
    /// Key of the metric.
    pub metric_key: String,
    /// The holder's idempotency key.
    pub idempotency_key: String,
    /// How much it was made for, in the metric's unit.
    pub units: Decimal,
    /// Credits that were set aside when it was made. Decisions price what is open anew: see `entitlement.held`.
    pub credits: Decimal,
    /// Facts that a rule may match on, as an object of texts.
    pub properties: Json,
    /// What has become of it.
    pub state: ReservationState,
    /// When it was made.
    pub created_at: DateTime,
    /// First instant at which it holds nothing any more.
    pub expires_at: DateTime,
    /// When it was captured, released or found expired; null while it is open.
    pub ended_at: Option<DateTime>,
    /// What was used, in the metric's unit; null unless it was captured.
    pub captured_units: Option<Decimal>,
    /// Whether it was over already when it was captured, so that nothing was set aside any more.
    pub captured_late: bool,
    /// Global id of the usage event that it became; null unless it was captured. Its key is `hold:` and the id of the reservation.
    pub event_id: Option<ID>,
}

impl From<hold::Reservation> for Reservation {
    fn from(it: hold::Reservation) -> Self {
        Self {
            id: it.id.to_string().into(),
            customer_id: it.customer.to_string().into(),
            metric_key: it.metric_key,
            idempotency_key: it.key,
            units: it.units.into(),
            credits: it.credits.into(),
            properties: properties_json(&it.properties),
            state: it.state.into(),
            created_at: it.made_at.into(),
            expires_at: it.expires_at.into(),
            ended_at: it.ended_at.map(DateTime),
            captured_units: it.captured.map(Decimal::from),
            captured_late: it.late,
            event_id: it.event.map(|event| event.to_string().into()),
        }
    }
}

/// Work that is about to run. Name the customer by exactly one of the two.
#[derive(InputObject)]
pub struct ReservationInput {
    /// The customer by id.
    pub customer_id: Option<ID>,
    /// The customer by the vendor's own name.
    pub external_customer_id: Option<String>,
    /// Key of the metric.
    pub metric_key: String,
    /// How much it may use at most, in the metric's unit; more than zero, at most 6 decimal places.
    pub units: Decimal,
    /// Facts that a rule may match on: an object of at most 16 texts, numbers or booleans. They decide the price.
    pub properties: Option<Json>,
    /// How long the credits are set aside, in seconds: 1 to 86400, 900 by default. A holder that dies keeps them no longer.
    pub expires_in_seconds: Option<i32>,
    /// Chosen by the holder, 1 to 255 visible ASCII characters, unique per tenant. The same key never holds twice.
    pub idempotency_key: String,
}

impl From<ReservationInput> for hold::Reserve {
    fn from(it: ReservationInput) -> Self {
        Self {
            // Nobody, or two at once, is refused with the reservation, not with the batch.
            customer: customer_ref_if_any(it.customer_id, it.external_customer_id)
                .ok()
                .flatten(),
            metric_key: it.metric_key,
            units: it.units.0,
            properties: it.properties.map(|json| json.0),
            seconds: it.expires_in_seconds.map(i64::from),
            key: it.idempotency_key,
        }
    }
}

/// Reservations to make.
#[derive(InputObject)]
pub struct ReserveUsageInput {
    /// 1 to 100 reservations, decided one after the other. Each is judged by itself.
    pub reservations: Vec<ReservationInput>,
}

/// What became of one request for a reservation.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReservationOutcome {
    /// Committed: the credits are set aside.
    Reserved,
    /// It was made before with this key; nothing was written. The reservation is shown as it stands now.
    Duplicate,
    /// The idempotency key was used before for another reservation; nothing was written.
    Conflict,
    /// The gate says no; nothing was written. A refusal is not remembered: the same key may be tried again.
    Refused,
    /// It cannot be asked for; nothing was written.
    Rejected,
}

/// Why no reservation was made. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReservationReason {
    /// The credits are used up or set aside, and the customer's policy is to stop.
    InsufficientCredits,
    /// The overage line is reached.
    OverageLimitReached,
    /// The renewal of the subscription is overdue, and its plan allows no usage meanwhile.
    SubscriptionOverdue,
    /// The subscription is paused.
    SubscriptionPaused,
    /// The customer's own budget of the day is spent or set aside.
    DailyBudgetReached,
    /// The customer's own budget of the month is spent or set aside.
    MonthlyBudgetReached,
    /// What is known of the customer cannot be counted.
    Outage,
    /// The key was used before for another reservation.
    IdempotencyConflict,
    /// The idempotency key is empty, too long, or not visible ASCII.
    InvalidKey,
    /// No such customer, none named, or two.
    UnknownCustomer,
    /// No such metric.
    UnknownMetric,
    /// The metric accepts no new usage.
    ArchivedMetric,
    /// The units are not a decimal number above zero with at most six places.
    InvalidUnits,
    /// Too many properties, or one that is too long or not a plain value.
    InvalidProperties,
    /// It is to last for less than a second, or for more than a day.
    InvalidTime,
    /// What it would come to is beyond the range of credits.
    AmountTooLarge,
    /// So many reservations of the customer are open that there can be no more.
    TooManyOpen,
    /// The audit found that the customer's books do not add up: an operator has to look first.
    CustomerFrozen,
}

impl From<Reason> for ReservationReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::InsufficientCredits => Self::InsufficientCredits,
            Reason::OverageLimitReached => Self::OverageLimitReached,
            Reason::SubscriptionOverdue => Self::SubscriptionOverdue,
            Reason::SubscriptionPaused => Self::SubscriptionPaused,
            Reason::DailyBudgetReached => Self::DailyBudgetReached,
            Reason::MonthlyBudgetReached => Self::MonthlyBudgetReached,
            Reason::UnknownCustomer => Self::UnknownCustomer,
            Reason::Outage => Self::Outage,
        }
    }
}

impl From<Unfit> for ReservationReason {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::InvalidKey => Self::InvalidKey,
            Unfit::UnknownCustomer => Self::UnknownCustomer,
            Unfit::UnknownMetric => Self::UnknownMetric,
            Unfit::ArchivedMetric => Self::ArchivedMetric,
            Unfit::InvalidUnits => Self::InvalidUnits,
            Unfit::InvalidProperties => Self::InvalidProperties,
            Unfit::InvalidTime => Self::InvalidTime,
            Unfit::AmountTooLarge => Self::AmountTooLarge,
            Unfit::TooManyOpen => Self::TooManyOpen,
            Unfit::CustomerFrozen => Self::CustomerFrozen,
        }
    }
}

/// What became of one reservation of the request.
#[derive(SimpleObject)]
pub struct ReservationResult {
    /// Place of the reservation in the request, from 0.
    pub index: i32,
    /// What became of it.
    pub outcome: ReservationOutcome,
    /// Why it was not made; null otherwise.
    pub reason: Option<ReservationReason>,
    /// The reason in a sentence for people; null otherwise, and where the gate says no.
    pub message: Option<String>,
    /// Credits left to spend on the metric where the gate says no; null otherwise, and when there is no limit or it is unknown.
    pub available: Option<Decimal>,
    /// Credits that would have to be added where the gate says no; zero when credits do not help, null otherwise or when unknown.
    pub missing: Option<Decimal>,
    /// The reservation: the new one, or the first one with this key; null when there is none.
    pub reservation: Option<Reservation>,
}

impl ReservationResult {
    fn new(index: usize, made: Reserved) -> Self {
        let mut result = Self {
            index: i32::try_from(index).unwrap_or(i32::MAX),
            outcome: ReservationOutcome::Reserved,
            reason: None,
            message: None,
            available: None,
            missing: None,
            reservation: None,
        };
        match made {
            Reserved::Held(it) => result.reservation = Some((*it).into()),
            Reserved::Duplicate(it) => {
                result.outcome = ReservationOutcome::Duplicate;
                result.reservation = Some((*it).into());
            }
            Reserved::Conflict => {
                result.outcome = ReservationOutcome::Conflict;
                result.reason = Some(ReservationReason::IdempotencyConflict);
                result.message = Some(NoEvent::IdempotencyConflict.to_string());
            }
            Reserved::Refused(Refused {
                reason,
                available,
                missing,
            }) => {
                result.outcome = ReservationOutcome::Refused;
                result.reason = Some(reason.into());
                result.available = available.map(Decimal::from);
                result.missing = missing.map(Decimal::from);
            }
            Reserved::Rejected(unfit) => {
                result.outcome = ReservationOutcome::Rejected;
                result.reason = Some(unfit.into());
                result.message = Some(unfit.to_string());
            }
        }
        result
    }
}

/// Result of `reserveUsage`. Everything reserved is committed.
#[derive(SimpleObject, Default)]
pub struct ReserveUsagePayload {
    /// What became of each reservation, in the order of the request.
    pub results: Vec<ReservationResult>,
    /// Why the request as a whole was refused; empty when each reservation was judged.
    pub user_errors: Vec<UserError>,
}

/// What was used of a reservation.
#[derive(InputObject)]
pub struct CaptureInput {
    /// Global id of the reservation.
    pub reservation_id: ID,
    /// How much was really used, in the metric's unit; zero releases the reservation.
    pub units: Decimal,
    /// When it happened; the moment of the capture by default. At most 5 minutes ahead, and not older than the back-date limit.
    pub occurred_at: Option<DateTime>,
    /// Whether `units` may be more than was reserved, which is otherwise refused with `EXCEEDS_RESERVATION`. The excess is debited as any
    /// usage is, also beyond the limit.
    #[graphql(default)]
    pub allow_more: bool,
}

impl From<CaptureInput> for hold::Used {
    fn from(it: CaptureInput) -> Self {
        Self {
            hold: it.reservation_id.parse().ok(),
            units: it.units.0,
            occurred_at: it.occurred_at.map(|at| at.0),
            allow_more: it.allow_more,
        }
    }
}

/// Reservations to capture.
#[derive(InputObject)]
pub struct CaptureReservationInput {
    /// 1 to 100 captures. Each is judged by itself.
    pub captures: Vec<CaptureInput>,
}

/// Reservations to give up.
#[derive(InputObject)]
pub struct ReleaseReservationInput {
    /// Global ids of 1 to 100 reservations. Each is judged by itself.
    pub reservation_ids: Vec<ID>,
}

/// What became of a reservation that was to end.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReservationEnd {
    /// What was used is debited, and the rest is free.
    Captured,
    /// It was over already. What was used is debited all the same, as ordinary usage.
    CapturedLate,
    /// All of it is free.
    Released,
    /// It was captured before with other units; nothing was written.
    Conflict,
    /// Nothing was written: see `reason`.
    Rejected,
}

/// Why a reservation was not ended. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReservationEndReason {
    /// There is no such reservation.
    UnknownReservation,
    /// The units are not a decimal number of zero or more with at most six places.
    InvalidUnits,
    /// It was captured before with other units.
    CapturedOtherwise,
    /// More was used than was reserved, and `allowMore` does not say that this may be.
    ExceedsReservation,
    /// What was captured cannot be released; its usage can be taken back with `voidUsage`.
    AlreadyCaptured,
    /// The usage lies more than five minutes in the future.
    OccurredInFuture,
    /// The usage is older than the back-date limit.
    OccurredTooLongAgo,
    /// Somebody has recorded another usage event under the key that the reservation's event was to have.
    IdempotencyConflict,
}

impl From<NotEnded> for ReservationEndReason {
    fn from(no: NotEnded) -> Self {
        match no {
            NotEnded::Unknown => Self::UnknownReservation,
            NotEnded::InvalidUnits => Self::InvalidUnits,
            NotEnded::Refused(Refusal::CapturedOtherwise) => Self::CapturedOtherwise,
            NotEnded::Refused(Refusal::ExceedsReservation) => Self::ExceedsReservation,
            NotEnded::Refused(Refusal::AlreadyCaptured) => Self::AlreadyCaptured,
            NotEnded::Event(NoEvent::OccurredInFuture) => Self::OccurredInFuture,
            NotEnded::Event(NoEvent::OccurredTooLongAgo) => Self::OccurredTooLongAgo,
            NotEnded::Event(_) => Self::IdempotencyConflict,
        }
    }
}

/// What became of one reservation of the request.
#[derive(SimpleObject)]
pub struct ReservationEndResult {
    /// Place of the reservation in the request, from 0.
    pub index: i32,
    /// What became of it.
    pub outcome: ReservationEnd,
    /// Whether that had happened before, and nothing was done now.
    pub idempotent_replay: bool,
    /// Why nothing was done; null otherwise.
    pub reason: Option<ReservationEndReason>,
    /// The reason in a sentence for people; null otherwise.
    pub message: Option<String>,
    /// The reservation as it stands now; null when nothing was done.
    pub reservation: Option<Reservation>,
}

impl ReservationEndResult {
    fn new(index: usize, ended: Result<hold::Ended, NotEnded>) -> Self {
        let index = i32::try_from(index).unwrap_or(i32::MAX);
        match ended {
            Ok(ended) => Self {
                index,
                outcome: match ended.outcome {
                    Outcome::Captured => ReservationEnd::Captured,
                    Outcome::CapturedLate => ReservationEnd::CapturedLate,
                    Outcome::Released => ReservationEnd::Released,
                },
                idempotent_replay: ended.replay,
                reason: None,
                message: None,
                reservation: Some(ended.reservation.into()),
            },
            Err(no) => Self {
                index,
                outcome: match no {
                    NotEnded::Refused(Refusal::CapturedOtherwise) => ReservationEnd::Conflict,
                    _ => ReservationEnd::Rejected,
                },
                idempotent_replay: false,
                reason: Some(no.into()),
                message: Some(no.to_string()),
                reservation: None,
            },
        }
    }
}

/// Declares the payload of a mutation that ends reservations.
macro_rules! ending {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(SimpleObject, Default)]
        pub struct $name {
            /// What became of each reservation, in the order of the request.
            pub results: Vec<ReservationEndResult>,
            /// Why the request as a whole was refused; empty when each reservation was judged.
            pub user_errors: Vec<UserError>,
        }

        impl $name {
            fn of(ended: app::Result<Vec<Result<hold::Ended, NotEnded>>>) -> async_graphql::Result<Self> {
                Ok(match settled(plain(ended))? {
                    Ok(once) => Self {
                        results: numbered(once.value, ReservationEndResult::new),
                        user_errors: Vec::new(),
                    },
                    Err(user_errors) => Self {
                        results: Vec::new(),
                        user_errors,
                    },
                })
            }
        }
    };
}

ending! {
    /// Result of `captureReservation`. Everything captured is committed.
    CaptureReservationPayload
}

ending! {
    /// Result of `releaseReservation`. Everything released is committed.
    ReleaseReservationPayload
}

fn numbered<T, U>(all: Vec<T>, new: impl Fn(usize, T) -> U) -> Vec<U> {
    all.into_iter()
        .enumerate()
        .map(|(index, it)| new(index, it))
        .collect()
}

/// Writes of reservations.
#[derive(Default)]
pub struct HoldMutation;

#[Object]
impl HoldMutation {
    /// Sets credits aside for work that is about to run, if they suffice: checked and set aside in one step, so that any number of
    /// reservations at once can never pass the customer's limit. At most 2,000 of a customer are open at a time. Needs `usage:write`.
    async fn reserve_usage(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The reservations to make.")] input: ReserveUsageInput,
    ) -> async_graphql::Result<ReserveUsagePayload> {
        let (app, actor) = caller(ctx)?;
        let asked = input.reservations.into_iter().map(hold::Reserve::from).collect();
        let made = hold::reserve(app, actor, asked).await;
        Ok(match settled(plain(made))? {
            Ok(once) => ReserveUsagePayload {
                results: numbered(once.value, ReservationResult::new),
                user_errors: Vec::new(),
            },
            Err(user_errors) => ReserveUsagePayload {
                results: Vec::new(),
                user_errors,
            },
        })
    }

    /// Debits what was really used of reservations and frees the rest, in one step. Doing it again with the same units changes
    /// nothing. Usage that has happened is recorded also when its reservation is over: then it is late. Needs `usage:write`.
    async fn capture_reservation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The reservations to capture.")] input: CaptureReservationInput,
    ) -> async_graphql::Result<CaptureReservationPayload> {
        let (app, actor) = caller(ctx)?;
        let used = input.captures.into_iter().map(hold::Used::from).collect();
        CaptureReservationPayload::of(hold::capture(app, actor, used).await)
    }

    /// Gives reservations up: all of what they set aside is free. Doing it again changes nothing. Needs `usage:write`.
    async fn release_reservation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The reservations to give up.")] input: ReleaseReservationInput,
    ) -> async_graphql::Result<ReleaseReservationPayload> {
        let (app, actor) = caller(ctx)?;
        let all = input.reservation_ids.iter().map(|id| id.parse().ok()).collect();
        ReleaseReservationPayload::of(hold::release(app, actor, all).await)
    }
}
