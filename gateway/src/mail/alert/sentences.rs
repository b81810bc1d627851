//! What letters to vendors say, word for word; the rules are those of the sentences for customers.

use crate::mail::sentences::Wording;

/// How every letter to a vendor begins.
pub(in crate::mail) const GREETING: &str = "Hello,";
/// What stands below every letter to a vendor.
pub(in crate::mail) const FOOTER: &str =
    "Tallygate sent this message automatically to the operations addresses of {vendor}.";

pub(super) const ENDPOINT_DISABLED: Wording = Wording {
    subject: "{vendor}: a webhook endpoint is switched off",
    says: &[
        "Nothing has arrived at {url} since {since}; the last attempt ended like this: {reason}.",
        "No more messages are sent to it. Once the receiver is ready, switch the endpoint on again and resend what it has missed.",
    ],
    button: "",
};

pub(super) const CUSTOMER_ENDPOINT_DISABLED: Wording = Wording {
    subject: "{vendor}: spend alerts of {customer} are not sent to its URL any more",
    says: &[
        "Nothing has arrived at {url}, the URL of {customer} for spend alerts, since {since}; the last attempt ended like this: {reason}.",
        "The customer was told if you write to customers. Once its receiver is ready, set the URL of its spend management again.",
    ],
    button: "",
};

pub(super) const RECHARGE_DISABLED: Wording = Wording {
    subject: "{vendor}: the automatic recharge of {customer} is switched off",
    says: &[
        "Credits of {customer} are not bought automatically any more: {reason}.",
        "The customer was told if you write to customers. Its usage stops when its credits are used up, unless its terms allow more.",
    ],
    button: "",
};

pub(super) const PAYMENT_QUARANTINED: Wording = Wording {
    subject: "{vendor}: a payment of {customer} needs you",
    says: &[
        "The provider reports another amount than the {amount} that payment {payment} asked for. Nothing was granted and nothing more is charged for it.",
        "Please look at it with your payment provider.",
    ],
    button: "",
};

pub(super) const REFUND_FAILED: Wording = Wording {
    subject: "{vendor}: a refund for {customer} failed",
    says: &[
        "The refund of {amount} of payment {payment} did not reach the customer: {reason}.",
        "What was taken back for it has been given again. Please find another way to return the money.",
    ],
    button: "",
};

pub(super) const DISPUTE_INQUIRY: Wording = Wording {
    subject: "{vendor}: the bank of {customer} asks about a payment",
    says: &[
        "The bank asks about {amount} of payment {payment}: {reason}.",
        "No money has been taken yet. Please answer in time with your payment provider.",
    ],
    button: "",
};

pub(super) const DISPUTE_OPENED: Wording = Wording {
    subject: "{vendor}: {customer} disputes a payment",
    says: &[
        "The bank has taken back {amount} of payment {payment} for now: {reason}. What was bought with it has been taken back as well.",
        "Please hand in your evidence in time with your payment provider, or accept the dispute.",
    ],
    button: "",
};

pub(super) const DISPUTE_LOST: Wording = Wording {
    subject: "{vendor}: a dispute with {customer} is lost",
    says: &["{amount} of payment {payment} will not come back: {reason}."],
    button: "",
};

pub(super) const WRITTEN_OFF: Wording = Wording {
    subject: "{vendor}: usage of {customer} was written off",
    says: &[
        "{customer} used more than it owes at most, which is {bound}. {credits} were written off: nobody is billed for them.",
        "If that goes on today you are not told again; the overshoot report has all of it.",
    ],
    button: "",
};

pub(super) const COLLECTION_ENDED: Wording = Wording {
    subject: "{vendor}: invoice {number} of {customer} is not charged any more",
    says: &[
        "Invoice {number} of {customer}, of {total}, could not be charged: the payment method was declined for good or too often, or there is none.",
        "It is not tried again until the customer has another payment method.",
    ],
    button: "View the invoice",
};

pub(super) const INVOICE_PAST_DUE: Wording = Wording {
    subject: "{vendor}: invoice {number} of {customer} is past due",
    says: &["Invoice {number} of {customer}, of {total}, was not paid in time."],
    button: "View the invoice",
};

pub(super) const INVOICE_UNCOLLECTIBLE: Wording = Wording {
    subject: "{vendor}: invoice {number} of {customer} counts as uncollectible",
    says: &["Nobody expects invoice {number} of {customer}, of {total}, to be paid any more."],
    button: "View the invoice",
};
