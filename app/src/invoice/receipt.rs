//! Receipts: the invoices of payments for credits, which are paid when they are made.

use domain::{
    invoice::{Kind, purchase},
    payment::Payment,
    plan::money_price::CreditPrice,
    time::Timestamp,
};

use super::{
    draft::{Wanted, make},
    issue, store,
};
use crate::{
    error::{Error, Result},
    op::Op,
};

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
    let bought = purchase::Purchase {
        payment: Some(payment.id),
        credits: payment.credits,
        price,
        expires_at,
    };
    let wanted = Wanted {
        tenant,
        customer,
        cycle: None,
        kind: Kind::Purchase,
        currency: payment.amount.currency,
        period: None,
        lines: vec![purchase::line(bought, payment.amount)],
        source: format!("payment:{}", payment.id),
    };
    let made = match make(op, &terms, wanted).await {
        Err(Error::Rejected(no)) => {
            // What was paid for is granted all the same.
            tracing::error!(payment = %payment.id, %no, "a payment has no receipt");
            return Ok(());
        }
        made => made?,
    };
    issue::file_in(op, &terms, made).await?;
    Ok(())
}
