//! The SQL of usage.

mod counter;
mod event;
mod ingest;
mod queue;
mod rating;
mod summary;

pub(crate) use self::{
    counter::used_in,
    summary::{spent_by_day, spent_lately},
};
pub(super) use self::{
    counter::{counter, counters, position, position_in_all, put_counters},
    event::{accepted_anew, event_by_id, event_by_key, events, events_between, mark_voided},
    ingest::{New, insert_events, known_keys},
    queue::{
        Chosen, Locked, Most, any_pending, first_waiting, forget_pending, held, lock_waiting, most_shards,
        take_pending, waiting_before,
    },
    rating::{insert_ratings, take_back},
    summary::{summary_of_counters, summary_of_ratings},
};
