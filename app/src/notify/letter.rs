//! What a letter about an event says: the event's fields, as the facts of a notice.

use domain::{event::EventType, time::Timestamp};
use gateway::mail::{Document, Notice};
use serde_json::{Map, Value};

use super::said::Said;

/// The types of events that customers are written about.
pub const ABOUT: &[EventType] = &[
    EventType::BalanceLow,
    EventType::CreditsExpiring,
    EventType::PaymentRequiresAction,
    EventType::PaymentSucceeded,
    EventType::PaymentFailed,
    EventType::PaymentMethodExpiring,
    EventType::AutoRechargeDisabled,
    EventType::AutoRechargeCapUsed,
    EventType::SpendThresholdReached,
    EventType::SpendBudgetReached,
    EventType::InvoiceFinalized,
    EventType::InvoicePaid,
    EventType::InvoicePaymentFailed,
    EventType::InvoicePastDue,
    // Only about their own: others are about no customer.
    EventType::WebhookEndpointDisabled,
];

/// Whether customers are written about a type of events.
#[must_use]
pub fn is_written_about(kind: EventType) -> bool {
    ABOUT.contains(&kind)
}

/// What is to be written about an event of an instant, with where its invoice is, if it is about one; `None`: nothing, such as about a payment that somebody has just made by hand.
#[allow(clippy::too_many_lines, reason = "a list of kinds, and none may be forgotten")]
pub(super) fn notice(
    kind: EventType,
    at: Timestamp,
    data: &Map<String, Value>,
    document: Option<Document>,
) -> Option<Notice> {
    let said = Said(data);
    let is_recharge = said.text("purpose").as_deref() == Some("recharge");
    match kind {
        EventType::BalanceLow => Some(Notice::BalanceLow {
            remaining: said.credits("balance")?,
            threshold: said.credits("threshold")?,
        }),
        EventType::CreditsExpiring => {
            let first = said.instant("first_expires_at")?;
            Some(Notice::CreditsExpiring {
                credits: said.credits("credits")?,
                expires_at: first,
                last_at: said.instant("last_expires_at").filter(|last| *last != first),
                days: u32::try_from(said.whole("days_remaining")?).ok()?,
            })
        }
        EventType::PaymentRequiresAction if is_recharge => Some(Notice::RechargeActionRequired {
            amount: said.money("amount")?,
            url: said.text("action_url"),
        }),
        EventType::PaymentSucceeded if is_recharge => Some(Notice::RechargeSucceeded {
            amount: said.money("amount")?,
            credits: said.credits("credits")?,
        }),
        EventType::PaymentFailed if is_recharge => Some(Notice::RechargeFailed {
            amount: said.money("amount")?,
            reason: said.words("decline_code"),
            retry_at: None,
        }),
        EventType::PaymentMethodExpiring => Some(Notice::PaymentMethodExpiring {
            name: said.card(),
            month: u8::try_from(said.whole("expiry_month")?).ok()?,
            year: u16::try_from(said.whole("expiry_year")?).ok()?,
        }),
        EventType::AutoRechargeDisabled => Some(Notice::RechargeDisabled {
            reason: said.words("reason"),
        }),
        EventType::AutoRechargeCapUsed => Some(Notice::RechargeCapReached {
            percent: u32::try_from(said.whole("percent")?).ok()?,
            spent: said.money("spent")?,
            cap: said.money("monthly_cap")?,
        }),
        EventType::SpendThresholdReached => Some(Notice::BudgetThreshold {
            period: said.span()?,
            used: said.credits("used")?,
            threshold: said.credits("threshold")?,
            resets_at: said.end_of_period()?,
        }),
        EventType::SpendBudgetReached => Some(Notice::BudgetReached {
            period: said.span()?,
            used: said.credits("used")?,
            budget: said.credits("budget")?,
            resets_at: said.end_of_period()?,
            // The last usage of a day may be debited when it is over.
            blocked: said.text("mode").as_deref() == Some("enforce") && at < said.end_of_period()?,
        }),
        EventType::InvoiceFinalized => Some(Notice::InvoiceIssued {
            number: said.text("number")?,
            total: said.money("amount_due")?,
            due_at: said.instant("due_at")?,
            document,
        }),
        EventType::InvoicePaid => Some(Notice::InvoicePaid {
            number: said.text("number")?,
            total: said.money("total")?,
            document,
        }),
        EventType::InvoicePaymentFailed => Some(Notice::InvoicePaymentFailed {
            number: said.text("number")?,
            total: said.money("amount_due")?,
            reason: String::new(),
            retry_at: None,
            document,
        }),
        EventType::InvoicePastDue => Some(Notice::InvoicePastDue {
            number: said.text("number")?,
            total: said.money("amount_due")?,
            document,
        }),
        EventType::WebhookEndpointDisabled => Some(Notice::WebhookDisabled {
            url: said.text("url")?,
            since: said.instant("failing_since")?,
            problem: said.words("last_problem"),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use domain::amount::Credits;
    use serde_json::json;

    use super::*;

    fn of(kind: EventType, data: Value) -> Option<Notice> {
        let Value::Object(data) = data else {
            return None;
        };
        notice(kind, Timestamp::MIN, &data, None)
    }

    #[test]
    fn a_purchase_by_hand_needs_no_letter() {
        let payment = |purpose: &str| json!({ "purpose": purpose, "amount": "5.00", "currency": "USD", "credits": "5" });
        assert!(of(EventType::PaymentSucceeded, payment("recharge")).is_some());
        assert_eq!(of(EventType::PaymentSucceeded, payment("purchase")), None);
    }

    #[test]
    fn facts_are_those_of_the_event() {
        let expiring =
            json!({ "brand": "visa", "last_four": "4242", "expiry_year": 2027, "expiry_month": 3 });
        let wanted = Notice::PaymentMethodExpiring {
            name: "visa 4242".to_owned(),
            month: 3,
            year: 2027,
        };
        assert_eq!(of(EventType::PaymentMethodExpiring, expiring), Some(wanted));
        let wanted = Notice::RechargeDisabled {
            reason: "retries failed".to_owned(),
        };
        let disabled = json!({ "reason": "retries_failed" });
        assert_eq!(of(EventType::AutoRechargeDisabled, disabled), Some(wanted));
        let (first, last) = ("2026-04-01T00:00:00Z", "2026-04-01T12:00:00Z");
        for (ends, last_at) in [(first, None), (last, last.parse().ok())] {
            let expiring = json!({
                "credits": "12.5", "first_expires_at": first, "last_expires_at": ends, "days_remaining": 7,
            });
            let wanted = Notice::CreditsExpiring {
                credits: Credits::from_raw(12_500_000),
                expires_at: Timestamp::from_micros(1_775_001_600_000_000),
                last_at,
                days: 7,
            };
            assert_eq!(of(EventType::CreditsExpiring, expiring), Some(wanted));
        }
    }
}
