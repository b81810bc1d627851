//! The SQL of webhooks.

mod delivery;
mod endpoint;

pub(super) use self::{
    delivery::{
        Due, Ended, conclude, deliveries, delivery, delivery_of, due, events_between, insert_deliveries,
        renew, renew_one,
    },
    endpoint::{
        claim, count, delete, due_endpoints, endpoint, endpoints, fares, insert, listening, lock, release,
        root, write,
    },
};
