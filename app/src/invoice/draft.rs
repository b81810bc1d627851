//! Putting invoices together, on the vendor's terms and for who buys.

use domain::{
    cycle::CycleRef,
    id::{CustomerId, InvoiceId, TenantId},
    invoice::{
        Kind,
        draft::{Draft, draft},
        line::Line,
        terms::BillingTerms,
    },
    money::{Currency, Money},
    time::Period,
};

use super::{issue::Made, party};
use crate::{actor::Reach, error::Result, op::Op};

/// What an invoice is to be about.
pub(super) struct Wanted {
    pub(super) tenant: TenantId,
    pub(super) customer: CustomerId,
    pub(super) cycle: Option<CycleRef>,
    pub(super) kind: Kind,
    pub(super) currency: Currency,
    pub(super) period: Option<Period>,
    pub(super) lines: Vec<Line>,
    /// What it is made of: nothing is billed twice.
    pub(super) source: String,
}

/// Puts a draft together. Two statements.
///
/// # Errors
/// Lines that make no invoice.
pub(super) async fn make(op: &Op, terms: &BillingTerms, wanted: Wanted) -> Result<Made> {
    let (tenant, customer) = (wanted.tenant, wanted.customer);
    let buyer = party::buyer(op.tx(), Reach::of(tenant), customer).await?;
    let treatment = terms.treat(&buyer.party, &buyer.registrations);
    let all = Draft {
        id: InvoiceId(op.new_id()),
        tenant,
        customer,
        cycle: wanted.cycle,
        kind: wanted.kind,
        currency: wanted.currency,
        period: wanted.period,
        seller: terms.printed_seller(),
        buyer: buyer.party,
        lines: wanted.lines,
        prices: terms.prices,
        // It pays when the invoice is issued.
        balance: Money::of(0, wanted.currency),
        now: op.present(),
    };
    let mut invoice = draft(all, &treatment)?;
    invoice.notes.extend(terms.footer.clone());
    Ok(Made {
        invoice,
        source: wanted.source,
    })
}
