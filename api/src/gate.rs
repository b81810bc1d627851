//! `GET /gate`: may this customer go on? For gateways that ask somebody else before they let a request through: nginx (`auth_request`), Envoy
//! (`ext_authz` over HTTP), Traefik (`ForwardAuth`).
//!
//! What is asked stands in the query (`customer` or `customer_id`, `metric`, `units`, `property.<name>`). Where it names no customer, headers of our
//! own say what it leaves open (`X-Tallygate-Customer` or `-Customer-Id`, `-Metric`, `-Units`): a gateway that uses them has to set or remove all
//! four. So what a gateway has written into the query is not overridden by headers that its callers send. Below `/gate/`, where the path and the
//! query are those of the caller (Envoy), only headers count. The credential is a key with
//! `entitlement:read`, in `X-Tallygate-Key`, since `Authorization` may belong to the caller of the gateway; without it, in `Authorization`.
//!
//! | answer | meaning |
//! |---|---|
//! | 204 | go on |
//! | 402 | no credit: it helps to pay |
//! | 403 | no such customer, or its subscription is paused |
//! | 429 | a limit of the customer's own is reached; `Retry-After` says when it is over |
//! | 400, 401 | the gateway asks wrongly |
//! | 503 | nobody knows; `Retry-After` |
//!
//! What an unknown customer and an outage mean is the server's setting; by default they are refused.

use std::{collections::BTreeMap, sync::Arc};

use app::{
    Error,
    customer::CustomerRef,
    gate::{Check, Entitlement, Reason, check},
};
use async_graphql::{Value, resolver_utils::enum_value};
use axum::{
    Json,
    extract::{Query, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use domain::metering::rule::Properties;
use serde_json::json;

use crate::{
    document::Class,
    graphql::gate::EntitlementReason,
    http::{Refusal, charge, enter},
    limit::Charge,
    observe,
    server::Service,
};

/// Where it is.
pub(crate) const GATE: &str = "/gate";
/// Who asks.
const KEY: &str = "x-tallygate-key";
/// Why a customer may not go on; one of the reasons of `entitlement`.
const REASON: HeaderName = HeaderName::from_static("x-tallygate-reason");
/// Credits that are left to spend; missing: no limit, or nobody knows.
const AVAILABLE: HeaderName = HeaderName::from_static("x-tallygate-available");
/// Seconds after which to ask again when nobody knows.
const SOON: u64 = 1;

/// Answers a gateway.
pub(crate) async fn answer(
    State(service): State<Arc<Service>>,
    Query(query): Query<BTreeMap<String, String>>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    match ask(&service, &query, &parts).await {
        Ok(response) => response,
        Err(refusal) => said(refusal.status(), "", refusal.sentence(), refusal.wait()),
    }
}

async fn ask(
    service: &Service,
    query: &BTreeMap<String, String>,
    parts: &axum::http::request::Parts,
) -> Result<Response, Refusal> {
    let actor = match parts.headers.get(KEY).map(HeaderValue::to_str) {
        Some(key) => {
            let bearer = format!("Bearer {}", key.unwrap_or_default());
            let address = enter::address(service, &parts.headers, &parts.extensions);
            enter::authenticate(service, address, &bearer).await?
        }
        None => enter::enter(service, parts).await?,
    };
    observe::caller(&actor);
    // A gateway that asks too often hears that nobody knows: 429 would blame its customer.
    charge(service, &actor, Charge::new(Class::Check, 1, 0)).map_err(Refusal::unavailable)?;
    let _place = service.places.try_acquire().map_err(|_| Refusal::busy())?;
    let nothing = BTreeMap::new();
    // Below `/gate/` the path and the query are those of the gateway's caller.
    let query = if parts.uri.path() == GATE { query } else { &nothing };
    let asked = asked(query, &parts.headers)?;
    match check(&service.app, &actor, &asked).await {
        Ok(answer) => Ok(told(&answer)),
        Err(Error::Rejected(no)) => Err(Refusal::input(no.message)),
        Err(Error::Denied(scope)) => Err(Refusal::forbidden(format!("the key lacks the scope `{scope}`"))),
        Err(error) => {
            tracing::warn!(%error, "the gate could not answer");
            Err(Refusal::busy())
        }
    }
}

/// What is asked. Where the query names the customer, headers say nothing at all; otherwise they say what the query leaves open.
fn asked(query: &BTreeMap<String, String>, headers: &HeaderMap) -> Result<Check, Refusal> {
    let by_query = query.contains_key("customer") || query.contains_key("customer_id");
    let word = |name: &str| match (query.get(name), by_query) {
        (Some(word), _) => Ok(Some(word.clone())),
        (None, true) => Ok(None),
        (None, false) => header(headers, name),
    };
    let needed = |name: &str| word(name)?.ok_or_else(|| Refusal::input(format!("`{name}` is missing")));
    let customer = match (word("customer_id")?, word("customer")?) {
        (Some(_), Some(_)) => return Err(Refusal::input("`customer` and `customer_id` name two customers")),
        (Some(id), None) => CustomerRef::Id(
            id.parse()
                .map_err(|_| Refusal::input("`customer_id` is no id of a customer"))?,
        ),
        (None, _) => CustomerRef::External(needed("customer")?),
    };
    let units = word("units")?.unwrap_or_else(|| "1".to_owned());
    Ok(Check {
        customer,
        metric_key: needed("metric")?,
        units: units
            .parse()
            .map_err(|_| Refusal::input("`units` is no number of units"))?,
        properties: properties(query),
    })
}

/// The word of a header of ours. One that is sent twice has two authors, and nobody knows which to believe.
fn header(headers: &HeaderMap, name: &str) -> Result<Option<String>, Refusal> {
    let name = format!("x-tallygate-{}", name.replace('_', "-"));
    let mut values = headers.get_all(&name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match (value.to_str(), values.next()) {
        (Ok(word), None) => Ok(Some(word.to_owned())),
        (Ok(_), Some(_)) => Err(Refusal::input(format!("the header `{name}` is there twice"))),
        (Err(_), _) => Err(Refusal::input(format!("the header `{name}` cannot be read"))),
    }
}

/// Facts that a rule may match on: `property.model=large`.
fn properties(query: &BTreeMap<String, String>) -> Properties {
    query
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("property.")?.to_owned(), value.clone())))
        .collect()
}

