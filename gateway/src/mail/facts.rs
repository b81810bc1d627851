//! What is known about a notice, as it stands in a letter.

use std::fmt::Display;

use domain::{amount::Credits, spend::Span, time::Timestamp};
use url::Url;

use super::{Document, Notice, sentences::NO_REASON};
use crate::document::clean::clean;

/// Longest name of a customer, a vendor or a thing, in characters.
pub(super) const LONGEST_NAME: usize = 80;
/// Longest reason or address that is shown, in characters.
pub(super) const LONGEST_TEXT: usize = 300;
/// Longest address that a button leads to, in bytes, as longest ones go.
const LONGEST_LINK: usize = 2_048;

/// What stands for a word in braces; `None`: it is not known.
pub(super) type Fact = (&'static str, Option<String>);

/// The facts of a notice.
#[allow(clippy::too_many_lines, reason = "a list of kinds, and none may be forgotten")]
pub(super) fn facts(notice: &Notice) -> Vec<Fact> {
    match notice {
        Notice::BudgetThreshold {
            period,
            used,
            threshold,
            resets_at,
        } => vec![
            span(*period),
            credits("used", *used),
            credits("threshold", *threshold),
            moment("resets_at", Some(*resets_at)),
        ],
        Notice::BudgetReached {
            period,
            used,
            budget,
            resets_at,
            blocked: _,
        } => vec![
            span(*period),
            credits("used", *used),
            credits("budget", *budget),
            moment("resets_at", Some(*resets_at)),
        ],
        Notice::BalanceLow { remaining, threshold } => {
            vec![credits("remaining", *remaining), credits("threshold", *threshold)]
        }
        Notice::CreditsExpiring {
            credits: amount,
            expires_at,
            last_at,
            days,
        } => vec![
            credits("credits", *amount),
            moment("expires_at", Some(*expires_at)),
            moment("last_at", *last_at),
            ("days", Some(counted(days, "day"))),
        ],
        Notice::RechargeSucceeded {
            amount,
            credits: bought,
        } => {
            vec![shown("amount", amount), credits("credits", *bought)]
        }
        Notice::RechargeFailed {
            amount,
            reason,
            retry_at,
        } => vec![
            shown("amount", amount),
            because(reason),
            moment("retry_at", *retry_at),
        ],
        Notice::RechargeDisabled { reason } => vec![because(reason)],
        Notice::RechargeActionRequired { amount, url: _ } => vec![shown("amount", amount)],
        Notice::RechargeCapReached { percent, spent, cap } => vec![
            shown("percent", &format_args!("{percent}%")),
            shown("spent", spent),
            shown("cap", cap),
        ],
        Notice::InvoiceIssued {
            number,
            total,
            due_at,
            document: _,
        } => vec![
            name("number", number),
            shown("total", total),
            moment("due_at", Some(*due_at)),
        ],
        Notice::InvoicePaid {
            number,
            total,
            document: _,
        }
        | Notice::InvoicePastDue {
            number,
            total,
            document: _,
        } => {
            vec![name("number", number), shown("total", total)]
        }
        Notice::InvoicePaymentFailed {
            number,
            total,
            reason,
            retry_at,
            document: _,
        } => vec![
            name("number", number),
            shown("total", total),
            because(reason),
            moment("retry_at", *retry_at),
        ],
        Notice::PaymentMethodExpiring {
            name: called,
            month,
            year,
        } => vec![
            name("name", called),
            shown("month", &format_args!("{month:02}/{year}")),
        ],
        Notice::WebhookDisabled { url, since, problem } => receiver(url, *since, problem),
    }
}

/// Where a letter leads.
pub(super) enum Way<'a> {
    /// Nowhere.
    Nowhere,
    /// Somewhere.
    To(&'a str),
    /// To an invoice.
    Invoice(&'a Document),
}

impl<'a> From<&'a Option<Document>> for Way<'a> {
    fn from(document: &'a Option<Document>) -> Self {
        document.as_ref().map_or(Self::Nowhere, Self::Invoice)
    }
}

/// Where a letter to a customer leads.
pub(super) fn way(notice: &Notice) -> Way<'_> {
    match notice {
        Notice::RechargeActionRequired { url, .. } => url.as_deref().map_or(Way::Nowhere, Way::To),
        Notice::InvoiceIssued { document, .. }
        | Notice::InvoicePaid { document, .. }
        | Notice::InvoicePaymentFailed { document, .. }
        | Notice::InvoicePastDue { document, .. } => document.into(),
        _ => Way::Nowhere,
    }
}

/// An address, if it is one that a browser should go to.
pub(super) fn link(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let good = matches!(url.scheme(), "https" | "http") && url.as_str().len() <= LONGEST_LINK;
    good.then(|| url.into())
}

/// A text as one line of so many characters at most, without anything that cannot be shown.
pub(super) fn line(text: &str, longest: usize) -> String {
    let clean = clean(text);
    let words: Vec<&str> = clean.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(longest) {
        Some(_) => line.chars().take(longest - 1).chain(['…']).collect(),
        None => line,
    }
}

pub(super) fn shown(field: &'static str, value: &impl Display) -> Fact {
    (field, Some(value.to_string()))
}

pub(super) fn name(field: &'static str, text: &str) -> Fact {
    (field, Some(line(text, LONGEST_NAME)))
}

/// A reason. The sentence around it has the full stop.
pub(super) fn because(reason: &str) -> Fact {
    let reason = line(reason, LONGEST_TEXT);
    let reason = reason.trim_end_matches('.');
    let reason = if reason.is_empty() { NO_REASON } else { reason };
    ("reason", Some(reason.to_owned()))
}

/// A receiver at which nothing arrives.
pub(super) fn receiver(url: &str, since: Timestamp, problem: &str) -> Vec<Fact> {
    vec![
        ("url", Some(line(url, LONGEST_TEXT))),
        moment("since", Some(since)),
        because(problem),
    ]
}

fn span(span: Span) -> Fact {
    let word = match span {
        Span::Day => "daily",
        Span::Month => "monthly",
    };
    ("period", Some(word.to_owned()))
}

pub(super) fn credits(field: &'static str, amount: Credits) -> Fact {
    (field, Some(counted(&amount, "credit")))
}

/// `1 day`, `2 days`.
fn counted(number: &impl Display, what: &str) -> String {
    let number = number.to_string();
    let many = if number == "1" { "" } else { "s" };
    format!("{number} {what}{many}")
}

/// `20 November 2026, 15:04 UTC`: customers may be anywhere.
pub(super) fn moment(field: &'static str, at: Option<Timestamp>) -> Fact {
    let at = at.and_then(|at| jiff::Timestamp::from_microsecond(at.micros()).ok());
    (
        field,
        at.map(|at| at.strftime("%-d %B %Y, %H:%M UTC").to_string()),
    )
}
