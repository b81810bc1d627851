//! Sending messages.
//!
//! A run has one endpoint in hand: a lease on its row, so that nobody else sends to it. As many messages are on their way at a time as the endpoint
//! allows, and while they are, the next ones are read and it is written what has become of the last ones, many with one statement each. No
//! transaction is open while anybody is waited for. A run that dies leaves its messages due; they are sent once more.

use std::{collections::VecDeque, time::Duration};

use domain::{
    id::{BillingEventId, WebhookDeliveryId, WebhookEndpointId},
    time::Timestamp,
    webhook::health::Health,
};
use futures::{StreamExt, stream::FuturesUnordered};
use gateway::webhook::{Attempt, Failure, Message, Outcome, Secret, Webhooks, sign};
use metrics::{counter, histogram};
use tokio::time::Instant;

use super::{
    Endpoint,
    conclude::{Sent, code, conclude},
    message, secret,
    store::{self, Due},
};
use crate::{
    App,
    error::{Error, Result},
    event,
    failpoint::reach,
    telemetry,
};

/// How long a run goes on beginning attempts. With the longest attempt after it, it ends within its lease.
const BUDGET: Duration = Duration::from_secs(3);
/// How long a run has its endpoint in hand, in seconds; longer than any run lasts.
const LEASE_SECONDS: i64 = 30;
/// Messages that are read at once: enough that what a batch costs is shared, few enough that a process keeps little of them.
const BATCH: usize = 1_000;
/// How long it may take until it is begun to write what became of a message, unless others are being written: more are written with it.
const WRITTEN_WITHIN: Duration = Duration::from_millis(100);

/// Endpoints with messages that are due, by whether they have failed.
pub(crate) async fn due(app: &App, failing: bool) -> Result<Vec<WebhookEndpointId>> {
    if app.limits().webhooks.is_none() {
        return Ok(Vec::new());
    }
    store::due_endpoints(app.db().reader(), failing, app.now()).await
}

/// Sends what is due to one endpoint. Answers whether more is. Two statements for each batch that is read, two for each that is written, and two
/// for the run; two more where something failed.
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

/// Sends what is due: as many messages at once as the endpoint allows, while the next ones are read and what became of the last ones is written.
async fn send_all(app: &App, endpoint: &Endpoint, webhooks: &Webhooks) -> Result<bool> {
    let secrets = secret::signing(app, endpoint, app.now()).await?;
    let mut run = Run::begin(app, endpoint);
    let mut under_way = FuturesUnordered::new();
    let (mut reading, mut writing) = (None, None);
    loop {
        while under_way.len() < run.at_once()
            && let Some(ready) = run.next_to_send()
        {
            under_way.push(attempt(app, webhooks, endpoint, &secrets, ready));
        }
        if reading.is_none() && run.is_to_read() {
            reading = Some(Box::pin(read(app, run.place, run.batch())));
        }
        if writing.is_none() && run.is_to_write(under_way.is_empty()) {
            writing = Some(Box::pin(conclude(app, endpoint, std::mem::take(&mut run.sent))));
        }
        tokio::select! {
            Some(one) = under_way.next() => run.heard(one),
            more = ended(&mut reading), if reading.is_some() => run.read(more),
            written = ended(&mut writing), if writing.is_some() => run.written(written),
            () = tokio::time::sleep_until(run.written_by()), if writing.is_none() && !run.sent.is_empty() => {}
            else => return run.end(),
        }
    }
}

/// What a future comes to, which is no more then.
async fn ended<F: Future + Unpin>(slot: &mut Option<F>) -> F::Output {
    let Some(future) = slot else {
        return std::future::pending().await;
    };
    let output = future.await;
    *slot = None;
    output
}

/// A message that is due, as it is sent.
struct Ready {
    due: Due,
    /// `None`: its event cannot be read.
    body: Option<String>,
}

/// How far what waits for an endpoint has been read, in its order.
#[derive(Clone, Copy)]
struct Place {
    endpoint: WebhookEndpointId,
    /// What is due by then is sent.
    now: Timestamp,
    /// The last message that was read.
    after: Option<(Timestamp, WebhookDeliveryId)>,
}

