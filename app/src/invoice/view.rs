//! What is read of invoices.

use domain::{
    id::{CreditNoteId, CustomerId, InvoiceId, TenantId},
    invoice::{Invoice, credit_note::CreditNote},
    money::Money,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::store;
use crate::{
    App,
    actor::{Actor, Scope},
    error::{Error, Result},
    page::{Page, Slice},
};

/// An invoice, and what has become of it since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filed {
    /// What it says.
    pub invoice: Invoice,
    /// What credit notes have taken back of it, zero or more.
    pub credited: Money,
    /// What its payments took beyond what was left to pay, and the credit balance has, in minor units; zero or more.
    #[serde(default)]
    pub overpaid: i64,
    /// What was paid for a renewal that renewed nothing, and the credit balance has without a credit note, in minor units; zero or more.
    #[serde(default)]
    pub unused: i64,
    /// What the address of its document ends with. Whoever knows it may read the document.
    pub link: String,
    /// When something has to be done about it.
    pub next_at: Option<Timestamp>,
    /// Its place in the vendor's sequence.
    pub ordinal: Option<i64>,
}

impl Filed {
    /// Who sells, and who pays.
    pub(super) fn owner(&self) -> (TenantId, CustomerId) {
        (self.invoice.tenant, self.invoice.customer)
    }

    /// What is still to be paid.
    pub(super) fn outstanding(&self) -> Result<Money> {
        let left = self.invoice.outstanding(self.credited);
        left.map_err(|no| Error::Internal(no.to_string()))
    }
}

/// A credit note with the address of its document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditNoteView {
    /// What it says.
    pub note: CreditNote,
    /// What the address of its document ends with.
    pub link: String,
}

/// Where documents are, below the address of the API.
pub const DOCUMENTS: &str = "/documents/";
/// What tells a PDF from a page.
const PDF: &str = ".pdf";

/// The path of the page of an invoice or a credit note.
#[must_use]
pub fn page_path(link: &str) -> String {
    format!("{DOCUMENTS}{link}")
}

/// The path of its PDF.
#[must_use]
pub fn pdf_path(link: &str) -> String {
    format!("{DOCUMENTS}{link}{PDF}")
}

/// What an address leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// An invoice.
    Invoice(Box<Filed>),
    /// A credit note, and the invoice that it takes back a part of.
    CreditNote(Box<CreditNoteView>, Box<Filed>),
}

/// One invoice.
///
/// # Errors
/// The scope is missing.
pub async fn invoice(app: &App, actor: &Actor, id: InvoiceId) -> Result<Option<Filed>> {
    actor.require(Scope::InvoiceRead)?;
    store::invoice(app.db().reader(), actor.reach(), id).await
}

/// A customer's invoices and receipts, newest first.
///
/// # Errors
/// The scope is missing.
pub async fn invoices(
    app: &App,
    actor: &Actor,
    customer: CustomerId,
    page: Page<InvoiceId>,
) -> Result<Slice<Filed>> {
    actor.require(Scope::InvoiceRead)?;
    store::invoices(app.db().reader(), actor.reach(), customer, false, page).await
}

/// What a customer has to pay: open and past due, newest first (source P2).
///
/// # Errors
/// The scope is missing.
pub async fn payments_due(
    app: &App,
    actor: &Actor,
    customer: CustomerId,
    page: Page<InvoiceId>,
) -> Result<Slice<Filed>> {
    actor.require(Scope::InvoiceRead)?;
    store::invoices(app.db().reader(), actor.reach(), customer, true, page).await
}

/// What credit notes and invoices below zero have left to a customer, by currency.
///
/// # Errors
/// The scope is missing.
pub async fn money_balances(app: &App, actor: &Actor, customer: CustomerId) -> Result<Vec<Money>> {
    actor.require(Scope::InvoiceRead)?;
    store::money_balances(app.db().reader(), actor.reach(), customer).await
}

/// The credit notes of an invoice, oldest first. One statement.
///
/// # Errors
/// The scope is missing.
pub async fn credit_notes(app: &App, actor: &Actor, invoice: InvoiceId) -> Result<Vec<CreditNoteView>> {
    actor.require(Scope::InvoiceRead)?;
    store::credit_notes(app.db().reader(), actor.reach(), invoice).await
}

/// What an address leads to: whoever has it may read it. One statement, two for a credit note, two for an address that leads nowhere.
///
/// # Errors
/// The database is out of reach.
pub async fn document_by_link(app: &App, link: &str) -> Result<Option<Listed>> {
    let db = app.db().reader();
    if let Some(filed) = store::invoice_by_link(db, link).await? {
        return Ok(Some(Listed::Invoice(Box::new(filed))));
    }
    let Some((note, invoice)) = store::credit_note_by_link(db, link).await? else {
        return Ok(None);
    };
    let filed = store::any_invoice(db, invoice).await?;
    Ok(filed.map(|filed| Listed::CreditNote(Box::new(note), Box::new(filed))))
}

impl CreditNoteView {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> CreditNoteId {
        self.note.id
    }
}
