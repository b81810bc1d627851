//! What each lane reports about itself, in memory.
//!
//! A lane moves when its fetch loop turns, which an idle one does every tick, or when a job begins or ends. A lane that
//! has not moved for longer than a job may take is stuck: its database is away or its supervision waits to restart it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use app::job::Lane;

use crate::timings::Timings;

/// Ticks an idle lane may miss before it counts as stuck: a slow fetch must not look like a dead one.
const TICKS_UNTIL_STUCK: u32 = 10;
/// How often a stop looks whether jobs still run.
const REST_CHECK: Duration = Duration::from_millis(5);

/// The state of one consumed lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneHealth {
    /// The lane.
    pub lane: Lane,
    /// How long ago its fetch loop last turned or a job last began or ended.
    pub still_for: Duration,
    /// Jobs whose handler runs at this moment in this process.
    pub running: usize,
    /// How often its worker had to be started again since the process began.
    pub restarts: u64,
    /// Whether it moved recently enough to be trusted with work.
    pub alive: bool,
}

/// The pulses of all lanes that this process consumes.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<Vec<Arc<Pulse>>>);

impl Health {
    /// A pulse for `lane`; replaces the one of an earlier consumption of the same lane.
    pub(crate) fn pulse(&self, lane: Lane) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse::new(lane));
        let mut pulses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pulses.retain(|other| other.lane != lane);
        pulses.push(Arc::clone(&pulse));
        pulse
    }

    /// Where every lane stands.
    pub(crate) fn report(&self, timings: &Timings) -> Vec<LaneHealth> {
        let pulses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pulses.iter().map(|pulse| pulse.report(timings)).collect()
    }
}

/// The record one lane writes.
#[derive(Debug)]
pub(crate) struct Pulse {
    lane: Lane,
    begun: Instant,
    /// Milliseconds after `begun`.
    moved: AtomicU64,
    running: AtomicUsize,
    restarts: AtomicU64,
}

impl Pulse {
    fn new(lane: Lane) -> Self {
        Self {
            lane,
            begun: Instant::now(),
            moved: AtomicU64::new(0),
            running: AtomicUsize::new(0),
            restarts: AtomicU64::new(0),
        }
    }

    /// Notes that the lane does something.
    pub(crate) fn moved(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(now, Ordering::Relaxed);
    }

    /// Notes that the worker of the lane is started again.
    pub(crate) fn restarted(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a job runs until the returned guard is dropped.
    pub(crate) fn job(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::SeqCst);
        self.moved();
        Running(Arc::clone(self))
    }

    /// Waits until no job runs.
    pub(crate) async fn rest(&self) {
        while self.running.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(REST_CHECK).await;
        }
    }

    fn report(&self, timings: &Timings) -> LaneHealth {
        let moved = Duration::from_millis(self.moved.load(Ordering::Relaxed));
        let still_for = self.begun.elapsed().saturating_sub(moved);
        let running = self.running.load(Ordering::Relaxed);
        // With every slot taken the loop rests until a job ends.
        let busy = if running > 0 {
            timings.handler_limit
        } else {
            Duration::ZERO
        };
        LaneHealth {
            lane: self.lane,
            still_for,
            running,
            restarts: self.restarts.load(Ordering::Relaxed),
            alive: still_for <= timings.tick * TICKS_UNTIL_STUCK + busy,
        }
    }
}

/// Counts a job as running while it lives.
#[derive(Debug)]
pub(crate) struct Running(Arc<Pulse>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
        self.0.moved();
    }
}
