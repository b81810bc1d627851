//! Holds: credits set aside for work that is still running, so that what runs at the same time can never use more than there is.
//!
//! The life of a hold: `OPEN` until it is `CAPTURED` (what was really used is debited and the rest is free again), `RELEASED`, or
//! `EXPIRED` at its deadline. Usage that has happened is recorded all the same, also when its hold is over: then it is late.
//!
//! What holds lay claim to is priced one after the other, on top of what is counted ([`mod@claims`]), by the rules of the drain.

pub mod claims;

use serde::{Deserialize, Serialize};

use crate::{
    amount::Quantity,
    id::{HoldId, MetricId},
    metering::rule::Properties,
    time::Timestamp,
};

/// How long a hold lasts unless it is told otherwise, in seconds: longer than nearly all requests, short enough that credits of a
/// holder that died come back while its customer still waits for them.
pub const DEFAULT_SECONDS: i64 = 15 * 60;
/// The shortest time that a hold may last, in seconds. Below it, the way to us and back decides.
pub const MIN_SECONDS: i64 = 1;
/// The longest time that a hold may last, in seconds: a day. What runs for longer is reserved in portions.
pub const MAX_SECONDS: i64 = 86_400;
/// Most holds of one customer that are open at a time; those past their deadline do not count. Each is priced with every decision about the customer; so many cost a
/// decision a millisecond or two.
pub const MAX_OPEN: i32 = 2_000;
/// Most holds that one request makes, captures or releases.
pub const MAX_BATCH: usize = 100;

/// What has become of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HoldState {
    /// Its credits are set aside, until its deadline.
    Open,
    /// What was used is recorded as usage.
    Captured,
    /// It was given up.
    Released,
    /// Its deadline passed.
    Expired,
}

/// A hold, as far as it decides what its customer has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its name; the order of names is the order in which holds were made.
    pub id: HoldId,
    /// What is going to be used.
    pub metric: MetricId,
    /// How much; more than zero.
    pub units: Quantity,
    /// Facts that a rule may match on.
    pub properties: Properties,
    /// First instant at which it holds nothing any more.
    pub expires_at: Timestamp,
}

impl Hold {
    /// Whether it still holds credits at an instant.
    #[must_use]
    pub fn is_open_at(&self, instant: Timestamp) -> bool {
        instant < self.expires_at
    }
}

/// How a hold stands when somebody wants to end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// What has become of it.
    pub state: HoldState,
    /// What it was made for.
    pub units: Quantity,
    /// What was used of it, once it is captured.
    pub captured: Option<Quantity>,
    /// Its deadline.
    pub expires_at: Timestamp,
}

/// What a capture does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capture {
    /// The units become usage, and the hold is over.
    Take {
        /// Whether the hold was over already: nothing was set aside any more.
        late: bool,
    },
    /// Nothing was used: the hold is released.
    Free,
    /// It was captured before, of the same units.
    Again,
    /// Nothing was used of a hold that is over.
    Nothing,
}

/// Why a hold cannot be captured or released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It was captured before, of other units.
    #[error("the reservation was captured before with other units")]
    CapturedOtherwise,
    /// More was used than is held, and the caller has not said that this may be.
    #[error("more was used than was reserved; say `allowMore: true` to have it debited all the same")]
    ExceedsReservation,
    /// What is captured cannot be released; the usage can be voided.
    #[error("the reservation was captured; take its usage back with voidUsage")]
    AlreadyCaptured,
}

/// Why a hold cannot even be asked for. The others of its batch are not affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unfit {
    /// The key is empty, too long, or not visible ASCII.
    #[error("an idempotency key has 1 to 255 visible ASCII characters")]
    InvalidKey,
    /// No such customer.
    #[error("there is no such customer")]
    UnknownCustomer,
    /// No such metric.
    #[error("there is no such metric")]
    UnknownMetric,
    /// The metric accepts no new usage.
    #[error("the metric is archived")]
    ArchivedMetric,
    /// The units are not a decimal number above zero with at most six places.
    #[error("units must be a decimal number above zero with at most six decimal places")]
    InvalidUnits,
    /// Too many properties, or one that is too long or not a plain value.
    #[error("properties must be at most 16 plain values of at most 256 bytes")]
    InvalidProperties,
    /// The time is shorter or longer than a hold may last.
    #[error("a reservation lasts 1 to 86400 seconds")]
    InvalidTime,
    /// What it would come to is beyond the range of credits.
    #[error("the amount is too large")]
    AmountTooLarge,
    /// So many of the customer's holds are open that there can be no more.
    #[error("the customer has 2000 open reservations; capture or release some first")]
    TooManyOpen,
    /// The audit has found that the customer's books do not add up.
    #[error("the books of this customer do not add up; an operator has to look first")]
    CustomerFrozen,
}

