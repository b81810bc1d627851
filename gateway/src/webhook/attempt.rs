//! What is sent, and what comes of it.

use std::time::Duration;

/// A message to a receiver.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Where to.
    pub url: &'a str,
    /// The same at every attempt: the receiver knows by it what it has had already.
    pub id: &'a str,
    /// The second of this attempt, since 1970. It is what the moments of the answer are measured by, too.
    pub timestamp_seconds: i64,
    /// JSON.
    pub body: &'a str,
    /// What [`sign`](super::sign) says of the other fields.
    pub signature: &'a str,
}

/// One attempt to deliver a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// What it came to.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
    /// What the receiver answered, if it did.
    pub response: Option<Response>,
    /// How long the receiver wants to be left alone, when it did not accept and said so. A day at most.
    pub retry_after: Option<Duration>,
}

/// An answer, for people to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// How its body begins: at most 1 KiB of text without the sign NUL, which databases do not take.
    pub body: String,
}

/// What an attempt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it: a status of 200 to 299.
    Delivered,
    /// The receiver answered with another status. One that points elsewhere is one of them: a message is delivered where it was
    /// meant for or not at all.
    Refused,
    /// The receiver wants no message ever again: the status 410.
    Gone,
    /// There was no answer. The receiver may have the message all the same.
    Failed(Failure),
}

impl Outcome {
    /// What a status means.
    pub(super) fn of(status: u16) -> Self {
        match status {
            200..=299 => Self::Delivered,
            410 => Self::Gone,
            _ => Self::Refused,
        }
    }
}

/// Why there was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The address is none that may be called, as it is written.
    BadUrl,
    /// The address leads to a network that may not be called. Nothing was sent.
    ForbiddenAddress,
    /// The name of the host is not known, or nobody could be asked for it.
    Dns,
    /// There is nobody at the address.
    Connect,
    /// Nothing can be sealed: a certificate that is not good, or no TLS at all.
    Tls,
    /// There was no answer in time.
    TimedOut,
    /// The connection ended before there was an answer, or the answer was not HTTP.
    Broken,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::BadUrl,
        Self::ForbiddenAddress,
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::TimedOut,
        Self::Broken,
    ];

    /// Its code, which never changes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadUrl => "BAD_URL",
            Self::ForbiddenAddress => "FORBIDDEN_ADDRESS",
            Self::Dns => "DNS",
            Self::Connect => "CONNECT",
            Self::Tls => "TLS",
            Self::TimedOut => "TIMED_OUT",
            Self::Broken => "BROKEN",
        }
    }
}
