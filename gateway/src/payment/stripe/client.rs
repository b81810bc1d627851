//! Requests to Stripe, and what kind of answer came back. What is not certainly an answer of Stripe's to this request is [`No::Silence`]:
//! the request may have been carried out or not.

use std::{error::Error, time::Duration};

use http_body_util::{BodyExt, Limited};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT},
    http::request::Builder,
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use serde::de::DeserializeOwned;
use url::form_urlencoded::Serializer;

use super::words::{Complaint, Failure, no_answer};
use crate::payment::Trouble;

/// How long an answer is waited for; shorter than a payment is held in hand by who sends it.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
/// The words that Stripe is to use, whatever the account is set to.
const VERSION: &str = "2025-09-30.clover";
/// Longest answer that is read, in bytes.
const LONGEST: usize = 1 << 20;

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

/// Speaks HTTP with one Stripe account. Redirects are not followed: they are no answers.
pub(super) struct Client {
    http: legacy::Client<HttpsConnector<HttpConnector>, String>,
    base: String,
    bearer: HeaderValue,
    pub(super) timeout: Duration,
}

impl Client {
    /// One that sends to `base` and shows `bearer`.
    pub(super) fn new(base: String, bearer: HeaderValue) -> std::io::Result<Self> {
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_http1()
            .build();
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self {
            http,
            base,
            bearer,
            timeout: TIMEOUT,
        })
    }

    /// Asks for what is there.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str, fields: &Fields<'_>) -> Result<T, No> {
        let address = format!("{}{path}?{}", self.base, encode(fields));
        self.ask(Request::get(address), String::new()).await
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
        self.ask(request, encode(fields)).await
    }

    async fn ask<T: DeserializeOwned>(&self, request: Builder, body: String) -> Result<T, No> {
        let request = request
            .header(AUTHORIZATION, self.bearer.clone())
            .header(HeaderName::from_static("stripe-version"), VERSION)
            .header(USER_AGENT, "Tallygate")
            .body(body)
            .map_err(|error| No::Silence(format!("the request cannot be written: {error}")))?;
        match tokio::time::timeout(self.timeout, self.exchange(request)).await {
            Ok(Ok((status, body))) => read(status, &body),
            Ok(Err(error)) => Err(No::Silence(error.to_string())),
            Err(_) => Err(No::Silence(format!("nothing in {:?}", self.timeout))),
        }
    }

    async fn exchange(
        &self,
        request: Request<String>,
    ) -> Result<(StatusCode, Bytes), Box<dyn Error + Send + Sync>> {
        let answer = self.http.request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LONGEST).collect().await?;
        Ok((status, body.to_bytes()))
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
