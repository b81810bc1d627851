//! The job that asks payment providers what they have told and was lost on the way. Its subjects are their keys.

use super::{Kind, Lane};
use crate::payment;

pub(crate) const KIND: Kind = Kind {
    name: "payment.listen",
    lane: Lane::Payments,
    together: |_| 1,
    run: |app, subjects, _| {
        Box::pin(async move {
            for provider in subjects {
                payment::listen(app, provider).await?;
            }
            Ok(false)
        })
    },
    due: |app| Box::pin(payment::unheard(app)),
};
