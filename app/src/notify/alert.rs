//! What a letter to the vendor's own people says: the event's fields, as the facts of an alert.

use domain::event::EventType;
use gateway::mail::{Alert, Dispute, Document, Invoice};
use serde_json::{Map, Value};

use super::said::Said;

/// The types of events that a vendor's own people are written about: what does not mend itself. Somebody has to answer a bank in time, to
/// find another way for money that did not arrive, to mend a receiver, to talk to a customer who does not pay, or to look at what is given
/// away. What is tried again by itself, what a customer decides and what has gone well is for webhooks and the feed.
pub const ABOUT: &[EventType] = &[
    EventType::WebhookEndpointDisabled,
    EventType::AutoRechargeDisabled,
    EventType::PaymentQuarantined,
    EventType::PaymentRefundFailed,
    EventType::PaymentDisputeInquiry,
    EventType::PaymentDisputed,
    EventType::PaymentDisputeLost,
    EventType::OvershootWrittenOff,
    EventType::InvoiceCollectionEnded,
    EventType::InvoicePastDue,
    EventType::InvoiceMarkedUncollectible,
];

/// Those of which the first of a customer on a UTC day is written about: usage may be written off with every debit.
pub(super) const DAILY: &[EventType] = &[EventType::OvershootWrittenOff];

/// Whether the vendor's own people are written about a type of events.
pub(super) fn is_alert(kind: EventType) -> bool {
    ABOUT.contains(&kind)
}

/// What they are to be told about an event, with where its invoice is, if it is about one; `None`: nothing.
pub(super) fn alert(kind: EventType, data: &Map<String, Value>, document: Option<Document>) -> Option<Alert> {
    let said = Said(data);
    let invoice = |document| {
        Some(Invoice {
            number: said.text("number")?,
            total: said.money("amount_due")?,
            document,
        })
    };
    let dispute = |stage| {
        Some(Alert::Dispute {
            stage,
            payment: said.text("payment_id")?,
            amount: said.money("amount")?,
            reason: said.words("reason"),
        })
    };
    match kind {
        EventType::WebhookEndpointDisabled => Some(Alert::EndpointDisabled {
            of_customer: said.text("customer_id").is_some(),
            url: said.text("url")?,
            since: said.instant("failing_since")?,
            problem: said.words("last_problem"),
        }),
        EventType::AutoRechargeDisabled => Some(Alert::RechargeDisabled {
            reason: said.words("reason"),
        }),
        EventType::PaymentQuarantined => Some(Alert::PaymentQuarantined {
            payment: said.text("payment_id")?,
            amount: said.money("amount")?,
        }),
        EventType::PaymentRefundFailed => Some(Alert::RefundFailed {
            payment: said.text("payment_id")?,
            amount: said.money("amount")?,
            reason: said.words("reason"),
        }),
        EventType::PaymentDisputeInquiry => dispute(Dispute::Inquiry),
        EventType::PaymentDisputed => dispute(Dispute::Opened),
        EventType::PaymentDisputeLost => dispute(Dispute::Lost),
        EventType::OvershootWrittenOff => Some(Alert::WrittenOff {
            credits: said.credits("credits")?,
            bound: said.credits("bound")?,
        }),
        EventType::InvoiceCollectionEnded => invoice(document).map(Alert::CollectionEnded),
        EventType::InvoicePastDue => invoice(document).map(Alert::InvoicePastDue),
        EventType::InvoiceMarkedUncollectible => invoice(document).map(Alert::InvoiceUncollectible),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use domain::event::Shape;
    use serde_json::json;

    use super::*;

    /// An event of a type as it is written, with nothing where there may be nothing.
    fn barest(kind: EventType) -> Map<String, Value> {
        let value = |shape| match shape {
            Shape::Amount => json!("5.00"),
            Shape::Currency => json!("USD"),
            Shape::Credits => json!("558"),
            Shape::Instant => json!("2026-04-01T00:00:00Z"),
            _ => json!("some_thing"),
        };
        // An invoice that is sent out has a number.
        let bare = |nullable, name| nullable && name != "number";
        let fields = kind.fields().iter();
        fields
            .map(|it| {
                let value = if bare(it.nullable, it.name) {
                    Value::Null
                } else {
                    value(it.shape)
                };
                (it.name.to_owned(), value)
            })
            .collect()
    }

    #[test]
    fn there_is_something_to_say_about_each_and_nothing_about_others() {
        for &kind in EventType::ALL {
            let said = alert(kind, &barest(kind), None);
            assert_eq!(said.is_some(), is_alert(kind), "{kind}");
        }
        assert!(DAILY.iter().all(|kind| is_alert(*kind)));
    }

    #[test]
    fn facts_are_those_of_the_event() {
        let mut disputed = barest(EventType::PaymentDisputed);
        disputed.insert("reason".to_owned(), json!("fraudulent"));
        let wanted = Alert::Dispute {
            stage: Dispute::Opened,
            payment: "some_thing".to_owned(),
            amount: domain::money::Money::of(500, domain::money::Currency::USD),
            reason: "fraudulent".to_owned(),
        };
        assert_eq!(alert(EventType::PaymentDisputed, &disputed, None), Some(wanted));
    }
}
