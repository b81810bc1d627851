//! The job that debits a shard's pending usage. Its subject is the number of the shard.

use std::collections::BTreeSet;

use super::{Kind, Lane, Sender, store};
use crate::{
    App,
    error::{Error, Result},
    usage::drain::drain_shard,
};

pub(crate) const KIND: Kind = Kind {
    name: "usage.drain",
    lane: Lane::Usage,
    run: |app, subject, attempt| {
        Box::pin(async move {
            let shard = subject
                .parse()
                .map_err(|_| Error::Internal(format!("`{subject}` is no shard")))?;
            drain_shard(app, shard, attempt).await
        })
    },
    due: |app| Box::pin(store::shards_with_usage(app.db().reader())),
};

/// Wakes the workers of shards.
pub(crate) async fn wake(app: &App, shards: &BTreeSet<i32>) -> Result<()> {
    let Some(kind) = Kind::of(KIND.name) else {
        return Ok(());
    };
    let subjects: Vec<String> = shards.iter().map(i32::to_string).collect();
    super::wake(app, kind, &subjects, Sender::Work).await
}
