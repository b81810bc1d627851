//! Writing letters, and handing them over.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use domain::{
    event::EventType,
    id::{BillingEventId, InvoiceId},
    time::Timestamp,
    webhook::retry::{luck, next_attempt},
};
use futures::{StreamExt, stream};
use gateway::mail::{Document, Letter, NotSent, Words, write, write_alert};
use metrics::counter;
use serde_json::{Map, Value};

use super::{
    Audience, MailState, alert, letter,
    store::{self, Ended, Taken},
};
use crate::{
    App,
    error::Result,
    event::{self, Row},
    failpoint::reach,
    invoice,
    op::Op,
    telemetry,
};

/// Letters that are taken in hand at once: as many as can be on their way, so that a run whose server hangs ends in time.
const BATCH: u64 = AT_ONCE as u64;
/// Letters on their way at once: as many as the post keeps connections.
const AT_ONCE: usize = 4;
/// How long letters are in hand, in seconds: longer than a batch takes when every server is slow to answer.
const LEASE_SECONDS: i64 = 600;
/// How long a run goes on taking letters.
const BUDGET: Duration = Duration::from_secs(5);

/// Whether letters are due.
pub(crate) async fn is_due(app: &App) -> Result<bool> {
    store::is_due(app.db().reader(), app.now()).await
}

/// Sends what is due. Answers whether more may be. Four statements for each batch, five where it is about invoices.
pub(crate) async fn send_due(app: &App) -> Result<bool> {
    let begun = Instant::now();
    loop {
        let op = Op::begin(app).await?;
        let taken = store::take(&op, op.now().plus_seconds(LEASE_SECONDS), BATCH).await?;
        op.commit().await?;
        if taken.is_empty() {
            return Ok(false);
        }
        reach("mail.taken")?;
        let ids: Vec<_> = taken.iter().map(|it| it.event).collect();
        let events = event::rows_by_id(app.db().reader(), &ids).await?;
        let mut told: BTreeMap<BillingEventId, Told> = events.iter().filter_map(read).collect();
        find_documents(app, &mut told).await?;
        let mut sending = Vec::with_capacity(taken.len());
        for it in &taken {
            sending.push(send(app, it, told.get(&it.event)));
        }
        let ended: Vec<Ended> = stream::iter(sending).buffer_unordered(AT_ONCE).collect().await;
        reach("mail.sent")?;
        let op = Op::begin(app).await?;
        store::conclude(&op, &ended).await?;
        op.commit().await?;
        if begun.elapsed() > BUDGET {
            return Ok(true);
        }
    }
}

/// Writes one letter and hands it over.
async fn send(app: &App, taken: &Taken, told: Option<&Told>) -> Ended {
    let Some(words) = told.and_then(|it| words(taken, it)) else {
        return ended(app, taken, MailState::Skipped, None, None);
    };
    let Some(post) = &app.limits().post else {
        return ended(app, taken, MailState::Kept, Some(words), None);
    };
    let letter = Letter {
        from: None,
        to: taken.address.clone(),
        subject: words.subject.clone(),
        text: words.text.clone(),
        html: words.html.clone(),
        id: taken.id.to_string(),
    };
    let ended = match post.send(&letter).await {
        Ok(()) => ended(app, taken, MailState::Sent, Some(words), None),
        Err(NotSent::Refused(why)) => ended(app, taken, MailState::Failed, Some(words), Some(why)),
        Err(NotSent::Later(why)) => later(app, taken, words, why),
    };
    counter!(telemetry::MAILS, "outcome" => outcome(ended.state)).increment(1);
    ended
}

/// An event that letters are about.
struct Told {
    kind: EventType,
    at: Timestamp,
    data: Map<String, Value>,
    /// Where its invoice can be read.
    document: Option<Document>,
}

impl Told {
    /// The invoice that it is about.
    fn invoice(&self) -> Option<InvoiceId> {
        self.data.get("invoice_id")?.as_str()?.parse().ok()
    }
}

fn read((id, event): (&BillingEventId, &Row)) -> Option<(BillingEventId, Told)> {
    let told = Told {
        kind: EventType::named(&event.0.kind)?,
        at: Timestamp::from_micros(event.0.occurred_at),
        data: serde_json::from_str(&event.0.data).ok()?,
        document: None,
    };
    Some((*id, told))
}

/// Finds out where invoices can be read from outside. One statement, none where no event is about one or nobody has said how people come here.
async fn find_documents(app: &App, all: &mut BTreeMap<BillingEventId, Told>) -> Result<()> {
    let Some(base) = &app.limits().public_url else {
        return Ok(());
    };
    let ids: Vec<InvoiceId> = all.values().filter_map(Told::invoice).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let links = invoice::links_in(app.db().reader(), &ids).await?;
    for told in all.values_mut() {
        let link = told.invoice().and_then(|id| links.get(&id));
        told.document = link.map(|link| Document {
            page: base.of(&invoice::page_path(link)),
            pdf: base.of(&invoice::pdf_path(link)),
        });
    }
    Ok(())
}

/// What is to be written about an event; `None`: nothing.
fn words(taken: &Taken, told: &Told) -> Option<Words> {
    let (vendor, customer) = (&taken.vendor, taken.customer.as_deref());
    let (kind, document) = (told.kind, told.document.clone());
    match taken.audience {
        Audience::Customer => {
            let notice = letter::notice(kind, told.at, &told.data, document)?;
            Some(write(&notice, vendor, customer.unwrap_or_default()))
        }
        Audience::Operations => {
            let alert = alert::alert(kind, &told.data, document)?;
            Some(write_alert(&alert, vendor, customer))
        }
    }
}

fn ended(app: &App, taken: &Taken, state: MailState, words: Option<Words>, problem: Option<String>) -> Ended {
    Ended {
        id: taken.id,
        attempts: taken.attempts,
        state,
        at: app.now(),
        words,
        problem,
    }
}

/// It is tried again as webhooks are: for about a day.
fn later(app: &App, taken: &Taken, words: Words, why: String) -> Ended {
    let now = app.now();
    let next = next_attempt(taken.attempts, now, None, luck(taken.id.0, taken.attempts));
    let state = if next.is_some() {
        MailState::Queued
    } else {
        MailState::Failed
    };
    Ended {
        at: next.unwrap_or(now),
        ..ended(app, taken, state, Some(words), Some(why))
    }
}

fn outcome(state: MailState) -> &'static str {
    match state {
        MailState::Queued => "later",
        MailState::Sent => "sent",
        MailState::Kept => "kept",
        MailState::Skipped => "skipped",
        MailState::Failed => "failed",
    }
}
