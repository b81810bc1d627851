//! What a payment provider tells of its own accord. A notice is a hint: it says of which payment something has become known, and the
//! provider is then asked how it stands. So a notice that is old, doubled or out of order can do nothing wrong, and a lost one costs time.

use crate::{id::PaymentId, time::Timestamp};

/// A notice, as far as it is needed: whatever else stands in it is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The provider's own name for it, the same however often it is sent.
    pub reference: String,
    /// What has happened, in the provider's words.
    pub kind: String,
    /// Of which payment, if the provider has kept our name beside it.
    pub payment: Option<PaymentId>,
    /// The provider's own names for what it is about: a payment known by one of them is the one.
    pub subjects: Vec<String>,
    /// When it happened.
    pub occurred_at: Timestamp,
}
