//! Receipts: the invoices of payments for credits, which are paid when they are made.

use domain::{
    id::InvoiceId,
    invoice::{
        Kind,
        draft::{Draft, draft},
        purchase,
    },
    money::Money,
    payment::Payment,
    plan::money_price::CreditPrice,
    time::Timestamp,
};

use super::{
    issue::{self, Made},
    party, store,
};
use crate::{actor::Reach, error::Result, op::Op};

/// Writes the receipt of a payment that became credits, if the vendor bills at all. The account is locked. One statement when it does not,
/// nine when it does.
pub(crate) async fn receipt_in(
    op: &mut Op,
    payment: &Payment,
    price: Option<CreditPrice>,
    expires_at: Option<Timestamp>,
) -> Result<()> {
    let (tenant, customer) = (payment.tenant, payment.customer);
    let Some(setting) = store::setting(op.tx(), tenant).await? else {
        return Ok(());
    };
    let terms = setting.terms;
    let buyer = party::buyer(op.tx(), Reach::of(tenant), customer).await?;
    let bought = purchase::Purchase {
        payment: Some(payment.id),
        credits: payment.credits,
        price,
        expires_at,
    };
    let currency = payment.amount.currency;
    let wanted = Draft {
        id: InvoiceId(op.new_id()),
        tenant,
        customer,
        cycle: None,
        kind: Kind::Purchase,
        currency,
        period: None,
        seller: terms.printed_seller(),
        buyer: buyer.party.clone(),
        lines: vec![purchase::line(bought, payment.amount)],
        prices: terms.prices,
        balance: Money::of(0, currency),
        now: op.present(),
    };
    let treatment = terms.treat(&buyer.party, &buyer.registrations);
    let mut invoice = match draft(wanted, &treatment) {
        Ok(invoice) => invoice,
        // What was paid for is granted all the same.
        Err(no) => {
            tracing::error!(payment = %payment.id, %no, "a payment has no receipt");
            return Ok(());
        }
    };
    invoice.notes.extend(terms.footer.clone());
    let made = Made {
        invoice,
        source: format!("payment:{}", payment.id),
    };
    issue::file_in(op, &terms, made).await?;
    Ok(())
}
