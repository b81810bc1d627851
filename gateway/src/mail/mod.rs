//! E-mail to customers and to the vendor's own people: what it says, and the way it goes.
//!
//! What a customer is to be told is a [`Notice`], and what a vendor is an [`Alert`]; [`write()`] and [`write_alert`] turn them into [`Words`]; a [`Letter`] carries them, and a [`Post`] takes it away. A letter is
//! one attempt: whether there is another is decided elsewhere, and a receiver knows by its identity that it is the same letter.

mod alert;
mod compose;
mod facts;
mod notice;
mod sentences;
mod smtp;
mod words;

pub use alert::{Alert, Dispute, Invoice};
pub use notice::{Document, Notice};
pub use smtp::{BadSmtp, Smtp};
pub use words::{Words, write, write_alert};

/// A letter to one receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Who sends it, as in `Name <name@example.com>`, where it is not the sender that the post knows.
    pub from: Option<String>,
    /// To whom it goes: one address.
    pub to: String,
    /// What it is about, in one line.
    pub subject: String,
    /// What it says, as plain text.
    pub text: String,
    /// What it says, as HTML.
    pub html: String,
    /// What makes it this letter: the same at every attempt, so that mail programs show one letter if it arrives twice.
    pub id: String,
}

/// Who takes letters away.
#[async_trait::async_trait]
pub trait Post: Send + Sync {
    /// Hands over a letter. It returns within a minute, whatever the other side does.
    ///
    /// # Errors
    /// It was not taken, or nobody knows whether it was.
    async fn send(&self, letter: &Letter) -> Result<(), NotSent>;
}

/// Why a letter was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// This letter will never be taken: there is no such address, or it is no address. Trying again is no use.
    #[error("refused: {0}")]
    Refused(String),
    /// It may be taken later. Who sends it again may send it twice, if it was taken and the word of it was lost.
    #[error("not now: {0}")]
    Later(String),
}
