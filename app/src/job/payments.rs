//! The job that sends payments to their provider and asks about them. Its subjects are customers.

use domain::id::CustomerId;

use super::{Kind, Lane, Wakeup, customers, names};
use crate::payment;

pub(crate) const KIND: Kind = Kind {
    name: "payment.collect",
    lane: Lane::Payments,
    together: |_| 1,
    run: |app, subjects, _| {
        Box::pin(async move {
            let mut more = false;
            for customer in customers(subjects)? {
                more |= payment::collect(app, customer).await?;
            }
            Ok(more)
        })
    },
    due: |app| Box::pin(async move { Ok(names(&payment::due(app).await?)) }),
};

/// What wakes whoever collects from a customer.
pub(crate) fn wakeup(customer: CustomerId) -> Wakeup {
    KIND.wakeup(&[customer.to_string()])
}
