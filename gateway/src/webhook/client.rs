//! One attempt to deliver a message.

use std::{
    error::Error,
    fmt, io, iter,
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::{
    Client,
    header::{CONTENT_TYPE, RETRY_AFTER},
    redirect,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::{
    AddressPolicy, Attempt, BadUrl, Failure, Lookup, Message, Outcome, Response, System,
    resolve::{Checked, Forbidden},
    retry_after,
};

/// By what receivers know us.
const USER_AGENT: &str = concat!("Tallygate-Webhooks/", env!("CARGO_PKG_VERSION"));
/// Most that is read of an answer, in bytes: what is shorter leaves its connection good for the next message.
const MOST_READ: usize = 64 << 10;
/// Most that is kept of an answer, in bytes: enough for a sentence of why.
const MOST_KEPT: usize = 1 << 10;
/// Connections that are kept for each host while nothing is sent: as many as there may be messages to one endpoint at once. How many hosts
/// there are at a time is bounded by what is delivered before an idle connection is closed.
const KEPT_PER_HOST: usize = 64;

/// How long is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a connection, sealed.
    pub connect: Duration,
    /// For all of an attempt.
    pub total: Duration,
    /// For the next message to the same host, before its connection is closed.
    pub idle: Duration,
}

impl Default for Limits {
    /// Five seconds, fifteen, and half a minute: no receiver may hold up the messages to others.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            total: Duration::from_secs(15),
            idle: Duration::from_secs(30),
        }
    }
}

/// Nothing can be sealed on this machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no certificates that could be trusted: {0}")]
pub struct NoTrust(String);

/// Who delivers webhooks. It keeps connections, so that there is one for each process.
pub struct Webhooks {
    client: Client,
    policy: Arc<AddressPolicy>,
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl Webhooks {
    /// One that calls whom the policy admits and trusts whom this machine trusts.
    ///
    /// # Errors
    /// This machine trusts nobody.
    pub fn new(policy: AddressPolicy, limits: Limits) -> Result<Self, NoTrust> {
        Self::with_lookup(policy, limits, Arc::new(System))
    }

    /// One that asks somebody else for the addresses of names.
    ///
    /// # Errors
    /// This machine trusts nobody.
    pub fn with_lookup(
        policy: AddressPolicy,
        limits: Limits,
        lookup: Arc<dyn Lookup>,
    ) -> Result<Self, NoTrust> {
        Self::with_trust(policy, limits, lookup, trust()?)
    }

    fn with_trust(
        policy: AddressPolicy,
        limits: Limits,
        lookup: Arc<dyn Lookup>,
        trust: ClientConfig,
    ) -> Result<Self, NoTrust> {
        let policy = Arc::new(policy);
        let client = Client::builder()
            .user_agent(USER_AGENT)
            .tls_backend_preconfigured(trust)
            .dns_resolver(Checked::new(Arc::clone(&policy), lookup))
            // A proxy would dial what it likes.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(limits.connect)
            .timeout(limits.total)
            .pool_idle_timeout(limits.idle)
            .pool_max_idle_per_host(KEPT_PER_HOST)
            .build()
            .map_err(|error| NoTrust(error.to_string()))?;
        Ok(Self { client, policy })
    }

    /// Whom it calls.
    #[must_use]
    pub fn policy(&self) -> &AddressPolicy {
        &self.policy
    }

    /// Tries once to deliver a message. It returns within the total limit, whatever the receiver does.
    pub async fn deliver(&self, message: &Message<'_>) -> Attempt {
        let began = Instant::now();
        match self.send(message).await {
            Ok(answer) => heard(answer, message.timestamp_seconds, began).await,
            Err(failure) => Attempt {
                outcome: Outcome::Failed(failure),
                took: began.elapsed(),
                response: None,
                retry_after: None,
            },
        }
    }

    /// Sends it and waits for the head of an answer. An address that is a number is dialled without asking the resolver, so that the
    /// address is checked here as well, by the policy of today.
    async fn send(&self, message: &Message<'_>) -> Result<reqwest::Response, Failure> {
        let url = self.policy.check(message.url).map_err(|bad| match bad {
            BadUrl::Forbidden(_) => Failure::ForbiddenAddress,
            _ => Failure::BadUrl,
        })?;
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", message.id)
            .header("webhook-timestamp", message.timestamp_seconds)
            .header("webhook-signature", message.signature)
            .body(message.body.to_owned());
        request.send().await.map_err(|error| failure(&error))
    }
}

/// The certificates that this machine trusts, and the cryptography of the house.
fn trust() -> Result<ClientConfig, NoTrust> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(ToString::to_string);
        return Err(NoTrust(why.unwrap_or_else(|| "there are none".to_owned())));
    }
    config(roots)
}

fn config(roots: RootCertStore) -> Result<ClientConfig, NoTrust> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| NoTrust(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// What an answer comes to. Its status decides; the body is for people, and nothing that becomes of it changes anything.
async fn heard(mut answer: reqwest::Response, second: i64, began: Instant) -> Attempt {
    let status = answer.status().as_u16();
    let outcome = Outcome::of(status);
    let wished = answer.headers().get(RETRY_AFTER);
    let wished = wished.and_then(|value| value.to_str().ok());
    let now = second.saturating_add_unsigned(began.elapsed().as_secs());
    let retry_after = wished.and_then(|text| retry_after::read(text, now));
    let body = beginning(&mut answer).await;
    Attempt {
        outcome,
        took: began.elapsed(),
        response: Some(Response { status, body }),
        retry_after: retry_after.filter(|_| outcome != Outcome::Delivered),
    }
}

/// How the body begins. The rest is left to the receiver: the connection is closed when there is more than is read.
async fn beginning(answer: &mut reqwest::Response) -> String {
    let mut kept = Vec::new();
    let mut read = 0;
    while read < MOST_READ {
        let Ok(Some(chunk)) = answer.chunk().await else {
            break;
        };
        read += chunk.len();
        let room = MOST_KEPT - kept.len();
        kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    let mut text = String::from_utf8_lossy(&kept).replace('\0', "");
    // A byte that is no text is shown by a sign of three.
    text.truncate(text.floor_char_boundary(MOST_KEPT));
    text
}

/// Why there is no answer.
fn failure(error: &reqwest::Error) -> Failure {
    let has = |test: fn(&(dyn Error + 'static)) -> bool| causes(error).any(test);
    if has(|cause| cause.is::<Forbidden>()) {
        Failure::ForbiddenAddress
    } else if error.is_timeout() {
        Failure::TimedOut
    } else if error.is_dns() {
        Failure::Dns
    } else if has(|cause| cause.is::<rustls::Error>()) || error.is_connect() && has(is_cut_short) {
        Failure::Tls
    } else if error.is_connect() {
        Failure::Connect
    } else {
        Failure::Broken
    }
}

/// An error and what is behind it. What is within an error of input and output is skipped by `source`.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(within) => Some(within as &'a (dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// While a connection is made, nothing but the handshake of TLS can be cut short.
fn is_cut_short(cause: &(dyn Error + 'static)) -> bool {
    let error = cause.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
}

#[cfg(test)]
mod tests;
