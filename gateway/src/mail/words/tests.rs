//! Letters of all kinds to customers and vendors, and names that would like to be something else.

use domain::{
    amount::Credits,
    money::{Currency, Money},
    time::Timestamp,
};
use proptest::prelude::*;

use super::*;
use crate::mail::{Dispute, Document, Invoice};
use domain::spend::Span;

fn credits(text: &str) -> Credits {
    text.parse().unwrap()
}

fn at() -> Timestamp {
    "2026-11-20T15:04:05.678Z".parse().unwrap()
}

fn money() -> Money {
    Money::of(123_456, Currency::EUR)
}

/// An invoice at two addresses.
fn document(page: &str, pdf: &str) -> Document {
    Document {
        page: page.to_owned(),
        pdf: pdf.to_owned(),
    }
}

/// One of each kind, with a text wherever there is room for one.
fn all(text: &str, url: Option<&str>, retry_at: Option<Timestamp>) -> Vec<Notice> {
    let (period, number) = (Span::Day, text.to_owned());
    let document = url.map(|url| document(url, url));
    let url = url.map(str::to_owned);
    let (name, reason, total, amount) = (number.clone(), number.clone(), money(), money());
    let (used, threshold, resets_at) = (credits("80.5"), credits("80"), at());
    let reached = |blocked| Notice::BudgetReached {
        period: Span::Month,
        used,
        budget: threshold,
        resets_at,
        blocked,
    };
    vec![
        Notice::BudgetThreshold {
            period,
            used,
            threshold,
            resets_at,
        },
        reached(false),
        reached(true),
        Notice::BalanceLow {
            remaining: credits("1"),
            threshold,
        },
        Notice::CreditsExpiring {
            credits: used,
            expires_at: at(),
            last_at: retry_at,
            days: 7,
        },
        Notice::RechargeSucceeded {
            amount,
            credits: used,
        },
        Notice::RechargeFailed {
            amount,
            reason: reason.clone(),
            retry_at,
        },
        Notice::RechargeDisabled {
            reason: reason.clone(),
        },
        Notice::RechargeActionRequired { amount, url },
        Notice::RechargeCapReached {
            percent: 80,
            spent: amount,
            cap: total,
        },
        Notice::InvoiceIssued {
            number: number.clone(),
            total,
            due_at: at(),
            document: document.clone(),
        },
        Notice::InvoicePaid {
            number: number.clone(),
            total,
            document: document.clone(),
        },
        Notice::InvoicePaymentFailed {
            number: number.clone(),
            total,
            reason,
            retry_at,
            document: document.clone(),
        },
        Notice::InvoicePastDue {
            number,
            total,
            document,
        },
        Notice::PaymentMethodExpiring {
            name,
            month: 5,
            year: 2027,
        },
        Notice::WebhookDisabled {
            url: text.to_owned(),
            since: at(),
            problem: text.to_owned(),
        },
    ]
}

/// One alert of each kind, with a text wherever there is room for one.
fn alerts(text: &str) -> Vec<Alert> {
    let (payment, reason, problem, url) =
        (text.to_owned(), text.to_owned(), text.to_owned(), text.to_owned());
    let invoice = Invoice {
        number: text.to_owned(),
        total: money(),
        document: Some(document(
            "https://bills.example/documents/a?b=1&c",
            "https://bills.example/a.pdf",
        )),
    };
    let disputed = [Dispute::Inquiry, Dispute::Opened, Dispute::Lost].map(|stage| Alert::Dispute {
        stage,
        payment: payment.clone(),
        amount: money(),
        reason: reason.clone(),
    });
    let endpoint = |of_customer| Alert::EndpointDisabled {
        of_customer,
        url: url.clone(),
        since: at(),
        problem: problem.clone(),
    };
    let mut all = vec![
        endpoint(false),
        endpoint(true),
        Alert::RechargeDisabled {
            reason: reason.clone(),
        },
        Alert::PaymentQuarantined {
            payment: payment.clone(),
            amount: money(),
        },
        Alert::RefundFailed {
            payment,
            amount: money(),
            reason,
        },
        Alert::WrittenOff {
            credits: credits("558"),
            bound: credits("5"),
        },
        Alert::CollectionEnded(invoice.clone()),
        Alert::InvoicePastDue(invoice.clone()),
        Alert::InvoiceUncollectible(invoice),
    ];
    all.extend(disputed);
    all
}

