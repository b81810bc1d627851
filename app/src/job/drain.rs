//! The job that debits the pending usage of shards. Its subjects are their numbers.

use std::collections::BTreeSet;

use futures::future::BoxFuture;

use super::{Kind, Lane, Sender, store};
use crate::{
    App,
    error::{Error, Result},
    failpoint::reach,
    usage::drain::{drain_shards, together, unheld},
    waker::{Waker, Wakes},
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

/// The number of a shard with new usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shard(pub(crate) i32);

impl Wakes for Shard {
    fn waker(app: &App) -> &Waker<Self> {
        app.shards()
    }

    fn wake(app: &App, shards: BTreeSet<Self>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            reach("record.waking")?;
            let subjects: Vec<String> = shards.iter().map(|shard| shard.0.to_string()).collect();
            super::wake(app, KIND.name, &subjects, Sender::Work).await?;
            reach("record.woken")
        })
    }
}
