//! The job that looks at the books of whoever has changed. It has one subject: all of them.

use super::{Kind, Lane, all_if};
use crate::audit::{self, Reached};

pub(crate) const KIND: Kind = Kind {
    name: "audit",
    lane: Lane::Upkeep,
    together: |_| 1,
    run: |app, _, _| {
        Box::pin(async move {
            let run = audit::incremental(app, Reached::All).await?;
            Ok(run.remaining > 0)
        })
    },
    due: |app| {
        Box::pin(async move {
            let due = audit::is_due(app).await?;
            Ok(all_if(due))
        })
    },
};