/// What must hold for any letter.
fn sound(words: &Words) {
    let Words { subject, text, html } = words;
    assert!(!subject.is_empty() && subject.chars().count() <= 330, "{subject}");
    assert!(!subject.contains(char::is_control), "{subject:?}");
    for part in [text, html] {
        assert!(
            !part.contains(|sign: char| sign.is_control() && sign != '\n'),
            "{part:?}"
        );
        assert!(part.len() > 80 && part.len() < 20_000, "{part}");
    }
    assert!(html.starts_with("<!DOCTYPE html>") && html.trim_end().ends_with("</html>"));
    assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
    assert_eq!(html.matches("<a ").count(), html.matches("</a>").count());
}

#[test]
fn each_kind_in_both_forms() {
    let letters = all("INV-1", Some("https://pay.example/x?a=1&b=2"), Some(at()));
    let mut subjects = std::collections::HashSet::new();
    for notice in &letters {
        let words = write(notice, "Acme", "Globex");
        sound(&words);
        assert!(
            words.subject.starts_with("Acme: ") && words.subject.contains("Globex"),
            "{}",
            words.subject
        );
        assert!(words.text.starts_with("Hello Globex,\n\n"), "{}", words.text);
        let page = words.html.split("color:#18181b").nth(1).unwrap();
        for paragraph in words
            .text
            .split("\n\n")
            .filter(|paragraph| !paragraph.contains('\n'))
        {
            assert!(page.contains(&format!(">{paragraph}<")), "{paragraph}: {page}");
        }
        for left in ['{', '}'] {
            assert!(
                !words.text.contains(left) && !words.subject.contains(left),
                "{}",
                words.text
            );
        }
        // All that is known is told.
        for (field, fact) in facts(notice) {
            let fact = fact.unwrap();
            assert!(words.text.contains(&fact), "{field}: {}", words.text);
        }
        assert!(subjects.insert(words.subject));
    }
}

#[test]
fn each_alert_in_both_forms() {
    let mut subjects = std::collections::HashSet::new();
    for alert in &alerts("INV-1") {
        let words = write_alert(alert, "Acme", Some("Globex"));
        sound(&words);
        assert!(words.subject.starts_with("Acme: "), "{}", words.subject);
        // Only an endpoint may be nobody's.
        let is_nobodys = matches!(
            alert,
            Alert::EndpointDisabled {
                of_customer: false,
                ..
            }
        );
        assert_eq!(words.subject.contains("Globex"), !is_nobodys, "{}", words.subject);
        assert!(words.text.starts_with("Hello,\n\n"), "{}", words.text);
        assert!(
            words.text.ends_with("operations addresses of Acme."),
            "{}",
            words.text
        );
        for left in ['{', '}'] {
            assert!(!words.text.contains(left), "{}", words.text);
        }
        // All that is known is told.
        for (field, fact) in alert::facts(alert) {
            let fact = fact.unwrap();
            assert!(words.text.contains(&fact), "{field}: {}", words.text);
        }
        // One letter for one customer without a name.
        let nameless = write_alert(alert, "", None);
        sound(&nameless);
        assert!(!nameless.text.contains("Globex"));
        assert!(subjects.insert(words.subject));
    }
}

#[test]
fn a_letter_from_beginning_to_end() {
    let issued = Notice::InvoiceIssued {
        number: "INV-7".to_owned(),
        total: money(),
        due_at: at(),
        document: Some(document(
            "https://pay.example/x?a=1&b=2",
            "https://pay.example/x?a=1&b=2.pdf",
        )),
    };
    let words = write(&issued, "Acme", "Globex");
    assert_eq!(words.subject, "Acme: invoice INV-7 for Globex");
    assert_eq!(
        words.text,
        "Hello Globex,\n\nThere is a new invoice, INV-7, of 1234.56 EUR. It is due on 20 November 2026, 15:04 UTC.\n\n\
         View the invoice:\nhttps://pay.example/x?a=1&b=2\n\n\
         Download it as a PDF:\nhttps://pay.example/x?a=1&b=2.pdf\n\n-- \n\
         Acme sent this message automatically to the billing contact of Globex."
    );
    for url in [
        "https://pay.example/x?a=1&#38;b=2",
        "https://pay.example/x?a=1&#38;b=2.pdf",
    ] {
        let way = format!("<a href=\"{url}\" ");
        assert_eq!(words.html.matches(&way).count(), 1, "{}", words.html);
    }
}

