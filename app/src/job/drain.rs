//! The job that debits the pending usage of shards. Its subjects are their numbers.

use std::collections::BTreeSet;

use super::{Kind, Lane, Sender, store};
use crate::{
    App,
    error::{Error, Result},
    usage::drain::{drain_shards, together, unheld},
};

pub(crate) const KIND: Kind = Kind {
    name: "usage.drain",
    lane: Lane::Usage,
    together,
    run: |app, subjects, attempt| {
        Box::pin(async move {
            let shard = |subject: &String| {
                let number = subject.parse();
                number.map_err(|_| Error::Internal(format!("`{subject}` is no shard")))
            };
            let shards = subjects.iter().map(shard).collect::<Result<Vec<i32>>>()?;
            drain_shards(app, &shards, attempt).await
        })
    },
    due: |app| {
        Box::pin(async move {
            let waiting = store::shards_with_usage(app.db().reader()).await?;
            let due = unheld(app, waiting).await?;
            Ok(due.iter().map(i32::to_string).collect())
        })
    },
};

/// Wakes the workers of shards.
pub(crate) async fn wake(app: &App, shards: &BTreeSet<i32>) -> Result<()> {
    let Some(kind) = Kind::of(KIND.name) else {
        return Ok(());
    };
    let subjects: Vec<String> = shards.iter().map(i32::to_string).collect();
    super::wake(app, kind, &subjects, Sender::Work).await
}
