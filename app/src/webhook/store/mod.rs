//! The SQL of webhooks.

mod delivery;
mod endpoint;
mod failed;
mod pending;

pub(crate) use self::{delivery::forget_in, endpoint::endpoint};
pub(super) use self::{
    delivery::{
        Due, Ended, Renewal, conclude, deliveries, delivery, delivery_of, due, insert_deliveries, renew,
        renew_one,
    },
    endpoint::{
        claim, count, delete, due_endpoints, endpoints, fares, insert, listening, lock, release, root, write,
    },
    failed::failed,
    pending::pending,
};
