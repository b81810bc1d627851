//! What became of messages, and sending them again.

use domain::{
    event::EventType,
    id::{BillingEventId, WebhookDeliveryId, WebhookEndpointId},
    rejection::{Rejection, RejectionCode},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Delivery, DeliveryState, EndpointState,
    endpoint::locked,
    message,
    store::{self, Renewal},
};
use crate::{
    App,
    actor::{Actor, Scope},
    error::{Error, Result},
    event::{self, NewEvent},
    idempotency::{Claim, Once, claim},
    job,
    op::{self, Op},
    page::{Page, Slice},
};

/// Most events that are looked at by one wish to send a range again.
pub const MAX_RESENT: u64 = 10_000;

/// How often one message is sent again by hand. Each time it is tried for a day, so that a receiver that has not taken it by then never will, and
/// nobody makes a vendor call somebody else's address for ever.
pub const MAX_RESENDS: i32 = 20;

/// Deliveries to an endpoint, newest first.
///
/// # Errors
/// The scope is missing, or no such endpoint.
pub async fn deliveries(
    app: &App,
    actor: &Actor,
    endpoint: WebhookEndpointId,
    state: Option<DeliveryState>,
    page: Page<WebhookDeliveryId>,
) -> Result<Slice<Delivery>> {
    actor.require_for_all(Scope::WebhookRead)?;
    let db = app.db().reader();
    if store::endpoint(db, actor.tenant, endpoint).await?.is_none() {
        return Err(Rejection::not_found("endpointId", "webhook endpoint").into());
    }
    match state {
        Some(DeliveryState::Failed) => store::failed(db, actor.tenant, endpoint, page).await,
        Some(DeliveryState::Pending) => {
            let moment = op::snapshot(app).await?;
            store::pending(&moment, actor.tenant, endpoint, page).await
        }
        _ => store::deliveries(db, actor.tenant, endpoint, state, page).await,
    }
}

/// The body of the messages about an event; `None`: there is no such event.
///
/// # Errors
/// The scope is missing.
pub async fn request_body(app: &App, actor: &Actor, id: BillingEventId) -> Result<Option<String>> {
    actor.require_for_all(Scope::WebhookRead)?;
    let found = event::rows_by_id(app.db().reader(), &[id]).await?;
    let own = found.get(&id).filter(|row| row.0.tenant_id == actor.tenant.0);
    own.map(message::body).transpose()
}

/// One delivery.
///
/// # Errors
/// The scope is missing.
pub async fn delivery(app: &App, actor: &Actor, id: WebhookDeliveryId) -> Result<Option<Delivery>> {
    actor.require_for_all(Scope::WebhookRead)?;
    store::delivery(app.db().reader(), actor.tenant, id).await
}

/// Has one message sent again at once, whatever became of it.
///
/// # Errors
/// No such delivery, nothing is sent to its endpoint, or it was sent again [`MAX_RESENDS`] times.
pub async fn resend(app: &App, actor: &Actor, id: WebhookDeliveryId, key: &str) -> Result<Once<Delivery>> {
    actor.require_for_all(Scope::WebhookWrite)?;
    let mut op = Op::begin(app).await?;
    let fresh = match claim(&op, actor.tenant, "resendWebhook", key, &id).await? {
        Claim::Replay(known) => return Ok(known),
        Claim::Fresh(fresh) => fresh,
    };
    let found = store::delivery(op.tx(), actor.tenant, id).await?;
    let mut delivery = found.ok_or_else(|| Rejection::not_found("deliveryId", "delivery"))?;
    check_enabled(&op, actor, delivery.endpoint).await?;
    if !store::renew_one(&op, id, MAX_RESENDS).await? {
        let message = format!("the message was sent again {MAX_RESENDS} times already");
        return Err(Rejection::new(RejectionCode::TooManyResends, "deliveryId", message).into());
    }
    delivery.state = DeliveryState::Pending;
    (delivery.attempts, delivery.next_at, delivery.ended_at) = (0, Some(op.now()), None);
    job::webhooks::wake_one_in(&mut op, delivery.endpoint).await?;
    let done = fresh.settle(&op, delivery).await?;
    op.commit().await?;
    Ok(done)
}

