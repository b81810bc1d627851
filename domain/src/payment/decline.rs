//! Why a card was not charged, and whether it is worth trying again.

use serde::{Deserialize, Serialize};

/// Why no money was taken. Providers have hundreds of codes; these are the ones after which somebody acts differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Decline {
    /// There is not enough money behind it now.
    InsufficientFunds,
    /// The bank says no without a reason, or cannot answer now.
    TryAgainLater,
    /// The card has expired.
    ExpiredCard,
    /// The bank will never allow it: lost, stolen, closed, or not to be tried again.
    DoNotTryAgain,
    /// The provider no longer knows the payment method.
    MethodGone,
    /// The customer did not confirm it in time.
    NotConfirmed,
    /// The request never came to the provider, and is too old to be sent again.
    NeverSubmitted,
    /// The provider will not take such a request.
    Refused,
    /// The vendor stopped it before it was sent.
    Withdrawn,
}

impl Decline {
    /// Whether the same method can succeed later. A bank fines who tries again after a hard refusal.
    #[must_use]
    pub fn is_soft(self) -> bool {
        match self {
            Self::InsufficientFunds | Self::TryAgainLater | Self::NeverSubmitted | Self::Withdrawn => true,
            Self::ExpiredCard
            | Self::DoNotTryAgain
            | Self::MethodGone
            | Self::NotConfirmed
            | Self::Refused => false,
        }
    }
}
