//! The job that takes what time makes due of subscriptions: turns and closes of cycles, renewals, ends of contracts. Its
//! subjects are shards, as for usage.

use super::{Kind, Lane};
use crate::{
    error::{Error, Result},
    subscription,
};

pub(crate) const KIND: Kind = Kind {
    name: "subscription.advance",
    lane: Lane::Cycles,
    together: |_| 1,
    run: |app, subjects, _| {
        Box::pin(async move {
            let mut more = false;
            for subject in subjects {
                let shard = subject
                    .parse()
                    .map_err(|_| Error::Internal(format!("`{subject}` is no shard")))?;
                more |= subscription::advance_shard(app, shard).await?;
            }
            Ok(more)
        })
    },
    due: |app| Box::pin(async move { due(app).await }),
};

async fn due(app: &crate::App) -> Result<Vec<String>> {
    let shards = subscription::due_shards(app).await?;
    Ok(shards.iter().map(i32::to_string).collect())
}