/// The messages after a place, at most so many. Two statements, one where there are none.
async fn read(app: &App, place: Place, most: usize) -> Result<Vec<Ready>> {
    let db = app.db().reader();
    let due = store::due(db, place.endpoint, place.now, place.after, most).await?;
    if due.is_empty() {
        return Ok(Vec::new());
    }
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

struct Run<'a> {
    app: &'a App,
    endpoint: &'a Endpoint,
    begun: Instant,
    place: Place,
    /// How the endpoint fares, as far as this run knows.
    health: Health,
    /// What was read and is still to be sent.
    waiting: VecDeque<Ready>,
    /// Whether all that was due has been read.
    has_read_all: bool,
    /// What was sent, and of which it is still to be written what became of it.
    sent: Vec<Sent>,
    /// Since when the first of them waits.
    sent_since: Instant,
    /// What went wrong on our side. Nothing more is begun then, and what was sent is still written.
    problem: Option<Error>,
}

impl<'a> Run<'a> {
    fn begin(app: &'a App, endpoint: &'a Endpoint) -> Self {
        Self {
            app,
            endpoint,
            begun: Instant::now(),
            place: Place {
                endpoint: endpoint.id,
                now: app.now(),
                after: None,
            },
            // Its rest is over.
            health: Health {
                resting_until: None,
                ..endpoint.health()
            },
            waiting: VecDeque::new(),
            has_read_all: false,
            sent: Vec::new(),
            sent_since: Instant::now(),
            problem: None,
        }
    }

    /// Whether it may begin another attempt.
    fn goes_on(&self) -> bool {
        self.problem.is_none() && self.health.resting_until.is_none() && self.begun.elapsed() < BUDGET
    }

    /// Messages that may be on their way at a time. An endpoint that has failed often has one to show that it is well.
    fn at_once(&self) -> usize {
        usize::try_from(self.health.at_once(self.endpoint.at_once)).unwrap_or(1)
    }

    /// Messages that are read at once.
    fn batch(&self) -> usize {
        match self.at_once() {
            1 => 1,
            _ => BATCH,
        }
    }

    /// The next message, unless too much waits to be written: it would be sent once more after a crash.
    fn next_to_send(&mut self) -> Option<Ready> {
        let may_send = self.goes_on() && self.sent.len() < BATCH;
        if may_send { self.waiting.pop_front() } else { None }
    }

    /// Whether more is to be read: early enough that nobody who sends waits for it.
    fn is_to_read(&self) -> bool {
        self.goes_on() && !self.has_read_all && self.waiting.len() <= self.batch() / 2
    }

    /// Whether what was sent is to be written: when it is much, or has waited for a while, or when nothing more comes.
    fn is_to_write(&self, nothing_under_way: bool) -> bool {
        let enough = self.sent.len() >= BATCH / 2 || self.written_by() <= Instant::now();
        !self.sent.is_empty() && (enough || nothing_under_way)
    }

    fn written_by(&self) -> Instant {
        self.sent_since + WRITTEN_WITHIN
    }

    /// An attempt is over.
    fn heard(&mut self, one: Sent) {
        self.health = self.health.after(one.heard(), self.app.now());
        if self.sent.is_empty() {
            self.sent_since = Instant::now();
        }
        self.sent.push(one);
    }

    fn read(&mut self, more: Result<Vec<Ready>>) {
        match more {
            Ok(more) => {
                self.has_read_all = more.is_empty();
                if let Some(last) = more.last() {
                    self.place.after = Some((last.due.next_at, last.due.id));
                }
                self.waiting.extend(more);
            }
            Err(problem) => self.problem = Some(problem),
        }
    }

    fn written(&mut self, written: Result<()>) {
        if let Err(problem) = written {
            self.problem = Some(problem);
        }
    }

    /// Whether there is more to send at once.
    fn end(self) -> Result<bool> {
        match self.problem {
            Some(problem) => Err(problem),
            None => {
                Ok(self.health.resting_until.is_none() && !(self.has_read_all && self.waiting.is_empty()))
            }
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
