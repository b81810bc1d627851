//! What became of messages that were sent.

use domain::{
    event::EventType,
    id::CustomerId,
    time::Timestamp,
    webhook::{
        health::{Health, Heard},
        retry::{luck, next_attempt},
    },
};
use gateway::webhook::{Attempt, Outcome};
use serde_json::json;

use super::{
    AttemptView, DeliveryState, Endpoint, EndpointState,
    store::{self, Due, Ended},
};
use crate::{
    App,
    error::Result,
    event::{self, NewEvent},
    failpoint::reach,
    op::Op,
    spend,
};

/// Attempts at one message that are kept to be read.
const KEPT_ATTEMPTS: usize = 20;

/// A message that was sent, and what came of it.
pub(super) struct Sent {
    pub(super) due: Due,
    pub(super) at: Timestamp,
    pub(super) attempt: Attempt,
}

impl Sent {
    fn is_delivered(&self) -> bool {
        self.attempt.outcome == Outcome::Delivered
    }

    /// How the attempt went, in short.
    pub(super) fn heard(&self) -> Heard {
        Heard {
            began_at: self.at,
            delivered: self.is_delivered(),
            asked_seconds: self.asked_seconds(),
        }
    }

    fn asked_seconds(&self) -> Option<i64> {
        let asked = self.attempt.retry_after?;
        Some(i64::try_from(asked.as_secs()).unwrap_or(i64::MAX))
    }

    /// What went wrong, in a few words.
    fn problem(&self) -> String {
        match &self.attempt.response {
            Some(response) => format!("{} with status {}", code(self.attempt.outcome), response.status),
            None => code(self.attempt.outcome).to_owned(),
        }
    }
}

/// The stable name of an outcome.
pub(super) fn code(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered => "DELIVERED",
        Outcome::Refused => "REFUSED",
        Outcome::Gone => "GONE",
        Outcome::Failed(failure) => failure.as_str(),
    }
}

/// Writes what has become of messages, and how their endpoint fares where that is news. Two statements; where something failed two more, and one
/// for an endpoint that hears of one customer only.
pub(super) async fn conclude(app: &App, endpoint: &Endpoint, sent: Vec<Sent>) -> Result<()> {
    let mut op = Op::begin(app).await?;
    let has_failed = sent.iter().any(|it| !it.is_delivered());
    // It may be the customer's own, of which the customer is told. Whoever points it elsewhere locks the account first, too.
    if let Some(customer) = endpoint.customer.filter(|_| has_failed) {
        op.lock_account(endpoint.tenant, customer).await?;
    }
    // First the endpoint, as whoever has messages sent again: two that took their rows in another order would wait for each other. Somebody may
    // have changed it meanwhile, or taken it away.
    let present = store::lock(&op, endpoint.tenant, endpoint.id).await?;
    let ended: Vec<Ended> = sent.iter().map(|it| ended(endpoint, it)).collect();
    store::conclude(&op, &ended).await?;
    reach("webhook.concluded")?;
    // What went well is news where something had failed before, also what this very run has written of. What another address has answered says
    // nothing of the present one, nor of one that is switched off by now.
    let is_the_same = |it: &Endpoint| it.url == endpoint.url && it.state == EndpointState::Enabled;
    let has_news = |it: &Endpoint| has_failed || it.health().is_failing();
    if let Some(present) = present.filter(|it| is_the_same(it) && has_news(it)) {
        fares(&op, &present, &sent).await?;
    }
    op.commit().await
}

/// What has become of a delivery.
fn ended(endpoint: &Endpoint, sent: &Sent) -> Ended {
    let attempts = sent.due.attempts + 1;
    let over =
        Timestamp::from_micros(sent.at.micros() + i64::try_from(sent.attempt.took.as_micros()).unwrap_or(0));
    let next = match sent.is_delivered() {
        true => None,
        false => next_attempt(
            attempts,
            over,
            sent.asked_seconds(),
            luck(sent.due.id.0, attempts),
        ),
    };
    let state = match (sent.is_delivered(), next) {
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

/// Writes how an endpoint fares. One that is hopeless, or says that it is gone, is switched off, and that is told. One statement, three if so, and
/// then one more for an endpoint that hears of one customer only, whose account is locked.
async fn fares(op: &Op, present: &Endpoint, sent: &[Sent]) -> Result<()> {
    let now = op.now();
    // One after the other, as the run has counted them: what went well before a failure does not make it forgotten.
    let health = sent
        .iter()
        .fold(present.health(), |health, it| health.after(it.heard(), now));
    let is_gone = sent.iter().any(|it| it.attempt.outcome == Outcome::Gone);
    let problem = sent.iter().rev().find(|it| !it.is_delivered()).map(Sent::problem);
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
    let owner = owner(op, present).await?;
    let told = disabled(op, present, owner, (health, shown.unwrap_or("unknown")));
    event::write_in(op, &[told]).await
}

/// The customer whose own an endpoint is. One that the vendor has made is the vendor's, also where it hears of one customer only: its address is
/// nobody else's business. At most one statement.
async fn owner(op: &Op, endpoint: &Endpoint) -> Result<Option<CustomerId>> {
    match endpoint.customer {
        Some(customer) if spend::is_own_in(op.tx(), customer, endpoint.id).await? => Ok(Some(customer)),
        _ => Ok(None),
    }
}

fn disabled(
    op: &Op,
    endpoint: &Endpoint,
    owner: Option<CustomerId>,
    (health, problem): (Health, &str),
) -> NewEvent {
    let since = health.failing_since.unwrap_or(op.now());
    NewEvent {
        tenant: endpoint.tenant,
        customer: owner,
        subscription: None,
        kind: EventType::WebhookEndpointDisabled,
        key: format!(
            "{}:{}:{}",
            EventType::WebhookEndpointDisabled,
            endpoint.id,
            since.micros()
        ),
        at: op.present(),
        data: event::words([
            ("webhook_endpoint_id", json!(endpoint.id)),
            ("customer_id", json!(owner)),
            ("url", json!(endpoint.url)),
            ("failing_since", json!(since.to_string())),
            ("last_problem", json!(problem)),
        ]),
    }
}
