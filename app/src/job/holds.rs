//! The job that frees holds whose deadline has passed. It has one subject: all of them.

use super::{Kind, Lane, all_if};
use crate::hold;

pub(crate) const KIND: Kind = Kind {
    name: "hold.expire",
    lane: Lane::Upkeep,
    together: |_| 1,
    run: |app, _, _| Box::pin(async move { Ok(hold::expire(app).await? > 0) }),
    due: |app| Box::pin(async move { Ok(all_if(hold::is_due(app).await?)) }),
};
