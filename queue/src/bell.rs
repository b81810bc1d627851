//! A bell per lane: whoever sees new work rings, the lane's fetch loop hears.
//!
//! Level-triggered: a ring while nobody listens, or while a fetch is under way, is kept until it has been heard, so it
//! cannot be lost. Any number of rings before that count as one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Context,
};

use app::job::Lane;
use futures::task::AtomicWaker;

/// A bell with any number of ringers and one listener at a time.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: AtomicBool,
    listener: AtomicWaker,
}

impl Bell {
    /// Calls the listener.
    pub(crate) fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        self.listener.wake();
    }

    /// Whether the bell has rung since the last time; the task of `cx` is woken by the next ring.
    pub(crate) fn heard(&self, cx: &Context<'_>) -> bool {
        // Registering first: a ring between the two steps is then seen by one of them.
        self.listener.register(cx.waker());
        self.rung.swap(false, Ordering::AcqRel)
    }
}

/// The bells of all lanes that one process consumes.
#[derive(Debug, Clone)]
pub(crate) struct Bells(Arc<Vec<(Lane, Arc<Bell>)>>);

impl Bells {
    /// One silent bell for each lane.
    pub(crate) fn new(lanes: impl IntoIterator<Item = Lane>) -> Self {
        Self(Arc::new(
            lanes.into_iter().map(|lane| (lane, Arc::default())).collect(),
        ))
    }

    /// Every lane with its bell.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Lane, Arc<Bell>)> {
        self.0.iter()
    }

    /// Calls every lane, for when something may have been missed.
    pub(crate) fn ring_all(&self) {
        self.iter().for_each(|(_, bell)| bell.ring());
    }
}
