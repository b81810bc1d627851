//! What is read of holds.

use domain::{
    amount::{Credits, Quantity},
    hold::{Held, Hold, HoldState},
    id::{CustomerId, EventId, HoldId},
    metering::rule::Properties,
    time::Timestamp,
};
use entity::{from_text, hold};

use crate::error::Result;

/// A hold as its holder knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Its id.
    pub id: HoldId,
    /// For whose work.
    pub customer: CustomerId,
    /// Key of the metric.
    pub metric_key: String,
    /// The holder's idempotency key.
    pub key: String,
    /// How much it was made for.
    pub units: Quantity,
    /// What was set aside when it was made.
    pub credits: Credits,
    /// Facts that a rule may match on.
    pub properties: Properties,
    /// What has become of it.
    pub state: HoldState,
    /// When it was made.
    pub made_at: Timestamp,
    /// First instant at which it holds nothing any more.
    pub expires_at: Timestamp,
    /// When it was captured, released or found expired.
    pub ended_at: Option<Timestamp>,
    /// The usage event that it became.
    pub event: Option<EventId>,
    /// What was used.
    pub captured: Option<Quantity>,
    /// Whether it was over when it was captured.
    pub late: bool,
}

impl Reservation {
    /// A row as it stands at an instant: past its deadline it is over, whether a worker has come round or not.
    pub(super) fn new(row: hold::Model, metric_key: String, now: Timestamp) -> Result<Self> {
        let noun = Hold::try_from(&row)?;
        let held = held(&row)?;
        let state = match held.state {
            HoldState::Open if !noun.is_open_at(now) => HoldState::Expired,
            state => state,
        };
        Ok(Self {
            id: noun.id,
            customer: CustomerId(row.customer_id),
            metric_key,
            key: row.key,
            units: noun.units,
            credits: Credits::from_raw(row.credits),
            properties: noun.properties,
            state,
            made_at: Timestamp::from_micros(row.made_at),
            expires_at: noun.expires_at,
            ended_at: row.ended_at.map(Timestamp::from_micros),
            event: row.event_id.map(EventId),
            captured: held.captured,
            late: row.late != 0,
        })
    }
}

/// How a row stands when somebody wants to end it.
pub(super) fn held(row: &hold::Model) -> Result<Held> {
    Ok(Held {
        state: from_text("hold", &row.state)?,
        units: Quantity::from_raw(row.units),
        captured: row.captured_units.map(Quantity::from_raw),
        expires_at: Timestamp::from_micros(row.expires_at),
    })
}
