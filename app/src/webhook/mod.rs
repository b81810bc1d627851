//! Webhooks: events as signed messages to addresses that vendors have named, after Standard Webhooks 1.0.
//!
//! An event that is published becomes a *delivery* for each endpoint that wants it ([`tell_in`]), in the same transaction. Deliveries are
//! sent in batches per endpoint ([`deliver()`]), without any transaction open, at least once: whoever has received one answers 2xx, and knows
//! by `webhook-id` what it has had before.

mod conclude;
mod deliver;
mod endpoint;
mod message;
mod resend;
mod secret;
mod store;
mod tell;
mod view;

pub(crate) use self::{
    deliver::{deliver, due},
    endpoint::{Own, point_in, secret_of},
    store::{endpoint as endpoint_in, forget_in},
    tell::{News, tell_in},
};
pub use self::{
    endpoint::{
        CreateEndpoint, MAX_AT_ONCE, Rotated, UpdateEndpoint, create, delete, endpoint, endpoints, rotate,
        update,
    },
    resend::{
        MAX_RESENDS, MAX_RESENT, Range, Resent, deliveries, delivery, request_body, resend, resend_range,
        send_test,
    },
    secret::Root,
    view::{AttemptView, Delivery, DeliveryState, Endpoint, EndpointState},
};