/// Which events are to be sent again.
#[derive(Debug, Clone, Serialize)]
pub struct Range {
    /// To which endpoint.
    pub endpoint: WebhookEndpointId,
    /// Those after this number in the feed.
    pub after: i64,
    /// Up to this number; `None`: all.
    pub through: Option<i64>,
    /// Only what was given up; otherwise also what was delivered, and what was never sent to it.
    pub only_failed: bool,
}

/// What has come of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Resent {
    /// Messages that are on their way now.
    pub count: u64,
    /// The number up to which events were looked at.
    pub position: i64,
    /// Whether more follow after it.
    pub has_more: bool,
}

/// Has a range of events sent to an endpoint again: those that it wants, at most [`MAX_RESENT`] looked at, but for those that were sent again
/// [`MAX_RESENDS`] times. Some six statements.
///
/// # Errors
/// No such endpoint, or nothing is sent to it.
pub async fn resend_range(app: &App, actor: &Actor, range: Range, key: &str) -> Result<Once<Resent>> {
    actor.require_for_all(Scope::WebhookWrite)?;
    let mut op = Op::begin(app).await?;
    let fresh = match claim(&op, actor.tenant, "resendWebhooks", key, &range).await? {
        Claim::Replay(known) => return Ok(known),
        Claim::Fresh(fresh) => fresh,
    };
    let endpoint = check_enabled(&op, actor, range.endpoint).await?;
    let found = event::news_between(op.tx(), actor.tenant, range.after, range.through, MAX_RESENT).await?;
    let wanted: Vec<BillingEventId> = found
        .iter()
        .filter(|(_, news)| news.kind.is_for_all() && endpoint.wants(&news.kind, news.customer))
        .map(|(_, news)| news.event)
        .collect();
    let renewal = Renewal {
        only_failed: range.only_failed,
        most: MAX_RESENDS,
    };
    let count = store::renew(&op, actor.tenant, endpoint.id, &wanted, renewal).await?;
    job::webhooks::wake_one_in(&mut op, endpoint.id).await?;
    let resent = Resent {
        count,
        position: found.last().map_or(range.after, |(position, _)| *position),
        has_more: found.len() as u64 == MAX_RESENT,
    };
    let done = fresh.settle(&op, resent).await?;
    op.commit().await?;
    Ok(done)
}

/// Sends an event of its own to an endpoint, to see whether it works.
///
/// # Errors
/// No such endpoint, or nothing is sent to it.
pub async fn send_test(app: &App, actor: &Actor, id: WebhookEndpointId, key: &str) -> Result<Once<Delivery>> {
    actor.require_for_all(Scope::WebhookWrite)?;
    let mut op = Op::begin(app).await?;
    let fresh = match claim(&op, actor.tenant, "sendTestWebhook", key, &id).await? {
        Claim::Replay(known) => return Ok(known),
        Claim::Fresh(fresh) => fresh,
    };
    check_enabled(&op, actor, id).await?;
    let test = NewEvent {
        tenant: actor.tenant,
        customer: None,
        subscription: None,
        kind: EventType::WebhookTest,
        key: format!("{}:{}", EventType::WebhookTest, op.new_id()),
        at: op.now(),
        data: event::words([("webhook_endpoint_id", json!(id))]),
    };
    let event = event::write_one_in(&op, test).await?;
    store::insert_deliveries(&op, actor.tenant, &[(id, event)]).await?;
    let made = store::delivery_of(op.tx(), id, event).await?;
    let delivery = made.ok_or_else(|| Error::Internal("a test that was not written".to_owned()))?;
    job::webhooks::wake_one_in(&mut op, id).await?;
    let done = fresh.settle(&op, delivery).await?;
    op.commit().await?;
    Ok(done)
}

async fn check_enabled(op: &Op, actor: &Actor, id: WebhookEndpointId) -> Result<super::Endpoint> {
    let endpoint = locked(op, actor.tenant, id).await?;
    if endpoint.state != EndpointState::Enabled {
        let message = "the endpoint is switched off; switch it on first";
        return Err(Rejection::new(RejectionCode::WebhookEndpointDisabled, "endpointId", message).into());
    }
    Ok(endpoint)
}
