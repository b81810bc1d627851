//! Invoices and credit notes in words, for people: every amount and date as it is printed.

use domain::{
    invoice::{
        Invoice, Kind,
        credit_note::{CreditNote, Reason},
        line::{Detail, Line},
        party::Party,
        state::State,
        usage::{Counts, Part, Usage},
    },
    money::Money,
    tax::levy::TaxLine,
    time::Timestamp,
};
use gateway::document::{self, Document, Row, Total};

use super::view::{CreditNoteView, Filed, Listed};

/// What an address leads to, as it is printed. `pdf` is where its PDF is.
#[must_use]
pub fn printed(listed: &Listed, pdf: &str) -> Document {
    match listed {
        Listed::Invoice(filed) => invoice(filed, pdf),
        Listed::CreditNote(note, of) => credit_note(note, of, pdf),
    }
}

fn invoice(filed: &Filed, pdf: &str) -> Document {
    let it = &filed.invoice;
    let title = match it.kind {
        Kind::Purchase => "Receipt",
        Kind::Cycle | Kind::Fee => "Invoice",
    };
    Document {
        title: title.to_owned(),
        number: it.number.clone(),
        state: Some(state(it.state).to_owned()),
        facts: facts(it),
        seller: party(&it.seller),
        buyer: party(&it.buyer),
        rows: it.lines.iter().map(row).collect(),
        totals: totals(filed),
        notes: it.notes.clone(),
        pdf: Some(pdf.to_owned()),
        watermark: match it.state {
            State::Draft => Some("Draft".to_owned()),
            State::Void => Some("Void".to_owned()),
            _ => None,
        },
    }
}

fn credit_note(view: &CreditNoteView, of: &Filed, pdf: &str) -> Document {
    let note: &CreditNote = &view.note;
    let number = of.invoice.number.clone().unwrap_or_default();
    let mut totals = vec![total("Subtotal", note.net, false)];
    totals.extend(note.taxes.iter().map(tax));
    totals.push(total("Credited", note.total, true));
    Document {
        title: "Credit note".to_owned(),
        number: Some(note.number.clone()),
        facts: vec![
            fact("Date", date(note.issued_at)),
            fact("Invoice", number.clone()),
            fact("Reason", reason(note.reason).to_owned()),
        ],
        seller: party(&of.invoice.seller),
        buyer: party(&of.invoice.buyer),
        rows: vec![Row {
            description: format!("Taken back of invoice {number}"),
            amount: money(note.net),
            ..Row::default()
        }],
        totals,
        notes: of.invoice.notes.clone(),
        pdf: Some(pdf.to_owned()),
        ..Document::default()
    }
}

fn fact(label: &str, value: String) -> (String, String) {
    (label.to_owned(), value)
}

fn facts(it: &Invoice) -> Vec<(String, String)> {
    let dates = [
        ("Date", it.issued_at.or(Some(it.created_at))),
        ("Due", it.due_at.filter(|_| it.state.is_due())),
        ("Paid", it.paid_at),
    ];
    let mut facts: Vec<_> = dates
        .into_iter()
        .filter_map(|(label, at)| Some(fact(label, date(at?))))
        .collect();
    facts.extend(it.period.map(|period| fact("Period", period.in_words())));
    facts.extend(
        it.buyer
            .purchase_order
            .clone()
            .map(|order| fact("Purchase order", order)),
    );
    facts
}

fn state(state: State) -> &'static str {
    match state {
        State::Draft => "Draft",
        State::Open => "Open",
        State::PastDue => "Past due",
        State::Paid => "Paid",
        State::Void => "Void",
        State::Uncollectible => "Uncollectible",
    }
}

fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::BillingError => "Billed wrongly",
        Reason::Duplicate => "Billed before",
        Reason::Unsatisfactory => "Not as agreed",
        Reason::Cancelled => "Agreement ended or changed",
        Reason::TaxCorrection => "Correction of tax",
        Reason::Dispute => "Money returned through the bank",
        Reason::Goodwill => "Goodwill",
        Reason::Other => "Other",
    }
}

