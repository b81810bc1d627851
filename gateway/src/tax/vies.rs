//! VIES, by which the European Commission asks the registers of the member states and of Northern Ireland.
//!
//! It wants a number without its prefix, and the prefix for itself. It often cannot answer, since any member state may be away or busy;
//! it then says so with status 200 as well as with others. Only an answer about the very number that was asked counts: a customer whose
//! number is called invalid pays tax.

use std::{fmt, time::Duration};

use domain::tax::number::Kind;
use hyper::{
    Request, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde::{Deserialize, Serialize};

use super::{Asked, TaxNumber, TaxRegister, Trouble, Verdict};
use crate::http::{Http, sealed};

/// Where VIES is.
pub const BASE_URL: &str = "https://ec.europa.eu/taxation_customs/vies/rest-api";
/// How long an answer is waited for: some member states take more than fifteen seconds.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest answer that is read, in bytes: a name and an address take far less.
const LONGEST: usize = 64 << 10;
/// Longest code of an error that is told on; the known ones are shorter.
const LONGEST_CODE: usize = 40;
/// What both kinds of media are.
const JSON: &str = "application/json";

/// Why VIES cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// On the way to that address an answer could be forged.
    #[error("the address of VIES is https://, a host and a path; http:// is for this machine alone")]
    NotSealed,
    /// Nothing can be sealed on this machine.
    #[error("no certificates that could be trusted: {0}")]
    NoTrust(String),
}

/// VIES. It wants no key.
pub struct Vies {
    http: Http,
    base: String,
    timeout: Duration,
}

impl fmt::Debug for Vies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vies")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

impl Vies {
    /// VIES at [`BASE_URL`], or a stand-in for it.
    ///
    /// # Errors
    /// An address whose answers cannot be believed.
    pub fn new(base_url: &str) -> Result<Self, BadAddress> {
        let base = sealed(base_url).ok_or(BadAddress::NotSealed)?;
        Ok(Self {
            http: Http::new().map_err(|error| BadAddress::NoTrust(error.to_string()))?,
            base: base.as_str().trim_end_matches('/').to_owned(),
            timeout: TIMEOUT,
        })
    }

    /// One that waits so long for an answer, instead of thirty seconds.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

#[async_trait::async_trait]
impl TaxRegister for Vies {
    async fn look(&self, asked: &Asked) -> Result<Verdict, Trouble> {
        let (country_code, vat_number) = parts(&asked.number).ok_or(Trouble::NotCovered)?;
        let requester = asked.requester.as_ref().and_then(parts);
        let question = Question {
            country_code,
            vat_number,
            requester_member_state_code: requester.map(|(code, _)| code),
            requester_number: requester.map(|(_, number)| number),
        };
        let body = serde_json::to_string(&question).map_err(|error| Trouble::NoAnswer(error.to_string()))?;
        let request = Request::post(format!("{}/check-vat-number", self.base))
            .header(CONTENT_TYPE, JSON)
            .header(ACCEPT, JSON);
        let answer = self.http.ask(request, body, self.timeout, LONGEST).await;
        let (status, body) = answer.map_err(Trouble::NoAnswer)?;
        read(status, &body, &question)
    }
}

/// The prefix of a number and the rest of it; `None`: it is not one of those that VIES covers.
fn parts(number: &TaxNumber) -> Option<(&str, &str)> {
    let prefix = match number.kind {
        Kind::EuVat if number.country.is_in_eu() => number.country.vat_prefix(),
        Kind::XiVat => "XI",
        _ => return None,
    };
    let rest = number.value.strip_prefix(prefix);
    Some((prefix, rest.unwrap_or(&number.value)))
}

/// What VIES is sent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    country_code: &'a str,
    vat_number: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    requester_member_state_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requester_number: Option<&'a str>,
}

/// What VIES answers, of both kinds. Only what is read is declared.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    action_succeed: Option<bool>,
    #[serde(default)]
    error_wrappers: Vec<Wrapper>,
    /// Where VIES answers to another kind of request, a member state that is away is told here, beside a number that is not valid.
    user_error: Option<String>,
    country_code: Option<String>,
    vat_number: Option<String>,
    valid: Option<bool>,
    name: Option<String>,
    address: Option<String>,
    request_identifier: Option<String>,
}

#[derive(Deserialize)]
struct Wrapper {
    error: String,
}

/// Reads an answer. None of the reasons for having none quotes what may name people.
fn read(status: StatusCode, body: &[u8], question: &Question<'_>) -> Result<Verdict, Trouble> {
    let none = |why: &str| Err(Trouble::NoAnswer(format!("HTTP {status}, {why}")));
    let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
        return none("and a body that cannot be read");
    };
    if let Some(code) = answer.error() {
        return none(code);
    }
    let about = (answer.country_code.as_deref(), answer.vat_number.as_deref());
    if about != (Some(question.country_code), Some(question.vat_number)) {
        return none("about another number");
    }
    match answer.valid {
        Some(valid) if status.is_success() => Ok(answer.verdict(valid)),
        _ => none("and no verdict"),
    }
}

impl Answer {
    /// The code of the error that it is, if it is one.
    fn error(&self) -> Option<&str> {
        let told = self.user_error.as_deref();
        let told = told.filter(|word| !matches!(*word, "" | "VALID" | "INVALID"));
        let first = self.error_wrappers.first().map(|wrapper| wrapper.error.as_str());
        let failed = (self.action_succeed == Some(false)).then_some("");
        let code = first.or(told).or(failed)?;
        let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        let is_code = (1..=LONGEST_CODE).contains(&code.len()) && code.bytes().all(plain);
        Some(if is_code { code } else { "an error without a code" })
    }

    fn verdict(self, valid: bool) -> Verdict {
        if !valid {
            return Verdict::Invalid;
        }
        Verdict::Valid {
            name: told(self.name),
            address: told(self.address),
            consultation: told(self.request_identifier),
        }
    }
}

/// A text, unless it is empty or made of the dashes that stand for what a member state does not tell.
fn told(text: Option<String>) -> Option<String> {
    let text = text?.trim().to_owned();
    (!text.trim_matches('-').is_empty()).then_some(text)
}
