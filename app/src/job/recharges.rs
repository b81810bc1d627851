//! The job that looks at auto-recharges again. Its subjects are customers.

use domain::id::CustomerId;

use super::{Kind, Lane, Wakeup};
use crate::{
    error::{Error, Result},
    recharge,
};

pub(crate) const KIND: Kind = Kind {
    name: "recharge.evaluate",
    lane: Lane::Payments,
    together: |_| 1,
    run: |app, subjects, _| {
        Box::pin(async move {
            for subject in subjects {
                let customer: CustomerId = subject
                    .parse()
                    .map_err(|_| Error::Internal(format!("`{subject}` is no customer")))?;
                recharge::evaluate(app, customer).await?;
            }
            Ok(false)
        })
    },
    due: |app| {
        Box::pin(async move {
            let due: Result<Vec<CustomerId>> = recharge::due(app).await;
            Ok(due?.iter().map(CustomerId::to_string).collect())
        })
    },
};

/// What has a customer's auto-recharge looked at again.
pub(crate) fn wakeup(customer: CustomerId) -> Wakeup {
    KIND.wakeup(&[customer.to_string()])
}
