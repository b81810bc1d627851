//! What vendors are told by letter: what has gone wrong and waits for somebody of theirs.

mod sentences;

use domain::{amount::Credits, money::Money, time::Timestamp};

use self::sentences as say;
pub(super) use self::sentences::{FOOTER, GREETING};
use super::{
    Document,
    facts::{Fact, Way, because, credits, name, receiver, shown},
    sentences::Wording,
};

/// What a vendor is told, with what is to be known about it. The customer is named beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alert {
    /// Nothing is delivered to a receiver of webhooks any more.
    EndpointDisabled {
        /// Whether it is the customer's own, for spend alerts.
        of_customer: bool,
        /// Its address.
        url: String,
        /// Since when nothing has arrived there.
        since: Timestamp,
        /// What went wrong the last time, in words.
        problem: String,
    },
    /// A customer's credits are not bought by themselves any more.
    RechargeDisabled {
        /// Why, in words.
        reason: String,
    },
    /// Another amount was paid than was asked for.
    PaymentQuarantined {
        /// Its id.
        payment: String,
        /// What was asked for.
        amount: Money,
    },
    /// A refund did not reach the customer.
    RefundFailed {
        /// The id of what was paid.
        payment: String,
        /// What was to go back.
        amount: Money,
        /// Why, in words.
        reason: String,
    },
    /// The customer's bank speaks against a payment.
    Dispute {
        /// How far it has come.
        stage: Dispute,
        /// The id of what was paid.
        payment: String,
        /// How much of it.
        amount: Money,
        /// Why, in words.
        reason: String,
    },
    /// Usage was written off.
    WrittenOff {
        /// How much of it.
        credits: Credits,
        /// What the customer owes at most.
        bound: Credits,
    },
    /// Nobody charges an invoice by itself any more.
    CollectionEnded(Invoice),
    /// An invoice should have been paid by now.
    InvoicePastDue(Invoice),
    /// Nobody expects an invoice to be paid any more.
    InvoiceUncollectible(Invoice),
}

/// How far a dispute has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dispute {
    /// The bank asks, and has taken nothing yet.
    Inquiry,
    /// The bank has taken the money back for now.
    Opened,
    /// The money is gone.
    Lost,
}

/// An invoice of which a vendor is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// Its number.
    pub number: String,
    /// What is to be paid.
    pub total: Money,
    /// Where it is.
    pub document: Option<Document>,
}

/// The facts of an alert.
pub(super) fn facts(alert: &Alert) -> Vec<Fact> {
    match alert {
        Alert::EndpointDisabled {
            of_customer: _,
            url,
            since,
            problem,
        } => receiver(url, *since, problem),
        Alert::RechargeDisabled { reason } => vec![because(reason)],
        Alert::PaymentQuarantined { payment, amount } => {
            vec![name("payment", payment), shown("amount", amount)]
        }
        Alert::RefundFailed {
            payment,
            amount,
            reason,
        }
        | Alert::Dispute {
            stage: _,
            payment,
            amount,
            reason,
        } => vec![name("payment", payment), shown("amount", amount), because(reason)],
        Alert::WrittenOff {
            credits: amount,
            bound,
        } => vec![credits("credits", *amount), credits("bound", *bound)],
        Alert::CollectionEnded(invoice)
        | Alert::InvoicePastDue(invoice)
        | Alert::InvoiceUncollectible(invoice) => {
            vec![name("number", &invoice.number), shown("total", &invoice.total)]
        }
    }
}

/// Where an alert leads.
pub(super) fn way(alert: &Alert) -> Way<'_> {
    match alert {
        Alert::CollectionEnded(invoice)
        | Alert::InvoicePastDue(invoice)
        | Alert::InvoiceUncollectible(invoice) => (&invoice.document).into(),
        _ => Way::Nowhere,
    }
}

/// How an alert is worded.
pub(super) fn wording(alert: &Alert) -> &'static Wording {
    match alert {
        Alert::EndpointDisabled {
            of_customer: false, ..
        } => &say::ENDPOINT_DISABLED,
        Alert::EndpointDisabled {
            of_customer: true, ..
        } => &say::CUSTOMER_ENDPOINT_DISABLED,
        Alert::RechargeDisabled { .. } => &say::RECHARGE_DISABLED,
        Alert::PaymentQuarantined { .. } => &say::PAYMENT_QUARANTINED,
        Alert::RefundFailed { .. } => &say::REFUND_FAILED,
        Alert::Dispute { stage, .. } => match stage {
            Dispute::Inquiry => &say::DISPUTE_INQUIRY,
            Dispute::Opened => &say::DISPUTE_OPENED,
            Dispute::Lost => &say::DISPUTE_LOST,
        },
        Alert::WrittenOff { .. } => &say::WRITTEN_OFF,
        Alert::CollectionEnded(_) => &say::COLLECTION_ENDED,
        Alert::InvoicePastDue(_) => &say::INVOICE_PAST_DUE,
        Alert::InvoiceUncollectible(_) => &say::INVOICE_UNCOLLECTIBLE,
    }
}
