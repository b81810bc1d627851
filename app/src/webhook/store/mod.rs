//! The SQL of webhooks.

mod delivery;
mod endpoint;

pub(crate) use self::delivery::forget_in;
pub(super) use self::{
    delivery::{
        Due, Ended, Renewal, conclude, deliveries, delivery, delivery_of, due, insert_deliveries, renew,
        renew_one,
    },
    endpoint::{
        claim, count, delete, due_endpoints, endpoint, endpoints, fares, insert, listening, lock, release,
        root, write,
    },
};
