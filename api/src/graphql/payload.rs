//! What mutations return: the object, whether an earlier request produced it, and why it was refused.

use app::{Error, idempotency::Once};

use super::error::{UserError, top_level};

/// A mutation's outcome before it has its GraphQL type: a result, or refusals for the caller to correct.
pub(crate) type Settled<T> = async_graphql::Result<std::result::Result<Once<T>, Vec<UserError>>>;

/// Sorts the outcomes of a use-case: refusals go into the payload, everything else to the top.
pub(crate) fn settled<T>(outcome: app::Result<Once<T>>) -> Settled<T> {
    match outcome {
        Ok(once) => Ok(Ok(once)),
        Err(Error::Rejected(rejection)) => Ok(Err(vec![rejection.into()])),
        Err(error) => Err(top_level(error)),
    }
}

/// Declares the payload of a mutation around one object.
macro_rules! payload {
    ($(#[$doc:meta])* $name:ident { $(#[$field_doc:meta])* $field:ident: $type:ty }) => {
        $(#[$doc])*
        #[derive(async_graphql::SimpleObject)]
        pub struct $name {
            $(#[$field_doc])*
            $field: Option<$type>,
            /// Whether an earlier request with the same idempotency key produced this result.
            idempotent_replay: bool,
            /// What the caller must correct; empty on success.
            user_errors: Vec<$crate::graphql::error::UserError>,
        }

        impl $name {
            /// From the outcome of a use-case.
            pub(crate) fn from_outcome<T>(
                outcome: app::Result<app::idempotency::Once<T>>,
                object: impl FnOnce(T) -> $type,
            ) -> async_graphql::Result<Self> {
                Ok(match $crate::graphql::payload::settled(outcome)? {
                    Ok(once) => Self {
                        $field: Some(object(once.value)),
                        idempotent_replay: once.replay,
                        user_errors: Vec::new(),
                    },
                    Err(user_errors) => Self { $field: None, idempotent_replay: false, user_errors },
                })
            }
        }
    };
}
pub(crate) use payload;

/// A result of a mutation that can be repeated without harm.
pub(crate) fn plain<T>(outcome: app::Result<T>) -> app::Result<Once<T>> {
    outcome.map(|value| Once { value, replay: false })
}
