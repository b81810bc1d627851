//! From a notice to the words of a letter, and from words to its two forms.

use askama::Template;

use super::{
    Alert, Notice, alert,
    facts::{Fact, LONGEST_NAME, Way, facts, line, link, way},
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
    let customer = named(customer, say::SOME_CUSTOMER);
    let content = Content {
        wording: wording(notice),
        facts: facts(notice),
        way: way(notice),
    };
    set(content, vendor, customer, (say::GREETING, say::FOOTER))
}

/// Writes what a vendor is told, with the name of the customer whom it concerns, if it concerns one. As safe as what customers are told.
#[must_use]
pub fn write_alert(alert: &Alert, vendor: &str, customer: Option<&str>) -> Words {
    let customer = named(customer.unwrap_or_default(), say::ONE_CUSTOMER);
    let content = Content {
        wording: alert::wording(alert),
        facts: alert::facts(alert),
        way: alert::way(alert),
    };
    set(content, vendor, customer, (alert::GREETING, alert::FOOTER))
}

/// What a letter is made of.
struct Content<'a> {
    wording: &'static Wording,
    facts: Vec<Fact>,
    way: Way<'a>,
}

/// A name as it stands in a letter, or what stands for one that there is not.
fn named(name: &str, other: &str) -> String {
    let name = line(name, LONGEST_NAME);
    if name.is_empty() { other.to_owned() } else { name }
}

/// Sets a letter between its greeting and its footer.
fn set(content: Content<'_>, vendor: &str, customer: String, (greeting, footer): (&str, &str)) -> Words {
    let Content {
        wording,
        mut facts,
        way,
    } = content;
    facts.push(("vendor", Some(named(vendor, say::SOME_VENDOR))));
    facts.push(("customer", Some(customer)));
    let fill = |sentence: &str| fill(sentence, &facts);
    let says = wording.says.iter().filter_map(|sentence| fill(sentence));
    let page = Page {
        language: say::LANGUAGE,
        subject: fill(wording.subject).unwrap_or_default(),
        greeting: fill(greeting).unwrap_or_default(),
        says: says.collect(),
        links: links(&way, wording),
        footer: fill(footer).unwrap_or_default(),
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
    /// The first is a button.
    links: Vec<Link>,
    footer: String,
}

/// Where a letter leads.
struct Link {
    label: &'static str,
    url: String,
}

/// The ways out of a letter, without those that no browser should go.
fn links(way: &Way<'_>, wording: &Wording) -> Vec<Link> {
    let ways = match way {
        Way::Nowhere => Vec::new(),
        Way::To(url) => vec![(wording.button, *url)],
        Way::Invoice(it) => vec![(wording.button, it.page.as_str()), (say::PDF, it.pdf.as_str())],
    };
    let links = ways.into_iter();
    links
        .filter_map(|(label, url)| {
            Some(Link {
                label,
                url: link(url)?,
            })
        })
        .collect()
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
        Notice::WebhookDisabled { .. } => &say::WEBHOOK_DISABLED,
    }
}

#[cfg(test)]
mod tests;
