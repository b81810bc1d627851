//! Replies that end a request before it is executed.

use async_graphql::{ErrorExtensionValues, Response as Answer, ServerError};
use axum::http::StatusCode;

use crate::{auth, graphql::error, guard};

/// A reply that ends a request before it is executed.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    message: String,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    /// The request is not what it should be.
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error::BAD_USER_INPUT, message)
    }

    /// As one error of GraphQL.
    pub(crate) fn answer(&self) -> Answer {
        let mut error = ServerError::new(self.message.clone(), None);
        let mut extensions = ErrorExtensionValues::default();
        extensions.set("code", self.code);
        error.extensions = Some(extensions);
        Answer::from_errors(vec![error])
    }
}

impl From<guard::Refused> for Refusal {
    fn from(refused: guard::Refused) -> Self {
        Self::new(StatusCode::BAD_REQUEST, refused.code(), refused.to_string())
    }
}

impl From<auth::Refused> for Refusal {
    fn from(refused: auth::Refused) -> Self {
        match refused {
            auth::Refused::Unknown => {
                let message = "send `Authorization: Bearer <key>` with a valid key";
                Self::new(StatusCode::UNAUTHORIZED, error::UNAUTHENTICATED, message)
            }
            auth::Refused::Unavailable(error) => {
                tracing::warn!(%error, "a caller could not be authenticated");
                let message = "temporarily unavailable; try again";
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    error::SERVICE_UNAVAILABLE,
                    message,
                )
            }
        }
    }
}
