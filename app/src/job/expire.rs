//! The job that ends blocks whose time has run out. It has one subject: all of them.

use super::{Kind, Lane, all_if};
use crate::credit;

pub(crate) const KIND: Kind = Kind {
    name: "credit.expire",
    lane: Lane::Upkeep,
    together: |_| 1,
    run: |app, _, _| Box::pin(async move { Ok(credit::expire(app).await? > 0) }),
    due: |app| {
        Box::pin(async move {
            let due = credit::expiry_is_due(app).await?;
            Ok(all_if(due))
        })
    },
};
