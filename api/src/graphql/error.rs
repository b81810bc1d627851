//! How trouble is told: a rule's refusal as a user error or as `BAD_USER_INPUT`, everything else by a code, and a bug masked.

use std::borrow::Borrow;

use app::Error;
use async_graphql::{Enum, ErrorExtensionValues, ErrorExtensions, ServerError, SimpleObject, Value};
use domain::rejection::{Rejection, RejectionCode};

use crate::observe;

pub(crate) const UNAUTHENTICATED: &str = "UNAUTHENTICATED";
pub(crate) const FORBIDDEN: &str = "FORBIDDEN";
pub(crate) const BAD_USER_INPUT: &str = "BAD_USER_INPUT";
pub(crate) const GRAPHQL_PARSE_FAILED: &str = "GRAPHQL_PARSE_FAILED";
pub(crate) const GRAPHQL_VALIDATION_FAILED: &str = "GRAPHQL_VALIDATION_FAILED";
pub(crate) const QUERY_TOO_COMPLEX: &str = "QUERY_TOO_COMPLEX";
pub(crate) const RATE_LIMITED: &str = "RATE_LIMITED";
pub(crate) const SERVICE_UNAVAILABLE: &str = "SERVICE_UNAVAILABLE";
pub(crate) const INTERNAL: &str = "INTERNAL";

/// What the outside is told of a bug.
pub(crate) const MASKED: &str = "internal error; the log knows more under the request id";

/// Stable codes of refused mutations. New codes may be added.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "RejectionCode")]
pub enum UserErrorCode {
    /// A field has a value that is not allowed.
    InvalidInput,
    /// A field names something that does not exist.
    NotFound,
    /// Something with this name exists already.
    AlreadyExists,
    /// The idempotency key was used before with other input.
    IdempotencyConflict,
    /// An amount or a result is outside the range that can be kept.
    AmountTooLarge,
    /// Two metering rules of equal rank would match the same event.
    RuleOverlap,
    /// There are not enough credits to take away.
    InsufficientCredits,
    /// The block has expired or was revoked before.
    BlockNotActive,
    /// The event has been voided before.
    EventAlreadyVoided,
    /// The state of the subscription does not allow it.
    SubscriptionState,
    /// The vendor has not said how it sells credits: see `updatePaymentSettings`.
    PaymentsNotSetUp,
    /// Too many payments of the customer have not ended.
    TooManyPayments,
    /// The state of the payment does not allow it.
    PaymentState,
    /// The vendor has not said how it bills: see `updateInvoiceSettings`.
    InvoicingNotSetUp,
    /// The state of the invoice does not allow it.
    InvoiceState,
    /// Nothing is sent to the webhook endpoint: switch it on first.
    WebhookEndpointDisabled,
    /// The webhook message was sent again by hand as often as one may be.
    TooManyResends,
    /// The work is not parked, so there is nothing to retry.
    WorkNotParked,
    /// The audit found that the customer's books do not add up: credits are not moved by hand until an operator has looked.
    CustomerFrozen,
}

/// Why a mutation was refused. Nothing was written.
#[derive(SimpleObject, Debug, Clone)]
pub struct UserError {
    /// Stable code.
    pub code: UserErrorCode,
    /// A sentence for people, in English. Wording may change.
    pub message: String,
    /// Path of the input field at fault, starting at `input`; null when no single field is to blame.
    pub path: Option<Vec<String>>,
}

impl From<Rejection> for UserError {
    fn from(rejection: Rejection) -> Self {
        observe::user_error(rejection.code);
        let path = (!rejection.path.is_empty()).then(|| {
            std::iter::once("input".to_owned())
                .chain(rejection.path)
                .collect()
        });
        Self {
            code: rejection.code.into(),
            message: rejection.message,
            path,
        }
    }
}

