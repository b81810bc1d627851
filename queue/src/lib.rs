//! The shared queue, and the only user of apalis storages.
//!
//! **Promise.** A wake-up pushed inside a transaction runs at least once if and only if that transaction commits, on
//! SQLite as on PostgreSQL. No job that fails, panics, hangs or cannot be read stops its lane.
//!
//! **Cost.** One INSERT per push for any number of wake-ups; pick-up within milliseconds of the commit. An idle process
//! asks the database once per second and lane; on SQLite it also checks a counter every 10 ms, which takes no lock.
//!
//! **Bound.** A job runs again after a crash of its worker within three heartbeats, about 15 seconds. It may run twice,
//! also at the same time, when a process stalls for longer than that; handlers must bear it.
//!
//! apalis fetches, limits concurrency and acknowledges. What it lacks stands around it, one idea per file: own
//! heartbeats, own wake-ups, supervision, rescue, retention, and a guard against rows it cannot decode.

mod bell;
mod consume;
mod crew;
mod depth;
mod garbage;
mod health;
mod id;
mod install;
mod job;
mod keeper;
mod lane;
mod own;
mod poll;
mod push;
mod shared;
mod signal;
mod sql;
mod timings;
mod upkeep;

pub use depth::Depth;
pub use health::LaneHealth;
pub use install::install;
pub use shared::{Handler, QueueError, SharedQueue};
#[doc(hidden)]
pub use timings::Timings;
