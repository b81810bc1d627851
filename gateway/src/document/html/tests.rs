//! Whatever is said, the page stays the page.

use proptest::prelude::*;

use super::*;
use crate::document::samples::{any_document, invoice, long};

/// The tags of a page and the texts between them. A link counts as a tag, wherever it leads; where, is the second answer.
fn taken_apart(page: &str) -> (Vec<String>, Option<String>, Vec<String>) {
    let (mut tags, mut link, mut texts) = (Vec::new(), None, Vec::new());
    let mut rest = page;
    while let Some((text, tagged)) = rest.split_once('<') {
        texts.push(text.to_owned());
        let (tag, after) = tagged.split_once('>').expect("a tag ends");
        if let Some(address) = tag.strip_prefix("a href=\"") {
            let address = address.strip_suffix('"').expect("a link ends with its address");
            assert!(!address.contains(['"', '\'']), "{address}");
            link = Some(address.to_owned());
            tags.push("a".to_owned());
        } else {
            tags.push(tag.to_owned());
        }
        rest = after;
    }
    texts.push(rest.to_owned());
    (tags, link, texts)
}

/// What a browser reads in place of escapes.
fn read(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

/// A document of the same shape in which every text is one letter.
fn plain(document: &Document) -> Document {
    let plain = |text: &String| {
        if text.is_empty() {
            String::new()
        } else {
            "x".to_owned()
        }
    };
    let every = |texts: &[String]| texts.iter().map(plain).collect::<Vec<_>>();
    let party = |party: &Party| Party {
        name: plain(&party.name),
        address: every(&party.address),
        email: party.email.as_ref().map(plain),
        tax_ids: every(&party.tax_ids),
    };
    let linked = document.pdf.as_deref().is_some_and(is_link);
    Document {
        title: plain(&document.title),
        number: document.number.as_ref().map(plain),
        state: document.state.as_ref().map(plain),
        facts: document
            .facts
            .iter()
            .map(|(label, value)| (plain(label), plain(value)))
            .collect(),
        seller: party(&document.seller),
        buyer: party(&document.buyer),
        rows: document
            .rows
            .iter()
            .map(|row| Row {
                description: plain(&row.description),
                details: every(&row.details),
                quantity: plain(&row.quantity),
                unit_price: plain(&row.unit_price),
                amount: plain(&row.amount),
            })
            .collect(),
        totals: document
            .totals
            .iter()
            .map(|total| Total {
                label: plain(&total.label),
                value: plain(&total.value),
                strong: total.strong,
            })
            .collect(),
        notes: every(&document.notes),
        pdf: linked.then(|| "/x".to_owned()),
        watermark: document.watermark.as_ref().map(plain),
    }
}

proptest! {
    #[test]
    fn nothing_leaves_its_place(document in any_document()) {
        let page = html(&document);
        let (tags, link, texts) = taken_apart(&page);
        let (expected, _, _) = taken_apart(&html(&plain(&document)));
        prop_assert_eq!(tags, expected);
        if let Some(link) = link {
            prop_assert_eq!(Some(read(&link)), document.pdf.clone());
            let own = link.starts_with('/') && !link.starts_with("//") && !link.starts_with("/\\");
            prop_assert!(own || link.starts_with("http://") || link.starts_with("https://"));
        }
        prop_assert!(!page.chars().any(|sign| sign.is_control() && sign != '\n'));
        // And everything is there, as it was written.
        let texts = texts.iter().map(|text| read(text)).collect::<Vec<_>>();
        for row in &document.rows {
            for text in [&row.description, &row.quantity, &row.unit_price, &row.amount].into_iter().chain(&row.details) {
                let text = clean(text);
                prop_assert!(texts.contains(&text), "{text:?}");
            }
        }
    }
}

#[test]
fn where_a_link_may_lead() {
    for address in [
        "/documents/1.pdf",
        "/?a=1&b=2",
        "https://billing.example/1.pdf?key=a&b",
        "http://localhost:8080/1.pdf",
    ] {
        assert!(is_link(address), "{address}");
    }
    for address in [
        "",
        "//evil.example/1.pdf",
        "/\\evil.example/1.pdf",
        "/\t/evil.example",
        "\n//evil.example",
        "/a\0b",
        "1.pdf",
        "https://",
        "https:evil.example",
        "javascript:alert(1)",
        "data:text/html,hello",
        " https://evil.example",
    ] {
        assert!(!is_link(address), "{address:?}");
    }
}

#[test]
fn what_is_empty_is_not_shown() {
    let page = html(&Document::default());
    for absent in [
        "<table",
        "<dl",
        "<footer",
        "<section",
        "class=\"state\"",
        "watermark\"",
        "<a ",
    ] {
        assert!(!page.contains(absent), "{absent}");
    }
}

#[test]
fn a_column_in_which_there_is_nothing_is_not_shown() {
    let mut document = invoice();
    let labels = |document: &Document| html(document).matches("scope=\"col\"").count();
    assert_eq!(labels(&document), 4);
    for row in &mut document.rows {
        row.quantity.clear();
        row.unit_price.clear();
    }
    assert_eq!(labels(&document), 2);
    assert!(!html(&document).contains(words::QUANTITY));
}

#[test]
fn a_page_needs_nothing_else() {
    for page in [html(&invoice()), html(&long(20))] {
        for absent in ["<script", "<link", "<img", "@import", "url(", "src="] {
            assert!(!page.contains(absent), "{absent}");
        }
        assert!(page.starts_with("<!DOCTYPE html>\n<html lang=\"en\">"));
        assert!(page.contains("<title>Invoice"));
    }
}
