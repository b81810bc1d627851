//! What of an invoice's money is still kept, read under the lock on its customer's account.

use domain::{
    id::PaymentId,
    invoice::{
        Kind,
        kept::{Kept, returned},
        line::Detail,
    },
    payment::{Payment, State},
};

use super::{store, view::Filed};
use crate::{actor::Reach, error::Result, op::Op, payment};

/// Where the money of an invoice or a receipt is. Three statements, one where nothing of it was charged.
pub(super) async fn kept_in(op: &Op, filed: &Filed) -> Result<Kept> {
    let mut kept = Kept {
        total: filed.invoice.totals.total.minor,
        credited: filed.credited.minor,
        overpaid: filed.overpaid,
        unused: filed.unused,
        ..Kept::default()
    };
    let payments = payments(op, filed).await?;
    if payments.is_empty() {
        return Ok(kept);
    }
    let ids: Vec<PaymentId> = payments.iter().map(|payment| payment.id).collect();
    let reach = Reach::of(filed.invoice.tenant);
    kept.returned = returned(&payment::returns_of_in(op.tx(), reach, &ids).await?);
    kept.noted = store::noted(op.tx(), filed.invoice.id).await?;
    let paid = payments.iter().filter(|it| it.progress.state == State::Succeeded);
    kept.paid = paid.fold(0, |sum, it| sum.saturating_add(it.amount.minor));
    Ok(kept)
}

/// With what an invoice was paid, or what a receipt is of.
async fn payments(op: &Op, filed: &Filed) -> Result<Vec<Payment>> {
    if filed.invoice.kind != Kind::Purchase {
        return payment::of_invoice_in(op.tx(), filed.invoice.id).await;
    }
    let of = filed.invoice.lines.iter().find_map(|line| match &line.detail {
        Detail::Purchase(bought) => bought.payment,
        _ => None,
    });
    match of {
        Some(id) => Ok(payment::any_in(op.tx(), id).await?.into_iter().collect()),
        None => Ok(Vec::new()),
    }
}
