//! Webhooks: when a message is sent again ([`retry`]), and when an endpoint is left alone for a while, or for good ([`health`]).

pub mod health;
pub mod retry;
