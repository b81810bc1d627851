//! The job that makes invoices of cycles that have closed, and does what time makes due of invoices. Its subjects are customers.

use domain::id::CustomerId;

use super::{Kind, Lane, Wakeup, customers, names};
use crate::invoice;

pub(crate) const KIND: Kind = Kind {
    name: "invoice.advance",
    lane: Lane::Payments,
    together: |_| 1,
    run: |app, subjects, _| {
        Box::pin(async move {
            let mut more = false;
            for customer in customers(subjects)? {
                // What is older first; and what cannot be collected keeps nothing from being billed.
                let collected = invoice::collect(app, customer).await;
                more |= invoice::bill(app, customer).await?;
                more |= collected?;
            }
            Ok(more)
        })
    },
    due: |app| {
        Box::pin(async move {
            let mut due: Vec<CustomerId> = invoice::to_bill(app).await?;
            due.extend(invoice::due(app).await?);
            due.sort_unstable();
            due.dedup();
            Ok(names(&due))
        })
    },
};

/// What has a customer's invoices looked at.
pub(crate) fn wakeup(customer: CustomerId) -> Wakeup {
    KIND.wakeup(&[customer.to_string()])
}
