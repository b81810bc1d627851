//! Payment providers: one trait, one file each, one line in [`Providers`].

pub mod guarded;
pub mod sandbox;
pub mod stripe;

use std::{collections::BTreeMap, fmt, sync::Arc};

use domain::{
    id::CustomerId,
    payment::{
        Order, Seen,
        decline::Decline,
        method::{Face, Kind},
        notice::Notice,
        returned::{Back, Refund},
    },
    time::Timestamp,
};

pub use hyper::HeaderMap;

/// What a payment provider does for us. Every call may be repeated: it names what it is about by our own id or key, and the provider
/// does it once.
#[async_trait::async_trait]
pub trait Provider: Send + Sync + 'static {
    /// Whether money that is not real is moved, so that tenants for tests alone may use it.
    fn is_for_tests(&self) -> bool;

    /// Makes a customer known to the provider; answers with the provider's own name for it.
    async fn enrol(&self, payer: &Payer) -> Result<String, Trouble>;

    /// Whether a customer can pay with this on a page of the provider's own.
    fn has_on_page(&self, kind: Kind) -> bool;

    /// Opens a page of the provider's own on which a customer leaves a way to pay. The same key opens the same page.
    async fn begin_setup(&self, wish: &SetupWish) -> Result<Setup, Trouble>;

    /// What was left there; `None`: nothing yet.
    async fn left(&self, setup: &str) -> Result<Option<Face>, Trouble>;

    /// Charges a way to pay without its owner being there, or opens a page on which the customer pays, which is then what has to be done.
    /// The same order is charged once, and answered alike.
    async fn charge(&self, order: &Order) -> Result<Seen, Trouble>;

    /// How the charge of an order stands, or the page on which it is to be made, by what the provider keeps beside it and not by its own name for it, which we may never have
    /// heard. `None`: there is none.
    async fn look(&self, order: &Order) -> Result<Option<Seen>, Trouble>;

    /// Ends a charge that waits for its customer, so that nobody can confirm it any more; answers how it stands then, which may be that
    /// it was confirmed in the last moment.
    async fn cancel(&self, order: &Order, reference: &str) -> Result<Seen, Trouble>;

    /// Gives money of a charge back. The same refund is made once, and answered alike.
    async fn refund(&self, order: &Order, refund: &Refund) -> Result<Back, Trouble>;

    /// Everything that has gone back of the charge of an order, or is about to: refunds, whoever asked for them, and disputes.
    async fn returned(&self, order: &Order) -> Result<Vec<Back>, Trouble>;

    /// Reads a notice that somebody has sent. It is believed only if it is the provider's own, unchanged and of now; `body` is what came,
    /// byte for byte.
    fn read_notice(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<Notice, Unbelieved>;

    /// The notices of what has happened since, oldest first, of which any may have been lost; as many as can be told at once.
    async fn notices_since(&self, since: Timestamp, now: Timestamp) -> Result<Told, Trouble>;
}

/// What a provider has told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The notices, oldest first.
    pub notices: Vec<Notice>,
    /// These are all until then.
    pub until: Timestamp,
}

/// Why nothing follows from a notice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unbelieved {
    /// This provider sends none, or nothing was set up with which they could be checked.
    #[error("notices of this provider are not taken")]
    NotTaken,
    /// It is not the provider's, or not of now.
    #[error("{0}")]
    Forged(String),
    /// It is the provider's, but it cannot be read.
    #[error("the notice cannot be read: {0}")]
    Unreadable(String),
}

/// A customer, as a provider gets to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payer {
    /// Our id.
    pub id: CustomerId,
    /// Name for people.
    pub name: Option<String>,
    /// Where the provider may send receipts.
    pub email: Option<String>,
}

/// A page that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupWish {
    /// Repeated, the same page is opened.
    pub key: String,
    /// The provider's own name for the customer.
    pub payer: String,
    /// Where the customer is sent afterwards; `None`: the provider's own choice.
    pub return_url: Option<String>,
}

/// A page of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// The provider's own name for it.
    pub reference: String,
    /// Where it is; `None`: the provider has no page of its own.
    pub url: Option<String>,
}

/// How a provider can fail to say how it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// No answer that tells anything: it may have happened or not.
    #[error("the payment provider did not answer: {0}")]
    NoAnswer(String),
    /// It will have nothing to do with the request, and nothing has happened.
    #[error("the payment provider refuses the request")]
    Refused(Decline),
}

/// The providers of this installation, by the key under which rows and the API know them.
#[derive(Clone, Default)]
pub struct Providers(BTreeMap<&'static str, Arc<dyn Provider>>);

impl fmt::Debug for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Providers {
    /// With one more.
    #[must_use]
    pub fn with(mut self, key: &'static str, provider: impl Provider) -> Self {
        self.0.insert(key, Arc::new(provider));
        self
    }

    /// The one of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&dyn Provider> {
        self.0.get(key).map(AsRef::as_ref)
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }
}
