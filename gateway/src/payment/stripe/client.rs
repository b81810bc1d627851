//! Requests to Stripe, and what kind of answer came back. What is not certainly an answer of Stripe's to this request is [`No::Silence`]:
//! the request may have been carried out or not.

use std::time::Duration;

use hyper::{
    Request, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue},
    http::request::Builder,
};
use serde::de::DeserializeOwned;
use url::form_urlencoded::Serializer;

use super::words::{Complaint, Failure, no_answer};
use crate::{http::Http, payment::Trouble};

/// How long an answer is waited for; shorter than a payment is held in hand by who sends it.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
/// The words that Stripe is to use, whatever the account is set to.
const VERSION: &str = "2025-09-30.clover";
/// Longest answer that is read after something was to be done, in bytes.
const LONGEST: usize = 1 << 20;
/// Longest answer that is read when something was asked: a hundred notices of disputes, each with all that was said about it.
const LONGEST_LIST: usize = 16 << 20;

/// Names and values as Stripe wants them: what is inside something else is called `outer[inner]`.
pub(super) type Fields<'a> = Vec<(&'a str, String)>;

/// No answer of the kind that was asked for.
pub(super) enum No {
    /// Stripe, or a bank, says no.
    Complaint(Box<Complaint>),
    /// Nothing may be concluded.
    Silence(String),
}

impl No {
    /// Where even a refusal says nothing about what is to be known.
    pub(super) fn into_silence(self) -> Trouble {
        match self {
            Self::Complaint(complaint) => complaint.silence(),
            Self::Silence(why) => no_answer(why),
        }
    }
}

impl From<No> for Trouble {
    fn from(no: No) -> Self {
        match no {
            No::Complaint(complaint) => complaint.trouble(),
            No::Silence(why) => no_answer(why),
        }
    }
}

/// Speaks HTTP with one Stripe account.
pub(super) struct Client {
    http: Http,
    base: String,
    bearer: HeaderValue,
    pub(super) timeout: Duration,
}

impl Client {
    /// One that sends to `base` and shows `bearer`.
    pub(super) fn new(base: String, bearer: HeaderValue) -> std::io::Result<Self> {
        Ok(Self {
            http: Http::new()?,
            base,
            bearer,
            timeout: TIMEOUT,
        })
    }

    /// Asks for what is there.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str, fields: &Fields<'_>) -> Result<T, No> {
        let address = format!("{}{path}?{}", self.base, encode(fields));
        self.ask(Request::get(address), String::new(), LONGEST_LIST).await
    }

    /// Has something done, once per key.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        key: &str,
        fields: &Fields<'_>,
    ) -> Result<T, No> {
        let request = Request::post(format!("{}{path}", self.base))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(HeaderName::from_static("idempotency-key"), key);
        self.ask(request, encode(fields), LONGEST).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        request: Builder,
        body: String,
        longest: usize,
    ) -> Result<T, No> {
        let request = request
            .header(AUTHORIZATION, self.bearer.clone())
            .header(HeaderName::from_static("stripe-version"), VERSION);
        let answer = self.http.ask(request, body, self.timeout, longest).await;
        let (status, body) = answer.map_err(No::Silence)?;
        read(status, &body)
    }
}

fn encode(fields: &Fields<'_>) -> String {
    Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// Only these statuses come from a Stripe that has understood and decided. Wrong keys, limits, requests that meet each other and faults
/// of Stripe's own say nothing about what became of an earlier sending of the same request.
fn read<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> Result<T, No> {
    // The reason is left out, since it may quote the answer.
    let unreadable = || No::Silence(format!("HTTP {status}, and a body that cannot be read"));
    match status.as_u16() {
        200..=299 => serde_json::from_slice(body).map_err(|_| unreadable()),
        400 | 402 | 404 => {
            let failure: Failure = serde_json::from_slice(body).map_err(|_| unreadable())?;
            Err(No::Complaint(Box::new(failure.error)))
        }
        _ => Err(No::Silence(format!("HTTP {status}"))),
    }
}
