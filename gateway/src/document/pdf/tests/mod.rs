//! What is in the PDF, as a program that copies text out of it reads it.

mod reader;

use proptest::prelude::*;

use self::reader::read;
use super::*;
use crate::document::{
    Row,
    samples::{any_document, invoice, long},
};

/// The lines of every page.
fn printed(document: &Document) -> Vec<Vec<String>> {
    read(&pdf(document).unwrap())
}

/// Whether every word of a text is among those of some lines.
fn has_words(lines: &[String], text: &str) -> bool {
    let there = lines.iter().flat_map(|line| line.split(' ')).collect::<Vec<_>>();
    text.split([' ', '\n'])
        .all(|word| word.is_empty() || there.contains(&word))
}

#[test]
fn everything_is_there() {
    let document = invoice();
    let pages = printed(&document);
    assert_eq!(pages.len(), 1);
    let lines = &pages[0];
    for row in &document.rows {
        assert!(
            has_words(lines, &row.description),
            "{}: {lines:?}",
            row.description
        );
        for text in [&row.quantity, &row.unit_price, &row.amount]
            .into_iter()
            .chain(&row.details)
        {
            assert!(text.is_empty() || lines.contains(text), "{text}: {lines:?}");
        }
    }
    let facts = document.facts.iter().flat_map(|(label, value)| [label, value]);
    let totals = document
        .totals
        .iter()
        .flat_map(|total| [&total.label, &total.value]);
    let parties = [&document.seller, &document.buyer].into_iter().flat_map(|party| {
        [&party.name]
            .into_iter()
            .chain(&party.address)
            .chain(&party.email)
            .chain(&party.tax_ids)
    });
    let others = [&document.title]
        .into_iter()
        .chain(&document.number)
        .chain(&document.state);
    for text in facts
        .chain(totals)
        .chain(parties)
        .chain(others)
        .chain(&document.notes)
    {
        assert!(lines.contains(text), "{text}: {lines:?}");
    }
    assert!(lines.contains(&"Page 1 of 1".to_owned()));
}

#[test]
fn a_column_in_which_there_is_nothing_is_not_shown() {
    let mut document = invoice();
    document.rows.iter_mut().for_each(|row| row.unit_price.clear());
    let lines = &printed(&document)[0];
    assert!(lines.contains(&"Quantity".to_owned()), "{lines:?}");
    assert!(!lines.contains(&"Unit price".to_owned()), "{lines:?}");
}

#[test]
fn a_long_table_goes_on() {
    let document = long(200);
    let pages = printed(&document);
    assert_eq!(pages.len(), 9);
    let mut amounts = Vec::new();
    for (at, lines) in pages.iter().enumerate() {
        for once in [
            format!("Page {} of 9", at + 1),
            "DRAFT".to_owned(),
            "Unit price".to_owned(),
        ] {
            assert_eq!(
                lines.iter().filter(|line| **line == once).count(),
                1,
                "{once}: {lines:?}"
            );
        }
        amounts.extend(lines.iter().filter(|line| line.starts_with("Service ")));
    }
    let expected = document
        .rows
        .iter()
        .map(|row| &row.description)
        .collect::<Vec<_>>();
    assert_eq!(amounts, expected);
    assert!(pages[8].contains(&"Amount due".to_owned()));
}

#[test]
fn a_row_higher_than_a_page_goes_on_too() {
    let mut document = invoice();
    document.rows[1].description = "m".repeat(10_000);
    document.rows[2].details = vec!["a\n".repeat(200)];
    let pages = printed(&document);
    assert!((5..12).contains(&pages.len()), "{}", pages.len());
    let letters = pages
        .iter()
        .flatten()
        .filter(|line| line.chars().all(|sign| sign == 'm'));
    assert_eq!(letters.map(String::len).sum::<usize>(), 10_000);
}

#[test]
fn what_the_font_lacks_is_seen() {
    let mut document = invoice();
    document.buyer.name = "株式会社 Acme".to_owned();
    document.rows[0].description = "שלום 👩\u{200d}🔧 a\u{7}b".to_owned();
    let lines = &printed(&document)[0];
    assert!(lines.contains(&"���� Acme".to_owned()), "{lines:?}");
    assert!(lines.contains(&"���� �� a�b".to_owned()), "{lines:?}");
}

#[test]
fn programs_are_told_what_it_is() {
    let bytes = pdf(&invoice()).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("/Title(Invoice INV-2026-000042)"));
    assert!(text.contains("/Author(Weatherly Maps GmbH)"));
    assert!(text.contains("/Lang(en)"));
    assert!(!text.contains("Date"));
}

#[test]
fn the_same_again() {
    for document in [Document::default(), invoice(), long(40)] {
        assert_eq!(pdf(&document).unwrap(), pdf(&document).unwrap());
    }
}

#[test]
fn nothing_to_say_is_one_page() {
    assert_eq!(printed(&Document::default()), [["Page 1 of 1"]]);
    let document = Document {
        rows: vec![Row::default()],
        ..Document::default()
    };
    assert_eq!(printed(&document).len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_document_can_be_printed(document in any_document()) {
        let pages = printed(&document);
        prop_assert!(!pages.is_empty());
        for (at, lines) in pages.iter().enumerate() {
            let foot = format!("Page {} of {}", at + 1, pages.len());
            prop_assert!(lines.contains(&foot), "{lines:?}");
        }
    }
}