#[test]
fn what_is_not_known_is_not_told() {
    for notice in all("declined.", None, None) {
        let words = write(&notice, "Acme", "Globex");
        sound(&words);
        assert!(!words.text.contains("tried again"), "{}", words.text);
        assert!(!words.html.contains("<a "), "{}", words.html);
        assert!(!words.text.contains(".."), "{}", words.text);
    }
    for notice in all("", None, None) {
        let words = write(&notice, "", " \n ");
        sound(&words);
        assert!(words.subject.starts_with("Your vendor: "), "{}", words.subject);
        assert!(words.text.starts_with("Hello customer,"), "{}", words.text);
        assert!(!words.text.contains(": ."), "{}", words.text);
    }
}

#[test]
fn one_is_not_many() {
    let expiring = Notice::CreditsExpiring {
        credits: credits("1"),
        expires_at: at(),
        last_at: None,
        days: 1,
    };
    let words = write(&expiring, "Acme", "Globex");
    assert_eq!(words.subject, "Acme: 1 credit of Globex will expire in 1 day");
    let said = "You have 1 credit that will expire in 1 day, on 20 November 2026, 15:04 UTC. Until then";
    assert!(words.text.contains(said), "{}", words.text);
}

#[test]
fn no_button_leads_where_no_browser_should_go() {
    for url in [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "/invoices/1",
        "",
        "https://",
    ] {
        for notice in all("x", Some(url), None) {
            assert!(!write(&notice, "Acme", "Globex").html.contains("<a "), "{url}");
        }
    }
    let long = format!("https://pay.example/{}", "a".repeat(3_000));
    for notice in all("x", Some(&long), None) {
        sound(&write(&notice, "Acme", "Globex"));
    }
    let quoted = Some("https://pay.example/\"><script>alert(1)</script>");
    for notice in all("x", quoted, None) {
        sound(&write(&notice, "Acme", "Globex"));
    }
}

#[test]
fn names_that_would_like_to_be_something_else() {
    let long = "n".repeat(10_000);
    for name in [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "Bob\r\nBcc: eve@example.com\r\n\r\nHello",
        "a\0b\u{1b}[31m",
        "Total \u{202e}001",
        "{vendor}{customer}{reason}{",
        "{{ page.footer }}{% include \"x\" %}",
        "a & b <c>",
        &long,
    ] {
        for notice in all(name, Some(name), Some(at())) {
            let words = write(&notice, name, name);
            sound(&words);
            assert!(
                words.subject.starts_with(&line(name, LONGEST_NAME)),
                "{}",
                words.subject
            );
            assert!(!words.text.contains("\nBcc"), "{}", words.text);
            assert!(!words.text.contains(&"n".repeat(301)));
            assert!(!words.html.contains('\u{202e}'));
        }
        for alert in alerts(name) {
            let words = write_alert(&alert, name, Some(name));
            sound(&words);
            assert!(!words.text.contains("\nBcc"), "{}", words.text);
            assert!(!words.html.contains("<b>") && !words.html.contains('\u{202e}'));
        }
    }
    let words = write(
        &Notice::RechargeDisabled {
            reason: "a & b".to_owned(),
        },
        "<b>",
        "\"c\"",
    );
    assert!(words.text.contains("\"c\"") && words.subject.starts_with("<b>: "));
    assert!(
        words.html.contains("&#60;b&#62;") && !words.html.contains("<b>"),
        "{}",
        words.html
    );
}

#[test]
fn what_is_too_long_is_cut() {
    assert_eq!(line("  a \n b\t c ", 80), "a b c");
    assert_eq!(line("abcdef", 6), "abcdef");
    assert_eq!(line("abcdefg", 6), "abcde…");
    assert_eq!(line("äöüäöüä", 6), "äöüäö…");
}

proptest! {
    #[test]
    fn any_names_make_a_sound_letter(vendor in ".{0,300}", customer in any::<String>(), other in any::<String>()) {
        for notice in all(&other, Some(&other), Some(at())) {
            sound(&write(&notice, &vendor, &customer));
        }
        for alert in alerts(&other) {
            sound(&write_alert(&alert, &vendor, Some(&customer)));
        }
    }
}
