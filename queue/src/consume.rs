//! Consuming lanes: one supervised worker each, and one wake-up source and one keeper for all of them.

use std::{sync::Arc, time::Duration};

use app::job::Lane;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    bell::Bells,
    crew::Post,
    keeper::{self, Roster},
    lane,
    own::Own,
    shared::{Handler, QueueError, SharedQueue},
    signal,
};

impl SharedQueue {
    /// Runs the jobs of `lanes`, each with up to so many handlers at once, until `stop` is cancelled. A lane with none
    /// is left alone. Call it once per process, so that there is one wake-up source.
    ///
    /// After `stop` nothing new is begun, running handlers have 25 seconds to end and are then dropped, and whatever
    /// was taken but not finished is pending again when this returns. Dropping the returned future instead is like a
    /// crash: handlers run on, and other processes take over the rest after the orphan time.
    ///
    /// A database that fails is not an error here: the workers are started again until it answers.
    ///
    /// # Errors
    /// Only a defect in the supervision itself.
    pub async fn consume(
        &self,
        lanes: &[(Lane, usize)],
        handler: Handler,
        stop: CancellationToken,
    ) -> Result<(), QueueError> {
        let lanes: Vec<_> = lanes.iter().copied().filter(|lane| lane.1 > 0).collect();
        let bells = Bells::new(lanes.iter().map(|lane| lane.0));
        let roster = Roster::default();
        let cut = CancellationToken::new();
        let own = Own::open(&self.db, lanes.len());

        // A join set ends its tasks when it is dropped, here or together with this future.
        let mut background = JoinSet::new();
        background.spawn(signal::ring_for_work(self.db.clone(), bells.clone()));
        let (timings, kept) = (self.timings, roster.clone());
        background.spawn(keeper::keep(self.db.clone(), timings, kept, bells.clone()));
        background.spawn(lose_patience(stop.clone(), timings.grace, cut.clone()));

        let mut crews = JoinSet::new();
        for ((lane, bell), (_, concurrency)) in bells.iter().zip(lanes) {
            let post = Post {
                db: self.db.clone(),
                own: own.clone(),
                lane: *lane,
                concurrency,
                timings,
                handler: Arc::clone(&handler),
                bell: Arc::clone(bell),
                pulse: self.health.pulse(*lane),
                roster: roster.clone(),
                cut: cut.clone(),
            };
            crews.spawn(lane::supervise(post, stop.clone()));
        }
        while let Some(ended) = crews.join_next().await {
            ended.map_err(|error| QueueError::Supervision(error.to_string()))?;
        }
        // Without any lane there is still a stop to wait for.
        stop.cancelled().await;
        Ok(())
    }
}

/// Cancels `cut` when `grace` has passed since `stop`.
async fn lose_patience(stop: CancellationToken, grace: Duration, cut: CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(grace).await;
    cut.cancel();
}