/// An error of a query or subscription, or one of a mutation that is not the caller's to correct.
pub(crate) fn top_level(error: impl Borrow<Error>) -> async_graphql::Error {
    let coded = |message: String, code: &'static str, retryable: bool| {
        async_graphql::Error::new(message).extend_with(|_, extensions| {
            extensions.set("code", code);
            extensions.set("retryable", retryable);
        })
    };
    match error.borrow() {
        Error::Rejected(rejection) => {
            let reason = serde_json::to_value(rejection.code).unwrap_or_default();
            coded(rejection.message.clone(), BAD_USER_INPUT, false).extend_with(|_, extensions| {
                extensions.set("reason", Value::from_json(reason.clone()).unwrap_or_default());
            })
        }
        Error::Denied(scope) => coded(format!("the key lacks the scope `{scope}`"), FORBIDDEN, false),
        Error::OwnAccountOnly => coded(error.borrow().to_string(), FORBIDDEN, false),
        Error::Unavailable(problem) => {
            tracing::warn!(problem, "a request could not be served now");
            coded(
                "temporarily unavailable; try again".to_owned(),
                SERVICE_UNAVAILABLE,
                true,
            )
        }
        Error::Internal(problem) => {
            tracing::error!(problem, "a request failed");
            coded(MASKED.to_owned(), INTERNAL, false)
        }
    }
}

/// Longest message of an error, in bytes: some repeat what the caller sent.
const MAX_MESSAGE: usize = 500;

/// Takes the values out of a message of the library, which quotes what does not fit: a variable may be anything, and messages
/// end up in our callers' logs. Names and types stay.
fn without_values(message: &mut String) {
    // `Expected input type "T", found "value". (occurred while parsing "U")`
    if message.starts_with("Expected input type ")
        && let Some(at) = message.find(", found ")
    {
        message.truncate(at);
    }
    // Of enums, when the document is checked and when it is executed.
    for before in [" does not contain the value ", " does not contain value "] {
        if let Some(at) = message.find(before) {
            message.truncate(at);
            message.push_str(" does not contain this value");
        }
    }
}

/// Gives an error its code, whether trying again helps, and the request's id, as far as they are missing.
pub(crate) fn complete(error: &mut ServerError, request_id: &str) {
    let executed = !error.path.is_empty();
    if error.message.len() > MAX_MESSAGE {
        error
            .message
            .truncate(error.message.floor_char_boundary(MAX_MESSAGE));
    }
    let extensions = error.extensions.get_or_insert_with(ErrorExtensionValues::default);
    if extensions.get("code").is_none() {
        // What the library refuses by itself: a value that does not fit its type, or a document that does not fit the schema.
        without_values(&mut error.message);
        let complex = error.message.starts_with("Query is");
        let code = if complex {
            QUERY_TOO_COMPLEX
        } else if executed {
            BAD_USER_INPUT
        } else {
            GRAPHQL_VALIDATION_FAILED
        };
        extensions.set("code", code);
    }
    if extensions.get("retryable").is_none() {
        let code = extensions.get("code");
        let retryable = [SERVICE_UNAVAILABLE, RATE_LIMITED]
            .iter()
            .any(|passing| code == Some(&Value::from(*passing)));
        extensions.set("retryable", retryable);
    }
    if let Some(Value::String(code)) = extensions.get("code") {
        observe::error(code);
    }
    extensions.set("requestId", request_id);
}

#[cfg(test)]
mod tests {
    use async_graphql::Pos;

    use super::*;

    fn told(message: &str) -> String {
        let mut error = ServerError::new(message, Some(Pos::default()));
        complete(&mut error, "req_1");
        error.message
    }

    #[test]
    fn names_are_repeated_and_values_are_not() {
        for (message, wanted) in [
            (
                "Expected input type \"T\", found \"secret, found it\". (occurred while parsing \"[T!]\")",
                "Expected input type \"T\"",
            ),
            (
                "Invalid value for argument \"input.source\", enumeration type \"E\" does not contain the value \"secret\"",
                "Invalid value for argument \"input.source\", enumeration type \"E\" does not contain this value",
            ),
            (
                "Failed to parse \"E\": Enumeration type does not contain value \"secret\".",
                "Failed to parse \"E\": Enumeration type does not contain this value",
            ),
            (
                "Unknown field \"a\" on type \"T\".",
                "Unknown field \"a\" on type \"T\".",
            ),
        ] {
            assert_eq!(told(message), wanted);
        }
    }
}
