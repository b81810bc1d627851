//! When the fetch loop looks for work: at every ring of the bell, shortly after it once more, and at every tick.
//!
//! The strategies of apalis lose calls: a source that was ready is not registered again, and a call that arrives during
//! a fetch is forgotten, after which the lane sleeps until the next heartbeat. Here every source is polled until it is
//! pending, so its waker is always registered, and a second look follows each call.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use apalis_core::backend::ext::poll_strategy::{PollSnapshot, PollStrategy};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval, sleep};

use crate::{bell::Bell, health::Pulse};

/// Pause before the second look. It covers a call that arrived while an older fetch was under way, which takes a few
/// milliseconds; the tick covers a slower one.
const SECOND_LOOK: Duration = Duration::from_millis(20);

/// The poll strategy of one worker.
pub(crate) struct RobustPoll {
    bell: Arc<Bell>,
    tick: Interval,
    second_look: Pin<Box<Sleep>>,
    second_look_due: bool,
    pulse: Arc<Pulse>,
}

impl RobustPoll {
    /// Looks at every ring of `bell` and at least once per `tick`; every look is noted in `pulse`.
    pub(crate) fn new(bell: Arc<Bell>, tick: Duration, pulse: Arc<Pulse>) -> Self {
        let mut tick = interval(tick);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            bell,
            tick,
            second_look: Box::pin(sleep(SECOND_LOOK)),
            second_look_due: true,
            pulse,
        }
    }
}

impl PollStrategy for RobustPoll {
    // apalis fetches after every call of this function whatever it answers; it matters only that each source is left
    // pending and so wakes the worker.
    fn poll_drive(&mut self, cx: &mut Context<'_>, _: &PollSnapshot) -> Poll<Option<()>> {
        self.pulse.moved();
        let mut ready = false;
        if self.bell.heard(cx) {
            ready = true;
            self.second_look.as_mut().reset(Instant::now() + SECOND_LOOK);
            self.second_look_due = true;
        }
        if self.second_look_due && self.second_look.as_mut().poll(cx).is_ready() {
            ready = true;
            self.second_look_due = false;
        }
        while self.tick.poll_tick(cx).is_ready() {
            ready = true;
        }
        if ready {
            Poll::Ready(Some(()))
        } else {
            Poll::Pending
        }
    }
}
