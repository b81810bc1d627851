//! What customers are told about their credits: that few are left ([`low`]), and that some will be gone ([`expiring`]).
//!
//! Both are decided under the lock on the account and written with their events in one transaction, so that each is told once however many
//! workers there are. The rules are in [`domain::credit::low_balance`] and [`domain::credit::expiring`].

mod expiring;
mod low;
mod store;

pub(crate) use self::{
    expiring::{expiring_are_due, next_notice, tell_expiring, tell_expiring_of},
    low::{fallen_in, watch_in},
};
