//! Documents for tests.

use proptest::{collection::vec, option, prelude::*};

use super::{Document, Party, Row, Total};

/// An invoice as it may be: three alphabets, tiers, a reverse charge.
pub(super) fn invoice() -> Document {
    let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let row = |description: &str, details: &[&str], [quantity, unit_price, amount]: [&str; 3]| Row {
        description: description.to_owned(),
        details: owned(details),
        quantity: quantity.to_owned(),
        unit_price: unit_price.to_owned(),
        amount: amount.to_owned(),
    };
    let total = |label: &str, value: &str, strong| Total {
        label: label.to_owned(),
        value: value.to_owned(),
        strong,
    };
    let fact = |label: &str, value: &str| (label.to_owned(), value.to_owned());
    Document {
        title: "Invoice".to_owned(),
        number: Some("INV-2026-000042".to_owned()),
        state: Some("Past due".to_owned()),
        facts: vec![
            fact("Issue date", "1 April 2026"),
            fact("Due date", "15 April 2026"),
            fact("Period", "1 March 2026 – 31 March 2026"),
            fact("Purchase order", "PO-77120/Λ"),
        ],
        seller: Party {
            name: "Weatherly Maps GmbH".to_owned(),
            address: owned(&["Torstraße 140", "10119 Berlin", "Germany"]),
            email: Some("billing@weatherly.example".to_owned()),
            tax_ids: owned(&["VAT number DE 811 569 869"]),
        },
        buyer: Party {
            name: "Ελληνικά Ταχυδρομεία Α.Ε.".to_owned(),
            address: owned(&[
                "Οδός Ερμού 12, Γ΄ όροφος",
                "c/o Кириллица ООО, ul. Żwirki 7, Łódź",
                "105 63 Αθήνα",
                "Ελλάδα",
            ]),
            email: Some("logistirio@example.gr".to_owned()),
            tax_ids: owned(&["VAT number EL 094 259 216"]),
        },
        rows: vec![
            row("Plan “Scale”, April 2026", &[], ["1", "$499.00", "$499.00"]),
            row(
                "Map tiles, March 2026",
                &[
                    "10,000 × $0.01 = $100.00",
                    "240,000 × $0.0075 = $1,800.00",
                    "Covered by prepaid credits: −$350.00",
                ],
                ["250,000", "", "$1,550.00"],
            ),
            row(
                "Geocoding of addresses in the European Union with rooftop accuracy, billed per request that was \
                 answered with at least one result",
                &[],
                ["1,250,000.5", "$0.000125", "$156.25"],
            ),
            row("Καταγραφή θέσης — Отслеживание", &[], ["12", "$8.00", "$96.00"]),
        ],
        totals: vec![
            total("Subtotal", "$2,301.25", false),
            total("VAT 0% (reverse charge)", "$0.00", false),
            total("Total", "$2,301.25", true),
            total("Applied from credit balance", "−$301.25", false),
            total("Amount due", "$2,000.00", true),
        ],
        notes: owned(&[
            "Reverse charge: the recipient of the service is liable for VAT, under Article 196 of Directive 2006/112/EC.",
            "Please pay to IBAN DE89 3704 0044 0532 0130 00 and name the number of the invoice.",
        ]),
        pdf: Some("/documents/INV-2026-000042.pdf".to_owned()),
        watermark: None,
    }
}

/// One with that many rows, a draft.
pub(super) fn long(rows: usize) -> Document {
    let row = |number: usize| Row {
        description: format!("Service {number}, March 2026"),
        details: if number.is_multiple_of(3) {
            vec![format!("{number} × $1.00 = ${number}.00")]
        } else {
            Vec::new()
        },
        quantity: number.to_string(),
        unit_price: "$1.00".to_owned(),
        amount: format!("${number}.00"),
    };
    Document {
        number: None,
        state: Some("Draft".to_owned()),
        watermark: Some("Draft".to_owned()),
        rows: (1..=rows).map(row).collect(),
        ..invoice()
    }
}

/// A text nobody should send: markup, control characters, other directions, pictures, and what is found by chance.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "\\PC{0,12}",
        2 => any::<String>(),
        2 => "[<>&\"'/=` a-z\\-!]{1,12}",
        1 => Just("</style><script>alert(1)</script>".to_owned()),
        1 => Just("\"><img src=x onerror=alert(1)>".to_owned()),
        1 => Just("--><!--]]><![CDATA[".to_owned()),
        1 => Just("\0\u{1b}\u{7f}\r\n\t\u{202e}\u{feff}".to_owned()),
        1 => Just("שלום مرحبا 👩\u{200d}🔧 e\u{301} ﷽".to_owned()),
    ];
    prop_oneof![1 => Just(String::new()), 9 => vec(piece, 1..4).prop_map(|pieces| pieces.concat())]
}

/// An address, good or bad.
fn address() -> impl Strategy<Value = String> {
    let start = proptest::sample::select(vec![
        "",
        "/",
        "//",
        "/\\",
        "/\t/",
        "http://",
        "https://",
        "HTTPS://",
        "javascript:",
        "data:",
        "//http://",
    ]);
    (start, text()).prop_map(|(start, rest)| format!("{start}{rest}"))
}

prop_compose! {
    fn party()(name in text(), address in vec(text(), 0..4), email in option::of(text()), tax_ids in vec(text(), 0..3)) -> Party {
        Party { name, address, email, tax_ids }
    }
}

prop_compose! {
    fn row()(
        description in text(), details in vec(text(), 0..4), quantity in text(), unit_price in text(), amount in text(),
    ) -> Row {
        Row { description, details, quantity, unit_price, amount }
    }
}

prop_compose! {
    fn total()(label in text(), value in text(), strong in any::<bool>()) -> Total {
        Total { label, value, strong }
    }
}

prop_compose! {
    /// Any document.
    pub(super) fn any_document()(
        (title, number, state) in (text(), option::of(text()), option::of(text())),
        facts in vec((text(), text()), 0..5),
        (seller, buyer) in (party(), party()),
        rows in vec(row(), 0..6),
        totals in vec(total(), 0..5),
        notes in vec(text(), 0..4),
        (pdf, watermark) in (option::of(address()), option::of(text())),
    ) -> Document {
        Document { title, number, state, facts, seller, buyer, rows, totals, notes, pdf, watermark }
    }
}
