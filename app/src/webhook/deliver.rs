//! Sending messages.
//!
//! A run has one endpoint in hand: a lease on its row, so that nobody else sends to it. Three batches are under way at a time: one is read,
//! one is sent, as many messages at once as the endpoint allows, and of one it is written what has become of it. No transaction is open
//! while anybody is waited for. A run that dies leaves its messages due; they are sent once more.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{
    id::{BillingEventId, WebhookDeliveryId, WebhookEndpointId},
    time::Timestamp,
    webhook::health::Health,
};
use futures::{StreamExt, stream::FuturesUnordered};
use gateway::webhook::{Attempt, Failure, Message, Outcome, Secret, Webhooks, sign};
use metrics::{counter, histogram};

use super::{
    Endpoint,
    conclude::{Sent, code, conclude},
    message, secret,
    store::{self, Due},
};
use crate::{App, error::Result, event, failpoint::reach, telemetry};

/// How long a run goes on beginning attempts. With the longest attempt after it, it ends within its lease.
const BUDGET: Duration = Duration::from_secs(3);
/// How long a run has its endpoint in hand, in seconds; longer than any run lasts.
const LEASE_SECONDS: i64 = 30;
/// Messages that are read at once: enough that what a batch costs is shared, few enough that a process keeps little of them.
const BATCH: usize = 1_000;

/// Endpoints with messages that are due, by whether they have failed.
pub(crate) async fn due(app: &App, failing: bool) -> Result<Vec<WebhookEndpointId>> {
    if app.limits().webhooks.is_none() {
        return Ok(Vec::new());
    }
    store::due_endpoints(app.db().reader(), failing, app.now()).await
}

/// Sends what is due to one endpoint. Answers whether more is. Four statements for each batch of messages and two for the run; two more
/// where something failed.
pub(crate) async fn deliver(app: &App, id: WebhookEndpointId) -> Result<bool> {
    let Some(webhooks) = app.limits().webhooks.clone() else {
        return Ok(false);
    };
    let now = app.now();
    let until = now.plus_seconds(LEASE_SECONDS);
    let Some(endpoint) = store::claim(app, id, now, until).await? else {
        return Ok(false);
    };
    reach("webhook.claimed")?;
    let sent = send_all(app, &endpoint, &webhooks).await;
    store::release(app, id, until).await?;
    sent
}

async fn send_all(app: &App, endpoint: &Endpoint, webhooks: &Arc<Webhooks>) -> Result<bool> {
    let now = app.now();
    let mut waiting = Waiting {
        app,
        endpoint: endpoint.id,
        now,
        after: None,
    };
    let mut run = Run {
        app,
        endpoint,
        webhooks,
        secrets: secret::signing(app, endpoint, now).await?,
        begun: Instant::now(),
        // Its rest is over.
        health: Health {
            resting_until: None,
            ..endpoint.health()
        },
        has_more: false,
    };
    let mut ready = waiting.next(run.batch()).await?;
    let mut sent: Vec<Sent> = Vec::new();
    loop {
        let most = run.batch();
        let (concluded, ahead, just_sent) = tokio::join!(
            conclude(app, endpoint, &sent),
            waiting.next(most),
            run.send(ready)
        );
        sent = just_sent;
        match concluded.and(ahead) {
            Ok(more) if !more.is_empty() && run.goes_on() => ready = more,
            ended => {
                // Also where something failed: what is written is not sent again.
                conclude(app, endpoint, &sent).await?;
                return Ok((run.has_more || !ended?.is_empty()) && run.health.resting_until.is_none());
            }
        }
    }
}

/// A message that is due, as it is sent.
struct Ready {
    due: Due,
    /// `None`: its event cannot be read.
    body: Option<String>,
}

/// What waits to be sent to an endpoint, in its order.
struct Waiting<'a> {
    app: &'a App,
    endpoint: WebhookEndpointId,
    /// What is due by then is sent.
    now: Timestamp,
    /// The last message that was read.
    after: Option<(Timestamp, WebhookDeliveryId)>,
}

impl Waiting<'_> {
    /// The next batch, at most so many. Two statements.
    async fn next(&mut self, most: usize) -> Result<Vec<Ready>> {
        let db = self.app.db().reader();
        let due = store::due(db, self.endpoint, self.now, self.after, most).await?;
        let Some(last) = due.last() else {
            return Ok(Vec::new());
        };
        self.after = Some((last.next_at, last.id));
        let ids: Vec<BillingEventId> = due.iter().map(|it| it.event).collect();
        let events = event::rows_by_id(db, &ids).await?;
        reach("webhook.read")?;
        let body = |due: &Due| message::body(events.get(&due.event)?).ok();
        Ok(due
            .into_iter()
            .map(|due| Ready {
                body: body(&due),
                due,
            })
            .collect())
    }
}

struct Run<'a> {
    app: &'a App,
    endpoint: &'a Endpoint,
    webhooks: &'a Webhooks,
    secrets: Vec<Secret>,
    begun: Instant,
    /// How the endpoint fares, as far as this run knows.
    health: Health,
    /// Whether the run ends before it has sent everything that it has read.
    has_more: bool,
}

impl Run<'_> {
    /// Whether it may begin another attempt.
    fn goes_on(&self) -> bool {
        self.health.resting_until.is_none() && self.begun.elapsed() < BUDGET
    }

    /// Messages that are read at once. An endpoint that has failed often has one to show that it is well.
    fn batch(&self) -> usize {
        match self.health.at_once(self.endpoint.at_once) {
            1 => 1,
            _ => BATCH,
        }
    }

    /// Keeps as many messages on their way as the endpoint allows. What could not be begun stays due.
    async fn send(&mut self, ready: Vec<Ready>) -> Vec<Sent> {
        let mut sent = Vec::with_capacity(ready.len());
        let mut waiting: VecDeque<Ready> = ready.into();
        let mut under_way = FuturesUnordered::new();
        loop {
            let at_once = self.health.at_once(self.endpoint.at_once);
            while under_way.len() < usize::try_from(at_once).unwrap_or(1)
                && self.goes_on()
                && let Some(ready) = waiting.pop_front()
            {
                under_way.push(attempt(
                    self.app,
                    self.webhooks,
                    self.endpoint,
                    &self.secrets,
                    ready,
                ));
            }
            let Some(one) = under_way.next().await else {
                self.has_more |= !waiting.is_empty();
                return sent;
            };
            self.health = self.health.after(one.heard(), self.app.now());
            sent.push(one);
        }
    }
}

/// Makes one attempt.
async fn attempt(
    app: &App,
    webhooks: &Webhooks,
    endpoint: &Endpoint,
    secrets: &[Secret],
    Ready { due, body }: Ready,
) -> Sent {
    let at = app.now();
    let timestamp_seconds = at.micros().div_euclid(1_000_000);
    let id = due.event.to_string();
    let attempt = match body {
        Some(body) => {
            let signature = sign(&id, timestamp_seconds, &body, secrets);
            let message = Message {
                url: &endpoint.url,
                id: &id,
                timestamp_seconds,
                body: &body,
                signature: &signature,
            };
            webhooks.deliver(&message).await
        }
        // It does not come back as one that can; the attempts run out, and the log says why.
        None => Attempt {
            outcome: Outcome::Failed(Failure::Broken),
            took: Duration::ZERO,
            response: None,
            retry_after: None,
        },
    };
    counter!(telemetry::WEBHOOK_ATTEMPTS, "outcome" => code(attempt.outcome)).increment(1);
    histogram!(telemetry::WEBHOOK_SECONDS).record(attempt.took.as_secs_f64());
    Sent { due, at, attempt }
}
