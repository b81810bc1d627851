//! Something that goes wrong once, somewhere in a use-case.

use rand::{RngExt, rngs::StdRng};

/// Where recording may fail.
pub const RECORDING: &[&str] = &[
    "record.asked",
    "record.gathered",
    "record.inserted",
    "record.committed",
    "record.told",
    "record.waking",
    "op.notified",
    "op.committed",
];
/// Where a run of the drain may fail.
pub const DRAINING: &[&str] = &[
    "job.begun",
    "drain.chosen",
    "drain.locked",
    "drain.taken",
    "drain.funded",
    "drain.folded",
    "drain.rated",
    "drain.advanced",
    "post.accounts",
    "post.entries",
    "drain.written",
    "drain.committed",
    "op.notified",
    "op.committed",
    "job.ran",
    "job.finished",
];
/// Where a run that turns cycles may fail.
pub const TURNING: &[&str] = &[
    "job.begun",
    "cycles.chosen",
    "cycles.settled",
    "cycles.locked",
    "cycles.decided",
    "cycles.granted",
    "post.blocks",
    "cycles.posted",
    "cycles.turned",
    "cycles.told",
    "cycles.written",
    "cycles.committed",
    "op.notified",
    "op.committed",
    "job.ran",
    "job.finished",
];
/// Where anything that moves credits by hand may fail.
pub const MOVING: &[&str] = &[
    "post.accounts",
    "post.blocks",
    "post.entries",
    "op.notified",
    "op.committed",
];

/// A failpoint that is set until this is dropped.
pub struct Mishap(&'static str);

impl Mishap {
    /// Lets one of some places fail, once: with an error, or with a panic.
    pub fn at(places: &[&'static str], rng: &mut StdRng) -> Self {
        let place = places[rng.random_range(0..places.len())];
        let (passes, way) = (
            rng.random_range(0..3),
            ["return(error)", "panic"][rng.random_range(0..2)],
        );
        let before = match passes {
            0 => String::new(),
            passes => format!("{passes}*off->"),
        };
        fail::cfg(place, &format!("{before}1*{way}")).unwrap();
        Self(place)
    }
}

impl Drop for Mishap {
    fn drop(&mut self) {
        fail::remove(self.0);
    }
}
