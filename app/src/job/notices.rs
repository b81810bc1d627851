//! The job that follows up what payment providers have told. Its subjects are their keys.

use super::{Kind, Lane, Wakeup};
use crate::payment;

pub(crate) const KIND: Kind = Kind {
    name: "payment.notices",
    lane: Lane::Payments,
    together: |_| 1,
    run: |app, subjects, _| {
        Box::pin(async move {
            let mut more = false;
            for provider in subjects {
                more |= payment::follow_up(app, provider).await?;
            }
            Ok(more)
        })
    },
    due: |app| Box::pin(payment::waiting(app)),
};

/// What wakes whoever follows up the notices of a provider.
pub(crate) fn wakeup(provider: &str) -> Wakeup {
    KIND.wakeup(&[provider.to_owned()])
}
