//! Sending messages.
//!
//! A run has one endpoint in hand: a lease on its row, so that nobody else sends to it. It reads what is due in batches, keeps as many
//! messages on their way as the endpoint allows, and writes what has become of a batch while the next one is on its way. No transaction is
//! open while anybody is waited for. A run that dies leaves its messages due; they are sent once more.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{
    event::EventType,
    id::{BillingEventId, WebhookDeliveryId, WebhookEndpointId},
    time::Timestamp,
    webhook::{
        health::{Health, Heard},
        retry::{luck, next_attempt},
    },
};
use futures::{StreamExt, stream::FuturesUnordered};
use gateway::webhook::{Attempt, Message, Outcome, Secret, Webhooks, sign};
use metrics::{counter, histogram};
use serde_json::json;

use super::{
    AttemptView, DeliveryState, Endpoint, EndpointState, message, secret,
    store::{self, Due, Ended},
};
use crate::{
    App,
    error::Result,
    event::{self, NewEvent, Row},
    failpoint::reach,
    op::Op,
    telemetry,
};

/// How long a run goes on beginning attempts. With the longest attempt after it, it ends within its lease.
const BUDGET: Duration = Duration::from_secs(3);
/// How long a run has its endpoint in hand, in seconds; longer than any run lasts.
const LEASE_SECONDS: i64 = 30;
/// Messages that are read at once: enough that what a batch costs is shared, few enough that a process keeps little of them.
const BATCH: usize = 500;
/// Attempts at one message that are kept to be read.
const KEPT_ATTEMPTS: usize = 20;

/// Endpoints with messages that are due, by whether they have failed.
pub(crate) async fn due(app: &App, failing: bool) -> Result<Vec<WebhookEndpointId>> {
    if app.limits().webhooks.is_none() {
        return Ok(Vec::new());
    }
    store::due_endpoints(app.db().reader(), failing, app.now()).await
}

/// Sends what is due to one endpoint. Answers whether more is. Two statements for each batch of messages and two for the run; two more
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
    let mut run = Run {
        app,
        endpoint,
        webhooks,
        secrets: secret::signing(app, endpoint, now).await?,
        begun: Instant::now(),
        now,
        after: None,
        // Its rest is over.
        health: Health {
            resting_until: None,
            ..endpoint.health()
        },
        has_more: false,
    };
    let mut sent: Vec<Sent> = Vec::new();
    loop {
        let (concluded, next) = tokio::join!(conclude(app, endpoint, &sent), run.next());
        concluded?;
        sent = next?;
        if sent.is_empty() {
            return Ok(run.has_more);
        }
    }
}

/// A message that was sent, and what came of it.
struct Sent {
    due: Due,
    at: Timestamp,
    attempt: Attempt,
}

struct Run<'a> {
    app: &'a App,
    endpoint: &'a Endpoint,
    webhooks: &'a Webhooks,
    secrets: Vec<Secret>,
    begun: Instant,
    /// What is due by then is sent.
    now: Timestamp,
    /// The last message that was read.
    after: Option<(Timestamp, WebhookDeliveryId)>,
    /// How the endpoint fares, as far as this run knows.
    health: Health,
    /// Whether the run ends before it has sent everything, and somebody should go on at once.
    has_more: bool,
}

