//! Webhooks: where vendors want to be told, and what became of each message.

use app::{
    error::Result,
    event,
    webhook::{self, CreateEndpoint, Range, Rotated, UpdateEndpoint},
};
use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use domain::{
    id::{BillingEventId, WebhookDeliveryId, WebhookEndpointId},
    rejection::Rejection,
};

use super::{
    caller,
    customer::customer_ref,
    error::top_level,
    event::BillingEvent,
    page::{Args, Connection, connection, cost},
    payload::{payload, plain},
    scalar::{DateTime, SafeInt},
};

/// Whether events are sent to an endpoint. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "webhook::EndpointState")]
pub enum WebhookEndpointState {
    /// They are.
    Enabled,
    /// They are not: somebody has switched it off, or it has failed for five days, or it has said that it is gone (410).
    Disabled,
}

/// An address that events are sent to, signed after Standard Webhooks 1.0.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct WebhookEndpoint {
    /// Global id.
    pub id: ID,
    /// Where to.
    pub url: String,
    /// Names of the types of events that it wants; null: all.
    pub types: Option<Vec<String>>,
    /// What the vendor calls it.
    pub description: Option<String>,
    /// Global id of the customer whose events it hears of; null: those of all.
    pub customer_id: Option<ID>,
    /// Whether events are sent to it.
    pub state: WebhookEndpointState,
    /// Most messages on their way at once.
    pub max_concurrency: i32,
    /// Failed attempts since the last that went well.
    pub failures: i32,
    /// When the first of them was; null: the last attempt went well.
    pub failing_since: Option<DateTime>,
    /// Why the last attempt failed; null: it went well.
    pub last_problem: Option<String>,
    /// Until when messages are signed with the secret before as well.
    pub former_secret_until: Option<DateTime>,
    /// When it was made.
    pub created_at: DateTime,
    #[graphql(skip)]
    endpoint: WebhookEndpointId,
}

impl From<webhook::Endpoint> for WebhookEndpoint {
    fn from(it: webhook::Endpoint) -> Self {
        Self {
            id: it.id.to_string().into(),
            url: it.url,
            types: it.types,
            description: it.description,
            customer_id: it.customer.map(|id| id.to_string().into()),
            state: it.state.into(),
            max_concurrency: it.at_once,
            failures: it.failures,
            failing_since: it.failing_since.map(DateTime),
            last_problem: it.last_problem,
            former_secret_until: it.former_until.map(DateTime),
            created_at: it.created_at.into(),
            endpoint: it.id,
        }
    }
}

#[ComplexObject]
impl WebhookEndpoint {
    /// What became of messages to it, newest first.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    #[allow(clippy::too_many_arguments)] // Those of a connection, and a filter.
    async fn deliveries(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those in this state.")] state: Option<WebhookDeliveryState>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<WebhookDelivery>> {
        let args = Args {
            first,
            last,
            after,
            before,
        };
        deliveries(ctx, self.endpoint, state, args).await
    }
}

/// What a delivery is in. New values may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "webhook::DeliveryState")]
pub enum WebhookDeliveryState {
    /// It waits for its next attempt.
    Pending,
    /// The receiver has answered with a status of 200 to 299.
    Delivered,
    /// It was given up after the last attempt; `resendWebhook` tries it again.
    Failed,
}

/// One event on its way to one endpoint.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct WebhookDelivery {
    /// Global id.
    pub id: ID,
    /// Global id of the endpoint.
    pub endpoint_id: ID,
    /// What it is in.
    pub state: WebhookDeliveryState,
    /// How many attempts were made since it was last asked for.
    pub attempt_count: i32,
    /// When the next attempt is due; null: none is.
    pub next_attempt_at: Option<DateTime>,
    /// The last 20 attempts, oldest first.
    pub attempts: Vec<WebhookAttempt>,
    /// When it was made.
    pub created_at: DateTime,
    /// When nothing more was to be done.
    pub ended_at: Option<DateTime>,
    #[graphql(skip)]
    event: BillingEventId,
}

impl From<webhook::Delivery> for WebhookDelivery {
    fn from(it: webhook::Delivery) -> Self {
        Self {
            id: it.id.to_string().into(),
            endpoint_id: it.endpoint.to_string().into(),
            state: it.state.into(),
            attempt_count: it.attempts,
            next_attempt_at: it.next_at.map(DateTime),
            attempts: it.log.into_iter().map(WebhookAttempt::from).collect(),
            created_at: it.created_at.into(),
            ended_at: it.ended_at.map(DateTime),
            event: it.event,
        }
    }
}

