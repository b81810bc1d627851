//! Filing drafts, and issuing them with the next number of their vendor.

use domain::{
    event::EventType,
    invoice::{
        Invoice, Kind,
        number::Sequence,
        state::{Refused, State},
        terms::BillingTerms,
    },
    money::Money,
    rejection::{Rejection, RejectionCode},
    time::Timestamp,
};

use super::{event, renewal, store, view::Filed};
use crate::{
    access,
    error::{Error, Result},
    failpoint::reach,
    op::Op,
};

/// An invoice that has been put together.
pub(super) struct Made {
    pub(super) invoice: Invoice,
    /// What it was made of: nothing is billed twice.
    pub(super) source: String,
}

/// Files a draft, and issues it unless drafts wait. The account is locked. Six statements when it is issued.
pub(super) async fn file_in(op: &mut Op, terms: &BillingTerms, made: Made) -> Result<Filed> {
    let currency = made.invoice.currency;
    let mut filed = Filed {
        next_at: Some(made.invoice.created_at.plus_seconds(terms.draft_seconds)),
        credited: Money::of(0, currency),
        overpaid: 0,
        unused: 0,
        link: access::secret(""),
        ordinal: None,
        invoice: made.invoice,
    };
    let waits = terms.draft_seconds > 0 && filed.invoice.kind != Kind::Purchase;
    if !waits {
        number(op, terms, &mut filed).await?;
    }
    store::insert(op, &filed, &made.source).await?;
    reach("invoice.filed")?;
    if waits {
        event::tell(op, EventType::InvoiceDrafted, &filed).await
    } else {
        issued(op, &filed).await
    }?;
    Ok(filed)
}

/// Issues a draft that has been filed. Five statements.
pub(super) async fn issue_in(op: &mut Op, terms: &BillingTerms, filed: &mut Filed) -> Result<()> {
    number(op, terms, filed).await?;
    store::write(op, filed).await?;
    issued(op, filed).await
}

/// Gives a draft the next number. What it takes from the customer's credit balance and what it adds to it is booked now.
async fn number(op: &Op, terms: &BillingTerms, filed: &mut Filed) -> Result<()> {
    let (tenant, customer) = filed.owner();
    let balance = store::money(op.tx(), customer, filed.invoice.currency).await?;
    filed.invoice = filed.invoice.with_balance(balance);
    let totals = filed.invoice.totals;
    let change = totals.carried.minor.saturating_sub(totals.applied.minor);
    if change != 0 {
        store::move_money(op, filed, change).await?;
    }
    let ordinal = store::next_number(op, tenant, Sequence::Invoice).await?;
    let number = numbered(terms, Sequence::Invoice, ordinal)?;
    let now = op.present();
    filed.invoice = filed
        .invoice
        .finalise(number, now, terms.net_days)
        .map_err(refused)?;
    filed.ordinal = Some(ordinal);
    filed.next_at = next_at(&filed.invoice, terms, now);
    Ok(())
}

/// The number of a place in a sequence.
pub(super) fn numbered(terms: &BillingTerms, sequence: Sequence, ordinal: i64) -> Result<String> {
    terms
        .prefix
        .number(sequence, ordinal)
        .map_err(|no| Error::Internal(no.to_string()))
}

/// When somebody has to look at an invoice that was just issued: at once where it is to be charged, else when its term ends.
fn next_at(invoice: &Invoice, terms: &BillingTerms, now: Timestamp) -> Option<Timestamp> {
    match invoice.state {
        State::Open if terms.collects => Some(now),
        State::Open => invoice.due_at,
        // Nothing was to be paid, and it renews all the same.
        State::Paid if renewal::renews(invoice).is_some() => Some(now),
        _ => None,
    }
}

async fn issued(op: &mut Op, filed: &Filed) -> Result<()> {
    event::tell(op, EventType::InvoiceFinalized, filed).await?;
    if filed.invoice.state == State::Paid {
        event::tell(op, EventType::InvoicePaid, filed).await?;
    }
    if filed.next_at.is_some_and(|next| next <= op.present()) {
        op.wake(crate::job::invoices::wakeup(filed.invoice.customer));
    }
    reach("invoice.issued")
}

/// A step that the state of an invoice does not allow.
pub(super) fn refused(no: Refused) -> Error {
    Rejection::new(RejectionCode::InvoiceState, "", no.to_string()).into()
}
