//! The job that tells of cards which are about to expire. It has one subject: all of them.

use super::{Kind, Lane, all_if};
use crate::payment;

pub(crate) const KIND: Kind = Kind {
    name: "payment.expiring",
    lane: Lane::Upkeep,
    together: |_| 1,
    run: |app, _, _| Box::pin(payment::tell_expiring(app)),
    due: |app| {
        Box::pin(async move {
            let due = payment::are_expiring(app).await?;
            Ok(all_if(due))
        })
    },
};
