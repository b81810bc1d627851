//! The jobs of the event feed: publishing, by tenant, and forgetting what is old, of events and of spending, for all.

use super::{Kind, Lane, all_if};
use crate::{
    error::{Error, Result},
    event, spend,
};

/// Name of the job that publishes.
pub(crate) const NAME: &str = "event.publish";

/// Publishes what has happened. Its subjects are tenants.
pub(crate) const KIND: Kind = Kind {
    name: NAME,
    lane: Lane::Events,
    together: |_| 1,
    run: |app, subjects, _| {
        Box::pin(async move {
            let mut more = false;
            for subject in subjects {
                let no = |_| Error::Internal(format!("`{subject}` is no tenant"));
                more |= event::publish::publish(app, subject.parse().map_err(no)?).await?;
            }
            Ok(more)
        })
    },
    due: |app| Box::pin(due(app)),
};

async fn due(app: &crate::App) -> Result<Vec<String>> {
    let tenants = event::publish::due(app).await?;
    Ok(tenants.iter().map(ToString::to_string).collect())
}

/// Forgets events that are older than they are kept, and what was spent in months that are long over. It has one subject: all of them.
pub(crate) const FORGET: Kind = Kind {
    name: "event.forget",
    lane: Lane::Upkeep,
    together: |_| 1,
    run: |app, _, _| {
        Box::pin(async move { Ok(event::forget_old(app).await? | spend::forget_old(app).await?) })
    },
    due: |app| Box::pin(async move { Ok(all_if(event::are_old(app).await? || spend::are_old(app).await?)) }),
};