fn told(answer: &Entitlement) -> Response {
    let mut response = match (answer.allowed, answer.reason) {
        (true, _) => StatusCode::NO_CONTENT.into_response(),
        (false, reason) => refused(reason.unwrap_or(Reason::Outage), answer.resets_in_seconds),
    };
    let available = answer.available.map(|it| it.to_string());
    if let Some(value) = available.and_then(|text| HeaderValue::try_from(text).ok()) {
        response.headers_mut().insert(AVAILABLE, value);
    }
    response
}

/// `wait`: seconds until what stands against it is over by itself.
fn refused(reason: Reason, wait: Option<u64>) -> Response {
    let (status, message, wait) = match reason {
        Reason::InsufficientCredits => (StatusCode::PAYMENT_REQUIRED, "the credits are used up", None),
        Reason::OverageLimitReached => (StatusCode::PAYMENT_REQUIRED, "the overage line is reached", None),
        Reason::SubscriptionOverdue => (
            StatusCode::PAYMENT_REQUIRED,
            "the renewal of the subscription is overdue",
            None,
        ),
        Reason::SubscriptionPaused => (StatusCode::FORBIDDEN, "the subscription is paused", None),
        Reason::DailyBudgetReached => (
            StatusCode::TOO_MANY_REQUESTS,
            "the customer's own budget of the day is spent",
            wait,
        ),
        Reason::MonthlyBudgetReached => (
            StatusCode::TOO_MANY_REQUESTS,
            "the customer's own budget of the month is spent",
            wait,
        ),
        Reason::UnknownCustomer => (StatusCode::FORBIDDEN, "there is no such customer", None),
        Reason::Outage => (
            StatusCode::SERVICE_UNAVAILABLE,
            "it cannot be told whether the customer may go on",
            Some(SOON),
        ),
    };
    let name = match enum_value(EntitlementReason::from(reason)) {
        Value::Enum(name) => name.to_string(),
        other => other.to_string(),
    };
    said(status, &name, message, wait)
}

/// An answer with its reason in the header and the body; an empty reason: there is none to name.
fn said(status: StatusCode, reason: &str, message: &str, wait: Option<u64>) -> Response {
    let body = Json(json!({ "reason": reason, "message": message }));
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(reason)
        && !reason.is_empty()
    {
        headers.insert(REASON, value);
    }
    if let Some(seconds) = wait {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(all: &[(&str, &str)]) -> BTreeMap<String, String> {
        all.iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn what_a_caller_sends_does_not_count_where_the_gateway_has_said_it() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-tallygate-customer", "mallory"), ("x-tallygate-units", "0")] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let query = words(&[
            ("customer", "acme"),
            ("metric", "call"),
            ("property.model", "large"),
        ]);
        let check = asked(&query, &headers).unwrap_or_else(|no| panic!("{no:?}"));
        assert_eq!(check.customer, CustomerRef::External("acme".to_owned()));
        assert_eq!(
            (check.units.to_string(), check.properties.len()),
            ("1".to_owned(), 1)
        );
        let check = asked(&words(&[("metric", "call")]), &headers).unwrap_or_else(|no| panic!("{no:?}"));
        assert_eq!(check.customer, CustomerRef::External("mallory".to_owned()));
        assert_eq!(check.units.to_string(), "0");
    }

    #[test]
    fn what_is_missing_is_named() {
        for (query, wanted) in [
            (words(&[("metric", "call")]), "customer"),
            (words(&[("customer", "acme")]), "metric"),
            (
                words(&[("customer", "acme"), ("metric", "call"), ("units", "x")]),
                "units",
            ),
            (
                words(&[("customer_id", "acme"), ("metric", "call")]),
                "customer_id",
            ),
        ] {
            let refused = asked(&query, &HeaderMap::new())
                .err()
                .map(|no| no.sentence().to_owned());
            assert!(refused.is_some_and(|it| it.contains(wanted)), "{query:?}");
        }
    }
}
