//! The job that tells customers of credits which will be gone. It has one subject: all of them.

use super::{Kind, Lane, all_if};
use crate::credit::notice;

pub(crate) const KIND: Kind = Kind {
    name: "credit.expiring",
    lane: Lane::Upkeep,
    together: |_| 1,
    run: |app, _, _| Box::pin(notice::tell_expiring(app)),
    due: |app| Box::pin(async move { Ok(all_if(notice::expiring_are_due(app).await?)) }),
};
