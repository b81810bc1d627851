//! What Stripe tells of its own accord. It writes a notice in the words of the version of whoever has set up where it is sent, and not in
//! ours: so only what is the same in all of them is read, and what is missing is not missed.

use domain::{payment::notice::Notice, time::Timestamp};
use hyper::{HeaderMap, header::HeaderValue};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Stripe,
    checkout::Reference,
    client::Fields,
    lists::{List, Listed},
    signature::{Forged, verify},
    words::{PAYMENT, no_answer},
};
use crate::payment::{Trouble, Unbelieved};

/// Where notices are kept, for thirty days.
const EVENTS: &str = "/v1/events";
/// The header in which the signatures are.
const SIGNATURE: &str = "stripe-signature";
/// How many parts of the list are gone through.
const PARTS: usize = 50;
/// How much longer than for one answer the whole list is waited for. Nothing is held meanwhile.
const WAITS: u32 = 4;
/// Those that concern us; Stripe lists twenty at most.
const KINDS: [&str; 18] = [
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
];

/// A notice in Stripe's words.
#[derive(Debug, Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    /// In seconds.
    created: i64,
    livemode: bool,
    data: Data,
}

#[derive(Debug, Deserialize)]
struct Data {
    /// A charge, a page, a refund: what it is about, as it was then.
    object: Value,
}

impl Listed for Event {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Event {
    fn notice(self) -> Notice {
        let object = self.data.object;
        // It is a name, or the whole.
        let charge = &object["payment_intent"];
        let names = [object["id"].as_str(), charge.as_str(), charge["id"].as_str()];
        let known = names
            .into_iter()
            .flatten()
            .filter(|name| Reference::read(name).is_some());
        let payment = object["metadata"][PAYMENT].as_str();
        Notice {
            payment: payment.and_then(|payment| payment.parse().ok()),
            subjects: known.map(str::to_owned).collect(),
            occurred_at: Timestamp::from_micros(self.created.saturating_mul(1_000_000)),
            reference: self.id,
            kind: self.kind,
        }
    }
}

/// Whether a notice is signed with one of the secrets.
fn check(
    secrets: &[String],
    header: Option<&HeaderValue>,
    body: &[u8],
    now: Timestamp,
) -> Result<(), Forged> {
    let header = header.and_then(|header| header.to_str().ok());
    let header = header.ok_or(Forged::Unreadable)?;
    let mut why = Forged::Mismatch;
    for secret in secrets {
        match verify(secret, header, body, now) {
            Ok(()) => return Ok(()),
            // It belongs to another secret: what is wrong with it is told under its own.
            Err(Forged::Mismatch) => {}
            Err(other) => why = other,
        }
    }
    Err(why)
}

impl Stripe {
    /// A notice that somebody has sent.
    pub(super) fn believe(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Notice, Unbelieved> {
        if self.secrets.is_empty() {
            return Err(Unbelieved::NotTaken);
        }
        let good = check(&self.secrets, headers.get(SIGNATURE), body, now);
        good.map_err(|why| Unbelieved::Forged(why.to_string()))?;
        let event: Event =
            serde_json::from_slice(body).map_err(|error| Unbelieved::Unreadable(error.to_string()))?;
        if event.livemode != self.live {
            return Err(Unbelieved::Forged("the notice is of the other world".to_owned()));
        }
        Ok(event.notice())
    }

    /// The notices since, of the second itself too.
    pub(super) async fn events(&self, since: Timestamp) -> Result<Vec<Notice>, Trouble> {
        let second = since.micros().div_euclid(1_000_000);
        let mut fields: Fields<'_> = vec![("created[gte]", second.to_string())];
        fields.extend(KINDS.map(|kind| ("types[]", kind.to_owned())));
        // Stripe begins with the newest: of a list without its end the oldest would be lost, and the next one would begin too late.
        let list = List::<Event>::new(&self.client, EVENTS, fields, PARTS).all();
        let wait = self.client.timeout * WAITS;
        let late = |_| Err(no_answer("the list of notices takes too long"));
        let mut events = tokio::time::timeout(wait, list).await.unwrap_or_else(late)?;
        for event in &events {
            self.check_mode(event.livemode)?;
        }
        events.reverse();
        Ok(events.into_iter().map(Event::notice).collect())
    }
}
