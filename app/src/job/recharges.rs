//! The job that looks at auto-recharges again. Its subjects are customers.

use domain::id::CustomerId;

use super::{Kind, Lane, Wakeup, customers, names};
use crate::recharge;

pub(crate) const KIND: Kind = Kind {
    name: "recharge.evaluate",
    lane: Lane::Payments,
    together: |_| 1,
    run: |app, subjects, _| {
        Box::pin(async move {
            for customer in customers(subjects)? {
                recharge::evaluate(app, customer).await?;
            }
            Ok(false)
        })
    },
    due: |app| Box::pin(async move { Ok(names(&recharge::due(app).await?)) }),
};

/// What has a customer's auto-recharge looked at again.
pub(crate) fn wakeup(customer: CustomerId) -> Wakeup {
    KIND.wakeup(&[customer.to_string()])
}
