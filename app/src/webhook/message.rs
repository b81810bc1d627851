//! The body of a message: the event, in the words of Standard Webhooks (`type`, `timestamp`, `data`) and with what tells it from others.

use domain::{
    id::{BillingEventId, CustomerId, SubscriptionId},
    time::Timestamp,
};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{error::Result, event::Row};

#[derive(Serialize)]
struct Body<'a> {
    id: BillingEventId,
    #[serde(rename = "type")]
    kind: &'a str,
    version: i32,
    timestamp: String,
    customer_id: Option<CustomerId>,
    subscription_id: Option<SubscriptionId>,
    /// Number among the events of the customer.
    sequence: Option<i64>,
    data: &'a RawValue,
}

/// The body of every message about an event: byte for byte the same at each attempt and for each endpoint.
pub(super) fn body(event: &Row) -> Result<String> {
    let row = &event.0;
    let body = Body {
        id: BillingEventId(row.id),
        kind: &row.kind,
        version: row.version,
        timestamp: Timestamp::from_micros(row.occurred_at).to_string(),
        customer_id: row.customer_id.map(CustomerId),
        subscription_id: row.subscription_id.map(SubscriptionId),
        sequence: row.sequence,
        data: serde_json::from_str(&row.data)?,
    };
    Ok(serde_json::to_string(&body)?)
}
