//! Letters by SMTP.
//!
//! Connections are kept here and not by `lettre`: its own pool keeps a connection whose letter was given up half-way, and the next letter
//! would hear the answers to the one before. Here a connection is kept only after a letter has been taken.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use lettre::{
    message::Mailbox,
    transport::smtp::{Error, client::AsyncSmtpConnection},
};
use tokio::time::timeout;

use super::{Letter, NotSent, Post, compose::compose, facts::line};
use server::Server;

mod server;

/// How long is waited for a connection, sealed and signed in.
const OPENING: Duration = Duration::from_secs(10);
/// How long is waited for a letter to be taken: servers look for spam and viruses before they say so, and a letter that is given up too
/// early is sent twice.
const SENDING: Duration = Duration::from_secs(30);
/// How long is waited for a word on a connection that was kept. There may be several dead ones.
const PROBING: Duration = Duration::from_secs(2);
/// Connections that are kept while nothing is sent: a process sends few letters at once.
const KEPT: usize = 4;
/// How long one is kept. Servers close theirs after five minutes, some much earlier.
const KEPT_FOR: Duration = Duration::from_secs(30);
/// Longest reason that is told on, in characters: what is in it is the server's.
const LONGEST_REASON: usize = 300;
/// The server wants something first that is not about the letter: a name and a password.
const NOT_SIGNED_IN: u16 = 530;

/// Why letters cannot be sent this way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSmtp {
    /// The address of the server is none. It is not quoted, as there may be a password in it.
    #[error("the mail server is smtps://user:password@host, or smtp://user:password@host?tls=required: {0}")]
    Server(&'static str),
    /// The sender is none.
    #[error("the sender \"{0}\" is no e-mail address such as \"billing@example.com\"")]
    From(String),
    /// Nothing can be sealed.
    #[error("no certificates that could be trusted: {0}")]
    NoTrust(String),
}

/// A mail server that takes our letters to their receivers.
pub struct Smtp {
    server: Server,
    from: Mailbox,
    kept: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
    opening: Duration,
    sending: Duration,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp")
            .field("server", &self.server)
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

impl Smtp {
    /// The server at an address, and the usual sender. The addresses are those of `lettre`: `smtps://` is sealed from the start (port
    /// 465), `smtp://…?tls=required` is sealed before anything is said (587), `?tls=opportunistic` if the server can (587), and
    /// without `tls` nothing is sealed (25). A path is the name by which we greet.
    ///
    /// # Errors
    /// Addresses that are none, or a machine that trusts nobody.
    pub fn new(url: &str, from: &str) -> Result<Self, BadSmtp> {
        Ok(Self {
            server: Server::parse(url)?,
            from: from.parse().map_err(|_| BadSmtp::From(from.to_owned()))?,
            kept: Mutex::default(),
            opening: OPENING,
            sending: SENDING,
        })
    }

    /// One that waits so long for a connection, and so long again for a letter to be taken.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        (self.opening, self.sending) = (timeout, timeout);
        self
    }

    /// A connection that is good for a letter. Whatever is wrong with it says nothing about the letter.
    async fn connection(&self) -> Result<AsyncSmtpConnection, NotSent> {
        while let Some(mut kept) = self.take() {
            if timeout(PROBING, kept.test_connected()).await == Ok(true) {
                return Ok(kept);
            }
        }
        self.server
            .connect(self.opening)
            .await
            .map_err(|error| later(&error))
    }

    /// A connection that was kept not too long ago.
    fn take(&self) -> Option<AsyncSmtpConnection> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(_, since)| since.elapsed() < KEPT_FOR);
        kept.pop().map(|(connection, _)| connection)
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push((connection, Instant::now()));
        }
    }
}

#[async_trait::async_trait]
impl Post for Smtp {
    async fn send(&self, letter: &Letter) -> Result<(), NotSent> {
        let message = compose(letter, &self.from)?;
        let (envelope, bytes) = (message.envelope(), message.formatted());
        let connection = timeout(self.opening, self.connection()).await;
        let mut connection = connection.map_err(|_| silent(self.opening))??;
        let sent = timeout(self.sending, connection.send(envelope, &bytes)).await;
        match sent.map_err(|_| silent(self.sending))? {
            Ok(_) => {
                self.keep(connection);
                Ok(())
            }
            Err(error) => Err(refused(&error)),
        }
    }
}

/// What the server said to a letter.
fn refused(error: &Error) -> NotSent {
    let signed_in = error.status().map(u16::from) != Some(NOT_SIGNED_IN);
    // What the letter needs and the server cannot do, it will not learn.
    if error.is_permanent() && signed_in || error.is_client() {
        NotSent::Refused(reason(error))
    } else {
        later(error)
    }
}

fn later(error: &Error) -> NotSent {
    NotSent::Later(reason(error))
}

fn silent(waited: Duration) -> NotSent {
    NotSent::Later(format!("the mail server was silent for {waited:?}"))
}

fn reason(error: &Error) -> String {
    line(&error.to_string(), LONGEST_REASON)
}

#[cfg(test)]
mod tests;
