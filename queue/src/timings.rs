//! Every duration the queue lives by, with its reason.

use std::time::Duration;

/// How fast the queue beats, waits and gives up.
#[derive(Debug, Clone, Copy)]
pub struct Timings {
    /// Interval of a worker's sign of life. Whole seconds, because apalis counts in whole seconds. Five seconds times
    /// three misses bring the jobs of a killed process back within about 15 seconds.
    pub beat: Duration,
    /// Missed beats after which a worker counts as dead. Three tolerate a slow commit without running jobs twice.
    pub missed: u32,
    /// How often an idle lane looks without having been called. Bounds the delay of a lost call; on SQLite each look
    /// takes the write lock for an instant, hence not more often.
    pub tick: Duration,
    /// Longest run of one handler. A hanging one would otherwise hold its slot for ever.
    pub handler_limit: Duration,
    /// How long a stop waits for running jobs. Process managers usually kill after 30 seconds.
    pub grace: Duration,
    /// How long a row may stay taken even by a live worker: several times what a job can wait in the worker and run.
    /// Beyond it the acknowledgement was lost and only a new run can settle the row.
    pub lease: Duration,
    /// First pause before a dead worker is started again.
    pub restart_min: Duration,
    /// Longest pause before a dead worker is started again, so that a database that is down is not hammered.
    pub restart_max: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            beat: Duration::from_secs(5),
            missed: 3,
            tick: Duration::from_secs(1),
            handler_limit: Duration::from_secs(60),
            grace: Duration::from_secs(25),
            lease: Duration::from_secs(300),
            restart_min: Duration::from_secs(1),
            restart_max: Duration::from_secs(30),
        }
    }
}

impl Timings {
    /// Silence after which a worker counts as dead.
    pub(crate) fn orphan_after(&self) -> Duration {
        self.beat * self.missed
    }
}
