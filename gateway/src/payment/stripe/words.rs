//! What Stripe answers, in Stripe's words, and what it means in ours. Only what is read is declared; anything that does not fit is no
//! answer at all.

use std::collections::HashMap;

use domain::payment::{Outcome, Seen, decline::Decline};
use serde::Deserialize;

use super::{amounts::from_stripe, declines::decline, lists::Listed};
use crate::payment::Trouble;

/// Under this name our own id of a payment is kept beside Stripe's.
pub(super) const PAYMENT: &str = "tallygate_payment";

/// Something of which only the name is wanted.
#[derive(Debug, Deserialize)]
pub(super) struct Named {
    pub(super) id: String,
    pub(super) livemode: bool,
}

/// A charge, from being asked for until its end.
#[derive(Debug, Deserialize)]
pub(super) struct Intent {
    pub(super) id: String,
    pub(super) livemode: bool,
    #[serde(default)]
    metadata: HashMap<String, String>,
    status: String,
    amount: i64,
    amount_received: i64,
    currency: String,
    last_payment_error: Option<Complaint>,
    next_action: Option<NextAction>,
}

#[derive(Debug, Deserialize)]
struct NextAction {
    redirect_to_url: Option<Redirect>,
}

#[derive(Debug, Deserialize)]
struct Redirect {
    url: Option<String>,
}

impl Listed for Intent {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Intent {
    /// Whether its money was taken, or is being taken.
    pub(super) fn may_be_paid(&self) -> bool {
        matches!(self.status.as_str(), "succeeded" | "processing")
    }

    /// Whether it is the one of a payment of ours.
    pub(super) fn is_of(&self, payment: &str) -> bool {
        self.metadata.get(PAYMENT).is_some_and(|kept| kept == payment)
    }

    /// Whether its money was taken.
    pub(super) fn is_paid(&self) -> bool {
        self.status == "succeeded"
    }

    /// Whether it was refused because the bank wants the owner of the card.
    pub(super) fn wants_owner(&self) -> bool {
        let error = self.last_payment_error.as_ref();
        self.status == "requires_payment_method" && error.is_some_and(Complaint::wants_owner)
    }

    /// What it means. A word that we do not know means nothing.
    pub(super) fn seen(&self) -> Result<Seen, Trouble> {
        let Some(outcome) = self.outcome() else {
            return Err(no_answer(format!("{} is {:?}", self.id, self.status)));
        };
        // What was taken counts, not what was asked for.
        let number = match outcome {
            Outcome::Succeeded => self.amount_received,
            _ => self.amount,
        };
        let Some(amount) = from_stripe(number, &self.currency) else {
            return Err(no_answer(format!(
                "{} is about {number} {:?}",
                self.id, self.currency
            )));
        };
        Ok(Seen {
            reference: self.id.clone(),
            amount,
            outcome,
        })
    }

    fn outcome(&self) -> Option<Outcome> {
        match self.status.as_str() {
            "succeeded" => Some(Outcome::Succeeded),
            "processing" => Some(Outcome::Processing),
            "requires_action" | "requires_confirmation" => Some(Outcome::RequiresAction { url: self.page() }),
            // Stripe waits for another method, which it never gets from us.
            "requires_payment_method" => Some(match &self.last_payment_error {
                Some(error) if !error.wants_owner() => Outcome::Declined(decline(error)),
                _ => Outcome::RequiresAction { url: None },
            }),
            "canceled" => Some(Outcome::Declined(Decline::NotConfirmed)),
            _ => None,
        }
    }

    /// Where its owner can confirm it.
    fn page(&self) -> Option<String> {
        self.next_action.as_ref()?.redirect_to_url.as_ref()?.url.clone()
    }
}

/// The body of an answer that is an error.
#[derive(Debug, Deserialize)]
pub(super) struct Failure {
    pub(super) error: Complaint,
}

/// What Stripe has against a request, or a bank against a charge.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Complaint {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) code: Option<String>,
    pub(super) decline_code: Option<String>,
    pub(super) advice_code: Option<String>,
    pub(super) network_advice_code: Option<String>,
    pub(super) network_decline_code: Option<String>,
    pub(super) param: Option<String>,
    /// The charge about which it is, if there is one.
    pub(super) payment_intent: Option<Box<Intent>>,
}

impl Complaint {
    /// Whether the owner of a card has to confirm the charge with the bank.
    fn wants_owner(&self) -> bool {
        [&self.code, &self.decline_code]
            .into_iter()
            .any(|code| code.as_deref() == Some("authentication_required"))
    }

    /// What it means where it is the whole answer. Only a request that Stripe could make nothing of has certainly done nothing.
    pub(super) fn trouble(&self) -> Trouble {
        match (self.kind.as_str(), self.code.as_deref(), self.param.as_deref()) {
            ("invalid_request_error", Some("idempotency_key_in_use" | "lock_timeout" | "rate_limit"), _) => {
                self.silence()
            }
            ("invalid_request_error", _, Some("payment_method"))
            | ("invalid_request_error", Some("resource_missing"), Some("customer")) => {
                Trouble::Refused(Decline::MethodGone)
            }
            ("invalid_request_error", ..) => Trouble::Refused(Decline::Refused),
            _ => self.silence(),
        }
    }

    /// That it tells nothing of what was asked. Stripe's own sentence is left out: it may name people.
    pub(super) fn silence(&self) -> Trouble {
        let code = self.code.as_deref().unwrap_or("no code");
        no_answer(format!("{} ({code})", self.kind))
    }
}

/// Nothing may be concluded.
pub(super) fn no_answer(why: impl Into<String>) -> Trouble {
    Trouble::NoAnswer(why.into())
}
