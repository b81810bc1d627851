//! The job that sends payments to their provider and asks about them. Its subjects are customers.

use domain::id::CustomerId;

use super::{Kind, Lane, Wakeup};
use crate::{
    error::{Error, Result},
    payment,
};

pub(crate) const KIND: Kind = Kind {
    name: "payment.collect",
    lane: Lane::Payments,
    together: |_| 1,
    run: |app, subjects, _| {
        Box::pin(async move {
            let mut more = false;
            for subject in subjects {
                let customer: CustomerId = subject
                    .parse()
                    .map_err(|_| Error::Internal(format!("`{subject}` is no customer")))?;
                more |= payment::collect(app, customer).await?;
            }
            Ok(more)
        })
    },
    due: |app| {
        Box::pin(async move {
            let due: Result<Vec<CustomerId>> = payment::due(app).await;
            Ok(due?.iter().map(CustomerId::to_string).collect())
        })
    },
};

/// What wakes whoever collects from a customer.
pub(crate) fn wakeup(customer: CustomerId) -> Wakeup {
    KIND.wakeup(&[customer.to_string()])
}