/// How long a hold lasts, in seconds; [`DEFAULT_SECONDS`] when nobody says.
///
/// # Errors
/// Shorter than [`MIN_SECONDS`], or longer than [`MAX_SECONDS`].
pub fn seconds(asked: Option<i64>) -> Result<i64, Unfit> {
    let seconds = asked.unwrap_or(DEFAULT_SECONDS);
    let fits = (MIN_SECONDS..=MAX_SECONDS).contains(&seconds);
    fits.then_some(seconds).ok_or(Unfit::InvalidTime)
}

/// Decides what capturing `units` (zero or more) of a hold does at an instant.
///
/// # Errors
/// It was captured otherwise, or more was used than is held without leave.
pub fn capture(hold: &Held, units: Quantity, allow_more: bool, now: Timestamp) -> Result<Capture, Refusal> {
    match hold.state {
        HoldState::Captured if hold.captured == Some(units) => Ok(Capture::Again),
        HoldState::Captured => Err(Refusal::CapturedOtherwise),
        HoldState::Open if units.is_zero() => Ok(Capture::Free),
        HoldState::Released | HoldState::Expired if units.is_zero() => Ok(Capture::Nothing),
        _ if units > hold.units && !allow_more => Err(Refusal::ExceedsReservation),
        HoldState::Open => Ok(Capture::Take {
            late: now >= hold.expires_at,
        }),
        HoldState::Released | HoldState::Expired => Ok(Capture::Take { late: true }),
    }
}

/// Decides whether giving up a hold frees anything; `false`: it was over before.
///
/// # Errors
/// It was captured.
pub fn release(state: HoldState) -> Result<bool, Refusal> {
    match state {
        HoldState::Open => Ok(true),
        HoldState::Released | HoldState::Expired => Ok(false),
        HoldState::Captured => Err(Refusal::AlreadyCaptured),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures() {
        use Capture::{Again, Free, Nothing, Take};
        use HoldState::{Captured, Expired, Open, Released};
        let units = |raw| Quantity::from_raw(raw);
        let (in_time, late) = (Ok(Take { late: false }), Ok(Take { late: true }));
        let more = Err(Refusal::ExceedsReservation);
        // The hold is of 10 units until the instant 100.
        for (state, captured, asked, allow_more, now, answer) in [
            (Open, None, 10, false, 99, in_time),
            (Open, None, 3, false, 0, in_time),
            (Open, None, 11, false, 0, more),
            (Open, None, 11, true, 0, in_time),
            (Open, None, 10, false, 100, late),
            (Open, None, 0, false, 0, Ok(Free)),
            (Open, None, 0, false, 100, Ok(Free)),
            (Released, None, 10, false, 0, late),
            (Expired, None, 10, false, 200, late),
            (Expired, None, 11, false, 200, more),
            (Released, None, 0, false, 0, Ok(Nothing)),
            (Expired, None, 0, true, 200, Ok(Nothing)),
            (Captured, Some(7), 7, false, 200, Ok(Again)),
            (Captured, Some(12), 12, false, 0, Ok(Again)),
            (Captured, Some(7), 8, true, 0, Err(Refusal::CapturedOtherwise)),
            (Captured, Some(7), 0, true, 0, Err(Refusal::CapturedOtherwise)),
        ] {
            let hold = Held {
                state,
                units: units(10),
                captured: captured.map(units),
                expires_at: Timestamp::from_micros(100),
            };
            let found = capture(&hold, units(asked), allow_more, Timestamp::from_micros(now));
            assert_eq!(found, answer, "{state:?}: {asked} at {now}");
        }
    }

    #[test]
    fn times() {
        for (asked, answer) in [
            (None, Ok(900)),
            (Some(0), Err(Unfit::InvalidTime)),
            (Some(1), Ok(1)),
            (Some(86_400), Ok(86_400)),
            (Some(86_401), Err(Unfit::InvalidTime)),
            (Some(-1), Err(Unfit::InvalidTime)),
        ] {
            assert_eq!(seconds(asked), answer, "{asked:?}");
        }
        let shown = Unfit::TooManyOpen.to_string();
        assert!(shown.contains(&MAX_OPEN.to_string()), "{shown}");
        let shown = Unfit::InvalidTime.to_string();
        assert!(
            shown.contains(&format!("{MIN_SECONDS} to {MAX_SECONDS}")),
            "{shown}"
        );
    }

    #[test]
    fn releases() {
        assert_eq!(release(HoldState::Open), Ok(true));
        assert_eq!(release(HoldState::Released), Ok(false));
        assert_eq!(release(HoldState::Expired), Ok(false));
        assert_eq!(release(HoldState::Captured), Err(Refusal::AlreadyCaptured));
    }
}
