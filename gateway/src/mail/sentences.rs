//! What letters to customers say, word for word.
//!
//! A word in braces stands for what differs from letter to letter: `{customer}` and `{vendor}` are the names of the two, the others are named
//! like the fields of the notice. A sentence about something that is not known is left out. A letter with an address to go to has a button,
//! and one about an invoice leads to its PDF as well.

/// What letters of one kind say.
pub(super) struct Wording {
    /// The line that is seen before a letter is opened.
    pub subject: &'static str,
    /// A paragraph each.
    pub says: &'static [&'static str],
    /// What stands on the button.
    pub button: &'static str,
}

/// The language of all of it, as HTML names it.
pub(super) const LANGUAGE: &str = "en";
/// How every letter begins.
pub(super) const GREETING: &str = "Hello {customer},";
/// What stands below every letter.
pub(super) const FOOTER: &str =
    "{vendor} sent this message automatically to the billing contact of {customer}.";
/// What the way to the PDF of an invoice is called.
pub(super) const PDF: &str = "Download it as a PDF";
/// For a vendor who has no name.
pub(super) const SOME_VENDOR: &str = "Your vendor";
/// For a customer who has no name.
pub(super) const SOME_CUSTOMER: &str = "customer";
/// For one who has none either, in a letter to its vendor.
pub(super) const ONE_CUSTOMER: &str = "a customer";
/// For what happened without a word of why.
pub(super) const NO_REASON: &str = "no reason was given";

pub(super) const BUDGET_THRESHOLD: Wording = Wording {
    subject: "{vendor}: the {period} usage of {customer} has reached {threshold}",
    says: &[
        "Your {period} usage has come to {used}. You asked to be told when it reaches {threshold}.",
        "The count begins again on {resets_at}.",
    ],
    button: "",
};

pub(super) const BUDGET_REACHED: Wording = Wording {
    subject: "{vendor}: the {period} budget of {customer} is used up",
    says: &[
        "Your {period} usage has come to {used}, and your {period} budget is {budget}.",
        "Usage goes on being accepted. The count begins again on {resets_at}.",
    ],
    button: "",
};

pub(super) const BUDGET_REACHED_BLOCKED: Wording = Wording {
    subject: "{vendor}: the {period} budget of {customer} is used up, and usage is stopped",
    says: &[
        "Your {period} usage has come to {used}, and your {period} budget is {budget}.",
        "Further usage is refused until the count begins again on {resets_at}. It goes on at once if you raise the budget.",
    ],
    button: "",
};

pub(super) const BALANCE_LOW: Wording = Wording {
    subject: "{vendor}: {customer} has {remaining} left",
    says: &[
        "Your balance has come down to {remaining}. You asked to be told when it falls to {threshold}.",
        "Please buy credits in time, so that nothing stops.",
    ],
    button: "",
};

pub(super) const CREDITS_EXPIRING: Wording = Wording {
    subject: "{vendor}: {credits} of {customer} will expire in {days}",
    says: &["You have {credits} that will expire in {days}, on {expires_at}. Until then they can be used."],
    button: "",
};

pub(super) const CREDITS_EXPIRING_APART: Wording = Wording {
    subject: CREDITS_EXPIRING.subject,
    says: &[
        "You have {credits} that will expire in {days}: the first on {expires_at}, the last on {last_at}. Until then they can be used.",
    ],
    button: "",
};

pub(super) const RECHARGE_SUCCEEDED: Wording = Wording {
    subject: "{vendor}: {customer} was recharged with {credits}",
    says: &[
        "Your balance was low, so {credits} were bought for {amount}, as you have set up. They can be used now.",
    ],
    button: "",
};

pub(super) const RECHARGE_FAILED: Wording = Wording {
    subject: "{vendor}: the automatic recharge of {customer} failed",
    says: &[
        "Your balance is low, and the payment of {amount} for more credits failed: {reason}.",
        "It will be tried again on {retry_at}.",
        "Please check your payment method, so that nothing stops.",
    ],
    button: "",
};

pub(super) const RECHARGE_DISABLED: Wording = Wording {
    subject: "{vendor}: the automatic recharge of {customer} is switched off",
    says: &[
        "Credits are not bought automatically any more: {reason}.",
        "Please check your payment method and switch automatic recharge on again, or buy credits in time.",
    ],
    button: "",
};

pub(super) const RECHARGE_ACTION_REQUIRED: Wording = Wording {
    subject: "{vendor}: a payment of {customer} waits for you",
    says: &[
        "Your bank wants you to confirm the payment of {amount} for more credits. They are added once you have.",
    ],
    button: "Confirm the payment",
};

pub(super) const RECHARGE_CAP_REACHED: Wording = Wording {
    subject: "{vendor}: automatic recharge of {customer} has reached {percent} of its monthly limit",
    says: &[
        "Automatic recharge has cost {spent} this month, which is {percent} of the {cap} that it may cost.",
        "Once the limit is reached no credits are bought automatically until next month, unless you raise it.",
    ],
    button: "",
};

pub(super) const INVOICE_ISSUED: Wording = Wording {
    subject: "{vendor}: invoice {number} for {customer}",
    says: &["There is a new invoice, {number}, of {total}. It is due on {due_at}."],
    button: "View the invoice",
};

pub(super) const INVOICE_PAID: Wording = Wording {
    subject: "{vendor}: invoice {number} for {customer} is paid",
    says: &["Invoice {number} of {total} is paid. Thank you."],
    button: "View the invoice",
};

pub(super) const INVOICE_PAYMENT_FAILED: Wording = Wording {
    subject: "{vendor}: the payment of invoice {number} for {customer} failed",
    says: &[
        "The payment of {total} for invoice {number} failed: {reason}.",
        "It will be tried again on {retry_at}.",
        "Please check your payment method.",
    ],
    button: "View the invoice",
};

pub(super) const INVOICE_PAST_DUE: Wording = Wording {
    subject: "{vendor}: invoice {number} for {customer} is past due",
    says: &["Invoice {number} of {total} should have been paid by now. Please pay it soon."],
    button: "View the invoice",
};

pub(super) const PAYMENT_METHOD_EXPIRING: Wording = Wording {
    subject: "{vendor}: a payment method of {customer} will expire soon",
    says: &["{name} can be used until the end of {month}. Please add another payment method in time."],
    button: "",
};

pub(super) const WEBHOOK_DISABLED: Wording = Wording {
    subject: "{vendor}: spend alerts of {customer} are not sent to your URL any more",
    says: &[
        "Nothing has arrived at {url} since {since}; the last attempt ended like this: {reason}.",
        "No more spend alerts are sent there; letters about budgets still come. Once the receiver is ready, please set the URL of your spend alerts again.",
    ],
    button: "",
};
