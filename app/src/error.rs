//! How a use-case can end badly. A refusal is a value for the caller; a failure is reported once, at the boundary.

use domain::{
    amount::Overflow,
    rejection::{Rejection, RejectionCode},
    usage::UsageError,
};
use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr};

use crate::{actor::Scope, telemetry};

/// The outcome of a use-case.
pub type Result<T> = std::result::Result<T, Error>;

/// How a use-case can end badly.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A rule of billing says no. Nothing was written.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The credential lacks a scope.
    #[error("the credential lacks the scope `{0}`")]
    Denied(Scope),
    /// The credential is a token of one customer, and what is asked for belongs to the whole tenant.
    #[error("a customer token sees its own account only")]
    OwnAccountOnly,
    /// A database or another part is out of reach or too busy; the same request may succeed later.
    #[error("temporarily unavailable: {0}")]
    Unavailable(String),
    /// A bug or a damaged row. Details are for the log only.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Error {
    /// The same error, seen from one level further out.
    #[must_use]
    pub fn under(self, field: &str) -> Self {
        match self {
            Self::Rejected(no) => Self::Rejected(no.under(field)),
            other => other,
        }
    }
}

impl From<Overflow> for Error {
    fn from(_: Overflow) -> Self {
        Self::Rejected(Rejection::too_large(""))
    }
}

impl From<UsageError> for Error {
    fn from(error: UsageError) -> Self {
        match error {
            UsageError::TooLarge(_) => {
                Rejection::new(RejectionCode::AmountTooLarge, "", error.to_string()).into()
            }
            UsageError::Books => Self::Internal(error.to_string()),
        }
    }
}

impl From<entity::Corrupt> for Error {
    fn from(corrupt: entity::Corrupt) -> Self {
        Self::Internal(corrupt.to_string())
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Internal(format!("JSON: {error}"))
    }
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        if is_passing(&error) {
            Self::Unavailable(error.to_string())
        } else {
            Self::Internal(error.to_string())
        }
    }
}

/// Whether trying again later can help: the database is away, full up, locked, or chose us as a deadlock's victim.
fn is_passing(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(why) => {
            if matches!(why, ConnAcquireErr::Timeout) {
                metrics::counter!(telemetry::POOL_TIMEOUTS).increment(1);
            }
            true
        }
        DbErr::Conn(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            match error.as_ref() {
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed => true,
                sqlx::Error::Database(error) => error.code().is_some_and(|code| is_passing_code(&code)),
                _ => false,
            }
        }
        _ => false,
    }
}

/// PostgreSQL classes 08 (connection), 40 (rollback), 53 (resources), 55 (lock), 57 (operator); SQLite busy, locked, I/O,
/// full. PostgreSQL codes have five characters and SQLite's at most four digits, so they cannot be mistaken.
fn is_passing_code(code: &str) -> bool {
    if code.len() == 5 {
        return ["08", "40", "53", "55", "57"]
            .iter()
            .any(|class| code.starts_with(class));
    }
    // Extended codes keep the primary one in the low byte.
    code.parse::<u32>()
        .is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13))
}

#[cfg(test)]
mod tests {
    use super::is_passing_code;

    #[test]
    fn what_may_be_tried_again() {
        for (code, passing) in [
            ("40P01", true),
            ("55P03", true),
            ("23505", false),
            ("22003", false),
            ("5", true),
            ("517", true),
            ("2067", false),
            ("19", false),
        ] {
            assert_eq!(is_passing_code(code), passing, "{code}");
        }
    }
}
