//! Why Tallygate says no. A refusal is a value with a stable code, a sentence for people, and the input field at fault.

use serde::{Deserialize, Serialize};

/// Stable codes of refused mutations. New codes may be added; the meaning of one never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RejectionCode {
    /// A field has a value that is not allowed.
    InvalidInput,
    /// A field names something that does not exist for this tenant.
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
    /// The vendor has not said how it sells credits.
    PaymentsNotSetUp,
    /// Too many payments of the customer have not ended.
    TooManyPayments,
    /// The state of the payment does not allow it.
    PaymentState,
    /// The vendor has not said how it bills.
    InvoicingNotSetUp,
    /// The state of the invoice does not allow it.
    InvoiceState,
    /// Nothing is sent to the webhook endpoint.
    WebhookEndpointDisabled,
    /// The webhook message was sent again by hand as often as one may be.
    TooManyResends,
    /// The work is not parked, so there is nothing to retry.
    WorkNotParked,
    /// The audit found that the customer's books do not add up; an operator has to look first.
    CustomerFrozen,
}

/// A refusal of a whole request, with nothing written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    /// Which rule said no.
    pub code: RejectionCode,
    /// A sentence for people. Wording may change.
    pub message: String,
    /// Path of the input field at fault, below `input`. Empty when no single field is to blame.
    pub path: Vec<String>,
}

impl Rejection {
    /// A refusal that blames one input field (`a.b` for a nested one; an empty text for none).
    pub fn new(code: RejectionCode, field: &str, message: impl Into<String>) -> Self {
        let path = field
            .split('.')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect();
        Self {
            code,
            message: message.into(),
            path,
        }
    }

    /// A value that is not allowed.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::new(RejectionCode::InvalidInput, field, message)
    }

    /// A name of something that does not exist for this tenant.
    #[must_use]
    pub fn not_found(field: &str, what: &str) -> Self {
        Self::new(RejectionCode::NotFound, field, format!("there is no such {what}"))
    }

    /// A result outside the range that can be kept.
    #[must_use]
    pub fn too_large(field: &str) -> Self {
        Self::new(RejectionCode::AmountTooLarge, field, "the amount is too large")
    }

    /// The same refusal, seen from one level further out.
    #[must_use]
    pub fn under(mut self, field: &str) -> Self {
        self.path.splice(0..0, field.split('.').map(str::to_owned));
        self
    }
}