#[ComplexObject]
impl WebhookDelivery {
    /// The event that it carries. Needs `subscription:read`.
    async fn event(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<BillingEvent>> {
        let (app, actor) = caller(ctx)?;
        let found = event::event(app, actor, self.event).await.map_err(top_level)?;
        Ok(found.map(BillingEvent::from))
    }

    /// What is sent, byte for byte. Its headers are `webhook-id` (the id of the event), `webhook-timestamp` (the second of the attempt)
    /// and `webhook-signature`.
    async fn request_body(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<String>> {
        let (app, actor) = caller(ctx)?;
        webhook::request_body(app, actor, self.event)
            .await
            .map_err(top_level)
    }
}

/// One attempt to deliver a message.
#[derive(SimpleObject)]
pub struct WebhookAttempt {
    /// When it began.
    pub at: DateTime,
    /// Where it went.
    pub url: String,
    /// How long it took, in milliseconds.
    pub took_milliseconds: SafeInt,
    /// What it came to: `DELIVERED`, `REFUSED` (another status than 200 to 299), `GONE` (410), or why there was no answer: `BAD_URL`,
    /// `FORBIDDEN_ADDRESS`, `DNS`, `CONNECT`, `TLS`, `TIMED_OUT`, `BROKEN`.
    pub outcome: String,
    /// The status of the answer; null: there was none.
    pub status: Option<SafeInt>,
    /// How the answer began, at most 1 KiB. It is the receiver's: show it as text only.
    pub response_body: Option<String>,
}

impl From<webhook::AttemptView> for WebhookAttempt {
    fn from(it: webhook::AttemptView) -> Self {
        Self {
            at: it.at.into(),
            url: it.url,
            took_milliseconds: SafeInt(it.took_ms),
            outcome: it.outcome,
            status: it.status.map(SafeInt),
            response_body: it.response,
        }
    }
}

/// Deliveries to an endpoint.
async fn deliveries(
    ctx: &Context<'_>,
    endpoint: WebhookEndpointId,
    state: Option<WebhookDeliveryState>,
    args: Args,
) -> async_graphql::Result<Connection<WebhookDelivery>> {
    let (app, actor) = caller(ctx)?;
    let page = args.page::<WebhookDeliveryId>()?;
    let slice = webhook::deliveries(app, actor, endpoint, state.map(Into::into), page)
        .await
        .map_err(top_level)?;
    Ok(connection(slice, |it| it.id.to_string(), WebhookDelivery::from))
}

fn endpoint_id(id: &ID) -> Result<WebhookEndpointId> {
    let id = id.parse();
    id.map_err(|_| Rejection::not_found("endpointId", "webhook endpoint").into())
}

fn delivery_id(id: &ID) -> Result<WebhookDeliveryId> {
    let id = id.parse();
    id.map_err(|_| Rejection::not_found("deliveryId", "delivery").into())
}

/// Reads of webhooks.
#[derive(Default)]
pub struct WebhookQuery;

#[Object]
impl WebhookQuery {
    /// Endpoints, oldest first: all, or those of one customer. Needs `webhook:read`, for all customers.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    #[allow(clippy::too_many_arguments)] // Those of a connection, and whose.
    async fn webhook_endpoints(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those of this customer, by id.")] customer_id: Option<ID>,
        #[graphql(desc = "Only those of this customer, by the vendor's own name.")]
        external_customer_id: Option<String>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<WebhookEndpoint>> {
        let (app, actor) = caller(ctx)?;
        let args = Args {
            first,
            last,
            after,
            before,
        };
        let page = args.page::<WebhookEndpointId>()?;
        let who = whose(customer_id, external_customer_id).map_err(top_level)?;
        let slice = webhook::endpoints(app, actor, who.as_ref(), page)
            .await
            .map_err(top_level)?;
        Ok(connection(slice, |it| it.id.to_string(), WebhookEndpoint::from))
    }

    /// What became of messages to an endpoint, newest first. Needs `webhook:read`, for all customers.
    #[graphql(complexity = "cost(first, last, child_complexity)")]
    #[allow(clippy::too_many_arguments)] // Those of a connection, and which.
    async fn webhook_deliveries(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global id of the endpoint.")] endpoint_id: ID,
        #[graphql(desc = "Only those in this state.")] state: Option<WebhookDeliveryState>,
        #[graphql(desc = "Size of the page from the front, 1 to 100; 20 by default.")] first: Option<i32>,
        #[graphql(desc = "Size of the page from the back, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Only items before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<Connection<WebhookDelivery>> {
        let id = self::endpoint_id(&endpoint_id).map_err(top_level)?;
        let args = Args {
            first,
            last,
            after,
            before,
        };
        deliveries(ctx, id, state, args).await
    }
}

fn whose(id: Option<ID>, external: Option<String>) -> Result<Option<app::customer::CustomerRef>> {
    match (&id, &external) {
        (None, None) => Ok(None),
        _ => customer_ref(id, external).map(Some),
    }
}

/// An endpoint to create.
#[derive(InputObject)]
pub struct CreateWebhookEndpointInput {
    /// Where to: `https://`, on a public network unless the server's settings allow others.
    pub url: String,
    /// Names of the types of events that it wants, see `eventTypes`; left out: all.
    pub types: Option<Vec<String>>,
    /// What to call it.
    pub description: Option<String>,
    /// Only events about this customer, by id.
    pub customer_id: Option<ID>,
    /// Only events about this customer, by the vendor's own name.
    pub external_customer_id: Option<String>,
    /// Most messages on their way at once, 1 to 64; 8 by default.
    pub max_concurrency: Option<i32>,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

/// What to change of an endpoint.
#[derive(InputObject)]
pub struct UpdateWebhookEndpointInput {
    /// Global id of the endpoint.
    pub endpoint_id: ID,
    /// Where to; left out: as before.
    pub url: Option<String>,
    /// Names of the types of events; null: all; left out: as before.
    pub types: MaybeUndefined<Vec<String>>,
    /// What to call it; null: nothing; left out: as before.
    pub description: MaybeUndefined<String>,
    /// Most messages on their way at once, 1 to 64; left out: as before.
    pub max_concurrency: Option<i32>,
    /// Whether events are sent to it. Switching it on forgets its failures, and sends what waits; what has happened while it was off can be
    /// sent with `resendWebhooks`.
    pub enabled: Option<bool>,
}

/// A secret to replace.
#[derive(InputObject)]
pub struct RotateWebhookSecretInput {
    /// Global id of the endpoint.
    pub endpoint_id: ID,
    /// For how many hours the secret before signs as well, 0 to 168; 24 by default.
    pub overlap_hours: Option<i32>,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

/// An endpoint to take away.
#[derive(InputObject)]
pub struct DeleteWebhookEndpointInput {
    /// Global id of the endpoint.
    pub endpoint_id: ID,
}

/// A message to send again.
#[derive(InputObject)]
pub struct ResendWebhookInput {
    /// Global id of the delivery.
    pub delivery_id: ID,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

/// Events to send to an endpoint again.
#[derive(InputObject)]
pub struct ResendWebhooksInput {
    /// Global id of the endpoint.
    pub endpoint_id: ID,
    /// Events after this `position` in the feed; 0 by default.
    pub after: Option<SafeInt>,
    /// Up to this `position`; left out: all.
    pub through: Option<SafeInt>,
    /// Only what was given up; false by default: then also what was delivered, and what was never sent to it.
    pub only_failed: Option<bool>,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

/// An endpoint to try.
#[derive(InputObject)]
pub struct SendTestWebhookInput {
    /// Global id of the endpoint.
    pub endpoint_id: ID,
    /// Repeat the same key to retry safely: 1 to 255 visible ASCII characters.
    pub idempotency_key: String,
}

/// An endpoint with the secret that its messages are signed with.
#[derive(SimpleObject)]
pub struct WebhookEndpointWithSecret {
    /// The endpoint.
    pub endpoint: WebhookEndpoint,
    /// `whsec_…`: what libraries of Standard Webhooks want to have. Shown here only.
    pub secret: String,
}

impl From<Rotated> for WebhookEndpointWithSecret {
    fn from(it: Rotated) -> Self {
        Self {
            endpoint: it.endpoint.into(),
            secret: it.secret,
        }
    }
}

payload! {
    /// Result of `createWebhookEndpoint` and `rotateWebhookSecret`.
    WebhookSecretPayload {
        /// The endpoint and its secret; null when it was refused.
        created: WebhookEndpointWithSecret
    }
}

payload! {
    /// Result of `updateWebhookEndpoint` and `deleteWebhookEndpoint`.
    WebhookEndpointPayload {
        /// The endpoint; null when it was refused.
        endpoint: WebhookEndpoint
    }
}

payload! {
    /// Result of `resendWebhook` and `sendTestWebhook`.
    WebhookDeliveryPayload {
        /// The delivery; null when it was refused.
        delivery: WebhookDelivery
    }
}

/// What has come of a wish to send events again.
#[derive(SimpleObject)]
pub struct ResentWebhooks {
    /// Messages that are on their way now.
    pub count: SafeInt,
    /// The `position` up to which events were looked at.
    pub position: SafeInt,
    /// Whether more follow: ask again with `after: position`.
    pub has_more: bool,
}

payload! {
    /// Result of `resendWebhooks`.
    ResendWebhooksPayload {
        /// What has come of it; null when it was refused.
        resent: ResentWebhooks
    }
}

/// Writes of webhooks.
#[derive(Default)]
pub struct WebhookMutation;

#[Object]
impl WebhookMutation {
    /// Creates an endpoint: from now on events are sent to it. Needs `webhook:write`, for all customers.
    async fn create_webhook_endpoint(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The endpoint to create.")] input: CreateWebhookEndpointInput,
    ) -> async_graphql::Result<WebhookSecretPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match whose(input.customer_id, input.external_customer_id) {
            Ok(customer) => {
                let command = CreateEndpoint {
                    url: input.url,
                    types: input.types,
                    description: input.description,
                    customer,
                    at_once: input.max_concurrency,
                };
                webhook::create(app, actor, command, &input.idempotency_key).await
            }
            Err(error) => Err(error),
        };
        WebhookSecretPayload::from_outcome(outcome, WebhookEndpointWithSecret::from)
    }

    /// Changes an endpoint, or switches it on or off. Needs `webhook:write`, for all customers.
    async fn update_webhook_endpoint(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateWebhookEndpointInput,
    ) -> async_graphql::Result<WebhookEndpointPayload> {
        let (app, actor) = caller(ctx)?;
        let command = UpdateEndpoint {
            url: input.url,
            types: input.types.into(),
            description: input.description.into(),
            at_once: input.max_concurrency,
            enabled: input.enabled,
        };
        let outcome = match endpoint_id(&input.endpoint_id) {
            Ok(id) => webhook::update(app, actor, id, command).await,
            Err(error) => Err(error),
        };
        WebhookEndpointPayload::from_outcome(plain(outcome), WebhookEndpoint::from)
    }

    /// Replaces the secret of an endpoint. For a while messages carry two signatures, so that receivers can change over without losing any.
    /// Needs `webhook:write`, for all customers.
    async fn rotate_webhook_secret(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose secret.")] input: RotateWebhookSecretInput,
    ) -> async_graphql::Result<WebhookSecretPayload> {
        let (app, actor) = caller(ctx)?;
        let hours = input.overlap_hours.map(i64::from);
        let outcome = match endpoint_id(&input.endpoint_id) {
            Ok(id) => webhook::rotate(app, actor, id, hours, &input.idempotency_key).await,
            Err(error) => Err(error),
        };
        WebhookSecretPayload::from_outcome(outcome, WebhookEndpointWithSecret::from)
    }

    /// Takes an endpoint away: nothing more is sent to it. Needs `webhook:write`, for all customers.
    async fn delete_webhook_endpoint(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] input: DeleteWebhookEndpointInput,
    ) -> async_graphql::Result<WebhookEndpointPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match endpoint_id(&input.endpoint_id) {
            Ok(id) => webhook::delete(app, actor, id).await,
            Err(error) => Err(error),
        };
        WebhookEndpointPayload::from_outcome(plain(outcome), WebhookEndpoint::from)
    }

    /// Sends one message again at once, whatever became of it. Needs `webhook:write`, for all customers.
    async fn resend_webhook(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which message.")] input: ResendWebhookInput,
    ) -> async_graphql::Result<WebhookDeliveryPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match delivery_id(&input.delivery_id) {
            Ok(id) => webhook::resend(app, actor, id, &input.idempotency_key).await,
            Err(error) => Err(error),
        };
        WebhookDeliveryPayload::from_outcome(outcome, WebhookDelivery::from)
    }

    /// Sends a range of events to an endpoint again, of those that it wants; at most 10,000 are looked at. Needs `webhook:write`, for all
    /// customers.
    async fn resend_webhooks(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which events, and where to.")] input: ResendWebhooksInput,
    ) -> async_graphql::Result<ResendWebhooksPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match endpoint_id(&input.endpoint_id) {
            Ok(endpoint) => {
                let range = Range {
                    endpoint,
                    after: input.after.map_or(0, |after| after.0),
                    through: input.through.map(|through| through.0),
                    only_failed: input.only_failed.unwrap_or(false),
                };
                webhook::resend_range(app, actor, range, &input.idempotency_key).await
            }
            Err(error) => Err(error),
        };
        ResendWebhooksPayload::from_outcome(outcome, |it| ResentWebhooks {
            count: SafeInt(i64::try_from(it.count).unwrap_or(i64::MAX)),
            position: SafeInt(it.position),
            has_more: it.has_more,
        })
    }

    /// Sends an event of the type `webhook.test` to an endpoint, to see whether it works. Needs `webhook:write`, for all customers.
    async fn send_test_webhook(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Where to.")] input: SendTestWebhookInput,
    ) -> async_graphql::Result<WebhookDeliveryPayload> {
        let (app, actor) = caller(ctx)?;
        let outcome = match endpoint_id(&input.endpoint_id) {
            Ok(id) => webhook::send_test(app, actor, id, &input.idempotency_key).await,
            Err(error) => Err(error),
        };
        WebhookDeliveryPayload::from_outcome(outcome, WebhookDelivery::from)
    }
}
