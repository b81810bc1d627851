//! Invoices, receipts and credit notes as people read them: what is said, and the two ways to set it.
//!
//! A [`Document`] is words only. Amounts, quantities and dates have been put into words by whoever made it, so a page of HTML and a PDF
//! made of the same document say the same, and a document that is kept says the same for ever.

pub(crate) mod clean;
mod html;
mod number;
mod pdf;
#[cfg(test)]
mod samples;
mod words;

pub use html::html;
pub use pdf::{Unprintable, pdf};

/// What stands on an invoice, a receipt or a credit note, in the order in which it is shown. What is empty is not shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    /// What it is: "Invoice", "Receipt", "Credit note".
    pub title: String,
    /// Its number; `None`: it has none yet.
    pub number: Option<String>,
    /// Where it stands, in words: "Paid", "Past due".
    pub state: Option<String>,
    /// Dates, periods, numbers of orders: what each is called, and what it is.
    pub facts: Vec<(String, String)>,
    /// Who sells.
    pub seller: Party,
    /// Who pays.
    pub buyer: Party,
    /// What was bought.
    pub rows: Vec<Row>,
    /// What it comes to.
    pub totals: Vec<Total>,
    /// What else must be said, a paragraph each.
    pub notes: Vec<String>,
    /// Where the page of HTML finds the PDF: `http`, `https`, or a path of the same host. Another address is not shown.
    pub pdf: Option<String>,
    /// A word across every page, for what must not be taken for an invoice: "Draft", "Void".
    pub watermark: Option<String>,
}

/// A seller or buyer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Party {
    /// Name of the company or person.
    pub name: String,
    /// Its address, line by line.
    pub address: Vec<String>,
    /// Its e-mail address.
    pub email: Option<String>,
    /// Its tax numbers, each with what it is called.
    pub tax_ids: Vec<String>,
}

/// A row of the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// What it is for.
    pub description: String,
    /// How it came about, in small print: "10,000 × $0.01 = $100.00".
    pub details: Vec<String>,
    /// How much of it.
    pub quantity: String,
    /// What one costs.
    pub unit_price: String,
    /// What all cost.
    pub amount: String,
}

/// A row below the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Total {
    /// What it is called.
    pub label: String,
    /// What it comes to.
    pub value: String,
    /// Whether it is one of those that are looked for: the total, what is to be paid.
    pub strong: bool,
}

impl Document {
    /// The title with the number.
    fn name(&self) -> String {
        [Some(self.title.as_str()), self.number.as_deref()]
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

impl Party {
    /// What stands below the name.
    fn lines(&self) -> impl Iterator<Item = &str> {
        let lines = self.address.iter().chain(&self.email).chain(&self.tax_ids);
        lines.map(String::as_str).filter(|line| !line.is_empty())
    }

    /// Whether there is nothing to show.
    fn is_empty(&self) -> bool {
        self.name.is_empty() && self.lines().next().is_none()
    }
}