impl Run<'_> {
    /// Whether it may begin another attempt.
    fn goes_on(&self) -> bool {
        self.health.resting_until.is_none() && self.begun.elapsed() < BUDGET
    }

    /// Sends the next batch; none at all: there is nothing more to do now. Two statements.
    async fn next(&mut self) -> Result<Vec<Sent>> {
        if !self.goes_on() {
            self.has_more = self.health.resting_until.is_none();
            return Ok(Vec::new());
        }
        // One that has failed often has one message to show that it is well.
        let most = match self.health.at_once(self.endpoint.at_once) {
            1 => 1,
            _ => BATCH,
        };
        let db = self.app.db().reader();
        let due = store::due(db, self.endpoint.id, self.now, self.after, most).await?;
        let Some(last) = due.last() else {
            return Ok(Vec::new());
        };
        self.after = Some((last.next_at, last.id));
        let ids: Vec<BillingEventId> = due.iter().map(|it| it.event).collect();
        let events = event::rows_by_id(db, &ids).await?;
        reach("webhook.read")?;
        Ok(self.send(due, &events).await)
    }

    /// Keeps as many messages on their way as the endpoint allows. What could not be begun stays due.
    async fn send(&mut self, due: Vec<Due>, events: &BTreeMap<BillingEventId, Row>) -> Vec<Sent> {
        let mut waiting: VecDeque<Due> = due.into();
        let mut sent = Vec::with_capacity(waiting.len());
        let mut under_way = FuturesUnordered::new();
        loop {
            let at_once = self.health.at_once(self.endpoint.at_once);
            while under_way.len() < usize::try_from(at_once).unwrap_or(1)
                && self.goes_on()
                && let Some(due) = waiting.pop_front()
            {
                under_way.push(attempt(
                    self.app,
                    self.webhooks,
                    self.endpoint,
                    &self.secrets,
                    due,
                    events,
                ));
            }
            let Some(one) = under_way.next().await else {
                self.has_more |= !waiting.is_empty();
                return sent;
            };
            self.health = self.health.after(heard(&one), self.app.now());
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
    due: Due,
    events: &BTreeMap<BillingEventId, Row>,
) -> Sent {
    let at = app.now();
    let timestamp_seconds = at.micros().div_euclid(1_000_000);
    let id = due.event.to_string();
    // An event that cannot be read does not come back as one that can; the attempts run out, and the log says why.
    let body = events
        .get(&due.event)
        .ok_or(())
        .and_then(|it| message::body(it).map_err(drop));
    let attempt = match body {
        Ok(body) => {
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
        Err(()) => Attempt {
            outcome: Outcome::Failed(gateway::webhook::Failure::Broken),
            took: Duration::ZERO,
            response: None,
            retry_after: None,
        },
    };
    let outcome = code(attempt.outcome);
    counter!(telemetry::WEBHOOK_ATTEMPTS, "outcome" => outcome).increment(1);
    histogram!(telemetry::WEBHOOK_SECONDS).record(attempt.took.as_secs_f64());
    Sent { due, at, attempt }
}

/// The stable name of an outcome.
fn code(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered => "DELIVERED",
        Outcome::Refused => "REFUSED",
        Outcome::Gone => "GONE",
        Outcome::Failed(failure) => failure.as_str(),
    }
}

fn is_delivered(sent: &Sent) -> bool {
    sent.attempt.outcome == Outcome::Delivered
}

/// How an attempt went, in short.
fn heard(sent: &Sent) -> Heard {
    Heard {
        began_at: sent.at,
        delivered: is_delivered(sent),
        asked_seconds: asked_seconds(sent),
    }
}

fn asked_seconds(sent: &Sent) -> Option<i64> {
    let asked = sent.attempt.retry_after?;
    Some(i64::try_from(asked.as_secs()).unwrap_or(i64::MAX))
}

/// Writes what has become of messages, and how their endpoint fares where that is news. Two statements, four where something failed.
async fn conclude(app: &App, endpoint: &Endpoint, sent: &[Sent]) -> Result<()> {
    if sent.is_empty() {
        return Ok(());
    }
    let op = Op::begin(app).await?;
    // First the endpoint, as whoever has messages sent again: two that took their rows in another order would wait for each other. Somebody may
    // have changed it meanwhile, or taken it away.
    let present = store::lock(&op, endpoint.tenant, endpoint.id).await?;
    let ended: Vec<Ended> = sent.iter().map(|it| ended(endpoint, it)).collect();
    store::conclude(&op, &ended).await?;
    reach("webhook.concluded")?;
    let has_news = endpoint.health().is_failing() || sent.iter().any(|it| !is_delivered(it));
    if let Some(present) = present.filter(|_| has_news) {
        fares(&op, &present, sent).await?;
    }
    op.commit().await
}

/// What has become of a delivery.
fn ended(endpoint: &Endpoint, sent: &Sent) -> Ended {
    let attempts = sent.due.attempts + 1;
    let over =
        Timestamp::from_micros(sent.at.micros() + i64::try_from(sent.attempt.took.as_micros()).unwrap_or(0));
    let next = match is_delivered(sent) {
        true => None,
        false => next_attempt(attempts, over, asked_seconds(sent), luck(sent.due.id.0, attempts)),
    };
    let state = match (is_delivered(sent), next) {
        (true, _) => DeliveryState::Delivered,
        (false, Some(_)) => DeliveryState::Pending,
        (false, None) => DeliveryState::Failed,
    };
    let mut log = sent.due.log.clone();
    log.push(view(endpoint, sent));
    let surplus = log.len().saturating_sub(KEPT_ATTEMPTS);
    log.drain(..surplus);
    Ended {
        id: sent.due.id,
        attempts,
        state,
        at: next.unwrap_or(over),
        log,
    }
}

fn view(endpoint: &Endpoint, sent: &Sent) -> AttemptView {
    let response = sent.attempt.response.as_ref();
    AttemptView {
        at: sent.at,
        url: endpoint.url.clone(),
        took_ms: i64::try_from(sent.attempt.took.as_millis()).unwrap_or(i64::MAX),
        outcome: code(sent.attempt.outcome).to_owned(),
        status: response.map(|it| i64::from(it.status)),
        response: response.map(|it| it.body.clone()).filter(|body| !body.is_empty()),
    }
}

/// Writes how an endpoint fares. One that is hopeless, or says that it is gone, is switched off, and that is told. One statement, three if so.
async fn fares(op: &Op, present: &Endpoint, sent: &[Sent]) -> Result<()> {
    let now = op.now();
    // One after the other, as the run has counted them: what went well before a failure does not make it forgotten.
    let health = sent
        .iter()
        .fold(present.health(), |health, it| health.after(heard(it), now));
    let is_gone = sent.iter().any(|it| it.attempt.outcome == Outcome::Gone);
    let problem = sent.iter().rev().find(|it| !is_delivered(it)).map(problem);
    let is_over = health.is_failing() && (is_gone || health.is_hopeless(now));
    let state = if is_over {
        EndpointState::Disabled
    } else {
        present.state
    };
    let shown = if health.is_failing() {
        problem.as_deref()
    } else {
        None
    };
    store::fares(op, present.id, health, shown, state).await?;
    if state == present.state {
        return Ok(());
    }
    reach("webhook.disabled")?;
    event::write_in(op, &[disabled(op, present, health, shown.unwrap_or("unknown"))]).await
}

/// What went wrong, in a few words.
fn problem(sent: &Sent) -> String {
    match &sent.attempt.response {
        Some(response) => format!("{} with status {}", code(sent.attempt.outcome), response.status),
        None => code(sent.attempt.outcome).to_owned(),
    }
}

fn disabled(op: &Op, endpoint: &Endpoint, health: Health, problem: &str) -> NewEvent {
    let since = health.failing_since.unwrap_or(op.now());
    NewEvent {
        tenant: endpoint.tenant,
        customer: None,
        subscription: None,
        kind: EventType::WebhookEndpointDisabled,
        key: format!(
            "{}:{}:{}",
            EventType::WebhookEndpointDisabled,
            endpoint.id,
            since.micros()
        ),
        at: op.now(),
        data: event::words([
            ("webhook_endpoint_id", json!(endpoint.id)),
            ("url", json!(endpoint.url)),
            ("failing_since", json!(since.to_string())),
            ("last_problem", json!(problem)),
        ]),
    }
}
