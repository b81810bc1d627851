//! From a notice to the words of a letter, and from words to its two forms.

use askama::Template;

use super::{
    Notice,
    facts::{Fact, LONGEST_NAME, facts, line, link},
    sentences::{self as say, Wording},
};

/// What a letter says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// What it is about, in one line.
    pub subject: String,
    /// All of it, as plain text.
    pub text: String,
    /// All of it, as HTML.
    pub html: String,
}

/// Writes what a customer is told. Whatever the names are, the subject is one line, and nothing of them is taken for markup.
#[must_use]
pub fn write(notice: &Notice, vendor: &str, customer: &str) -> Words {
    let (wording, mut facts) = (wording(notice), facts(notice));
    let or = |name: String, other: &str| if name.is_empty() { other.to_owned() } else { name };
    let vendor = or(line(vendor, LONGEST_NAME), say::SOME_VENDOR);
    let customer = or(line(customer, LONGEST_NAME), say::SOME_CUSTOMER);
    facts.push(("vendor", Some(vendor)));
    facts.push(("customer", Some(customer)));
    let fill = |sentence: &str| fill(sentence, &facts);
    let page = Page {
        language: say::LANGUAGE,
        subject: fill(wording.subject).unwrap_or_default(),
        greeting: fill(say::GREETING).unwrap_or_default(),
        says: wording
            .says
            .iter()
            .filter_map(|sentence| fill(sentence))
            .collect(),
        button: link(notice).map(|url| Button {
            label: wording.button,
            url,
        }),
        footer: fill(say::FOOTER).unwrap_or_default(),
    };
    Words {
        // Writing to a `String` cannot fail.
        text: Plain { page: &page }.render().unwrap_or_default(),
        html: Html { page: &page }.render().unwrap_or_default(),
        subject: page.subject,
    }
}

/// What both forms say.
struct Page {
    language: &'static str,
    subject: String,
    greeting: String,
    says: Vec<String>,
    button: Option<Button>,
    footer: String,
}

/// Where a letter leads.
struct Button {
    label: &'static str,
    url: String,
}

#[derive(Template)]
#[template(path = "mail/letter.txt")]
struct Plain<'a> {
    page: &'a Page,
}

#[derive(Template)]
#[template(path = "mail/letter.html")]
struct Html<'a> {
    page: &'a Page,
}

/// Puts facts into a sentence. `None`: one of them is not known. What is put in is not looked at again, whatever braces it has.
fn fill(sentence: &str, facts: &[Fact]) -> Option<String> {
    let mut parts = sentence.split('{');
    let mut out = parts.next()?.to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}')?;
        let (_, fact) = facts.iter().find(|(known, _)| *known == name)?;
        out.push_str(fact.as_deref()?);
        out.push_str(rest);
    }
    Some(out)
}

/// How a notice is worded.
fn wording(notice: &Notice) -> &'static Wording {
    match notice {
        Notice::BudgetThreshold { .. } => &say::BUDGET_THRESHOLD,
        Notice::BudgetReached { blocked: false, .. } => &say::BUDGET_REACHED,
        Notice::BudgetReached { blocked: true, .. } => &say::BUDGET_REACHED_BLOCKED,
        Notice::BalanceLow { .. } => &say::BALANCE_LOW,
        Notice::CreditsExpiring { last_at: None, .. } => &say::CREDITS_EXPIRING,
        Notice::CreditsExpiring { last_at: Some(_), .. } => &say::CREDITS_EXPIRING_APART,
        Notice::RechargeSucceeded { .. } => &say::RECHARGE_SUCCEEDED,
        Notice::RechargeFailed { .. } => &say::RECHARGE_FAILED,
        Notice::RechargeDisabled { .. } => &say::RECHARGE_DISABLED,
        Notice::RechargeActionRequired { .. } => &say::RECHARGE_ACTION_REQUIRED,
        Notice::RechargeCapReached { .. } => &say::RECHARGE_CAP_REACHED,
        Notice::InvoiceIssued { .. } => &say::INVOICE_ISSUED,
        Notice::InvoicePaid { .. } => &say::INVOICE_PAID,
        Notice::InvoicePaymentFailed { .. } => &say::INVOICE_PAYMENT_FAILED,
        Notice::InvoicePastDue { .. } => &say::INVOICE_PAST_DUE,
        Notice::PaymentMethodExpiring { .. } => &say::PAYMENT_METHOD_EXPIRING,
        Notice::WebhookEndpointDisabled { .. } => &say::WEBHOOK_ENDPOINT_DISABLED,
    }
}

#[cfg(test)]
mod tests;