fn party(party: &Party) -> document::Party {
    let address = &party.address;
    let city = [
        address.postal_code.as_str(),
        address.city.as_str(),
        address.region.as_str(),
    ];
    let city = city
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>();
    let country = address.country.map(|country| country.code().to_owned());
    document::Party {
        name: party.name.clone(),
        address: vec![
            address.line1.clone(),
            address.line2.clone(),
            city.join(" "),
            country.unwrap_or_default(),
        ],
        email: party.email.clone(),
        tax_ids: party
            .tax_ids
            .iter()
            .map(|id| format!("{} {}", id.description, id.value))
            .collect(),
    }
}

fn row(line: &Line) -> Row {
    let mut row = match &line.detail {
        Detail::Usage(usage) => used(usage),
        Detail::Purchase(bought) => Row {
            quantity: grouped(&bought.credits.to_string()),
            unit_price: bought
                .price
                .map_or_else(String::new, |price| price.per_credit.to_string()),
            ..Row::default()
        },
        Detail::Fee(_) => Row::default(),
    };
    row.description.clone_from(&line.description);
    row.amount = money(line.amount);
    if let Detail::Fee(_) = line.detail {
        row.details.extend(line.period.map(|period| period.in_words()));
    }
    row.details.extend(line.note.clone());
    row
}

fn used(usage: &Usage) -> Row {
    let unit_price = match usage.parts.as_slice() {
        [only] => only.unit_price.to_string(),
        _ => String::new(),
    };
    let is_plain = matches!(usage.parts.as_slice(), [only] if only.counts == Counts::Units);
    let mut details = Vec::new();
    if !is_plain {
        details.extend(usage.parts.iter().map(part));
    }
    if usage.covered.minor != 0 {
        let by = if usage.credits.written_off.is_positive() {
            "prepaid or free credits, or written off"
        } else {
            "prepaid or free credits"
        };
        details.push(format!(
            "{} less {} covered by {by}",
            money(usage.full),
            money(usage.covered)
        ));
    }
    Row {
        quantity: format!("{} {}", grouped(&usage.units.to_string()), usage.unit)
            .trim_end()
            .to_owned(),
        unit_price: if is_plain { unit_price } else { String::new() },
        details,
        ..Row::default()
    }
}

/// A tier, such as `10,000 × 0.01 = 100.00 USD`.
fn part(part: &Part) -> String {
    let counted = match part.counts {
        Counts::Units => "",
        Counts::Events => " events",
        Counts::Packages => " packages",
        Counts::Credits => " credits",
    };
    let quantity = grouped(&part.quantity.to_string());
    format!(
        "{quantity}{counted} × {} = {}",
        part.unit_price,
        money(part.amount)
    )
}

fn totals(filed: &Filed) -> Vec<Total> {
    let it = &filed.invoice;
    let sums = it.totals;
    let mut totals = vec![total("Subtotal", sums.subtotal, false)];
    totals.extend(it.taxes.iter().map(tax));
    totals.push(total("Total", sums.total, true));
    let minus = |amount: Money| Money {
        minor: amount.minor.saturating_neg(),
        ..amount
    };
    for (label, amount) in [
        ("Credit balance applied", minus(sums.applied)),
        ("Added to credit balance", sums.carried),
        ("Credit notes", minus(filed.credited)),
    ] {
        if amount.minor != 0 {
            totals.push(total(label, amount, false));
        }
    }
    let left = it.outstanding(filed.credited).unwrap_or(sums.due);
    totals.push(total("To be paid", left, true));
    totals
}

fn total(label: &str, amount: Money, strong: bool) -> Total {
    Total {
        label: label.to_owned(),
        value: money(amount),
        strong,
    }
}

fn tax(line: &TaxLine) -> Total {
    let label = format!("{} {} %, {}", line.name, line.percent, line.country);
    total(&label, line.amount, false)
}

fn date(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

fn money(amount: Money) -> String {
    format!("{} {}", grouped(&amount.amount()), amount.currency)
}

/// A decimal number with commas between thousands.
fn grouped(number: &str) -> String {
    let (sign, rest) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (whole, places) = rest
        .split_once('.')
        .map_or((rest, None), |(whole, places)| (whole, Some(places)));
    let mut text = sign.to_owned();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if let Some(places) = places {
        text.push('.');
        text.push_str(places);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_grouped() {
        for (number, shown) in [
            ("0", "0"),
            ("999", "999"),
            ("1000", "1,000"),
            ("-1234567.50", "-1,234,567.50"),
            ("123456", "123,456"),
            ("0.0004", "0.0004"),
        ] {
            assert_eq!(grouped(number), shown);
        }
    }
}
