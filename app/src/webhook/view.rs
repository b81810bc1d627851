//! Endpoints and deliveries as they are read.

use domain::{
    event::TypeName,
    id::{BillingEventId, CustomerId, TenantId, WebhookDeliveryId, WebhookEndpointId},
    time::Timestamp,
    webhook::health::Health,
};
use entity::{from_json, from_text, webhook_delivery, webhook_endpoint};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What an endpoint is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EndpointState {
    /// Events are sent to it.
    Enabled,
    /// Nothing is sent to it: somebody has switched it off, or it has failed for days.
    Disabled,
}

/// An address that events are sent to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its id.
    pub id: WebhookEndpointId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Only events about this customer; `None`: about all.
    pub customer: Option<CustomerId>,
    /// Where to.
    pub url: String,
    /// Names of the types of events that it wants; `None`: all.
    pub types: Option<Vec<String>>,
    /// What the vendor calls it.
    pub description: Option<String>,
    /// What it is in.
    pub state: EndpointState,
    /// Most messages on their way at once.
    pub at_once: i32,
    /// How often its secret was replaced, from 1.
    pub generation: i32,
    /// Until when the secret before signs as well.
    pub former_until: Option<Timestamp>,
    /// Failed attempts since the last that went well.
    pub failures: i32,
    /// When the first of them was.
    pub failing_since: Option<Timestamp>,
    /// Nothing is sent before; `None`: it does not rest.
    pub resting_until: Option<Timestamp>,
    /// Why the last attempt failed.
    pub last_problem: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    pub(crate) salt: Vec<u8>,
}

impl Endpoint {
    /// How it fares.
    pub(crate) fn health(&self) -> Health {
        Health {
            failures: self.failures,
            failing_since: self.failing_since,
            resting_until: self.resting_until,
        }
    }

    /// Has events sent to it again, and forgets its failures.
    pub(super) fn switch_on(&mut self) {
        self.state = EndpointState::Enabled;
        (self.failures, self.failing_since) = (0, None);
        (self.resting_until, self.last_problem) = (None, None);
    }

    /// Whether it wants an event about a customer. Names are compared as they are written, so that a type which only a newer version knows
    /// goes to those who have named it, and to those who want all.
    pub(crate) fn wants(&self, kind: &TypeName, customer: Option<CustomerId>) -> bool {
        let of_this_type = self
            .types
            .as_ref()
            .is_none_or(|types| types.iter().any(|it| it == kind.as_str()));
        of_this_type && (self.customer.is_none() || self.customer == customer)
    }
}

impl TryFrom<webhook_endpoint::Model> for Endpoint {
    type Error = Error;

    fn try_from(row: webhook_endpoint::Model) -> Result<Self> {
        let types = row
            .types
            .as_deref()
            .map(|types| from_json("webhook_endpoint", types));
        Ok(Self {
            id: WebhookEndpointId(row.id),
            tenant: TenantId(row.tenant_id),
            customer: row.customer_id.map(CustomerId),
            url: row.url,
            types: types.transpose()?,
            description: row.description,
            state: from_text("webhook_endpoint.state", &row.state)?,
            at_once: row.at_once,
            generation: row.generation,
            former_until: row.former_until.map(Timestamp::from_micros),
            failures: row.failures,
            failing_since: row.failing_since.map(Timestamp::from_micros),
            resting_until: (row.resting_until > 0).then(|| Timestamp::from_micros(row.resting_until)),
            last_problem: row.last_problem,
            created_at: Timestamp::from_micros(row.created_at),
            salt: row.salt,
        })
    }
}

/// What a delivery is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeliveryState {
    /// It waits for its next attempt.
    Pending,
    /// The receiver has it.
    Delivered,
    /// It was given up.
    Failed,
}

/// One event on its way to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its id.
    pub id: WebhookDeliveryId,
    /// Where to.
    pub endpoint: WebhookEndpointId,
    /// What.
    pub event: BillingEventId,
    /// What it is in.
    pub state: DeliveryState,
    /// Attempts since it was last asked for.
    pub attempts: i32,
    /// When the next attempt is due; `None`: none is.
    pub next_at: Option<Timestamp>,
    /// What became of the last attempts, oldest first.
    pub log: Vec<AttemptView>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When nothing more was to be done.
    pub ended_at: Option<Timestamp>,
}

impl TryFrom<webhook_delivery::Model> for Delivery {
    type Error = Error;

    fn try_from(row: webhook_delivery::Model) -> Result<Self> {
        let state = from_text("webhook_delivery.state", &row.state)?;
        Ok(Self {
            id: WebhookDeliveryId(row.id),
            endpoint: WebhookEndpointId(row.endpoint_id),
            event: BillingEventId(row.event_id),
            state,
            attempts: row.attempts,
            next_at: (state == DeliveryState::Pending).then(|| Timestamp::from_micros(row.next_at)),
            log: from_json("webhook_delivery", &row.log)?,
            created_at: Timestamp::from_micros(row.created_at),
            ended_at: row.ended_at.map(Timestamp::from_micros),
        })
    }
}

/// One attempt, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptView {
    /// When it began.
    pub at: Timestamp,
    /// Where it went.
    pub url: String,
    /// How long it took, in milliseconds.
    pub took_ms: i64,
    /// What it came to: `DELIVERED`, `REFUSED`, `GONE`, or why there was no answer, such as `TIMED_OUT`.
    pub outcome: String,
    /// The status of the answer.
    pub status: Option<i64>,
    /// How the answer began, at most 1 KiB.
    pub response: Option<String>,
}
