//! Replies that end a request before it is executed.

use app::telemetry;
use async_graphql::{ErrorExtensionValues, Response as Answer, ServerError};
use axum::http::StatusCode;

use crate::{auth, graphql::error, guard, limit::Spent};

/// Seconds after which to try again, when nothing better is known.
const SOON: u64 = 1;

/// A reply that ends a request before it is executed.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    message: String,
    /// Seconds after which to try again.
    pub(super) retry_after: Option<u64>,
    pub(super) spent: Option<Box<Spent>>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(SOON),
            spent: None,
        }
    }

    /// How it is told in HTTP's own words.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The request is not what it should be.
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error::BAD_USER_INPUT, message)
    }

    /// More requests are executed than this process should.
    pub(crate) fn busy() -> Self {
        metrics::counter!(telemetry::SHED, "reason" => "in_flight").increment(1);
        let message = "too many requests at once; try again in a moment";
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            error::SERVICE_UNAVAILABLE,
            message,
        )
    }

    /// The key has asked too often.
    pub(crate) fn too_often(seconds: u64) -> Self {
        metrics::counter!(telemetry::RATE_LIMITED, "limit" => "rate").increment(1);
        Self::later(seconds)
    }

    fn later(seconds: u64) -> Self {
        Self {
            retry_after: Some(seconds.max(1)),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                error::RATE_LIMITED,
                format!("too many requests; try again in {} s", seconds.max(1)),
            )
        }
    }

    /// The address has failed to authenticate too often.
    pub(crate) fn too_many_failures(seconds: u64) -> Self {
        metrics::counter!(telemetry::RATE_LIMITED, "limit" => "failed_authentications").increment(1);
        Self {
            message: format!("too many failed authentications; try again in {seconds} s"),
            ..Self::later(seconds)
        }
    }

    /// Without blaming whoever asked: it cannot be answered now.
    pub(crate) fn unavailable(self) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            ..self
        }
    }

    /// The credential may not do that.
    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, error::FORBIDDEN, message)
    }

    /// The sentence for people.
    pub(crate) fn sentence(&self) -> &str {
        &self.message
    }

    /// Seconds after which to try again.
    pub(crate) fn wait(&self) -> Option<u64> {
        self.retry_after
    }

    /// With what was left in the bucket.
    pub(crate) fn with_spent(self, spent: Spent) -> Self {
        Self {
            spent: Some(Box::new(spent)),
            ..self
        }
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
