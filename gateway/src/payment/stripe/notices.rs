//! What Stripe tells of its own accord. It writes a notice in the words of the version of whoever has set up where it is sent, and not in
//! ours: so only what is the same in all of them is read, and what is missing is not missed.

use domain::{payment::notice::Notice, time::Timestamp};
use hyper::{HeaderMap, header::HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::{
    Stripe,
    checkout::Reference,
    client::Fields,
    lists::{List, Listed},
    signature::{Forged, verify},
    words::{PAYMENT, no_answer},
};
use crate::payment::{Told, Trouble, Unbelieved};

/// Where notices are kept, for thirty days.
const EVENTS: &str = "/v1/events";
/// The header in which the signatures are.
const SIGNATURE: &str = "stripe-signature";
/// How many parts of a slice's list are gone through.
const PARTS: usize = 50;
/// Seconds of the first slice: fifteen minutes, in which a busy vendor has fewer notices than are gone through.
const SLICE: i64 = 900;
/// Fewer notices than this, and the next slice is twice as long: a quiet month is read with a dozen requests.
const FEW: usize = 1_000;
/// After so many notices the rest is left for the next time: they are kept in one transaction.
const ENOUGH: usize = 5_000;
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

    /// The notices since, of the second itself too, slice by slice: Stripe begins with the newest, and of a list without its end the oldest
    /// would be lost. What was told before something went wrong is told.
    pub(super) async fn events(&self, since: Timestamp, now: Timestamp) -> Result<Told, Trouble> {
        let deadline = Instant::now() + self.client.timeout * WAITS;
        let mut slices = Slices::new(since, now);
        let mut told = Told {
            notices: Vec::new(),
            until: since,
        };
        while told.until < now && told.notices.len() < ENOUGH {
            let slice = timeout_at(deadline, self.slice(&slices)).await;
            let late = |_| Err(no_answer("the list of notices takes too long"));
            match slice.unwrap_or_else(late) {
                Ok(Some(events)) => {
                    slices.pass(events.len());
                    told.until = slices.until(now);
                    told.notices.extend(events.into_iter().rev().map(Event::notice));
                }
                Ok(None) => slices.shorten()?,
                Err(trouble) if told.until == since => return Err(trouble),
                // The next time begins there, and finds the trouble first.
                Err(_) => break,
            }
        }
        Ok(told)
    }

    /// The notices of the present slice, newest first; `None`: they are too many.
    async fn slice(&self, slices: &Slices) -> Result<Option<Vec<Event>>, Trouble> {
        let mut fields: Fields<'_> = vec![("created[gte]", slices.from.to_string())];
        fields.extend(slices.end().map(|end| ("created[lte]", end.to_string())));
        fields.extend(KINDS.map(|kind| ("types[]", kind.to_owned())));
        let events = List::<Event>::new(&self.client, EVENTS, fields, PARTS)
            .whole()
            .await?;
        for event in events.iter().flatten() {
            self.check_mode(event.livemode)?;
        }
        Ok(events)
    }
}

/// The time between two instants, in slices of whole seconds.
struct Slices {
    /// First second of the present slice.
    from: i64,
    /// Last second of all.
    last: i64,
    /// How long a slice is to be, in seconds, one or more.
    length: i64,
}

impl Slices {
    fn new(since: Timestamp, now: Timestamp) -> Self {
        let second = |at: Timestamp| at.micros().div_euclid(1_000_000);
        Self {
            from: second(since),
            last: second(now),
            length: SLICE,
        }
    }

    /// The last second of the present slice; `None`: it has no end, so that what Stripe's clock calls later is not left out.
    fn end(&self) -> Option<i64> {
        let end = self.from.saturating_add(self.length - 1);
        (end < self.last).then_some(end)
    }

    /// Goes on to the next one after so many notices.
    fn pass(&mut self, notices: usize) {
        self.from = self.end().unwrap_or(self.last).saturating_add(1);
        if notices < FEW {
            self.length = self.length.saturating_mul(2);
        }
    }

    /// Until when everything is in the slices that were passed.
    fn until(&self, now: Timestamp) -> Timestamp {
        if self.from > self.last {
            return now;
        }
        Timestamp::from_micros(self.from.saturating_mul(1_000_000))
    }

    /// Half as long: there were too many notices.
    fn shorten(&mut self) -> Result<(), Trouble> {
        let present = self.end().unwrap_or(self.last).saturating_sub(self.from);
        if present == 0 {
            return Err(no_answer("more notices of one second than can be read"));
        }
        self.length = present.saturating_add(1) / 2;
        Ok(())
    }
}
