//! The job that gives customers what their vendor promises about overshoot by default. Its subjects are customers.

use super::{Kind, Lane, customers, names};
use crate::customer;

pub(crate) const KIND: Kind = Kind {
    name: "customer.overshoot",
    lane: Lane::Upkeep,
    together: |_| 1,
    run: |app, subjects, _| {
        Box::pin(async move {
            for customer in customers(subjects)? {
                customer::follow(app, customer).await?;
            }
            Ok(false)
        })
    },
    due: |app| Box::pin(async move { Ok(names(&customer::not_following(app).await?)) }),
};
