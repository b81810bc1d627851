//! What becomes of an invoice or a receipt when its money goes back: a credit note, so that the taxes are right. The money has gone where it
//! came from, and not to the customer's credit balance.

use domain::{
    event::EventType,
    id::ReturnId,
    invoice::credit_note::Reason,
    money::Money,
    payment::{
        Payment,
        returned::{Kind, Return},
    },
    rejection::{Rejection, RejectionCode},
};

use super::{correct::note_in, event, kept::kept_in, store, view::Filed};
use crate::{error::Result, failpoint::reach, op::Op};

/// The invoice that a payment paid, or its receipt. One statement.
async fn of_payment(op: &Op, payment: &Payment) -> Result<Option<Filed>> {
    match payment.invoice {
        Some(id) => store::any_invoice(op.tx(), id).await,
        None => store::by_source(op.tx(), payment.tenant, &format!("payment:{}", payment.id)).await,
    }
}

/// What credit notes have left of an invoice on paper, in minor units.
fn left(filed: &Filed) -> i64 {
    let whole = filed.invoice.totals.total.minor;
    whole.saturating_sub(filed.credited.minor).max(0)
}

/// Checks that money of a payment can go back as far as its invoice or receipt is concerned: what has gone to the customer's credit balance
/// does not go back to the card as well, and no more is on its way back than was kept. One statement, four more where there is one.
pub(crate) async fn check_refund_in(op: &Op, payment: &Payment, amount: Money) -> Result<()> {
    let Some(filed) = of_payment(op, payment).await? else {
        return Ok(());
    };
    let rest = kept_in(op, &filed).await?.refundable();
    if amount.minor > rest {
        let rest = Money::of(rest, filed.invoice.currency);
        let message =
            format!("credit notes, the credit balance and other refunds have left {rest} that could go back");
        return Err(Rejection::new(RejectionCode::InvoiceState, "amount", message).into());
    }
    Ok(())
}

/// The number of the credit note that was written for money which went back. It stands when that has come again, and covers what goes back of
/// the invoice next. One statement.
pub(crate) async fn note_of_return_in(op: &Op, id: ReturnId) -> Result<Option<String>> {
    store::note_of_return(op.tx(), id).await
}

/// Writes the credit note for money that went back, if there is an invoice or a receipt. Seven statements.
pub(crate) async fn returned_in(op: &Op, payment: &Payment, it: &Return) -> Result<()> {
    let Some(mut filed) = of_payment(op, payment).await? else {
        return Ok(());
    };
    let total = Money::of(it.amount.minor.min(left(&filed)), filed.invoice.currency);
    // The money went back all the same, and is booked.
    if total.minor == 0 || !filed.invoice.state.is_issued() {
        tracing::warn!(refund = %it.id, invoice = %filed.invoice.id, "nothing is left of the invoice to take back");
        return Ok(());
    }
    let reason = match it.kind {
        Kind::Refund => Reason::Other,
        Kind::Dispute => Reason::Dispute,
    };
    note_in(op, &filed, total, reason, Some(it.id)).await?;
    filed.credited.minor = filed.credited.minor.saturating_add(total.minor);
    store::write(op, &filed).await?;
    event::tell(op, EventType::InvoiceCreditNoteCreated, &filed).await?;
    reach("invoice.refunded")
}
