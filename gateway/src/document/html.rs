//! A document as one page of HTML: no scripts, nothing from elsewhere, and nothing of what it says taken for markup.

use std::fmt::{self, Display, Write};

use url::Url;

use super::{
    Document, Party, Row, Total,
    clean::clean,
    number::{NUMBERS, Number},
    words,
};

/// How it looks, on a screen, on a telephone and on paper.
const STYLE: &str = include_str!("page.css");
/// Were something taken for markup after all, it could neither run nor reach anything.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The page.
#[must_use]
pub fn html(document: &Document) -> String {
    let mut out = String::new();
    // Writing to a `String` cannot fail.
    let _ = page(&mut out, document);
    out
}

/// Text in which nothing is markup, between tags and between quotes.
struct Safe<'a>(&'a str);

impl Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for sign in clean(self.0).chars() {
            match sign {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                sign => f.write_char(sign)?,
            }
        }
        Ok(())
    }
}

/// Whether a link may lead there. Browsers drop tabs and line ends from addresses and take `\` for `/`, so that `/\host` and `/⇥/host`
/// would lead to another host: an address with any of them is none.
fn is_link(address: &str) -> bool {
    let plain = !address
        .chars()
        .any(|sign| sign.is_control() || sign.is_whitespace() || sign == '\\');
    let elsewhere = ["http://", "https://"]
        .into_iter()
        .any(|scheme| address.starts_with(scheme))
        && Url::parse(address).is_ok();
    plain && (elsewhere || address.starts_with('/') && !address.starts_with("//"))
}

/// All of it.
fn page(out: &mut String, document: &Document) -> fmt::Result {
    let language = words::LANGUAGE;
    let name = document.name();
    writeln!(
        out,
        "<!DOCTYPE html>\n<html lang=\"{language}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"robots\" content=\"noindex\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>",
        Safe(&name)
    )?;
    if let Some(word) = shown(document.watermark.as_deref()) {
        writeln!(out, "<p class=\"watermark\"><span>{}</span></p>", Safe(word))?;
    }
    head(out, document)?;
    facts(out, &document.facts)?;
    parties(out, document)?;
    table(out, &document.rows)?;
    totals(out, &document.totals)?;
    notes(out, &document.notes)?;
    out.push_str("</main>\n</body>\n</html>\n");
    Ok(())
}

/// A text that is there.
fn shown(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

/// What it is, and whose.
fn head(out: &mut String, document: &Document) -> fmt::Result {
    writeln!(
        out,
        "<header>\n<div>\n<h1 dir=\"auto\">{}</h1>",
        Safe(&document.title)
    )?;
    if let Some(number) = shown(document.number.as_deref()) {
        writeln!(out, "<p class=\"number\" dir=\"auto\">{}</p>", Safe(number))?;
    }
    if let Some(state) = shown(document.state.as_deref()) {
        writeln!(out, "<p class=\"state\" dir=\"auto\">{}</p>", Safe(state))?;
    }
    out.push_str("</div>\n<div class=\"aside\">\n");
    if let Some(name) = shown(Some(&document.seller.name)) {
        writeln!(out, "<p class=\"seller\" dir=\"auto\">{}</p>", Safe(name))?;
    }
    if let Some(address) = document.pdf.as_deref().filter(|address| is_link(address)) {
        writeln!(
            out,
            "<p class=\"download\"><a href=\"{}\">{}</a></p>",
            Safe(address),
            words::DOWNLOAD
        )?;
    }
    out.push_str("</div>\n</header>\n");
    Ok(())
}

/// Dates, periods, numbers of orders.
fn facts(out: &mut String, facts: &[(String, String)]) -> fmt::Result {
    if facts.is_empty() {
        return Ok(());
    }
    out.push_str("<dl class=\"facts\">\n");
    for (label, value) in facts {
        writeln!(
            out,
            "<div><dt dir=\"auto\">{}</dt><dd dir=\"auto\">{}</dd></div>",
            Safe(label),
            Safe(value)
        )?;
    }
    out.push_str("</dl>\n");
    Ok(())
}

/// Who sells and who buys.
fn parties(out: &mut String, document: &Document) -> fmt::Result {
    out.push_str("<div class=\"parties\">\n");
    for (label, party) in [(words::SELLER, &document.seller), (words::BUYER, &document.buyer)] {
        if !party.is_empty() {
            one_party(out, label, party)?;
        }
    }
    out.push_str("</div>\n");
    Ok(())
}

/// One of them.
fn one_party(out: &mut String, label: &str, party: &Party) -> fmt::Result {
    writeln!(out, "<section>\n<h2>{label}</h2>")?;
    if let Some(name) = shown(Some(&party.name)) {
        writeln!(out, "<p class=\"name\" dir=\"auto\">{}</p>", Safe(name))?;
    }
    for line in party.lines() {
        writeln!(out, "<p dir=\"auto\">{}</p>", Safe(line))?;
    }
    out.push_str("</section>\n");
    Ok(())
}

/// What was bought.
fn table(out: &mut String, rows: &[Row]) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    let numbers = NUMBERS
        .iter()
        .filter(|number| number.is_used(rows))
        .collect::<Vec<_>>();
    write!(
        out,
        "<table class=\"rows\">\n<thead>\n<tr><th scope=\"col\">{}</th>",
        words::DESCRIPTION
    )?;
    for number in &numbers {
        write!(out, "<th scope=\"col\">{}</th>", number.label)?;
    }
    out.push_str("</tr>\n</thead>\n<tbody>\n");
    for row in rows {
        write!(
            out,
            "<tr><th scope=\"row\"><p dir=\"auto\">{}</p>",
            Safe(&row.description)
        )?;
        for detail in &row.details {
            write!(out, "<p class=\"detail\" dir=\"auto\">{}</p>", Safe(detail))?;
        }
        out.push_str("</th>");
        for Number { label, of } in &numbers {
            write!(
                out,
                "<td data-label=\"{label}\"><bdi>{}</bdi></td>",
                Safe(of(row))
            )?;
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n");
    Ok(())
}

/// What it comes to.
fn totals(out: &mut String, totals: &[Total]) -> fmt::Result {
    if totals.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<table class=\"totals\" aria-label=\"{}\">\n<tbody>",
        words::TOTALS
    )?;
    for total in totals {
        let class = if total.strong { " class=\"strong\"" } else { "" };
        writeln!(
            out,
            "<tr{class}><th scope=\"row\"><bdi>{}</bdi></th><td><bdi>{}</bdi></td></tr>",
            Safe(&total.label),
            Safe(&total.value)
        )?;
    }
    out.push_str("</tbody>\n</table>\n");
    Ok(())
}

/// What else must be said.
fn notes(out: &mut String, notes: &[String]) -> fmt::Result {
    if notes.is_empty() {
        return Ok(());
    }
    out.push_str("<footer>\n");
    for note in notes {
        writeln!(out, "<p dir=\"auto\">{}</p>", Safe(note))?;
    }
    out.push_str("</footer>\n");
    Ok(())
}

#[cfg(test)]
mod tests;
